"""A key that the venue does not accept any more: what protects waits for the next one, an entry does not."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.core.commands import CancelOrder, Submit
from bnml.core.errors import AccessRefused
from bnml.core.orders import ApprovedOrder
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
