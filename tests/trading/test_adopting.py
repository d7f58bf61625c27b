"""Books that begin anew beside orders of ours that rest: what they sell stays protected by them, and is counted once."""

import dataclasses

import pytest

from bnml.core.commands import CancelOrder, QueryOrder, Submit
from bnml.core.events import Adoption, InstrumentUpdate, OperatorCommand, Stranger, Timer
from bnml.core.ids import LEG_LIST, IdSource
from bnml.core.orders import FINAL_STATES, OrderType
from bnml.trading.engine import RECONCILE, Engine
from bnml.venues.sim.inprocess import ACCOUNT, order_report
from tests.trading.hand_venue import REFERENCE, SYMBOL, TARGETS, World, changed

VENUES = {
    "proceeds": {},
    "lists": {"opo_allowed": False},
    "limits": {"stop_loss_allowed": False},
    "pairs": {"opo_allowed": False, "oto_allowed": False},
    "alone": {"opo_allowed": False, "oto_allowed": False, "oco_allowed": False},
}


def shown(world):
    """What the venue shows of all our orders, as the start of a daemon without books reads it."""
    read, orders, fills = world.venue.exchange.read, [], []
    for view in read.all_orders(ACCOUNT, SYMBOL):
        state = order_report(view, 0).state
        trades = read.trades(ACCOUNT, SYMBOL, order_id=view.order_id)
        fills += [order_report(view, trade.ts_ns, trade) for trade in trades]
        if trades or state not in FINAL_STATES:
            name = view.client_order_id
            level = max(0, view.stop_price_ticks) or max(0, view.price_ticks)
            orders.append(
                Stranger(
                    name,
                    name[:-1] + LEG_LIST if view.list_id >= 0 else "",
                    view.side,
                    view.type,
                    state,
                    view.quantity_lots,
                    view.executed_lots,
                    level,
                )
            )
    fills.sort(key=lambda report: (report.ts_ns, report.trade_id))
    return Adoption(SYMBOL, world.now_ns, tuple(orders), tuple(fills))


def anew(world):
    """The same account under books that know of nothing."""
    assert not world.queue
    world.config = dataclasses.replace(world.config, ids=IdSource("T35T", 2))
    world.engine = Engine(world.config, None)
    world.sent.clear()
    world.alerts.clear()
    world.feed(InstrumentUpdate(world.instruments[SYMBOL], world.now_ns))
    world.feed(shown(world))
    world.feed(world.venue.balances())
    world.feed(Timer(RECONCILE, world.now_ns))
    world.settle()


def is_whole(world):
    """Books and account agree, what is held is covered, and each resting order is a leg of one tranche."""
    assert not world.halts
    assert not world.ledger_differences()
    position, dust = world.position(), world.engine.state.ledger.dust.get(SYMBOL)
    held_e8 = sum(one.base_e8 for one in position.tranches)
    assert held_e8 + (dust.base_e8 if dust else 0) == world.balance("BTC")
    assert sum(lots for _, lots in world.stops()) == position.lots(1000)
    legs = [leg for one in position.tranches for leg in one.legs]
    assert sorted(legs) == sorted(one.client_order_id for one in world.open_orders())
    (coverage,) = world.engine.coverage()
    assert coverage.share == 1.0


@pytest.mark.parametrize("fee_ppm", [1000, 750])  # less than a lot is left in each tranche, together more
@pytest.mark.parametrize("name", VENUES)
def test_sales_that_rest_are_taken_over_as_they_are_and_nothing_is_asked_for(name, fee_ppm):
    world = World(changed(**VENUES[name]), fee_ppm)
    world.enter(targets=TARGETS)
    world.settle()
    resting = world.open_orders()
    paid_e8 = 10**13 - world.balance("USDT")
    anew(world)
    assert [one for one in world.sent if isinstance(one, Submit)] == []
    assert world.open_orders() == resting
    is_whole(world)
    ledger = world.engine.state.ledger
    assert ledger.positions[SYMBOL].cost_e8 + sum(one.cost_e8 for one in ledger.dust.values()) == paid_e8
    assert [one.name for one in world.alerts] == ["orders_adopted", "balances_adopted"]
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") < 3 * 1000


def test_what_was_sold_already_is_counted_and_what_lost_its_stop_gets_one():
    world = World()
    world.enter(targets=TARGETS)
    world.settle()
    world.move(3_061_000)  # the first target is filled, the other stops follow the price
    made_e8 = sum(one.pnl_e8 for one in world.trades)
    assert made_e8 > 0
    runner = next(one for one in world.open_orders() if one.list_id < 0)
    world.venue.execute(CancelOrder(SYMBOL, runner.client_order_id, "by hand"))
    world.trades.clear()
    anew(world)
    is_whole(world)
    assert sum(one.pnl_e8 for one in world.trades) == made_e8
    assert [lots for _, lots in world.stops()] == [1998, 2997]


def test_a_second_telling_changes_nothing():
    world = World()
    world.enter(targets=TARGETS)
    world.settle()
    anew(world)
    before = world.engine.snapshot()
    resting = world.open_orders()
    world.feed(shown(world))
    world.settle()
    is_whole(world)
    assert world.open_orders() == resting
    assert world.engine.state.ledger.totals == Engine.restore(world.config, None, before).state.ledger.totals


@pytest.mark.parametrize("ticks", [2_900_000, 3_130_000])
def test_the_market_ends_what_was_taken_over(ticks):
    world = World()
    world.enter(targets=TARGETS)
    world.settle()
    anew(world)
    world.move(ticks)
    world.pass_seconds(5)
    if ticks < REFERENCE:
        assert world.position() is None
        assert not world.open_orders()
    else:
        is_whole(world)
    assert not world.ledger_differences()
    assert not world.halts


def test_a_sale_after_a_backup_is_of_the_tranche_whose_stop_was_on_its_way_when_it_was_made():
    """Nobody shows a stop that was refused: it seemed to guard the tranche, and new coins were taken for those sold."""
    world = World(changed(cancel_replace_allowed=False))
    world.enter(targets=((2, 5000, 3_120_000),))
    world.settle()
    world.move(3_100_000, settle=False)
    backup = world.engine.snapshot()
    world.refuse(OrderType.STOP_LOSS, "trigger")
    world.settle()
    assert world.position() is None
    world.enter(targets=((1, 3000, 0),), reference=3_100_000, stop=3_040_000)
    world.settle()
    resting = world.stops()
    world.config = dataclasses.replace(world.config, ids=IdSource("T35T", 2))
    world.engine = Engine.restore(world.config, None, backup)
    book, told, absent = world.engine.book, [], []
    for order in book.open():
        asked = QueryOrder(SYMBOL, order.client_order_id)
        reports = world.venue.execute(asked)
        told += reports
        absent += [] if reports else [world._absent(asked)]
    assert absent
    found = shown(world)
    orders = tuple(one for one in found.orders if book.get(one.client_order_id) is None)
    fills = tuple(one for one in found.fills if book.get(one.client_order_id) is None)
    world.alerts.clear()
    world.feed(Adoption(SYMBOL, world.now_ns, orders, fills, tuple(told)))
    world.feed(world.venue.balances())
    for report in absent:
        world.feed(report)
    world.settle()
    assert "position_taken" not in [one.name for one in world.alerts]
    assert world.stops() == resting
    is_whole(world)
