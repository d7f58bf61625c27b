"""The reducer: one table of events, a fixed order of stages, and modes that stop entries but never protection."""

import numpy as np
import pytest
from msgspec.structs import replace

from bnml.core import events
from bnml.core.commands import Alert, CancelList, CancelOrder, QueryOrder, Submit
from bnml.core.events import (
    Adoption,
    Balances,
    Bar,
    CancelFailed,
    CapitalFlow,
    FeePurchase,
    FreeCoins,
    Guard,
    InstrumentUpdate,
    ModelPublished,
    OperatorCommand,
    OrderReport,
    Scan,
    Slice,
    Timer,
    UniverseUpdate,
    VenueStatus,
)
from bnml.core.orders import ListKind, ListTicket, OrderState, OrderType, Side
from bnml.core.outcomes import Decision, EquityPoint
from bnml.kernels.records import RULES, Action, Reason
from bnml.research.replay import Replay
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, Role
from bnml.trading.portfolio import Dust
from bnml.trading.scan import ScanStages
from bnml.trading.state import KEPT_TOLD
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing
from tests.trading.kit import (
    EAGER,
    HOUR_NS,
    Predictors,
    RandomPredictor,
    config,
    instrument,
    published,
    random_bars,
    settings,
)

SYMBOL = "BTCUSDT"


def started(count=500, seed=5, chosen=EAGER, coins_e8=0, **filters):
    """A replay that stands before its first traded bar, with history that warms every column used."""
    made = config(settings(**chosen))
    bars = random_bars(count + 40, seed)
    one = replace(instrument(), **filters)
    pricing = Pricing(made.costs)
    feed = BarFeed({SYMBOL: one}, {SYMBOL: bars}, HOUR_NS, pricing, int(bars["ts_open_ns"][count]))
    venue = SimVenue(feed, pricing, {"USDT": 10_000 * 10**8, "BTC": coins_e8})
    engine = Engine(made, Predictors(RandomPredictor(made.layout, cut=-1.0)))
    replay = Replay(engine, venue, [SYMBOL], 2_000_000_000, first_events=published(SYMBOL))
    replay.start()
    return replay, engine, venue


def walk(replay, venue, until):
    """Step until `until()` holds."""
    while not until():
        replay.step(venue.advance())


def test_every_event_has_exactly_one_handler():
    assert set(Engine(config(), None).handlers) == set(events.Event.__args__)


def test_concerns_come_in_the_fixed_order():
    assert list(Engine(config(), None).handlers) == [
        OperatorCommand,
        Guard,
        VenueStatus,
        OrderReport,
        CancelFailed,
        Balances,
        CapitalFlow,
        InstrumentUpdate,
        UniverseUpdate,
        ModelPublished,
        Slice,
        Bar,
        Scan,
        Timer,
        Adoption,
        FeePurchase,
        FreeCoins,
    ]


def test_a_scan_walks_its_stages_in_one_order(monkeypatch):
    walked = []
    assert ScanStages.STAGES == ("mark", "roll", "opine", "hear", "leave", "enter", "conclude")
    for stage in ScanStages.STAGES:
        monkeypatch.setattr(ScanStages, stage, lambda _, __, stage=stage: walked.append(stage))
    engine = Engine(config(), None)
    engine.process(Scan(1, 1, ()), 1)
    assert tuple(walked) == ScanStages.STAGES


def lived(*, rehearses):
    """A session's commands and its engine's photograph, and what its rehearsals made."""
    replay, engine, venue = started()
    commands, rehearsed, process = [], [], engine.process
    engine.process = lambda event, seq: commands.extend(c := process(event, seq)) or c
    for _ in range(150):
        if rehearses:
            rehearsed += engine.rehearse()
        replay.step(venue.advance())
    return commands, engine.snapshot(), rehearsed


def test_a_rehearsal_makes_the_entry_of_a_scan_and_changes_nothing():
    commands, photograph, _ = lived(rehearses=False)
    again, after, rehearsed = lived(rehearses=True)
    assert again == commands
    assert after == photograph
    assert any(isinstance(one, Submit) for one in commands)
    made = [one.order.ticket.kind for one in rehearsed]
    assert made.count(ListKind.OPOCO) > 5
    assert ListKind.OPO in made


def test_an_engine_without_a_bar_has_nothing_to_rehearse():
    assert Engine(config(), None).rehearse() == []


def bought_with(cost_e8, max_quote, on_its_way_e8=0):
    """Lots of the first entry beside dust of another symbol that had that cost, and a purchase of another."""
    replay, engine, venue = started(chosen={**EAGER, "capital": {"active_pct": 100, "max_quote": max_quote}})
    engine.state.ledger.dust["ADAUSDT"] = Dust("ADA", 10**10, cost_e8)
    engine.process(InstrumentUpdate(instrument("ETHUSDT", 10**8, 10**8), 1), 10**6)
    if on_its_way_e8:
        engine.book.register(Order("b", "ETHUSDT", Side.BUY, Role.FEES, 0, on_its_way_e8 // 10**8, 1))
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    return sum(
        one.quantity_lots
        for one in engine.book.orders.values()
        if one.symbol == SYMBOL and one.side is Side.BUY
    )


def test_what_dust_has_cost_counts_towards_the_cap():
    free = bought_with(0, 5_000)
    assert bought_with(4_000 * 10**8, 5_000) == free  # of 1,000 left a position of less is paid
    assert 0 < bought_with(4_950 * 10**8, 5_000) < free


def test_what_purchases_on_their_way_may_cost_counts_towards_the_cap():
    of_thousand = bought_with(4_000 * 10**8, 5_000)
    assert 0 < bought_with(4_000 * 10**8, 5_000, 950 * 10**8) < of_thousand // 5


@pytest.mark.parametrize(("coins_e8", "chained"), [(0, True), (1000, False)])
def test_without_order_lists_a_scan_sends_stops_with_its_entry_only_where_no_coins_of_others_are(
    coins_e8, chained
):
    replay, engine, venue = started(coins_e8=coins_e8, oto_allowed=False, opo_allowed=False)
    sent, process = [], engine.process
    engine.process = lambda event, seq: sent.extend(c := process(event, seq)) or c
    walk(replay, venue, lambda: any(isinstance(one, Submit) for one in sent))
    assert any(one.after for one in sent if isinstance(one, Submit)) == chained


def test_exits_leave_before_entries_of_the_same_scan():
    replay, engine, venue = started()
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    position = engine.portfolio.positions[SYMBOL]
    position.opened_ns -= 1000 * HOUR_NS
    position.rules = aged_rules(position)
    commands = []
    original = engine.process
    engine.process = lambda event, seq: commands.extend(c := original(event, seq)) or c
    walk(replay, venue, lambda: any(isinstance(c, CancelList | CancelOrder) for c in commands))
    first = next(c for c in commands if isinstance(c, CancelList | CancelOrder | Submit))
    assert isinstance(first, CancelList | CancelOrder)


def aged_rules(position):
    """Its rules, but always going nowhere and never trailing."""
    rules = np.frombuffer(position.rules, dtype=RULES).copy()
    rules["time_stop_band_ppm"] = 1_000_000
    rules["trail_start_ppm"] = 10**9
    return rules.tobytes()


@pytest.mark.parametrize(
    "event",
    [
        Bar("NOPEUSDT", 0, HOUR_NS, 1, 1, 1, 1, 1),
        Slice("NOPEUSDT", 5, 1, 1, 1, 1),
        OrderReport(
            "NOPEUSDT", "bnXXXX1-1-0w", 5, OrderState.FILLED, Side.BUY, trade_id=3, last_lots=1, last_ticks=1
        ),
        CancelFailed("NOPEUSDT", "bnXXXX1-1-0l", 5, -2011, ""),
        Scan(HOUR_NS, HOUR_NS, ()),
        UniverseUpdate(("NOPEUSDT",), 5),
        OperatorCommand("flatten", 5, "NOPEUSDT"),
        OperatorCommand("dance", 5),
        Timer("whatever", 5),
        VenueStatus("market", up=True, ts_ns=5),
    ],
)
def test_unknown_names_change_nothing_and_break_nothing(event):
    _, engine, _ = started()
    held = engine.state.ledger.totals.copy()
    commands = engine.process(event, 10**6)
    assert not [one for one in commands if isinstance(one, Submit)]
    assert engine.state.ledger.totals == held
    assert engine.portfolio.positions == {}


def test_an_unknown_order_is_told_of_once():
    _, engine, _ = started()
    report = OrderReport(SYMBOL, "bnXXXX1-1-0w", 5, OrderState.OPEN, Side.BUY)
    assert [type(one) for one in engine.process(report, 1)] == [Alert]
    assert engine.process(report, 2) == []


def test_of_the_orders_of_others_only_the_newest_are_remembered():
    """Each of them made every snapshot and every look at the list longer, for ever."""
    _, engine, _ = started()
    for number in range(2 * KEPT_TOLD):
        report = OrderReport(SYMBOL, f"web_{number}", 5, OrderState.OPEN, Side.BUY)
        told = [engine.process(report, seq) for seq in (2 * number, 2 * number + 1)]
        assert [len(one) for one in told] == [1, 0]
    assert len(engine.state.told) == KEPT_TOLD


def test_an_entry_is_three_lists_that_protect_themselves():
    replay, engine, venue = started()
    sent = []
    original = engine.process
    engine.process = lambda event, seq: sent.extend(c := original(event, seq)) or c
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    tickets = [one.order.ticket for one in sent if isinstance(one, Submit)][:3]
    assert [one.kind for one in tickets] == [ListKind.OPOCO, ListKind.OPOCO, ListKind.OPO]
    assert all(isinstance(one, ListTicket) for one in tickets)
    assert [leg.type for one in tickets for leg in one.pending] == [
        OrderType.LIMIT_MAKER,
        OrderType.STOP_LOSS,
        OrderType.LIMIT_MAKER,
        OrderType.STOP_LOSS,
        OrderType.STOP_LOSS,
    ]


def decisions_after(engine, replay, venue, scans=3):
    before = len(replay.result.decisions)
    walk(replay, venue, lambda: len(replay.result.decisions) >= before + scans)
    return replay.result.decisions[before:]


@pytest.mark.parametrize(
    "stop",
    [
        VenueStatus("market", up=False, ts_ns=1),
        VenueStatus("user", up=False, ts_ns=1),
        VenueStatus("orders", up=False, ts_ns=1),
        OperatorCommand("halt", 1),
        OperatorCommand("reduce", 1),
        OperatorCommand("panic", 1, SYMBOL),
    ],
)
def test_what_stops_entries_says_so_and_lets_them_come_back(stop):
    replay, engine, venue = started()
    replay.feed(stop)
    refused = decisions_after(engine, replay, venue)
    assert {one.reason for one in refused if one.action == Action.BUY} == {Reason.NOT_ACTIVE}
    replay.feed(
        VenueStatus(stop.channel, up=True, ts_ns=2)
        if isinstance(stop, VenueStatus)
        else OperatorCommand("resume", 2)
    )
    allowed = decisions_after(engine, replay, venue)
    assert Reason.NONE in {one.reason for one in allowed}


def unsure(side, state=OrderState.UNKNOWN, filled=0):
    """An engine of one order, of which not all is known."""
    engine = Engine(config(), None)
    engine.process(InstrumentUpdate(instrument(), 0), 1)
    engine.process(Balances(0, {"USDT": (10**12, 0)}), 2)
    order = Order("w", SYMBOL, side, Role.WORKING, 1, 100, 3_000_000, state=state)
    order.cumulative_lots = filled
    engine.book.register(order)
    return engine


@pytest.mark.parametrize("channel", ["user", "orders"])
def test_what_may_have_been_missed_is_read_when_a_way_to_the_account_is_back(channel):
    engine = unsure(Side.SELL)
    assert not engine.process(VenueStatus(channel, up=False, ts_ns=1), 3)
    (query,) = engine.process(VenueStatus(channel, up=True, ts_ns=2), 4)
    assert (type(query), query.client_order_id) == (QueryOrder, "w")


@pytest.mark.parametrize(("state", "filled"), [(OrderState.PENDING, 0), (OrderState.FILLED, 100)])
def test_what_a_purchase_may_still_cost_is_not_free(state, filled):
    """On its way, or filled and not told of yet."""
    scan = unsure(Side.BUY, state, filled)._scan
    cost_e8 = instrument().notional_e8(3_000_000, 100)
    assert (scan._free_quote_e8(), scan._exposure_e8()) == (10**12 - cost_e8, cost_e8)


def test_a_venue_that_is_down_does_not_keep_positions_from_leaving():
    replay, engine, venue = started()
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    replay.feed(VenueStatus("market", up=False, ts_ns=1))
    replay.feed(OperatorCommand("flatten", 2, SYMBOL))
    walk(replay, venue, lambda: not engine.at_stake(SYMBOL))
    assert engine.portfolio.positions == {}
    assert venue.exchange.read.open_orders("main", SYMBOL) == []


def test_flatten_sells_everything_and_stays_out():
    replay, engine, venue = started()
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    replay.feed(OperatorCommand("flatten", 2))
    walk(replay, venue, lambda: not engine.at_stake(SYMBOL))
    later = decisions_after(engine, replay, venue)
    assert {one.reason for one in later if one.action == Action.BUY} == {Reason.NOT_ACTIVE}


def test_a_closing_time_is_scanned_once():
    replay, engine, venue = started()
    walk(replay, venue, lambda: replay.result.decisions)
    again = Scan(replay.result.decisions[-1].ts_close_ns, 1, ())
    engine.drain()
    assert engine.process(again, 10**6) == []
    assert engine.drain() == []


def test_a_deposit_is_no_profit_and_a_withdrawal_no_loss():
    replay, engine, venue = started()
    walk(replay, venue, lambda: replay.result.equity)
    replay.feed(CapitalFlow("USDT", -4_000 * 10**8, 1))
    venue.exchange.deposit("main", "USDT", -4_000 * 10**8)
    later = decisions_after(engine, replay, venue)
    stopped = {Reason.DAILY_LOSS, Reason.DRAWDOWN, Reason.DAILY_BUDGET, Reason.WEEKLY_BUDGET}
    assert not stopped & {one.reason for one in later}
    assert engine.state.breakers["peak_equity_e8"][0] < 7_000 * 10**8


def test_balances_that_differ_are_adopted_and_told_of():
    _, engine, _ = started()
    commands = engine.process(Balances(5, {"USDT": (9_000 * 10**8, 0)}), 7)
    assert [one.name for one in commands] == ["balances_adopted"]
    assert engine.portfolio.total_e8("USDT") == 9_000 * 10**8


def test_a_bundle_of_other_features_is_refused_and_the_old_one_kept():
    _, engine, _ = started()
    other = RandomPredictor(engine.config.layout)
    other.features_version = "another"
    engine._reference._predictors = Predictors(other)
    commands = engine.process(ModelPublished(SYMBOL, "new", 5), 7)
    assert [one.name for one in commands] == ["bundle_refused"]
    assert engine.state.models[SYMBOL] == "random"


def test_symbols_without_a_model_hold_and_ask_for_training_once():
    made = config(settings(**EAGER))
    engine = Engine(made, None)
    engine.process(InstrumentUpdate(instrument(), 0), 1)
    engine.process(Balances(0, {"USDT": (10**12, 0)}), 2)
    engine.process(UniverseUpdate((SYMBOL,), 0), 3)
    asked = []
    for number in range(1, 4):
        bar = Bar(SYMBOL, number * HOUR_NS, (number + 1) * HOUR_NS, 100, 110, 90, 105, 1000)
        engine.process(bar, 2 * number + 10)
        asked += engine.process(Scan(bar.ts_close_ns, bar.ts_close_ns, ()), 2 * number + 11)
    outcomes = engine.drain()
    assert [one.symbols for one in asked] == [(SYMBOL,)]
    assert {one.reason for one in outcomes if isinstance(one, Decision)} == {Reason.NO_MODEL}
    assert len([one for one in outcomes if isinstance(one, EquityPoint)]) == 3


def test_an_old_or_repeated_bar_changes_nothing():
    _, engine, _ = started()
    before = engine.snapshot()
    last = engine.state.symbols[SYMBOL].bar
    engine.process(last, 10**6)
    assert engine.snapshot() == before
