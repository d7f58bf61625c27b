"""What a start asks for itself is no request of the process before."""

import msgspec

from bnml.app import reconcile
from bnml.core.commands import QueryOrder, Submit
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import SYMBOL, World
from tests.virtual_time import in_virtual_time

RUNNER = ((1, 5000, 0),)


class Reads:
    """The exchange of a world, as the venue is read at a start."""

    def __init__(self, world):
        self.world, self.instruments = world, world.instruments

    async def order_reports(self, symbol, name):
        return self.world.venue.execute(QueryOrder(symbol, name))

    async def balances(self):
        found = self.world.venue.balances()  # somebody has paid in while the daemon was away
        return msgspec.structs.replace(found, assets={**found.assets, "BTC": (10**8 + 9_990_000, 0)})

    async def shows_none_of(self, *_):
        return True


@in_virtual_time
async def test_what_a_start_itself_has_asked_for_is_not_absent_because_the_process_before_cannot_have_sent_it():
    """Two passes are read where the account differs; what left after the first one is still under way in the second.

    It counted as never arrived when the window of the *former* process was over and was asked for under another name,
    while the executor repeated the first one: coins of the owner were sold.
    """
    world = World()
    world.enter(targets=RUNNER)
    world.settle()
    (stop,) = world.open_orders()
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=stop.client_order_id))
    world.venue.drain()
    world.restart()
    before = set(world.engine.book.orders)

    async def none():
        return []

    truth = await reconcile.bring_truth(Reads(world), world.engine, world.feed, world.now_ns, none)
    sent = [one for one in world.queue if isinstance(one, Submit)]
    assert sent, "the first pass has shown that it is bare, and it is sold or guarded at once"
    assert [one.client_order_id for one in truth.absent if one.client_order_id not in before] == []
