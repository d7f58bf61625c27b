"""A process that died before its cancels left: the next one does what they were for at once, not at some later look."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app.reconcile import Truth, missed_reports
from bnml.app.warmup import settle_absent
from bnml.core.commands import QueryOrder
from bnml.core.events import OperatorCommand, Timer
from bnml.trading.engine import RECONCILE
from tests.trading.hand_venue import SYMBOL, TARGETS, World
from tests.virtual_time import in_virtual_time


class Venue:
    """Reads of the embedded exchange."""

    def __init__(self, world):
        self.instruments = world.instruments
        self._venue = world.venue
        self.read_s = []

    async def order_reports(self, symbol, client_order_id):
        self.read_s.append(asyncio.get_running_loop().time())
        return self._venue.execute(QueryOrder(symbol, client_order_id))

    async def shows_none_of(self, symbol, names, ended=""):
        return not any([await self.order_reports(symbol, name) for name in names])


async def restarted(world):
    """A start's reads, and the settling after it; then everything that it asks for is carried out."""
    world.restart()
    venue, engine = Venue(world), world.engine
    missed = await missed_reports(venue, engine.book)
    for report in missed.reports:
        world.feed(report)
    world.feed(Timer(RECONCILE, world.now_ns))
    parts = SimpleNamespace(
        settings=SimpleNamespace(venue=SimpleNamespace(protective_window_ms=1000, receive_window_ms=5000)),
        deployment=SimpleNamespace(stepper=None),
        clock=SimpleNamespace(monotonic_ns=lambda: 0),
        began_ns=0,
        venue=venue,
        engine=engine,
    )
    pump = SimpleNamespace(feed=world.feed, now_ns=world.now_ns)
    await settle_absent(parts, pump, Truth(None, 0, missed.absent, {}))
    world.settle()
    return venue.read_s


@in_virtual_time
async def test_a_sale_whose_request_died_with_the_process_is_made_by_the_next_one():
    for targets in (((1, 5000, 0),), ((1, 5000, 3_060_000),), TARGETS):
        world = World()
        world.enter(targets=targets)
        world.settle()
        world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
        assert world.queue
        world.queue.clear()
        await restarted(world)
        assert world.position() is None, targets
        assert not world.open_orders()
        assert not world.ledger_differences()


@in_virtual_time
async def test_a_stop_whose_move_died_with_the_process_is_moved_by_the_next_one():
    world = World()
    world.enter(targets=((1, 5000, 0),))
    world.settle()
    world.move(3_090_000, settle=False)
    assert world.queue
    world.queue.clear()
    await restarted(world)
    ((level, lots),) = world.stops()
    assert level > 2_940_000
    assert lots == world.position().lots(1000)


@pytest.mark.parametrize(("is_held", "until_s"), [(True, 1.25), (False, 5.25)], ids=["a sale", "a purchase"])
@in_virtual_time
async def test_what_the_last_process_sent_is_absent_only_when_it_cannot_arrive_any_more(is_held, until_s):
    """Called absent too soon, a purchase would come to an account that knows nothing of it."""
    world, began_s = World(), asyncio.get_running_loop().time()
    world.enter(targets=((1, 5000, 0),))
    if is_held:
        world.settle()
        world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.queue.clear()
    read_s = [round(one - began_s, 3) for one in await restarted(world)]
    assert min(one for one in read_s if one) == until_s
