"""A key that the venue does not accept any more: what protects waits for the next one, an entry does not."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.core.clock import LiveClock
from bnml.core.commands import CancelOrder, Submit
from bnml.core.errors import AccessRefused
from bnml.core.orders import ApprovedOrder
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue, Executed
from tests.venues.binance.test_windows import BUY, STOP


class Locked(BinanceVenue):
    """Refuses everything until there is another key."""

    def __init__(self):
        self.key = asyncio.Event()
        signer = SimpleNamespace(lost="refused", usable=self.key.wait)
        super().__init__(SimpleNamespace(signer=signer), None, {})

    async def _execute(self, *_):
        if not self.key.is_set():
            raise AccessRefused("no such key", code=-2015)
        return Executed()


@pytest.mark.parametrize("code", [-2015, -1022, -2014])
async def test_a_key_is_not_lost_by_what_it_may_not_read(code):
    """Binance's pages differ on whether the delist schedule is signed: a refusal there halted nothing but that guard."""
    rest = RestClient(
        "http://127.0.0.1:1", Signer("k", "s"), LiveClock(), timeout_s=1, receive_window_ms=1000
    )
    body = b'{"code":%d,"msg":"no"}' % code
    for path, is_lost in (("/sapi/v1/spot/delist-schedule", False), ("/api/v3/account", True)):
        error = rest._error(401, {}, body, f"GET {path}")
        assert isinstance(error, AccessRefused)
        assert bool(rest.signer.lost) == is_lost


@pytest.mark.parametrize("command", [Submit(ApprovedOrder(STOP, "stop")), CancelOrder("BTCUSDT", "s", "")])
async def test_what_protects_waits_for_a_key(command):
    venue = Locked()
    waiting = asyncio.create_task(venue.execute(command))
    await asyncio.sleep(0)
    assert not waiting.done()
    venue.key.set()
    assert await waiting == Executed()


async def test_an_entry_grows_old_and_is_given_up():
    async with asyncio.timeout(1):
        with pytest.raises(AccessRefused):
            await Locked().execute(Submit(ApprovedOrder(BUY, "entry")))


async def test_a_refusal_that_is_not_of_the_key_is_told():
    venue = Locked()
    venue.rest.signer.lost = ""
    async with asyncio.timeout(1):
        with pytest.raises(AccessRefused):
            await venue.execute(Submit(ApprovedOrder(STOP, "stop")))
