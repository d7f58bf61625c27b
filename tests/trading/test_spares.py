"""The old stop leaves once more behind whatever takes its place: taken only where the venue fails that."""

import pytest

from bnml.core.commands import CancelList, CancelOrder, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, OperatorCommand, OrderReport, Timer
from bnml.core.orders import ListTicket, OrderState, OrderType, Side
from bnml.trading.watching import WATCH
from bnml.venues.sim.inprocess import ACCOUNT
from tests.trading.hand_venue import STOP, SYMBOL, ticket_of
from tests.trading.test_entry_chains import asked as bought
from tests.trading.test_entry_chains import in_every_order
from tests.trading.test_protection_chains import covered, entered, moved

RUNNER = ((1, 5000, 0),)
ONE = ((1, 5000, 3_160_000),)
TWO = ((1, 5000, 3_160_000), (2, 5000, 3_220_000))
THREE = (*TWO, (3, 5000, 0))
RAISED = 3_080_000


def leaving(targets):
    """A position that is being sold; what is asked for waits."""
    world = entered(targets)
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    return world


def is_first(command):
    """What takes the place of stops."""
    if isinstance(command, ReplaceOrder):
        return True
    return isinstance(command, Submit) and bool(command.after) and not command.is_spare


def fails_first(world):
    """The venue takes the cancels and fails what was to follow them; returns the names of that."""
    (first,) = (one for one in world.queue if is_first(one))
    place = world.queue.index(first)
    if isinstance(first, ReplaceOrder):
        names, half = [first.ticket.client_order_id], first.cancel_client_order_id
        legs = [one for one in world.open_orders() if one.client_order_id == half]
        assert legs
        world.refuse(first.ticket.type, "busy")
        world.queue[: place + 1], waiting = [first], world.queue[:place]
        assert not waiting
        world.execute()
        world.reports[:] = [one for one in world.reports if one.client_order_id not in names]
        return names
    ticket = first.order.ticket
    legs = ticket.pending if isinstance(ticket, ListTicket) else (ticket,)
    world.queue.remove(first)
    return [leg.client_order_id for leg in legs]


def lose(world, names):
    for name in names:
        world.feed(OrderReport(SYMBOL, name, world.now_ns, OrderState.REJECTED, Side.SELL, code=-2013))


def lots_at_stops(world):
    return sum(lots for _, lots in world.stops())


@pytest.mark.parametrize("targets", [RUNNER, ONE])
def test_behind_a_stop_that_moves_the_old_one_leaves_once_more(targets):
    world = entered(targets)
    *_, first, spare = moved(world)
    names = (
        (first.ticket.client_order_id,)
        if isinstance(first, ReplaceOrder)
        else tuple(leg.client_order_id for leg in first.order.ticket.pending)
    )
    assert spare.after == spare.beside == names
    assert (ticket_of(first).stop_price_ticks, ticket_of(spare).stop_price_ticks) == (RAISED, STOP)
    assert ticket_of(spare).quantity_lots == 4995


@pytest.mark.parametrize("targets", [RUNNER, ONE])
def test_the_refusal_of_a_spare_is_foreseen_and_counts_for_nothing(targets):
    world = entered(targets)
    *_, spare = moved(world)
    world.settle()
    assert world.engine.book.get(ticket_of(spare).client_order_id).state is OrderState.REJECTED
    assert covered(world) == [(RAISED, 4995)]
    assert not world.alerts
    assert not world.engine.state.activity.rejects
    (tranche,) = world.position().tranches
    assert (tranche.refusals, tranche.guard_after_ns, tranche.insure_after_ns) == (0, 0, 0)


@pytest.mark.parametrize("targets", [RUNNER, ONE])
def test_where_the_venue_fails_the_new_stop_it_has_the_old_one(targets):
    """The process may die here: nothing of it was ever bare."""
    world = entered(targets)
    moved(world)
    names = fails_first(world)
    while world.queue:
        world.execute()
    assert world.stops() == [(STOP, 4995)]
    world.deliver()
    lose(world, names)
    world.settle()
    assert covered(world) == [(RAISED, 4995)]
    assert not world.bareness


@pytest.mark.parametrize("targets", [RUNNER, ONE, TWO, THREE])
def test_where_the_venue_fails_a_sale_all_stops_are_there_again(targets):
    world = leaving(targets)
    held = lots_at_stops(world)
    names = fails_first(world)
    while world.queue:
        world.execute()
    assert world.stops() == [(STOP, 4995)] * len(targets)
    world.deliver()
    assert lots_at_stops(world) == held
    lose(world, names)
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert not world.bareness
    assert not world.ledger_differences()


def mixed(targets=TWO):
    """Of the cancels before a sale of all one failed: its spare guards coins of the other tranche."""
    world = leaving(targets)
    failed = world.queue.pop(0)
    assert isinstance(failed, CancelList)
    while world.queue:
        world.execute()
    world.deliver()
    return world, failed.list_client_order_id


def test_a_cancel_that_fails_before_a_sale_of_all_leaves_as_many_lots_guarded():
    world, failed = mixed()
    assert world.stops() == [(STOP, 4995), (STOP, 4995)]
    assert not world.queue  # the tranche without a stop of its own waits
    (coverage,) = world.engine.coverage()
    assert coverage.share == 1.0
    world.feed(CancelFailed(SYMBOL, failed, world.now_ns, 0, "it did not arrive"))
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert world.longest_bare_s() == 0
    assert not world.ledger_differences()
    assert not world.halts


def test_stops_of_one_tranche_that_sell_all_are_booked_where_the_coins_were():
    """The price falls through both, the one of the list and the spare."""
    world, _ = mixed()
    world.reports += world.venue.print(SYMBOL, 2_900_000, world.now_ns, jump=True)
    world.settle()
    assert world.position() is None
    assert sum(one.quantity_lots for one in world.trades if one.side == "SELL") == 9990
    assert not world.halts
    assert not world.ledger_differences()


def test_a_target_that_fills_before_a_sale_of_all_leaves_the_rest_guarded_until_it_is_sold():
    world = leaving(TWO)
    reports = world.venue.print(SYMBOL, 3_170_000, world.now_ns)  # the first target
    while world.queue:
        world.execute()
    assert lots_at_stops(world) == 4995
    world.reports[:0] = reports
    world.settle()
    world.pass_seconds(3)
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert not world.halts
    assert not world.ledger_differences()


def sales(world):
    return [ticket_of(one) for one in world.sent if (t := ticket_of(one)) and t.type is OrderType.MARKET]


def names(world):
    return {one.name for one in world.alerts}


def test_nothing_is_asked_for_of_coins_that_a_spare_may_hold_in_whatever_order_the_answers_come():
    """Found by the model: the first target was filled, its spare took the coins of the second tranche, which asked for them."""

    def make():
        world = leaving(TWO)
        world.reports += world.venue.print(SYMBOL, 3_170_000, world.now_ns)
        while world.queue:
            world.execute()
        return world

    for world in in_every_order(make):
        world.pass_seconds(3)
        assert world.position() is None
        assert len(sales(world)) == 2
        assert "protection_refused" not in names(world)
        assert not world.halts


def test_what_a_spare_in_doubt_may_hold_is_waited_for():
    world = leaving(TWO)
    failed = world.queue.pop(0)
    lost = ticket_of(world.queue[-2]).client_order_id
    while world.queue:
        world.execute()
    world.reports[:] = [one for one in world.reports if one.client_order_id != lost]
    world.feed(OrderReport(SYMBOL, lost, world.now_ns, OrderState.UNKNOWN, Side.SELL))
    world.queue.clear()  # what is to tell of it takes its time
    world.deliver()
    assert not world.queue
    world.feed(CancelFailed(SYMBOL, failed.list_client_order_id, world.now_ns, 0, "it did not arrive"))
    world.feed(OrderReport(SYMBOL, lost, world.now_ns, OrderState.OPEN, Side.SELL, quantity_lots=4995))
    world.settle()
    assert world.position() is None
    assert names(world) <= {"protection_refused"}
    assert not world.ledger_differences()


def test_a_spare_that_overtakes_a_move_of_another_tranche_gives_its_coins_back():
    """Found by the model: the list that was refused for it waited a quarter of a second, without a stop."""
    world = entered(((1, 5000, 3_160_000), (2, 5000, 0)))
    cancel, follower, spare, replace, other = moved(world)
    world.queue[:] = [cancel, replace, other, follower, spare]
    for _ in range(5):
        world.execute()
    assert lots_at_stops(world) == 9990
    world.settle()
    assert covered(world) == [(RAISED, 4995), (RAISED, 4995)]
    assert (
        sum(isinstance(one, Submit) and isinstance(one.order.ticket, ListTicket) for one in world.sent) == 4
    )
    assert not world.alerts


@pytest.mark.parametrize("targets", [RUNNER, TWO])
def test_a_sale_that_the_venue_refuses_is_repeated_after_pauses_also_where_the_spare_is_told_of_first(
    targets,
):
    """Found in ten months of faults: events overtook the answer, and the sale left again twenty times a second."""
    world = leaving(targets)
    for second in range(3):
        world.refuse(OrderType.MARKET, "balance")
        while world.queue:
            world.execute()
        world.reports.sort(key=lambda one: getattr(one, "state", None) is OrderState.REJECTED)
        world.settle()  # targets are put back, too
        tickets = [one for one in map(ticket_of, world.sent) if one and one.type is OrderType.MARKET]
        assert len(tickets) == second + 1
        assert lots_at_stops(world) == 4995 * len(targets)
        while not world.queue:
            world.now_ns += 10**9
            world.venue.exchange.set_time(world.now_ns)
            world.feed(Timer(WATCH, world.now_ns))
    world.settle()
    world.pass_seconds(40)
    assert world.position() is None


@pytest.mark.parametrize("word", ["trigger", "algo", "busy"])
def test_no_refusal_of_a_spare_says_anything_of_what_it_left_with(word):
    world = entered(RUNNER)
    moved(world)
    world.execute()
    world.refuse(OrderType.STOP_LOSS, word)
    world.settle()
    assert covered(world) == [(RAISED, 4995)]
    assert not world.alerts
    (tranche,) = world.position().tranches
    assert (tranche.exit_reason, tranche.refusals) == (0, 0)


def test_a_spare_that_found_a_deposit_guards_no_more_than_is_held_and_is_withdrawn():
    world = entered(RUNNER)
    moved(world)
    world.venue.exchange.deposit(ACCOUNT, "BTC", 10**8)
    world.execute()
    world.execute()
    world.deliver()
    (coverage,) = world.engine.coverage()
    assert (lots_at_stops(world), coverage.covered_lots, coverage.share) == (2 * 4995, 4995, 1.0)
    world.settle()
    assert covered(world) == [(RAISED, 4995)]


def test_a_spare_of_a_refused_purchase_is_on_its_way_until_the_venue_has_refused_it():
    world = bought(RUNNER, spares=True)
    world.refuse(OrderType.LIMIT, "balance")
    world.execute()
    world.deliver()
    assert not any(one.is_final for one in world.engine.book.orders.values() if one.spare_of)


def test_a_spare_sells_no_more_than_the_old_stop_did():
    """Crumbs beside it were free, and converted by the account's owner: nothing for all that is held was taken."""
    world = entered(RUNNER)
    (tranche,) = world.position().tranches
    tranche.base_e8 += 5_000
    world.engine.portfolio.ledger.totals["BTC"] += 5_000
    replaced, left = moved(world)
    assert (replaced.ticket.quantity_lots, ticket_of(left).quantity_lots) == (5_000, 4_995)
    world.settle()
    assert world.stops() == [(STOP, 4_995)]


def test_with_coins_of_others_there_is_no_spare():
    """The venue could take both."""
    world = entered(RUNNER, balances={"USDT": 10**13, "BTC": 10**8})
    moved(world)
    assert not any(isinstance(one, Submit) for one in world.queue)


@pytest.mark.parametrize("targets", [RUNNER, ONE, TWO])
def test_where_the_venue_fails_the_stop_of_a_purchase_it_has_the_spare(targets):
    """On a symbol without order lists; the process may die here."""
    world = bought(targets, spares=True)
    first = [one for one in world.queue if is_first(one)]
    assert len(first) == len(targets)
    world.queue[:] = [one for one in world.queue if one not in first]
    while world.queue:
        world.execute()
    assert world.stops() == [(STOP, 4995)] * len(targets)
    world.deliver()
    for one in first:
        ticket = one.order.ticket
        legs = ticket.pending if isinstance(ticket, ListTicket) else (ticket,)
        lose(world, [leg.client_order_id for leg in legs])
    world.settle()
    assert sum(lots for _, lots in covered(world)) == 4995 * len(targets)
    assert not world.bareness
    assert not world.alerts


@pytest.mark.parametrize("targets", [RUNNER, ONE, TWO])
def test_the_spare_of_a_purchase_is_refused_where_its_stop_rests_and_where_nothing_was_bought(targets):
    for word in ("", "balance"):
        world = bought(targets, spares=True)
        if word:
            world.refuse(OrderType.LIMIT, *[word] * len(targets))
        world.settle()
        assert lots_at_stops(world) == (0 if word else 4995 * len(targets))
        assert {one.name for one in world.alerts} == ({"entry_refused"} if word else set())
        assert all(one.is_settled for one in world.engine.book.orders.values() if one.spare_of)


def test_a_spare_beside_what_it_was_to_replace_is_withdrawn_once_coins_of_others_are_there():
    """Found by the kill matrix: they let it in beside a list whose cancel had failed, and a stop of both sold theirs."""
    world = leaving(TWO)
    cancel, *_ = [one for one in world.queue if isinstance(one, CancelList)]
    world.queue.remove(cancel)  # and the answer is lost, too
    sale = next(one for one in world.queue if is_first(one))
    world.refuse(OrderType.MARKET, "busy")
    world.venue.exchange.deposit(ACCOUNT, "BTC", 4995 * 1000)
    while world.queue:
        world.execute()
    assert lots_at_stops(world) == 3 * 4995
    (spare,) = [name for name in world.position().tranches[0].legs if world.engine.book.get(name).spare_of]
    world.reports = [one for one in world.reports if one.client_order_id != sale.order.ticket.client_order_id]
    world.engine.portfolio.ledger.suspect("BTC", 4995 * 1000, world.now_ns)
    while world.reports:
        world.feed(world.reports.pop(0))
    assert [one.client_order_id for one in world.queue if isinstance(one, CancelOrder)] == [spare]
