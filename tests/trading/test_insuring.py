"""A second order beside one in doubt: when it is asked for, and each thing that could let both of them in."""

from types import SimpleNamespace

import pytest

from bnml.core.clock import NS_PER_S
from bnml.core.commands import CancelOrder, QueryOrder, Submit
from bnml.core.events import CancelFailed, OperatorCommand, OrderReport, Timer
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading.insuring import AT_ONCE, MOST, borrowers, untied
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Dust, Ledger, Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.protection import Protection
from bnml.trading.refusals import MAX_REFUSALS
from tests.trading.hand_venue import STOP, SYMBOL
from tests.trading.hand_venue import TARGETS as THREE
from tests.trading.kit import instrument
from tests.trading.test_entry_chains import PLAIN, RUNNER, asked, covered

ONE = instrument()
LOTS = 5000


class Desk:
    """A bare tranche whose stop is in doubt, and others with stops that rest."""

    def __init__(self, *others, foreign_lots=0, dust_lots=0):
        self.book, self.sequence = OrderBook(), 0
        sizes = (LOTS, *others)
        held = [
            Tranche(index, 0, 77, 3, bought_lots=lots, base_e8=lots * ONE.lot_e8)
            for index, lots in enumerate(sizes, 1)
        ]
        self.position = Position(ONE.symbol, 0, 1, 1, 1, b"", held)
        dust = {ONE.symbol: Dust(ONE.base, dust_lots * ONE.lot_e8, 1)} if dust_lots else {}
        total_e8 = (sum(sizes) + foreign_lots + dust_lots) * ONE.lot_e8
        self.portfolio = Portfolio(
            Ledger("USDT", {ONE.base: total_e8}, positions={ONE.symbol: self.position}, dust=dust)
        )
        self.tranche = held[0]
        self.lost = self.sells("lost", self.tranche, OrderState.UNKNOWN)
        self.resting = [self.sells(f"s{one.index}", one, OrderState.OPEN) for one in held[1:]]

    def sells(self, name, tranche, state, role=Role.STOP):
        lots = tranche.lots(ONE.lot_e8)
        order = Order(name, ONE.symbol, Side.SELL, role, tranche.index, lots, 77, state=state)
        self.book.register(order)
        if role is Role.EXIT:
            tranche.sale_id = name
        else:
            tranche.legs.append(name)
        return order

    def asked(self, *, now_ns=10**18, patient=True):
        """The requests that are asked for in the first tranche."""
        self.sequence += 1
        out = Outbox(IdSource("test", 1), self.sequence)
        protection = Protection(self.book, self.portfolio, SimpleNamespace(now_ns=now_ns))
        protection._insure(self.position, self.tranche, ONE, out, patient=patient)
        return out.take_commands()


def test_a_stop_for_all_that_is_held_is_asked_for_beside_the_one_in_doubt():
    desk = Desk()
    (submit,) = desk.asked()
    ticket = submit.order.ticket
    assert (submit.beside, ticket.quantity_lots, ticket.stop_price_ticks) == (("lost",), LOTS, 77)
    assert desk.tranche.legs == ["lost", ticket.client_order_id]
    assert not desk.asked()  # one that has just left is about to tell


def test_what_the_price_has_passed_is_sold_beside_it():
    """No stop could rest there any more."""
    desk = Desk()
    desk.position.last_ticks = 77
    (submit,) = desk.asked()
    ticket = submit.order.ticket
    assert (submit.beside, ticket.type, ticket.quantity_lots) == (("lost",), OrderType.MARKET, LOTS)
    assert (desk.tranche.sale_id, desk.tranche.legs) == (ticket.client_order_id, ["lost"])
    assert desk.tranche.exit_reason == desk.book.get(ticket.client_order_id).reason == ExitReason.GAP
    assert not desk.asked()
    desk.book.get(ticket.client_order_id).state = OrderState.UNKNOWN
    assert (
        not desk.asked()
    )  # a second sale would make the first one forgotten, and each stop would be refused
    desk.position.last_ticks = 78
    (stop,) = desk.asked()
    assert (stop.beside, stop.order.ticket.type) == (("lost", ticket.client_order_id), OrderType.STOP_LOSS)


def test_with_other_tranches_whose_stops_rest():
    assert len(Desk(3000, LOTS).asked()) == 1


@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.PARTLY_FILLED])
def test_what_rests_needs_nothing_beside_it(state):
    desk = Desk()
    stop = desk.sells("rests", desk.tranche, state)
    assert not desk.asked()
    stop.cancel_sent = True
    assert len(desk.asked()) == 1


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.SLEEPING])
def test_what_has_just_left_is_waited_for(state):
    desk = Desk()
    desk.lost.state = state
    assert not desk.asked()


def test_an_entry_that_is_not_over_may_still_bring_more():
    desk = Desk()
    desk.tranche.working_id = "w"
    buy = Order("w", ONE.symbol, Side.BUY, Role.WORKING, 1, LOTS, 1, state=OrderState.PARTLY_FILLED)
    desk.book.register(buy)
    assert not desk.asked()
    buy.state, buy.applied_lots = OrderState.FILLED, LOTS
    assert len(desk.asked()) == 1


def test_one_lot_of_somebody_else_is_enough_to_wait():
    assert not Desk(foreign_lots=1).asked()
    assert not Desk(3000, LOTS, foreign_lots=1).asked()


def test_rests_of_our_own_are_no_coins_of_others_unless_they_would_do():
    assert len(Desk(dust_lots=LOTS - 1).asked()) == 1
    assert not Desk(dust_lots=LOTS).asked()


def test_of_two_stops_that_rest_one_is_too_many_whatever_else_is_in_doubt():
    """Coins of the owner came in that moment; both stood until the spare was known, and a daemon that died sold twice."""
    desk = Desk(foreign_lots=LOTS)
    first, second = (desk.sells(name, desk.tranche, OrderState.OPEN) for name in ("first", "second"))
    desk.lost.spare_of = "first"

    def surplus(now_ns=10**18):
        return untied(desk.tranche, ONE, desk.book, desk.portfolio, now_ns)

    assert surplus() == [second]
    second.ticks += 1
    assert surplus() == [first]
    first.cancel_sent = True
    assert surplus() == []
    first.cancel_sent, first.state = False, OrderState.PARTLY_FILLED
    assert surplus() == []


@pytest.mark.parametrize("foreign_lots", [0, 1])
def test_a_second_stop_that_coins_of_another_tranche_let_in_stays_where_nothing_belongs_to_others(
    foreign_lots,
):
    """It guards them, as nothing else does; of one lot of the owner's nobody knows which of the stops would sell it."""
    desk = Desk(LOTS, foreign_lots=foreign_lots)
    desk.resting[0].state = OrderState.CANCELED
    _, second = (desk.sells(name, desk.tranche, OrderState.OPEN) for name in ("first", "second"))
    surplus = untied(desk.tranche, ONE, desk.book, desk.portfolio, 10**18)
    assert surplus == ([second] if foreign_lots else [])


@pytest.mark.parametrize("state", [OrderState.UNKNOWN, OrderState.CANCELED, OrderState.PENDING])
def test_coins_of_another_tranche_that_may_be_free_would_let_both_in(state):
    desk = Desk(1000)
    desk.resting[0].state = state
    assert not desk.asked()


def test_a_purchase_under_way_may_bring_coins():
    desk = Desk()
    desk.book.register(Order("w", ONE.symbol, Side.BUY, Role.WORKING, 2, 10, 1))
    assert not desk.asked()


def sold_whole():
    """Two tranches without legs, and the sale of both in doubt."""
    desk = Desk(3000)
    desk.book.expire("lost")
    desk.book.expire("s2")
    sale = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 0, LOTS + 3000, 0, state=OrderState.UNKNOWN)
    desk.book.register(sale)
    for one in desk.position.tranches:
        one.legs, one.sale_id = [], "x"
    return desk


def test_beside_a_sale_of_the_whole_position_each_tranche_gets_a_stop():
    desk = sold_whole()
    (first,) = desk.asked()
    desk.tranche = desk.position.tranches[1]
    (second,) = desk.asked()
    assert [one.order.ticket.quantity_lots for one in (first, second)] == [LOTS, 3000]


def test_spares_in_doubt_behind_that_sale_say_nothing_of_what_it_holds():
    desk = sold_whole()
    for one in desk.position.tranches:
        desk.sells(f"spare{one.index}", one, OrderState.UNKNOWN).spare_of = "x"
    desk.tranche = desk.position.tranches[1]
    (submit,) = desk.asked()
    assert (submit.beside, submit.order.ticket.quantity_lots) == (("spare2", "x"), 3000)


def test_the_smallest_of_those_in_doubt_may_be_the_one_that_is_taken():
    desk = Desk(dust_lots=LOTS - 1)
    assert len(desk.asked()) == 1
    desk = Desk(dust_lots=LOTS - 1)
    desk.sells("part", desk.tranche, OrderState.UNKNOWN).quantity_lots = 1000
    assert not desk.asked()


@pytest.mark.parametrize(
    ("spare", "main", "role", "is_late", "borrows"),
    [
        (OrderState.OPEN, OrderState.OPEN, Role.STOP, True, True),
        (OrderState.OPEN, OrderState.OPEN, Role.EXIT, True, True),
        (OrderState.OPEN, OrderState.UNKNOWN, Role.STOP, False, True),
        (OrderState.OPEN, OrderState.UNKNOWN, Role.STOP, True, False),
        (OrderState.UNKNOWN, OrderState.PENDING, Role.STOP, True, True),
        (OrderState.UNKNOWN, OrderState.REJECTED, Role.STOP, False, False),
        (OrderState.UNKNOWN, OrderState.UNKNOWN, Role.STOP, False, False),
    ],
)
def test_a_tranche_borrows_while_a_spare_and_what_it_is_for_may_both_rest(
    spare, main, role, is_late, borrows
):
    desk = Desk(3000)
    desk.lost.state = OrderState.REJECTED
    desk.tranche.legs = []
    desk.sells("main", desk.tranche, main, role)
    desk.sells("spare", desk.tranche, spare).spare_of = "main"
    found = borrowers(desk.position, ONE, desk.book, is_late=is_late)
    assert (desk.tranche in found) is borrows


def test_beside_a_sale_of_the_tranche_alone_the_other_one_must_be_locked():
    desk = Desk(3000)
    desk.book.expire("lost")
    desk.tranche.legs = []
    desk.sells("x", desk.tranche, OrderState.UNKNOWN, Role.EXIT)
    assert len(desk.asked()) == 1
    desk.book.expire(desk.tranche.legs.pop())
    desk.resting[0].cancel_sent = True
    assert not desk.asked()


def test_while_all_fail_two_leave_at_once_and_a_few_more_with_time():
    desk, count = Desk(), 0
    for patient in (True, False):
        for _ in range(10):
            for one in desk.asked(patient=patient):
                desk.book.get(one.order.ticket.client_order_id).state = OrderState.UNKNOWN
                count += 1
        assert count == (AT_ONCE if patient else MOST)


def doubt(world, name):
    world.feed(OrderReport(SYMBOL, name, world.now_ns, OrderState.UNKNOWN, Side.SELL))


def taken_unheard(world):
    """Of what the world was asked for, the stop that the venue has taken, its answer lost."""
    world.execute()
    world.deliver()
    (waiting,) = world.queue
    world.execute()
    world.reports.clear()
    return waiting.order.ticket.client_order_id


def test_a_refusal_beside_is_foreseen_and_counts_for_nothing():
    """The venue refused it because the first one was taken, though its answer was lost."""
    world = asked(RUNNER)
    lost = taken_unheard(world)
    doubt(world, lost)
    _, beside = world.queue
    world.queue[:] = [beside]
    world.settle()
    assert world.engine.book.get(beside.order.ticket.client_order_id).state is OrderState.REJECTED
    assert not world.alerts
    assert not world.engine.state.activity.rejects
    (tranche,) = world.position().tranches
    assert (tranche.refusals, tranche.guard_after_ns) == (0, 0)
    doubt(world, lost)
    assert [type(one) for one in world.queue] == [QueryOrder]  # no further one before that has been answered
    world.settle()
    covered(world, 4995)


def test_so_is_that_of_a_sale_beside_it():
    world = asked(RUNNER)
    lost = taken_unheard(world)
    world.feed_slice(STOP)
    doubt(world, lost)
    sale = next(one for one in world.queue if isinstance(one, Submit))
    assert (sale.beside, sale.order.ticket.type) == ((lost,), OrderType.MARKET)
    world.queue[:] = [sale]
    world.execute()
    world.deliver()
    assert world.engine.book.get(sale.order.ticket.client_order_id).state is OrderState.REJECTED
    assert not world.engine.state.activity.rejects


@pytest.mark.parametrize("code", ["MAX_NUM_ALGO_ORDERS", "Too many new orders."])
def test_one_stop_too_many_beside_the_one_that_was_taken_sells_nothing(code):
    """The limit of a symbol is reached, and the order whose answer was lost rests: its tranche was sold at market."""
    world = asked(RUNNER, filters={**PLAIN, "max_algo_orders": 1})
    lost = taken_unheard(world)
    for _ in range(MAX_REFUSALS + 1):
        world.queue.clear()
        doubt(world, lost)
        world.queue[:] = [one for one in world.queue if isinstance(one, Submit)]
        assert len(world.queue) == 1
        if code != "MAX_NUM_ALGO_ORDERS":
            world.refuse(OrderType.STOP_LOSS, "busy")
        world.execute()
        world.deliver()
        world.now_ns += 2 * NS_PER_S
        world.feed(Timer("mark", world.now_ns))
    world.feed(
        OrderReport(SYMBOL, lost, world.now_ns, OrderState.OPEN, Side.SELL, quantity_lots=4995),
    )
    world.settle()
    covered(world, 4995)
    assert not world.alerts


def test_while_all_fail_for_long_they_come_ever_slower():
    """Thirty seconds of it used up the minute's weight with proofs of absence: bare for 25 s more, unread."""
    desk, times = Desk(), []
    desk.position.bare_since_ns = 10**18
    for half_s in range(60):
        now_ns = 10**18 + half_s * NS_PER_S // 2
        for one in desk.asked(now_ns=now_ns, patient=False):
            desk.book.expire(one.order.ticket.client_order_id)  # proven absent
            times.append(half_s / 2)
    assert times[:3] == [0, 0.5, 1.0]
    assert len(times) <= 16


def test_while_a_sale_is_in_doubt_a_stop_rests_and_the_next_sale_takes_its_place():
    """Half a replacement: the old stop is gone, and nobody knows whether the sale was taken."""
    world = asked(RUNNER)
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    (replace,) = world.queue
    world.queue[:] = [CancelOrder(SYMBOL, replace.cancel_client_order_id, "its first half")]
    world.execute()
    doubt(world, replace.ticket.client_order_id)
    world.deliver()
    beside = [one for one in world.queue if isinstance(one, Submit)]
    world.queue[:] = beside
    world.settle()
    assert world.stops() == [(STOP, 4995)]
    world.feed(
        OrderReport(
            SYMBOL, replace.ticket.client_order_id, world.now_ns, OrderState.REJECTED, Side.SELL, code=-2013
        )
    )
    (sale,) = world.queue
    assert sale.cancel_client_order_id == beside[0].order.ticket.client_order_id
    world.settle()
    assert not world.position()
    assert not world.ledger_differences()


def test_a_stop_beside_a_sale_that_was_taken_is_refused_and_that_is_foreseen():
    world = asked(RUNNER)
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    (replace,) = world.queue
    world.execute()
    fills, world.reports = world.reports, []
    world.feed(next(one for one in fills if one.state is OrderState.CANCELED))
    doubt(world, replace.ticket.client_order_id)
    world.queue[:] = [one for one in world.queue if isinstance(one, Submit)]
    assert len(world.queue) == 1
    world.settle()
    assert not world.alerts
    world.reports = fills
    world.settle()
    assert not world.position()
    assert not world.ledger_differences()


def test_of_a_position_to_be_sold_what_has_no_stop_does_not_wait_for_the_others():
    """One cancel of three failed, so the sale of all was refused: the two that are bare are sold now."""
    world = asked(THREE, filters={})
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    *cancels, sale = world.queue
    assert len(cancels) == len(sale.after) == 3
    world.queue[:] = [cancels[0], cancels[2], sale]
    while world.queue:
        world.execute()
    world.deliver()
    sales = [one for one in world.queue if isinstance(one, Submit)]
    assert [one.order.ticket.type for one in sales] == [OrderType.MARKET, OrderType.MARKET]
    world.feed(CancelFailed(SYMBOL, cancels[1].list_client_order_id, world.now_ns, 0, "it did not arrive"))
    world.settle()
    world.pass_seconds(3)
    assert not world.position()
    assert not world.ledger_differences()
