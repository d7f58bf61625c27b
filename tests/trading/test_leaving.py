"""A position that is sold as a whole: what it waits for, when it goes in parts, and what its sale is sure of."""

import pytest

from bnml.core.clock import NS_PER_S
from bnml.core.commands import CancelList, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, OperatorCommand, OrderReport, Timer
from bnml.core.orders import OrderState, OrderType, Side
from bnml.trading.freeing import fills_once_now
from bnml.trading.watching import WATCH
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import STOP, SYMBOL, TARGETS, World, changed, ticket_of
from tests.trading.test_entry_chains import asked
from tests.trading.test_protection_chains import LISTS, OWNERS, entered
from tests.trading.test_protection_faults import flatten, is_sale

SMALL = ((1, 5000, 3_160_000), (2, 100, 3_220_000))


def leave(world):
    """What is asked for when all of it is to be sold."""
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    return list(world.queue)


def sold(world):
    return [one.quantity_lots for one in world.trades if one.side is Side.SELL]


def is_over(world, coins_of_others=0):
    assert world.position() is None
    crumbs_e8 = sum(one.base_e8 for one in world.engine.state.ledger.dust.values())
    assert world.balance("BTC") == coins_of_others + crumbs_e8 < coins_of_others + 1000
    assert not world.ledger_differences()
    assert not world.halts


def test_a_sale_of_all_waits_for_a_purchase_that_is_not_over():
    """Its fills would be booked where the coins of that purchase are."""
    world = World()
    world.enter(targets=LISTS)
    first, second = world.queue
    world.queue[:] = [second]
    world.settle()
    assert not any(is_sale(one) or isinstance(one, ReplaceOrder) for one in leave(world))
    world.queue.insert(0, first)
    world.settle()
    world.pass_seconds(3)
    is_over(world)


def test_what_cannot_be_sold_alone_is_sold_with_the_rest_beside_coins_of_others():
    """A sale for each, in the request that cancels its list, would leave it as dust."""
    world = entered(SMALL, balances=OWNERS, instruments=changed(min_notional_e8=20 * 10**8))
    assert [type(one) for one in leave(world)] == [CancelList] * 2
    world.settle()
    assert sold(world) == [4995 + 99]
    is_over(world, coins_of_others=10**8)


def test_what_has_lost_its_stop_and_cannot_be_sold_alone_waits_for_the_others():
    world = asked(TARGETS, filters={"min_notional_e8": 300 * 10**8})
    world.settle()
    *cancels, sale = leave(world)
    world.queue[:] = [cancels[0], cancels[2], sale]
    while world.queue:
        world.execute()
    world.deliver()
    sales = [one.order.ticket for one in world.queue if isinstance(one, Submit)]
    assert [(one.type, one.quantity_lots) for one in sales] == [(OrderType.MARKET, 4995)]
    world.feed(CancelFailed(SYMBOL, cancels[1].list_client_order_id, world.now_ns, 0, "it did not arrive"))
    world.settle()
    world.pass_seconds(3)
    is_over(world)


def test_beside_a_tranche_without_a_stop_the_list_of_the_other_is_withdrawn_before_the_sale():
    """One request would cancel the list of one and sell the coins of both."""
    world = entered(LISTS)
    stop = world.position().tranches[0].legs[-1]
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=stop))
    world.reports += world.venue.drain()
    world.position().tranches[0].guard_after_ns = world.now_ns + 1  # no new stop in this moment
    world.deliver()
    world.queue.clear()
    cancel, sale, *_ = leave(world)
    assert isinstance(cancel, CancelList)
    assert is_sale(sale)
    assert all(world.engine.book.get(leg).cancel_sent for leg in world.position().tranches[1].legs[:2])
    world.settle()
    is_over(world)


@pytest.mark.parametrize(
    ("filters", "sales"),
    [
        ({"market_max_lots": 6000, "cancel_replace_allowed": False}, [6000, 3990]),
        ({"market_max_lots": 4000}, [4000, 4000, 1990]),
    ],
    ids=["without replacements", "more than one can take of each"],
)
def test_more_than_one_sale_can_take_is_not_asked_for_in_one_write_with_the_cancels(filters, sales):
    """A part of it would be taken although one of the cancels failed."""
    world = entered(LISTS, instruments=changed(**filters))
    assert [type(one) for one in leave(world)] == [CancelList] * 2
    world.settle()
    world.pass_seconds(3)
    assert sold(world) == sales
    is_over(world)


def test_more_than_one_sale_can_take_is_sold_by_one_for_each_tranche():
    """All stops left before any sale did, and one of the venue's largest lots may come at any time."""
    world = entered(LISTS, instruments=changed(market_max_lots=6000))
    assert [one.ticket.quantity_lots for one in leave(world) if isinstance(one, ReplaceOrder)] == [4995, 4995]
    world.settle()
    assert sold(world) == [4995, 4995]
    assert not world.bareness
    is_over(world)


@pytest.mark.parametrize(("balances", "is_once"), [(None, True), (OWNERS, False)])
def test_a_second_sale_of_all_would_be_taken_where_coins_of_others_are(balances, is_once):
    world = entered(LISTS, balances=balances, instruments=changed(cancel_replace_allowed=False))
    leave(world)
    while not is_sale(world.queue[0]):
        world.execute()
        world.deliver()
    engine, (tranche, *_) = world.engine, world.position().tranches
    assert fills_once_now(engine.state, engine.book, engine.portfolio, tranche.sale_id) is is_once


def in_doubt(world, state=OrderState.UNKNOWN):
    (leg, *_) = world.position().tranches[1].legs
    world.engine.book.get(leg).state = state


def sells(world, seconds=1.0):
    """Whether anything is sold after these seconds."""
    world.now_ns += round(seconds * NS_PER_S)
    world.feed(Timer(WATCH, world.now_ns))
    return any(is_sale(one) or isinstance(one, ReplaceOrder) for one in world.queue)


def test_an_order_that_is_in_doubt_for_long_keeps_the_rest_from_being_sold_for_a_second():
    world = entered(LISTS)
    in_doubt(world)
    assert not leave(world)
    assert [sells(world, 0.4) for _ in range(3)] == [False, False, True], "looks in between do not put it off"


def test_that_second_begins_anew_after_a_sale_that_was_refused():
    world = entered(LISTS)
    world.refuse(OrderType.MARKET, "closed")
    flatten(world)
    in_doubt(world)
    assert not sells(world)
    assert sells(world)


def test_and_with_each_sale_of_all():
    """A spare behind it is in doubt, and may hold what the other tranche lost: since the sale, not for longer."""
    world = entered(LISTS)
    in_doubt(world)
    assert not leave(world)
    in_doubt(world, OrderState.OPEN)
    assert sells(world, 0.9)
    failed = world.queue.pop(0)
    lost = ticket_of(world.queue[-2]).client_order_id
    while world.queue:
        world.execute()
    world.reports[:] = [one for one in world.reports if one.client_order_id != lost]
    world.feed(OrderReport(SYMBOL, lost, world.now_ns, OrderState.UNKNOWN, Side.SELL))
    world.deliver()
    assert not sells(world, 0.2)
    world.feed(CancelFailed(SYMBOL, failed.list_client_order_id, world.now_ns, 0, "it did not arrive"))
    world.settle()
    world.pass_seconds(3)
    is_over(world)


def test_a_price_below_the_stop_makes_no_refused_sale_come_again_before_its_time():
    world = entered(((1, 5000, 0),))
    world.position().last_ticks = STOP - 1
    world.refuse(OrderType.MARKET, *["closed"] * 9)
    world.refuse(OrderType.STOP_LOSS, "trigger", "trigger")
    flatten(world)
    asked_for = [one for one in world.sent[1:] if isinstance(one, ReplaceOrder) or is_sale(one)]
    assert len(asked_for) == 1
    assert not sells(world, 0.5)
    world.queue.clear()
    assert sells(world, 0.5)


def test_refusals_count_in_a_row_only():
    """Three of them sell: not those of a whole life."""
    world = entered(((1, 5000, 0),))
    for ticks in (3_100_000, 3_110_000, 3_120_000, 3_130_000):
        world.refuse(OrderType.STOP_LOSS, "closed")
        world.move(ticks)
        world.pass_seconds(5)
        assert world.position().tranches[0].refusals == 0
    assert not sold(world)
    assert world.stops() == [(3_110_000, 4995)]
