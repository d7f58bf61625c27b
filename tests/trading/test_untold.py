"""What an order lacks is asked for at once, also the second time."""

from msgspec.structs import replace

from bnml.core.clock import NS_PER_S
from bnml.core.commands import QueryOrder
from bnml.core.events import OrderReport, Timer
from bnml.core.instrument import DELISTED
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import RECONCILE
from bnml.trading.orders import Role
from bnml.trading.watching import WATCH
from tests.trading.hand_venue import SYMBOL, World

ONE = ((1, 5000, 3_060_000),)


def told(world, order, state, **fields):
    world.feed(
        OrderReport(
            SYMBOL, order.client_order_id, world.now_ns, state, Side.SELL, quantity_lots=4995, **fields
        )
    )


def seconds_until_asked(world, order):
    """How many timers pass until the fill that is not told is asked for; nothing leaves or comes meanwhile."""
    for second in range(1, 5):
        world.queue.clear()
        world.now_ns += NS_PER_S
        world.feed(Timer(WATCH, world.now_ns))
        if any(
            isinstance(one, QueryOrder) and one.client_order_id == order.client_order_id
            for one in world.queue
        ):
            return second
    return None


def half_filled():
    """A target of which a part was filled, which ended its stop; the report of the fill is lost."""
    world = World()
    world.enter(targets=ONE)
    world.settle()
    target, stop = world.open_orders()
    told(world, target, OrderState.PARTLY_FILLED, cumulative_lots=2000)
    told(world, stop, OrderState.EXPIRED)
    return world, target


def test_a_second_fill_of_an_order_that_is_not_told_is_asked_for_as_soon_as_the_first():
    world, target = half_filled()
    assert seconds_until_asked(world, target) == 1
    fill = {"cumulative_lots": 2000, "last_lots": 2000, "last_ticks": 3_060_000, "trade_id": 9}
    told(world, target, OrderState.PARTLY_FILLED, **fill)
    # It goes on filling until its cancel; the answer to that says how far, and the report is lost again.
    told(world, target, OrderState.CANCELED, cumulative_lots=4000)
    assert seconds_until_asked(world, target) == 1


def test_a_cancel_that_was_under_way_at_the_reconciliation_delays_no_question():
    world = World()
    world.enter(targets=ONE)
    world.settle()
    target, stop = world.open_orders()
    fill = {"cumulative_lots": 2000, "last_lots": 2000, "last_ticks": 3_060_000, "trade_id": 9}
    told(world, target, OrderState.PARTLY_FILLED, **fill)
    told(world, stop, OrderState.EXPIRED)
    assert world.engine.book.get(target.client_order_id).cancel_sent
    world.feed(Timer(RECONCILE, world.now_ns))
    told(world, target, OrderState.CANCELED, cumulative_lots=4000)
    assert seconds_until_asked(world, target) == 1


def test_a_purchase_whose_legs_are_awake_is_asked_for():
    """They counted as protection of what others had bought, which waited without a stop until its report came (kill matrix)."""
    world = World()
    world.enter(targets=ONE)
    orders = {order.role: order for order in world.engine.book.orders.values()}
    working, stop = orders[Role.WORKING], orders[Role.STOP]
    told(world, stop, OrderState.SLEEPING)
    assert seconds_until_asked(world, working) is None
    told(world, stop, OrderState.OPEN)
    assert seconds_until_asked(world, working) == 1
    symbol = world.engine.state.symbols[SYMBOL]
    symbol.instrument = replace(symbol.instrument, status=DELISTED)
    assert seconds_until_asked(world, working) is None  # nobody answers for it
