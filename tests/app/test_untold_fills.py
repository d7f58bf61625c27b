"""An order of which a fill was never told, also when it is over: asked for while alive, at a reconnect and at a start."""

from itertools import combinations, permutations

import pytest

from bnml.app.reconcile import bring_truth, recheck
from bnml.app.vigil import changed_orders
from bnml.core.clock import NS_PER_S
from bnml.core.commands import QueryOrder
from bnml.core.events import Balances, OrderReport, Timer
from bnml.core.instrument import DELISTED
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.watching import WATCH
from tests.trading.hand_venue import STOP, SYMBOL, World, changed, ticket_of

LOTS, PART_LOTS = 10_000, 3_000
ENDS = ("filled", "cancelled")
"""After its second fill a stop is over, or was cancelled with a rest of it."""


class App:
    """What the daemon reads of a venue that says `reports` of its one order, and shows `totals`."""

    def __init__(self, world, reports, totals):
        self.world, self.reports, self.instruments = world, reports, world.instruments
        self._totals = totals

    async def order_reports(self, _symbol, client_order_id):
        return [one for one in self.reports if one.client_order_id == client_order_id]

    async def open_orders(self):
        return []

    async def balances(self):
        return Balances(self.world.now_ns, {name: (amount, 0) for name, amount in self._totals.items()})


async def no_adoptions():
    return []


def sold_in_parts(ends):
    """A world that holds a tranche with a stop-limit, and all that the venue says of its end."""
    world = World(changed(stop_loss_allowed=False))
    world.enter(targets=((1, LOTS, 0),))
    world.settle()
    stop = world.engine.book.get(world.position().tranches[0].legs[0])
    lots = stop.quantity_lots
    both = PART_LOTS + (lots - PART_LOTS if ends == "filled" else PART_LOTS)

    def told(second, state, counted, trade_id=0, last=0):
        return OrderReport(
            SYMBOL,
            stop.client_order_id,
            world.now_ns + second * NS_PER_S // 10,
            state,
            Side.SELL,
            cumulative_lots=counted,
            quantity_lots=lots,
            trade_id=trade_id,
            last_lots=last,
            last_ticks=STOP if last else 0,
        )

    last_state = OrderState.FILLED if ends == "filled" else OrderState.PARTLY_FILLED
    reports = [
        told(1, OrderState.PARTLY_FILLED, PART_LOTS, 901, PART_LOTS),
        told(2, last_state, both, 902, both - PART_LOTS),
    ]
    return world, reports + [told(3, OrderState.CANCELED, both)] * (ends == "cancelled")


def outcome(world):
    """What must not depend on what was told when."""
    position = world.position()
    held = [(one.base_e8, one.cost_e8, one.pnl_e8) for one in position.tranches] if position else None
    totals = {name: amount for name, amount in world.engine.state.ledger.totals.items() if amount}
    return held, totals, sorted(one.quantity_lots for one in world.trades)


def submits(world):
    return [one for one in world.queue if ticket_of(one) is not None]


def told_whole(ends):
    world, reports = sold_in_parts(ends)
    for report in reports:
        world.feed(report)
    return world


def parts_of(count):
    """Each choice of reports in each order, but for all of them in their own."""
    return [
        order
        for size in range(count + 1)
        for some in combinations(range(count), size)
        for order in permutations(some)
    ]


@pytest.mark.parametrize("ends", ENDS)
async def test_f33_whatever_was_told_before_a_restart_it_ends_with_the_books_of_the_venue(ends):
    """An order over with a fill untold was asked for by nobody, and its coins were booked as taken by somebody."""
    whole = told_whole(ends)
    assert (whole.position() is None) is (ends == "filled")
    for told in parts_of(2 + (ends == "cancelled")):
        world, reports = sold_in_parts(ends)
        for index in told:
            world.feed(reports[index])
        world.queue.clear()  # the process dies before anything leaves
        world.restart()
        app = App(world, reports, whole.engine.state.ledger.totals)
        await bring_truth(app, world.engine, world.feed, world.now_ns, no_adoptions)
        assert outcome(world) == outcome(whole), told
        if ends == "cancelled" and len(told) < len(reports):  # else it was asked for before the death
            assert submits(world), told
        assert not [one for one in world.alerts if one.name == "position_taken"], told


def lacking(ends="cancelled"):
    """A world that has heard of the end and of one part only, and what the daemon reads."""
    world, reports = sold_in_parts(ends)
    for report in reports[1:]:
        world.feed(report)
    return world, App(world, reports, told_whole(ends).engine.state.ledger.totals)


def queries(world):
    return [one for one in world.queue if isinstance(one, QueryOrder)]


def second(world):
    world.now_ns += NS_PER_S
    world.feed(Timer(WATCH, world.now_ns))


@pytest.mark.parametrize("ends", ENDS)
def test_while_the_daemon_lives_the_missing_fill_is_asked_for_within_a_second(ends):
    world, app = lacking(ends)
    assert not queries(world)  # the next frame may bring it
    assert world.engine.needs_seconds
    second(world)
    assert [one.client_order_id for one in queries(world)] == [app.reports[0].client_order_id]
    world.queue.clear()
    for report in app.reports:
        world.feed(report)
    assert outcome(world) == outcome(told_whole(ends))
    assert bool(submits(world)) is (ends == "cancelled")


def test_until_it_is_told_it_is_asked_for_every_other_second():
    world, _ = lacking()
    for _ in range(10):
        second(world)
    assert len(queries(world)) == 5


def test_a_purchase_that_belongs_to_no_position_is_asked_for_too():
    world = World()
    order = Order("f", SYMBOL, Side.BUY, Role.FEES, 0, 10, STOP)
    world.engine.book.register(order)
    assert not world.engine.needs_seconds
    world.feed(OrderReport(SYMBOL, "f", world.now_ns, OrderState.FILLED, Side.BUY, cumulative_lots=10))
    assert world.engine.needs_seconds
    second(world)
    assert [one.client_order_id for one in queries(world)] == ["f"]


def test_an_order_that_rests_on_is_asked_for_too():
    world, reports = sold_in_parts("cancelled")
    world.feed(reports[1])
    (order,) = world.engine.book.untold()
    assert world.engine.book.unsettled().count(order) == 1
    second(world)
    assert [one.client_order_id for one in queries(world)] == [order.client_order_id]
    for report in reports[:2]:
        world.feed(report)
    assert world.engine.book.untold() == []


def test_nobody_is_asked_for_a_symbol_that_is_gone():
    world, _ = lacking()
    world.engine.state.symbols[SYMBOL].instrument = changed(status=DELISTED)[SYMBOL]
    second(world)
    assert not queries(world)


async def test_the_comparison_with_the_venue_finds_it_too():
    world, app = lacking()
    for event in await recheck(app, world.engine):
        world.feed(event)
    assert outcome(world) == outcome(told_whole("cancelled"))


async def test_f34_a_part_missed_in_an_outage_is_read_although_the_last_one_comes_while_it_is():
    """The answer that has both was thrown away, because the order was over by then."""
    world, reports = sold_in_parts("filled")
    app = App(world, reports, {})

    class Meanwhile(App):
        async def order_reports(self, symbol, client_order_id):
            found = await super().order_reports(symbol, client_order_id)
            if found:
                world.feed(reports[-1])
            return found

    await changed_orders(
        Meanwhile(world, app.reports, {}),
        world.engine.book,
        lambda events: [world.feed(one) for one in events],
    )
    assert outcome(world) == outcome(told_whole("filled"))


def test_what_lacks_a_fill_is_known_after_a_restart_and_over_when_it_is_told():
    world, app = lacking()
    (order,) = world.engine.book.untold()
    assert order not in world.engine.book.open()
    assert order in world.engine.book.unsettled()
    assert order.due_lots == PART_LOTS
    world.restart()
    assert [one.client_order_id for one in world.engine.book.untold()] == [order.client_order_id]
    for report in app.reports:
        world.feed(report)
    assert world.engine.book.untold() == []


def test_a_restart_asks_in_the_order_in_which_the_journal_has_it():
    """Commands are compared one by one: three stops that were over in another order than they were made stopped the start."""
    world = World()
    world.enter()
    world.settle()
    stops = [one for one in world.engine.book.open() if one.role is Role.STOP]
    for stop in reversed(stops):
        lots = stop.quantity_lots
        told = OrderReport(
            SYMBOL,
            stop.client_order_id,
            world.now_ns,
            OrderState.FILLED,
            Side.SELL,
            cumulative_lots=lots,
            quantity_lots=lots,
        )
        world.feed(told)
    world.queue.clear()
    restored = Engine.restore(world.config, None, world.engine.snapshot())
    timer = Timer(WATCH, world.now_ns + NS_PER_S)
    assert len(stops) == 3
    assert restored.process(timer, 10_000) == world.engine.process(timer, 10_000)


def test_what_is_in_doubt_again_stands_where_it_stood():
    book = OrderBook()
    for name in "abc":
        book.register(Order(name, SYMBOL, Side.SELL, Role.STOP, 1, 10, STOP))
    book.get("a").state = OrderState.EXPIRED
    assert [one.client_order_id for one in book.open()] == ["b", "c"]
    book.doubt(book.get("a"))
    assert [one.client_order_id for one in book.open()] == list("abc")


def test_an_order_that_is_taken_over_lacking_a_fill_is_asked_for():
    book = OrderBook()
    order = Order("a", SYMBOL, Side.SELL, Role.STOP, 1, 10, STOP, cumulative_lots=4)
    book.register(order)
    assert book.untold() == [order]
    book.register(Order("a", SYMBOL, Side.SELL, Role.STOP, 1, 10, STOP))
    assert book.untold() == []
