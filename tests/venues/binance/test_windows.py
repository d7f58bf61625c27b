"""The age at which the venue refuses each request: what leaves together grows old together."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app.executor import SETTLE_MARGIN_S
from bnml.core.commands import CancelOrder, Submit
from bnml.core.errors import Retryable
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderTicket, OrderType, Side
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.venue_clock import VenueClock
from tests.e2e.matrix.virtual import VirtualClock, run_virtually
from tests.venues.binance.kit import ALL

BUY = OrderTicket("BTCUSDT", "w", Side.BUY, OrderType.LIMIT, 100, 50)
STOP = OrderTicket("BTCUSDT", "s", Side.SELL, OrderType.STOP_LOSS, 100, 0, 40)
WHOLE, SHORT = 5000, 1000


@pytest.mark.parametrize(
    ("command", "first_ms"),
    [
        (Submit(ApprovedOrder(ListTicket("BTCUSDT", "l", ListKind.OTO, BUY, (STOP,)), "entry")), WHOLE),
        (Submit(ApprovedOrder(BUY, "entry")), SHORT),
        (Submit(ApprovedOrder(STOP, "protection"), ("w",)), SHORT),
        (Submit(ApprovedOrder(ListTicket("BTCUSDT", "o", ListKind.OCO, None, (STOP,)), "protection")), SHORT),
        (CancelOrder("BTCUSDT", "s", "moves"), SHORT),
    ],
)
def test_a_purchase_without_a_list_is_good_for_no_longer_than_its_stop(command, first_ms):
    venue = BinanceVenue(None, None, {}, receive_window_ms=WHOLE, protective_window_ms=SHORT)
    assert venue.window_ms(command) == first_ms
    assert venue.window_ms(command, attempt=2) == WHOLE


@pytest.mark.parametrize("ways_s", [(0.01, 0.01), (0.7, 0.1), (1.9, 0.1), (2.5, 0.1)])
def test_a_request_is_refused_for_its_age_before_that_counts_as_proof_however_badly_the_clock_was_measured(
    ways_s,
):
    """Its time was ahead of the venue's by half of a slow round trip: a sale could arrive after it was made again."""

    async def trial(loop):
        clock, sent = VirtualClock(loop), []

        class Rest:
            def __init__(self):
                self.signer, self.clock = None, VenueClock(clock)

            async def signed(self, *_, window_ms, **__):
                sent.append(self.clock.now_ms() + window_ms - clock.now_ns() // 10**6)
                raise Retryable("no answer")

        async def ask():
            await asyncio.sleep(ways_s[0])
            stamped = clock.now_ns() // 10**6
            await asyncio.sleep(ways_s[1])
            return stamped

        rest = Rest()
        await rest.clock.measure(ask)
        down = SimpleNamespace(up=False)
        venue = BinanceVenue(rest, down, ALL, receive_window_ms=WHOLE, protective_window_ms=SHORT)
        command = CancelOrder("BTCUSDT", "s", "moves")
        for attempt in (1, 2):
            with pytest.raises(Retryable):
                await venue.execute(command, attempt=attempt)
        return [left - venue.window_ms(command, attempt) for attempt, left in enumerate(sent, start=1)]

    assert max(run_virtually(trial)) <= 1000 * SETTLE_MARGIN_S
