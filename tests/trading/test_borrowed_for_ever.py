"""A tranche without a stop waits for one whose stop locks more than it holds, and that one waits for the first: for ever."""

import pytest

from bnml.core.events import CapitalFlow
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import SYMBOL, World, changed

PAIRS = ((1, 5000, 3_060_000), (2, 3000, 3_120_000), (3, 2000, 3_180_000))


@pytest.mark.parametrize("is_replaceable", [True, False])
@pytest.mark.parametrize("has_pairs", [True, False])
def test_coins_that_leave_while_one_tranche_is_bare_leave_it_bare_for_no_minute(is_replaceable, has_pairs):
    """Ten lots go (paid out, or as a commission where BNB is traded) while the first tranche has no stop.

    The books take them from the last tranche, whose stop then locks ten lots of the first. That one's new stop is
    refused, which is foreseen; it waits for the last (`borrowers`), and the last one's stop is not moved
    because coins of the first are free (`Bond.LATER`). Nothing is asked for any more.
    """
    world = World(changed(cancel_replace_allowed=is_replaceable, oco_allowed=has_pairs))
    world.enter(targets=PAIRS)
    world.settle()
    gone_e8 = 10 * world.instruments[SYMBOL].lot_e8
    first = min(world.open_orders(), key=lambda one: one.order_id)
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=first.client_order_id))
    world.venue.exchange.deposit(ACCOUNT, "BTC", -gone_e8)
    world.reports += world.venue.drain()
    world.deliver()  # its successor leaves, for more than is there
    while world.queue:
        world.execute()
    world.feed(CapitalFlow("BTC", -gone_e8, world.now_ns, is_compared=True))
    world.settle()
    world.pass_seconds(60)
    assert world.ledger_differences() == {}
    assert sum(lots for _, lots in world.stops()) == world.position().lots(world.instruments[SYMBOL].lot_e8)
