"""Orders that counted as never there and appear after all: the books follow the venue, and nothing stays bare or twice."""

from itertools import permutations

import pytest

from bnml.core.commands import CancelOrder, QueryOrder, Submit
from bnml.core.events import Adoption, OrderReport, Stranger
from bnml.core.orders import (
    ApprovedOrder,
    ListTicket,
    OrderState,
    OrderTicket,
    OrderType,
    Side,
    TimeInForce,
)
from bnml.trading.orders import Order, Role
from tests.trading.hand_venue import REFERENCE, STOP, SYMBOL, TARGETS, World, changed

RUNNER = ((1, 5000, 0),)
PAIR = ((1, 5000, 3_060_000),)
TWO = TARGETS[:2]


def absent(ticket, ts_ns):
    """What the executor says after it has proven that a request never arrived."""
    legs = [*([ticket.working] if ticket.working else []), *ticket.pending]
    return [
        OrderReport(leg.symbol, leg.client_order_id, ts_ns, OrderState.REJECTED, leg.side, code=-2013)
        for leg in legs
    ]


def falsely_absent(targets, lost, **options):
    """A world whose entry was carried out, while the books believe that the lists of `lost` never arrived."""
    world = World(**options)
    world.enter(targets=targets)
    late = []
    for number, command in enumerate(list(world.queue)):
        world.execute()
        if number in lost:
            late += world.reports
            world.reports = absent(command.order.ticket, world.now_ns)
        while world.reports:
            world.feed(world.reports.pop(0))
    world.settle()
    return world, late


def is_whole(world):
    """Books and venue agree, all that is held is covered, and nothing rests that no tranche knows of."""
    assert world.halts == []
    assert world.engine.state.activity.halted == ""
    assert world.ledger_differences() == {}
    lot_e8 = world.instruments[SYMBOL].lot_e8
    held = sum(tranche.lots(lot_e8) for tranche in world.position().tranches)
    assert sum(lots for _, lots in world.stops()) == held > 0
    legs = {leg for tranche in world.position().tranches for leg in tranche.legs}
    assert {one.client_order_id for one in world.open_orders()} == legs
    return held


@pytest.mark.parametrize("targets", [RUNNER, PAIR], ids=["one stop", "target and stop"])
def test_an_entry_that_appears_late_is_held_and_protected_whatever_is_told_first(targets):
    _, told = falsely_absent(targets, {0})
    orders = list(permutations(range(len(told))))
    assert len(orders) >= 6
    for order in orders[:: max(1, len(orders) // 120)]:
        world, late = falsely_absent(targets, {0})
        assert world.position() is None
        for place in order:
            world.feed(late[place])
            world.feed(late[place])  # each word twice
        world.settle()
        world.pass_seconds(5)
        assert is_whole(world) >= 4990
        assert {one.severity for one in world.alerts if one.name == "order_returned"} == {"critical"}
        world.move(STOP - 1000)
        world.pass_seconds(3)
        assert world.position() is None, order
        assert world.ledger_differences() == {}


def test_one_word_of_an_order_has_all_of_its_request_read():
    world, late = falsely_absent(PAIR, {0})
    world.feed(late[0])
    asked = {one.client_order_id for one in world.queue if isinstance(one, QueryOrder)}
    assert asked == {one.client_order_id for one in late} - {late[0].client_order_id}


def test_what_the_venue_has_told_of_stays_told_when_a_leg_of_it_returns():
    world = World()
    world.enter(targets=RUNNER)
    world.settle()
    (tranche,) = world.position().tranches
    leg = world.engine.book.get(tranche.legs[0])
    leg.state, leg.is_told = OrderState.EXPIRED, False  # with its list, as far as was known
    world.feed(OrderReport(SYMBOL, leg.client_order_id, world.now_ns, OrderState.OPEN, Side.SELL))
    assert world.engine.book.get(tranche.working_id).state is OrderState.FILLED
    assert not world.queue


@pytest.mark.parametrize("lost", [{0}, {1}, {0, 1}])
def test_a_part_of_an_entry_that_appears_late_joins_the_rest(lost):
    for backwards in (False, True):
        world, late = falsely_absent(TWO, lost)
        for one in reversed(late) if backwards else late:
            world.feed(one)
        world.settle()
        world.pass_seconds(5)
        assert is_whole(world) >= 7990


def test_a_stop_that_appears_late_protects_and_its_successor_is_given_up():
    world, _ = falsely_absent(RUNNER, set(), instruments=changed(oto_allowed=False))
    stop = next(
        one.order.ticket
        for one in world.sent
        if isinstance(one, Submit) and one.order.ticket.side is Side.SELL
    )
    world = World(changed(oto_allowed=False))
    world.enter(targets=RUNNER)
    world.execute()
    while world.reports:
        world.feed(world.reports.pop(0))
    world.execute()  # the stop: the venue has it
    late, world.reports = world.reports, []
    name = next(one.client_order_id for one in world.open_orders())
    assert name[-1] == stop.client_order_id[-1]
    world.feed(OrderReport(SYMBOL, name, world.now_ns, OrderState.REJECTED, Side.SELL, code=-2013))
    world.settle()  # another stop is asked for, and refused: the first one holds the coins
    for one in late:
        world.feed(one)
    world.settle()
    world.pass_seconds(5)
    is_whole(world)
    assert [one.client_order_id for one in world.open_orders()] == [name]


def resting_purchase(world):
    ticket = OrderTicket(
        SYMBOL, "bnT35T1-z-0w", Side.BUY, OrderType.LIMIT, 5000, REFERENCE - 10_000, 0, TimeInForce.GTC
    )
    world.queue.append(Submit(ApprovedOrder(ticket, "entry")))
    world.execute()
    late, world.reports = world.reports, []
    return ticket, late


@pytest.mark.parametrize("adopted", [False, True])
def test_a_purchase_that_rests_is_cancelled_and_what_it_buys_meanwhile_is_protected(adopted):
    """Known and counted as absent, or unknown to the books and found at the start."""
    world = World()
    ticket, late = resting_purchase(world)
    if adopted:
        stranger = Stranger(
            ticket.client_order_id, "", Side.BUY, ticket.type, OrderState.OPEN, 5000, 0, ticket.price_ticks
        )
        world.feed(Adoption(SYMBOL, world.now_ns, (stranger,), ()))
    else:
        world.engine.book.register(
            Order(ticket.client_order_id, SYMBOL, Side.BUY, Role.WORKING, 1, 5000, ticket.price_ticks)
        )
        world.feed(
            OrderReport(
                SYMBOL, ticket.client_order_id, world.now_ns, OrderState.REJECTED, Side.BUY, code=-2013
            )
        )
        for one in late:
            world.feed(one)
    assert [type(one) for one in world.queue] == [CancelOrder]
    world.move(ticket.price_ticks - 1000, settle=False)  # fills before the cancel arrives
    world.settle()
    world.pass_seconds(3)
    assert is_whole(world) >= 4990
    ((level, _),) = world.stops()
    assert ticket.price_ticks * 0.9 < level < ticket.price_ticks


def test_a_purchase_that_is_cancelled_in_time_leaves_nothing():
    world = World()
    ticket, late = resting_purchase(world)
    world.engine.book.register(
        Order(ticket.client_order_id, SYMBOL, Side.BUY, Role.WORKING, 1, 5000, ticket.price_ticks)
    )
    world.feed(
        OrderReport(SYMBOL, ticket.client_order_id, world.now_ns, OrderState.REJECTED, Side.BUY, code=-2013)
    )
    for one in late:
        world.feed(one)
    world.settle()
    assert world.position() is None
    assert world.open_orders() == []


def test_a_purchase_that_appears_with_a_fill_is_not_cancelled():
    """It was for all at once or nothing, and is over."""
    world = World()
    ticket, _ = resting_purchase(world)
    name = ticket.client_order_id
    world.engine.book.register(Order(name, SYMBOL, Side.BUY, Role.WORKING, 1, 5000, ticket.price_ticks))
    world.feed(OrderReport(SYMBOL, name, world.now_ns, OrderState.REJECTED, Side.BUY, code=-2013))
    world.feed(
        OrderReport(
            SYMBOL, name, world.now_ns, OrderState.FILLED, Side.BUY, 5000, 7, 5000, ticket.price_ticks
        )
    )
    assert not any(isinstance(one, CancelOrder) for one in world.queue)
    assert world.position().lots(1000) == 5000


def test_legs_that_slept_are_no_sign_of_life():
    """A leg of an entry that was killed is told to sleep, late: it ended with its list."""
    world = World()
    world.enter(targets=RUNNER)
    (command,) = world.queue
    ticket = command.order.ticket
    assert isinstance(ticket, ListTicket)
    working, (leg,) = ticket.working.client_order_id, ticket.pending
    world.queue.clear()
    world.feed(OrderReport(SYMBOL, working, 1, OrderState.EXPIRED, Side.BUY, quantity_lots=5000))
    world.feed(
        OrderReport(SYMBOL, leg.client_order_id, 1, OrderState.SLEEPING, Side.SELL, quantity_lots=5000)
    )
    assert world.alerts == []
    assert world.position() is None
    assert world.engine.book.get(leg.client_order_id).is_final
