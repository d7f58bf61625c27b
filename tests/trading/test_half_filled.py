"""The market took a part only, or bought more than a list was made for: what is left is guarded once it is known."""

import msgspec
import pytest

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, Submit
from bnml.core.events import OrderReport
from bnml.core.orders import ListKind, OrderState, Side
from tests.trading.hand_venue import STOP, SYMBOL, World, changed, with_fees_in_bnb

ONE = ((1, 5000, 3_060_000),)
TWO = ((1, 5000, 3_060_000), (2, 5000, 0))


def entered(targets=ONE, **options):
    world = World(**options)
    world.enter(targets=targets)
    world.settle()
    return world


def told(order, state, **fields):
    return OrderReport(SYMBOL, order.client_order_id, order.updated_ns, state, Side.SELL, **fields)


def test_nothing_follows_a_target_half_filled_before_it_is_known_how_much_is_left():
    """A query tells of an order before its trades: a list for all that was held would have been refused."""
    world = entered()
    target, stop = world.open_orders()
    world.feed(told(target, OrderState.PARTLY_FILLED, cumulative_lots=2000, quantity_lots=4995))
    world.feed(told(stop, OrderState.EXPIRED, quantity_lots=4995))
    assert world.queue == []
    fill = {"cumulative_lots": 2000, "last_lots": 2000, "last_ticks": 3_060_000, "trade_id": 9}
    world.feed(told(target, OrderState.PARTLY_FILLED, quantity_lots=4995, **fill))
    cancel, follower = world.queue[:2]
    assert isinstance(cancel, CancelOrder)
    assert {leg.quantity_lots for leg in follower.order.ticket.pending} == {2995}


def test_a_leg_that_ends_with_its_list_lends_no_coins_to_it():
    """The word of its end may be lost: what a stop of another tranche has left bare did not wait for it."""
    world = entered(TWO)
    target, first, second = sorted(world.open_orders(), key=lambda one: one.order_id)
    world.now_ns += 1
    fills = [(first, 4995, 4995), (second, 3000, 4995)]
    for number, (stop, lots, whole) in enumerate(fills, start=50):
        state = OrderState.FILLED if lots == whole else OrderState.PARTLY_FILLED
        fill = {"cumulative_lots": lots, "last_lots": lots, "last_ticks": STOP, "trade_id": number}
        world.feed(told(stop, state, quantity_lots=whole, **fill))
    world.feed(told(second, OrderState.EXPIRED, cumulative_lots=3000, quantity_lots=4995))
    assert not world.engine.book.get(target.client_order_id).is_final
    assert [one.order.ticket.quantity_lots for one in world.queue if isinstance(one, Submit)] == [1995]


@pytest.mark.parametrize("is_replaceable", [True, False])
def test_a_list_is_not_taken_away_for_a_rest_where_its_successor_would_leave_later(is_replaceable):
    """Fees are paid in BNB, so a little more was bought than was foreseen; coins of others would let it in untied."""
    usual = changed(opo_allowed=False, cancel_replace_allowed=is_replaceable)
    world = with_fees_in_bnb(usual, BTC=10**8, BNB=10**9)
    world.enter(targets=ONE)
    world.settle()
    world.pass_seconds(30)
    assert not any(isinstance(one, CancelList | CancelOrder) for one in world.sent)
    assert {lots for _, lots in world.stops()} == {5000 if is_replaceable else 4995}
    assert not [one for one in world.alerts if one.name == "position_bare"]


def test_a_list_is_not_taken_away_for_a_rest_while_another_purchase_is_under_way():
    """No spare may leave with the move then: refused by lots that had become coarser, it left the position bare."""
    world = with_fees_in_bnb(changed(opo_allowed=False), BNB=10**9)
    world.enter(targets=((1, 5000, 3_060_000), (2, 2000, 0)))
    first, second = world.queue
    world.queue[:] = [first]
    world.settle()
    assert world.stops() == [(STOP, 4995)]
    world.queue[:] = [second]
    world.settle()
    assert sorted(lots for _, lots in world.stops()) == [2000, 5000]
    assert any(isinstance(one, Submit) and one.is_spare for one in world.sent)


@pytest.mark.parametrize(
    ("coins", "filters", "lots"),
    [
        (0, {}, 5000),
        (10**8, {"min_notional_e8": 10**8}, 5000),
        (10**8, {"min_notional_e8": 10**8, "min_lots": 10}, 4995),
    ],
    ids=["no coins of others", "a rest that can be sold", "too few lots"],
)
def test_a_rest_that_a_list_does_not_sell_stays_only_where_it_must(coins, filters, lots):
    usual = changed(opo_allowed=False, cancel_replace_allowed=False, **filters)
    world = with_fees_in_bnb(usual, BTC=coins, BNB=10**9)
    world.enter(targets=ONE)
    world.settle()
    world.pass_seconds(3)
    assert {found for _, found in world.stops()} == {lots}


def test_without_pairs_a_list_holds_the_stop_and_the_target_is_sold_at_market():
    """Such a symbol once refused every entry: no list of it takes a target."""
    world = World(changed(oco_allowed=False))
    (tranche,) = world.enter(targets=ONE)
    (submit,) = world.queue
    assert submit.order.ticket.kind is ListKind.OPO
    assert (tranche.target_ticks, tranche.emulated_ticks) == (0, 3_060_000)
    world.settle()
    assert world.stops() == [(STOP, 4995)]
    world.move(3_060_000)
    assert world.position() is None
    assert msgspec.structs.asdict(world.trades[-1])["reason"] > 0


def test_a_target_half_filled_that_the_venue_does_not_let_go_is_not_asked_for_each_second():
    """What a question was answered with counted as a new fill of it, and led to the next question."""
    world = entered(balances={"USDT": 10**13, "BTC": 10**8})
    matcher, level = world.venue.exchange._matcher, ONE[0][2]
    target = world.venue.exchange._desk.books[SYMBOL].asks.first(level)
    world.is_down = True
    matcher.trades.fill(target, 1000, level, matcher.trades.number(), is_maker=True)
    matcher.finish()
    world.reports += world.venue.drain()
    world.deliver()
    world.pass_seconds(5)
    del world.sent[:]
    world.pass_seconds(60)
    questions = [one for one in world.sent if isinstance(one, QueryOrder)]
    cancels = [one for one in world.sent if isinstance(one, CancelOrder | CancelList)]
    assert len(questions) <= 2 * len(cancels)
