"""What is withdrawn and what follows it leave together; each outcome of both leads to the right end."""

import pytest

from bnml.core.commands import CancelList, CancelOrder, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, InstrumentUpdate, OperatorCommand, OrderReport, Timer
from bnml.core.orders import ListTicket, OrderState, OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading.engine import RECONCILE
from bnml.trading.portfolio import Dust
from bnml.venues.sim.inprocess import ACCOUNT
from tests.trading.hand_venue import STOP, SYMBOL, TARGETS, World, changed, with_fees_in_bnb
from tests.trading.test_protection_faults import flatten, is_sale

LISTS = ((1, 5000, 3_160_000), (2, 5000, 3_220_000))
RUNNER = ((1, 10_000, 0),)
OWNERS = {"USDT": 10**13, "BTC": 10**8}


def entered(targets=TARGETS, **options):
    world = World(**options)
    world.enter(targets=targets)
    world.settle()
    return world


def moved(world):
    """A print that raises all stops; what protection asks for waits in the queue."""
    world.move(3_100_000, settle=False)
    return list(world.queue)


def followers(commands):
    return [one for one in commands if isinstance(one, Submit) and one.after and not one.is_spare]


def covered(world):
    (coverage,) = world.engine.coverage()
    assert coverage.share == 1.0
    assert sum(lots for _, lots in world.stops()) == coverage.held_lots
    return world.stops()


def test_a_list_and_its_successor_are_asked_for_together():
    world = entered(LISTS)
    cancel, follower, _ = moved(world)
    assert isinstance(cancel, CancelList)
    assert follower.after == (cancel.list_client_order_id,)
    assert isinstance(follower.order.ticket, ListTicket)
    world.settle()
    assert covered(world) == [(3_080_000, 4995), (3_080_000, 4995)]  # the other list moved after the first
    assert world.longest_bare_s() == 0
    assert len(followers(world.sent)) == 2


def test_a_target_that_fills_before_its_list_is_cancelled_is_sold_once():
    world = entered(LISTS)
    moved(world)
    world.reports += world.venue.print(SYMBOL, 3_170_000, world.now_ns)
    world.settle()
    assert [one.quantity_lots for one in world.trades if one.side == "SELL"] == [4995]
    assert world.balance("BTC") == 4995 * 1000
    covered(world)
    assert not world.ledger_differences()
    assert not world.halts


def strayed():
    """A deposit that nobody has told of yet lets a list in, after a target that had sold its tranche already."""
    world = entered(LISTS)
    moved(world)
    stray = followers(world.queue)[0].order.ticket.list_client_order_id
    world.venue.exchange.deposit(ACCOUNT, "BTC", 10**8)
    for ticks in (3_170_000, 3_100_000):
        world.reports += world.venue.print(SYMBOL, ticks, world.now_ns)
    return world, stray


def withdrawals(world, name):
    return [one for one in world.sent if isinstance(one, CancelList) and one.list_client_order_id == name]


def is_ours_alone(world):
    assert [one.quantity_lots for one in world.trades if one.side == "SELL"] == [4995]
    assert covered(world) == [(3_080_000, 4995)]
    assert len(world.open_orders()) == 2
    assert world.balance("BTC") == 10**8 + 4995 * 1000
    assert not world.halts


def test_a_list_that_came_to_rest_on_coins_of_others_is_withdrawn():
    world, stray = strayed()
    world.settle()
    assert len(withdrawals(world, stray)) == 1
    is_ours_alone(world)


def test_the_withdrawal_of_such_a_list_is_not_repeated_in_the_moment_in_which_it_was_refused():
    world, stray = strayed()
    while not any(isinstance(one, CancelList) and one.list_client_order_id == stray for one in world.queue):
        if world.reports:
            world.feed(world.reports.pop(0))
        else:
            world.execute()
    world.queue = [one for one in world.queue if getattr(one, "list_client_order_id", "") != stray]
    world.feed(CancelFailed(SYMBOL, stray, world.now_ns, -1015, "Too many new orders."))
    world.settle()
    assert not withdrawals(world, stray)
    world.pass_seconds(3)
    assert len(withdrawals(world, stray)) == 1
    is_ours_alone(world)


def test_a_stop_whose_target_was_filled_is_left_to_the_venue_to_end():
    world = entered(LISTS)
    reports = world.venue.print(SYMBOL, 3_170_000, world.now_ns)
    for report in sorted(reports, key=lambda one: one.state is OrderState.EXPIRED):
        world.feed(report)
    assert not world.queue


def test_coins_of_others_untie_the_two_requests_so_they_leave_one_after_the_other():
    world = entered(LISTS, balances=OWNERS, instruments=changed(cancel_replace_allowed=False))
    first, second = moved(world)
    assert isinstance(first, CancelList)
    assert isinstance(second, CancelList)
    world.settle()
    assert not followers(world.sent)
    assert [lots for _, lots in world.stops()] == [4995, 4995]
    assert world.balance("BTC") == 10**8 + 9990 * 1000


def beside_coins_of_others(targets=LISTS):
    """Which could pay for whatever follows a cancel, so that nothing may leave in one write with it but in one request."""
    return entered(targets, balances=OWNERS)


def never_bare(world):
    return world.longest_bare_s() == 0 and not world.ledger_differences()


def test_beside_coins_of_others_a_stop_alone_takes_the_place_of_a_list_in_one_request():
    world = beside_coins_of_others()
    asked = moved(world)
    assert [(type(one), one.ticket.type) for one in asked] == [(ReplaceOrder, OrderType.STOP_LOSS)] * 2
    withdrawn = [world.engine.book.get(leg) for one in world.position().tranches for leg in one.legs[:-1]]
    assert [one.cancel_sent for one in withdrawn] == [True] * 4  # the target goes with its list
    world.settle()
    assert covered(world) == [(3_080_000, 4995), (3_080_000, 4995)]
    assert never_bare(world)
    assert [one.emulated_ticks for one in world.position().tranches] == [3_160_000, 3_220_000]
    world.restart()
    world.move(3_160_000)  # sold at market: no target rests any more
    assert [one.quantity_lots for one in world.trades if one.side is Side.SELL] == [4995]
    assert [one.reason for one in world.trades if one.side is Side.SELL] == [ExitReason.TARGET1]
    assert world.balance("BTC") == 10**8 + 4995 * 1000
    assert never_bare(world)


def test_beside_coins_of_others_each_tranche_is_sold_in_the_request_that_cancels_its_list():
    world = beside_coins_of_others(TARGETS)
    flatten(world)
    assert world.position() is None
    assert [type(one) for one in world.sent[-3:]] == [ReplaceOrder] * 3
    assert world.balance("BTC") == 10**8
    assert never_bare(world)


@pytest.mark.parametrize("is_list", [False, True], ids=["of the purchase", "of its list"])
def test_another_cancel_that_came_too_late_says_nothing_of_the_sale_in_the_place_of_a_list(is_list):
    """The sale counted as refused, and left once more: the second one sold coins of others."""
    world = beside_coins_of_others()
    working = world.engine.book.get(world.position().tranches[0].working_id)
    working.cancel_sent = True  # it had filled in part for a second
    name = working.list_id if is_list else working.client_order_id
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.feed(CancelFailed(SYMBOL, name, world.now_ns, -2011, "Unknown order sent."))
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") == 10**8
    assert never_bare(world)
    assert not world.halts


@pytest.mark.parametrize("lost", [(), (0,), (1,), (0, 1), (0, 1, 2)])
def test_of_sales_beside_coins_of_others_those_that_never_arrived_leave_their_lists(lost):
    world = beside_coins_of_others(TARGETS)
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    kept = [one for place, one in enumerate(world.queue) if place not in lost]
    for place in lost:
        replace = world.queue[place]
        world.reports += [
            CancelFailed(SYMBOL, replace.cancel_client_order_id, world.now_ns, -2013, "it never arrived"),
            world._rejected(replace.ticket, -2013, "it never arrived"),
        ]
    world.queue = kept
    world.settle()
    world.pass_seconds(5)
    assert world.position() is None
    assert world.balance("BTC") == 10**8
    assert never_bare(world)


def test_a_list_that_is_filling_is_not_replaced_beside_coins_of_others():
    """Its cancel could come too late for a part of it; it is withdrawn, and the rest sold when that is known."""
    world = beside_coins_of_others(RUNNER)
    (leg,) = world.position().tranches[0].legs
    world.engine.book.get(leg).state = OrderState.PARTLY_FILLED
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    assert [type(one) for one in world.queue] == [CancelOrder]


def test_beside_nothing_but_own_dust_a_list_stays_a_list():
    """Dust is nobody else's: a backtest, which keeps none, sells at the target that rests."""
    world = entered(LISTS, balances=OWNERS)
    world.engine.state.ledger.dust[SYMBOL] = Dust("BTC", 10**8, 600 * 10**8)
    first, second = moved(world)
    assert isinstance(first, CancelList)
    assert isinstance(second, CancelList)
    world.settle()
    assert [one.target_ticks for one in world.position().tranches] == [3_160_000, 3_220_000]


def grown_lots(targets=RUNNER, **options):
    """A world in which the venue has made its lots larger than any tranche."""
    world = entered(targets, **options)
    (one,) = changed(lot_step=20_000).values()
    world.feed(InstrumentUpdate(one, world.now_ns))
    world.settle()
    return world


@pytest.mark.parametrize("balances", [None, OWNERS], ids=["alone", "beside coins of others"])
@pytest.mark.parametrize("targets", [RUNNER, LISTS])
def test_what_is_less_than_a_lot_by_now_is_withdrawn_before_it_is_dust(targets, balances):
    """With a spare for a sale that was not made the engine ended; the stop that rested on sold what nobody held."""
    world = grown_lots(targets, balances=balances)
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    assert world.position().lots(1000) == 9990
    world.settle()
    world.pass_seconds(3)
    assert world.position() is None
    assert world.open_orders() == []
    assert world.engine.state.ledger.dust[SYMBOL].base_e8 == 9990 * 1000


def test_a_stop_that_sells_it_before_it_is_withdrawn_is_counted_as_its_sale():
    world = grown_lots()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.reports += world.venue.print(SYMBOL, STOP - 100, world.now_ns)
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert not world.halts


def test_what_nothing_could_take_the_place_of_rests_on():
    """A stop for no lots was asked for every half minute."""
    world = grown_lots()
    resting = world.stops()
    assert moved(world) == []
    world.pass_seconds(60)
    assert world.stops() == resting


def test_dust_goes_with_the_sales_beside_coins_of_others():
    world = beside_coins_of_others(TARGETS)
    state = world.engine.state
    state.ledger.dust[SYMBOL] = Dust("BTC", 2_000_000, 600 * 10**8)
    flatten(world)
    assert world.position() is None
    assert not state.ledger.dust
    assert world.balance("BTC") == 10**8 - 2_000_000


@pytest.mark.parametrize("lost", [(0, 1), (0,), (1,)])
def test_requests_that_never_arrived_leave_the_list_or_bring_its_successor(lost):
    """Both, the cancel (its follower is refused then), or the follower; the reads of the next seconds tell."""
    world = entered(LISTS)
    moved(world)
    world.queue = [one for place, one in enumerate(world.queue) if place not in lost]
    world.settle()
    for _ in range(3):
        world.feed(Timer(RECONCILE, world.now_ns))
        world.settle()
    assert covered(world) == [(3_080_000, 4995), (3_080_000, 4995)]
    assert world.balance("BTC") == 9990 * 1000
    assert not world.halts


def test_one_tranche_is_sold_in_the_request_that_cancels_its_list():
    """At the exchange the cancel of a leg is that of its list: nothing is bare, and nothing is sold twice."""
    world = entered(LISTS[:1])
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    sale, _ = world.queue
    assert isinstance(sale, ReplaceOrder)
    assert sale.ticket.type is OrderType.MARKET
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert world.open_orders() == []
    assert not world.bareness


@pytest.mark.parametrize("code", [0, -2011])
def test_a_sale_in_place_of_a_list_that_never_arrived_is_repeated_at_once(code):
    """The request was to end both legs: neither is on its way out any more when it has failed."""
    world = entered(LISTS[:1])
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    sale = world.queue.pop(0)
    old, new = sale.cancel_client_order_id, sale.ticket.client_order_id
    world.feed(CancelFailed(SYMBOL, old, world.now_ns, code, "the cancel did not arrive"))
    world.feed(OrderReport(SYMBOL, new, world.now_ns, OrderState.REJECTED, Side.SELL, code=-2013))
    world.settle()
    world.pass_seconds(2)
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert not world.bareness
    assert not world.halts


def test_a_position_is_sold_as_one_order_after_the_cancels_it_needs():
    world = entered()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    *cancels, sale, _, _, _ = world.queue
    assert [type(one) for one in cancels] == [CancelList, CancelList, CancelOrder]
    assert len(sale.after) == 3
    assert is_sale(sale)
    world.settle()
    assert [one.quantity_lots for one in world.trades if one.side == "SELL"] == [9990]
    assert world.position() is None


def test_a_stop_that_fills_before_the_sale_of_the_position_leaves_the_rest_to_another_sale():
    world = entered()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.reports += world.venue.print(SYMBOL, 3_070_000, world.now_ns)  # the first target
    world.settle()
    world.pass_seconds(3)
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert sum(one.quantity_lots for one in world.trades if one.side == "SELL") == 9990
    assert not world.ledger_differences()
    assert not world.halts


def test_an_exit_with_coins_of_others_in_the_account_sells_ours_alone():
    world = entered(balances={"USDT": 10**13, "BTC": 10**8})
    flatten(world)
    assert not followers(world.sent)
    assert world.position() is None
    assert world.balance("BTC") == 10**8


def fill_target(world, lots, level=TARGETS[0][2]):
    """The market meets a resting target for so much of it."""
    matcher = world.venue.exchange._matcher
    target = world.venue.exchange._desk.books[SYMBOL].asks.first(level)
    matcher.trades.fill(target, lots, level, matcher.trades.number(), is_maker=True)
    matcher.finish()
    world.reports += world.venue.drain()


@pytest.mark.parametrize("is_replaceable", [True, False])
def test_a_target_that_fills_in_part_as_all_is_sold_leaves_coins_of_others_alone(is_replaceable):
    """Found by the kill matrix: they were fewer than any list locks, so one sale left with all cancels, for all."""
    owners = 1500
    world = entered(
        balances={"USDT": 10**13, "BTC": owners * 1000},
        instruments=changed(cancel_replace_allowed=is_replaceable),
    )
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    fill_target(world, 1000)
    world.settle()
    world.pass_seconds(3)
    sold = [one for one in world.trades if one.side is Side.SELL]
    assert [one.quantity_lots for one in sold if one.reason == ExitReason.TARGET1] == [1000]
    assert world.position() is None
    assert world.balance("BTC") == owners * 1000
    assert not world.ledger_differences()


@pytest.mark.parametrize("is_replaceable", [True, False])
def test_a_target_that_fills_in_part_as_its_list_is_moved_locks_no_coins_of_others(is_replaceable):
    """Found by the kill matrix: the new list was for all that had been held, and the process died before it was mended."""
    world = entered(
        LISTS,
        balances={"USDT": 10**13, "BTC": 1500 * 1000},
        instruments=changed(cancel_replace_allowed=is_replaceable),
    )
    moved(world)
    fill_target(world, 1000, LISTS[0][2])
    while world.queue:  # and nothing is heard any more
        world.execute()
    assert sum(lots for _, lots in world.stops()) <= 2 * 4995 - 1000


@pytest.mark.parametrize("foreign_lots", [0, 3000, 4995, 6000])
def test_lists_for_less_than_is_held_are_moved_however_many_coins_of_others_there_are(foreign_lots):
    """Fees are paid in BNB, so a little more was bought than was foreseen; nothing is under way to be waited for."""
    world = with_fees_in_bnb(changed(opo_allowed=False), BTC=foreign_lots * 1000, BNB=10**9)
    world.enter(targets=((1, 5000, 3_060_000), (2, 5000, 3_120_000)))
    world.settle()
    world.pass_seconds(30)
    (coverage,) = world.engine.coverage()
    assert (coverage.share, coverage.held_lots) == (1.0, 10_000)


@pytest.mark.parametrize("passed", [True, False])
def test_what_has_lost_its_stop_is_sold_at_once_where_the_price_has_passed_it(passed):
    """A stop would be refused there: a sale that comes one answer later."""
    world = World(changed())
    world.enter(targets=((1, 5000, 0),))
    world.settle()
    (stop,) = world.open_orders()
    world.feed_slice(STOP if passed else STOP + 1)
    world.queue[:] = [CancelOrder(SYMBOL, stop.client_order_id, "by hand")]
    world.execute()
    world.deliver()
    (submit,) = [one for one in world.queue if isinstance(one, Submit)]
    assert submit.order.ticket.type is (OrderType.MARKET if passed else OrderType.STOP_LOSS)
    world.settle()
    assert bool(world.position()) is not passed
    assert not world.ledger_differences()
