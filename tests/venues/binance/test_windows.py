"""The age at which the venue refuses each request: what leaves together grows old together."""

import pytest

from bnml.core.commands import CancelOrder, Submit
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderTicket, OrderType, Side
from bnml.venues.binance.venue import BinanceVenue

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
