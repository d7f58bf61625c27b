"""Several things at once: all come back, an error is told, and a cancellation is never lost to one."""

import asyncio

import pytest

from bnml.app.abreast import abreast
from bnml.app.resolving import Doubt
from bnml.core.commands import ReplaceOrder
from bnml.core.errors import Retryable
from bnml.core.orders import OrderTicket, OrderType, Side
from bnml.venues.binance.departures import Departure


async def after(turns, result):
    for _ in range(turns):
        await asyncio.sleep(0)
    if isinstance(result, Exception):
        raise result
    return result


async def test_results_come_in_the_order_of_asking_and_the_first_error_when_all_have_ended():
    assert await abreast(after(3, "a"), after(1, "b")) == ["a", "b"]
    slow = asyncio.ensure_future(after(5, "late"))
    with pytest.raises(ValueError, match="one"):
        await abreast(slow, after(1, ValueError("one")), after(0, ValueError("other")))
    assert slow.done()


@pytest.mark.parametrize("turns", range(12))
async def test_a_doubt_that_is_given_up_ends_whatever_its_reads_come_to_in_that_moment(turns):
    """It looks at two orders side by side; the venue refuses both reads, and the daemon is told to stop."""

    class Venue:
        async def order_reports(self, _symbol, name):
            await after(2 if name == "new" else 4, None)
            raise Retryable("the venue cannot be read")

    ticket = OrderTicket("BTCUSDT", "new", Side.SELL, OrderType.STOP_LOSS, 1, stop_price_ticks=1)
    departure = Departure()
    departure.at_s = asyncio.get_running_loop().time()
    doubt = Doubt(
        Venue(),
        ReplaceOrder("old", ticket, "trail"),
        departure,
        settle_s=1.0,
        answer=asyncio.ensure_future(asyncio.sleep(60)),
        heard=lambda _: False,
        is_doubled=lambda: False,
        fills_once=lambda: False,
        now_ns=lambda: 0,
    )
    task = asyncio.create_task(doubt.end())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.5)
    assert done, "it reads on as if nobody had told it to end"
    assert task.cancelled()
