"""Without order lists a purchase and its stop leave together: whatever becomes of either, all that is held ends protected."""

from itertools import permutations

import pytest

from bnml.core.commands import CancelOrder, Submit
from bnml.core.events import CapitalFlow, OperatorCommand, OrderReport, Timer
from bnml.core.orders import ListKind, ListTicket, OrderState, OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading.engine import RECONCILE
from bnml.trading.freeing import is_alone
from bnml.trading.orders import Order, Role
from bnml.trading.portfolio import Dust
from tests.trading.hand_venue import REFERENCE, STOP, SYMBOL, TARGETS, World, changed

PAIR = ((1, 5000, 3_060_000),)
RUNNER = ((1, 5000, 0),)
TWO = ((1, 5000, 0), (2, 5000, 0))
PLAIN = {"oto_allowed": False, "opo_allowed": False}


def asked(targets=PAIR, *, filters=PLAIN, spares=False, **options):
    """A world in which an entry has been decided; its requests wait in the queue, spares only if asked for."""
    world = World(changed(**filters), spares=spares, **options)
    world.enter(targets=targets)
    return world


def kinds(world):
    return [
        one.order.ticket.kind if isinstance(one.order.ticket, ListTicket) else one.order.ticket.type
        for one in world.queue
    ]


def covered(world, lots):
    """All that is held has stops at the venue, for so many lots, and the books agree."""
    (coverage,) = world.engine.coverage()
    assert (coverage.share, coverage.held_lots) == (1.0, lots)
    assert sum(count for _, count in world.stops()) == lots
    assert not world.ledger_differences()
    assert not world.halts


def names(world):
    return [one.name for one in world.alerts]


def test_each_tranche_asks_for_its_purchase_and_what_protects_it_together():
    world = asked(TARGETS)
    assert kinds(world) == [
        *(OrderType.LIMIT, ListKind.OCO),
        *(OrderType.LIMIT, ListKind.OCO),
        *(OrderType.LIMIT, OrderType.STOP_LOSS),
    ]
    for buy, sale in zip(world.queue[::2], world.queue[1::2], strict=True):
        assert sale.after == (buy.order.ticket.client_order_id,)
    world.settle()
    covered(world, 4995 + 2997 + 1998)
    assert len(world.sent) == 6  # nothing had to be asked for again
    assert not world.bareness
    assert not world.alerts


def test_f43_without_lists_too_the_stop_rests_before_the_daemon_hears_of_the_fill():
    world = asked(RUNNER)
    world.execute()
    world.execute()
    assert world.stops() == [(STOP, 4995)]
    world.restart()
    world.settle()
    covered(world, 4995)
    assert len(world.sent) == 2


def test_where_no_pair_is_allowed_the_stop_leaves_alone_and_the_target_is_ours():
    world = asked(filters={**PLAIN, "oco_allowed": False})
    assert kinds(world) == [OrderType.LIMIT, OrderType.STOP_LOSS]
    world.settle()
    covered(world, 4995)
    world.move(3_061_000)
    assert world.trades[-1].reason == ExitReason.TARGET1


def test_where_lists_buy_and_protect_nothing_is_chained():
    assert len(asked(filters={}).queue) == 1


@pytest.mark.parametrize("coins", [1000, 10**8])
def test_coins_of_others_are_never_at_stake_the_stop_waits_for_the_fill(coins):
    """One lot is enough: a purchase that brought too little would not be noticed by the venue."""
    world = asked(TWO, balances={"USDT": 10**13, "BTC": coins})
    assert kinds(world) == [OrderType.LIMIT, OrderType.LIMIT]
    world.settle()
    covered(world, 9990)


def test_what_counts_as_alone():
    world = World(changed(**PLAIN), balances={"USDT": 10**13, "BTC": 999})
    one, engine = world.instruments[SYMBOL], world.engine
    assert is_alone(one, engine.book, engine.portfolio)  # below a lot: nothing can be sold
    engine.state.ledger.totals["BTC"] = 300_000
    assert not is_alone(one, engine.book, engine.portfolio)
    engine.state.ledger.dust[SYMBOL] = Dust("BTC", 300_000, 10**8)
    assert is_alone(one, engine.book, engine.portfolio)  # rests of our own
    engine.book.register(Order("f", SYMBOL, Side.BUY, Role.FEES, 0, 100, 3_000_000))
    assert not is_alone(one, engine.book, engine.portfolio)  # coins are on their way


def test_a_quantity_below_the_smallest_order_leaves_no_stop_behind_its_purchase():
    assert len(asked(((1, 10, 0),), filters={**PLAIN, "min_lots": 10}).queue) == 1


@pytest.mark.parametrize("targets", [RUNNER, PAIR])
def test_without_a_commission_in_base_there_is_more_than_was_sure_and_the_stop_grows(targets):
    world = asked(targets, fee_ppm=0)
    world.settle()
    covered(world, 5000)
    assert not world.alerts


def in_every_order(make):
    """Run `make` for each order in which its waiting reports may be told."""
    count = len(make().reports)
    assert count > 1
    for order in list(permutations(range(count)))[:120]:
        world = make()
        waiting, world.reports = world.reports, []
        for place in order:
            world.feed(waiting[place])
            world.feed(waiting[place])  # each word twice
        world.settle()
        yield world


@pytest.mark.parametrize("targets", [RUNNER, PAIR])
def test_a_stop_that_overtakes_its_purchase_is_refused_and_asked_for_once_more(targets):
    """No alert, no refusal counted, no pause."""

    def make():
        world = asked(targets)
        world.queue.reverse()
        world.execute()
        world.execute()
        return world

    for world in in_every_order(make):
        covered(world, 4995)
        assert len(world.sent) == 3
        assert not world.alerts
        assert world.engine.state.activity.rejects == 0
        (tranche,) = world.position().tranches
        assert (tranche.refusals, tranche.guard_after_ns) == (0, 0)


def test_a_commission_above_the_assumed_one_is_no_harm():
    world = asked(fee_ppm=3000)
    world.settle()
    covered(world, 4985)
    assert not world.alerts


@pytest.mark.parametrize("targets", [RUNNER, PAIR])
def test_a_stop_that_would_trigger_at_once_is_a_sale_once_the_fill_is_known(targets):
    def make():
        world = asked(targets)
        world.refuse(OrderType.STOP_LOSS, "trigger")
        world.execute()
        world.execute()
        return world

    for world in in_every_order(make):
        assert world.position() is None
        assert world.balance("BTC") == 0
        assert world.trades[-1].reason == ExitReason.GAP
        assert len(world.sent) == 3
        assert not world.ledger_differences()


@pytest.mark.parametrize("word", ["closed", "algo", "busy", "lost"])
def test_another_refusal_of_the_stop_is_judged_at_its_successor(word):
    world = asked(RUNNER)
    world.refuse(OrderType.STOP_LOSS, word)
    world.settle()
    covered(world, 4995)
    assert not world.alerts


@pytest.mark.parametrize("targets", [RUNNER, PAIR])
@pytest.mark.parametrize("word", ["balance", "lost", "closed"])
def test_a_refused_purchase_takes_its_stop_with_it(targets, word):
    def make():
        world = asked(targets)
        world.refuse(OrderType.LIMIT, word)
        world.execute()
        world.execute()
        return world

    for world in in_every_order(make):
        assert world.position() is None
        assert not world.open_orders()
        assert set(names(world)) == {"entry_refused"}
        assert world.engine.state.activity.rejects == (word != "lost")  # one request, not two
        assert all(order.is_settled for order in world.engine.book.orders.values())


def test_the_position_lasts_until_the_stop_of_a_dead_purchase_is_known_dead():
    world = asked(RUNNER)
    world.refuse(OrderType.LIMIT, "balance")
    world.execute()
    world.feed(world.reports.pop(0))
    assert world.position() is not None  # nothing is bought, and a stop is on its way
    world.settle()
    assert world.position() is None


def test_a_fill_of_the_stop_that_is_told_before_the_purchase_counts_once():
    def make():
        world = asked(RUNNER)
        world.execute()
        world.execute()
        world.now_ns += 1
        world.reports += world.venue.print(SYMBOL, STOP - 1000, world.now_ns)
        return world

    for world in in_every_order(make):
        assert world.position() is None
        assert [one.side for one in world.trades] == [Side.BUY, Side.SELL]
        assert not world.ledger_differences()
        assert not world.halts


def stray(targets=TWO):
    """The first purchase never arrives, the second one's stop is refused: the first one's stop takes its coins."""
    world = asked(targets)
    world.refuse(OrderType.LIMIT, "lost")
    first, first_stop, second, second_stop = world.queue
    world.queue = [first, second, first_stop, second_stop]
    for _ in range(4):
        world.execute()
    assert [one.client_order_id for one in world.open_orders()] == [first_stop.order.ticket.client_order_id]
    return world


def test_a_stop_that_was_taken_against_coins_of_another_tranche_is_withdrawn_for_the_right_one():
    for world in in_every_order(stray):
        world.pass_seconds(
            3
        )  # a stop asked for before the purchase was known dead is refused, and waits a second
        covered(world, 4995)
        (stop,) = world.open_orders()
        assert stop.client_order_id in world.position().tranches[1].legs
        assert sum(isinstance(one, CancelOrder) for one in world.sent) == 1
        assert not [one for one in world.alerts if one.severity == "critical"]


def test_a_fill_of_such_a_stop_that_is_told_again_waits_for_nobody():
    """Another tranche's purchase is still on its way: nothing more is known when it has come to its end."""
    world = asked(TWO)
    world.execute()
    world.execute()
    world.now_ns += 1
    world.reports += world.venue.print(SYMBOL, STOP - 1000, world.now_ns)
    fills = [one for one in world.reports if one.side is Side.SELL and one.trade_id]
    while world.reports:
        world.feed(world.reports.pop(0))
    world.feed(fills[0])
    assert not world.engine.state.parked


def test_such_a_stop_that_fills_first_sells_what_the_other_tranche_held():
    def make():
        world = stray()
        world.now_ns += 1
        world.reports += world.venue.print(SYMBOL, STOP - 1000, world.now_ns)
        return world

    for world in in_every_order(make):
        world.pass_seconds(3)
        assert world.position() is None
        assert world.balance("BTC") == 0
        assert sum(one.quantity_lots for one in world.trades if one.side is Side.SELL) == 4995
        assert not world.ledger_differences()
        assert not world.halts


def test_a_flatten_waits_for_such_a_stop_to_be_withdrawn():
    world = stray()
    world.deliver()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    assert [type(one) for one in world.queue] == [CancelOrder], (
        "a sale would be refused: it holds those coins"
    )
    world.settle()
    world.pass_seconds(3)
    assert world.position() is None
    assert world.balance("BTC") == 0
    assert not world.halts


@pytest.mark.parametrize("lost", [(0, 1), (1,)])
def test_a_death_leaves_both_or_neither_and_the_reads_of_the_next_life_tell(lost):
    """Neither arrived; or the venue failed the stop, and it is asked for when that is certain."""
    world = asked(RUNNER)
    world.queue = [one for place, one in enumerate(world.queue) if place not in lost]
    while world.queue:
        world.execute()
    world.reports.clear()
    world.restart()
    for _ in range(2):
        world.feed(Timer(RECONCILE, world.now_ns))
        world.settle()
    if lost == (1,):
        covered(world, 4995)
    else:
        assert world.position() is None
        assert not world.open_orders()
    assert not world.halts


@pytest.mark.parametrize("arrived", [True, False])
def test_a_stop_in_doubt_gets_another_one_beside_it_and_the_venue_takes_one(arrived):
    """The answer is missing: nothing is bare until it is known what became of the first."""
    world = asked(RUNNER)
    world.execute()
    world.deliver()
    (waiting,) = world.queue
    name = waiting.order.ticket.client_order_id
    if arrived:
        world.execute()
        world.reports.clear()
    world.queue.clear()
    world.feed(OrderReport(SYMBOL, name, world.now_ns, OrderState.UNKNOWN, Side.SELL))
    question, beside = world.queue
    assert beside.beside == (name,)
    world.queue[:] = [beside, question]
    world.execute()
    world.deliver()
    assert not [one for one in world.queue if isinstance(one, Submit)]  # refused or not: one of them rests
    assert sum(count for _, count in world.stops()) == 4995
    for _ in range(3):
        world.move(REFERENCE + 1000)
    covered(world, 4995)
    assert len(world.stops()) == 1
    assert not world.alerts


def test_a_stop_that_left_with_its_purchase_and_sells_more_than_the_books_hold_halts_and_ends_nothing():
    """It looked for dust to sell with, and a symbol without any ended the daemon, and each start after it."""
    world = asked(RUNNER)
    world.settle()
    world.feed(CapitalFlow("BTC", -2_000_000, world.now_ns))
    world.queue.clear()  # the books alone have lost them
    world.reports += world.venue.print(SYMBOL, STOP - 1000, world.now_ns + 1, jump=True)
    world.settle()
    assert [one.name for one in world.alerts if one.severity == "critical"][-1] == "ledger_contradiction"
    assert len(world.halts) == 1
