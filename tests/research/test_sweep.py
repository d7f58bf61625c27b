"""The kernel time line against its plain-Python twin: every trade, decision and equity point, in integers."""

from collections import Counter

import numpy as np
import pytest

from bnml.core.errors import Misconfigured
from bnml.core.orders import Side
from bnml.kernels import records
from bnml.kernels.records import Action, ExitReason, Reason
from bnml.research.sweep import SweepConfig, SweepInput, sweep
from tests.twins import random_market as market
from tests.twins.backtest_twin import Market, Twin

# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
WEIGHTS = (0.5, 0.3, 0.2)
CASH_E8 = 10_000 * 10**8
FIRST = 320


class Case:
    """One random market with everything that both implementations take."""

    def __init__(self, seed, instrument=market.ADA, close=4_000, bars=2_500, **changes):
        generator = np.random.default_rng(seed)
        self.instrument = instrument
        volume = changes.pop("volume_lots", 6 * 10**7)
        volatility = changes.pop("volatility", 0.004)
        self.bars = market.random_bars(generator, bars, close, volume_lots=volume, volatility=volatility)
        self.columns = market.random_columns(generator, bars)
        self.probabilities = market.random_probabilities(generator, bars)
        self.cash_e8 = changes.pop("cash_e8", CASH_E8)
        self.policy = market.policy_values(rule=changes.pop("rule", 0), cut=changes.pop("cut", 0.2))
        self.rules, self.limits, self.costs = (
            {name: changes.pop(name, value) for name, value in defaults.items()}
            for defaults in (market.RULES, market.LIMITS, market.COSTS)
        )
        assert changes == {}

    def data(self):
        return SweepInput(
            self.instrument,
            market.instrument_record(self.instrument),
            self.bars,
            market.HOUR_NS,
            FIRST,
            self.columns,
            self.probabilities,
            market.filled(records.POLICY, self.policy),
            "bundle",
        )

    def config(self):
        return SweepConfig(
            market.filled(records.RULES, self.rules),
            market.filled(records.LIMITS, self.limits),
            market.filled(records.COSTS, self.costs),
            WEIGHTS,
            self.cash_e8,
        )

    def swept(self):
        return sweep([self.data()], self.config())

    def twin(self, weights=WEIGHTS):
        plain = Market(self.costs, market.instrument_values(self.instrument))
        twin = Twin(plain, self.rules, self.limits, self.policy, weights, market.HOUR_NS, self.cash_e8)
        bars = [dict(zip(records.BAR.names, row, strict=True)) for row in self.bars.tolist()]
        columns = {name: values.tolist() for name, values in self.columns.items()}
        final = twin.run(bars, columns, self.probabilities.tolist(), FIRST)
        return twin, final


CASES = {
    "defaults": Case(1),
    "touch": Case(2, tier=0),
    "thin book, slippage grows": Case(3, volume_lots=30_000, volatility=0.006, min_depth_e8=10**8),
    "strict scores": Case(
        4,
        close=40_000,
        min_global_score=58.0,
        min_expected_edge_ppm=600,
        max_spread_ppm=400,
        max_volatility_ratio=5.0,
        drift_volatility_ratio=1.2,
        cut=0.05,
        bars=4_000,
    ),
    "strict account": Case(
        14,
        volatility=0.007,
        risk_per_trade_ppm=10_000,
        max_position_ppm=500_000,
        max_daily_loss_ppm=9_000,
        max_drawdown_ppm=25_000,
        drawdown_pause_ns=30 * market.HOUR_NS,
        daily_budget_ppm=14_000,
        weekly_budget_ppm=30_000,
        max_losses_in_row=50,
    ),
    "absolute rule, exit on sell": Case(5, rule=1, exit_on_sell=1, min_expected_edge_ppm=-10_000),
    "little money": Case(6, cash_e8=62 * 10**8, hard_stop_ppm=100_000, stop_atr_ppm=4_000_000),
    "dust and slow market": Case(
        7,
        volatility=0.001,
        time_stop_ns=6 * market.HOUR_NS,
        dust_ppm=160_000,
        target1_ppm=6_000,
        stop_atr_ppm=900_000,
    ),
    "coarse bitcoin": Case(8, instrument=market.BTC, close=3_000_000, volume_lots=10**7, touch_ppm=1_000_000),
    "fine lots": Case(
        9, instrument=market.FINE, close=3_000_000, volume_lots=10**10, max_quote_e8=2_000 * 10**8
    ),
    "coarse ticks": Case(
        10, close=60, volume_lots=10**10, max_spread_ppm=100_000, trail_step_ppm=0, price_cap_ppm=30_000
    ),
}


@pytest.fixture(scope="module", params=list(CASES))
def pair(request):
    case = CASES[request.param]
    return case, case.swept(), *case.twin()


def test_every_trade_is_the_twins(pair):
    _, result, twin, _ = pair
    rows = [
        (
            t.ts_ns,
            int(t.side is Side.BUY),
            t.tranche,
            t.quantity_lots,
            t.price_ticks,
            t.commission_e8,
            t.reason,
            t.pnl_e8,
        )
        for t in result.trades
    ]
    assert len(rows) > 20
    assert rows == twin.trades


def test_every_decision_is_the_twins(pair):
    case, result, twin, _ = pair
    closes = (case.bars["ts_open_ns"] + market.HOUR_NS).tolist()
    whole = [(d.ts_close_ns, d.action, d.reason, d.quantity_lots) for d in result.decisions]
    assert whole == [
        (closes[t], action, reason, lots) for t, action, reason, _, _, lots, _, _ in twin.decisions
    ]
    shares = np.array([(d.measured, d.limit, d.score, d.confidence) for d in result.decisions])
    expected = np.array([(row[3], row[4], row[6], row[7]) for row in twin.decisions])
    np.testing.assert_allclose(shares, expected, rtol=1e-9, atol=1e-9)


def test_equity_is_the_twins_at_every_scan_and_at_the_end(pair):
    case, result, twin, final_e8 = pair
    points = [(p.ts_ns, p.equity_e8, p.free_quote_e8, p.positions) for p in result.equity]
    assert points == twin.equity
    assert len(points) == len(case.bars) - FIRST - 1
    assert result.final_equity_e8 == final_e8


def test_the_cases_meet_every_exit_and_every_rule_of_one_symbol():
    results = [case.swept() for case in CASES.values()]
    exits = Counter(ExitReason(t.reason) for r in results for t in r.trades)
    reasons = Counter(Reason(d.reason) for r in results for d in r.decisions)
    for reason in ("TARGET1", "TARGET2", "STOP", "HARD_STOP", "TRAILING", "TIME", "SIGNAL", "DUST", "GAP"):
        assert exits[ExitReason[reason]] >= 5, reason
    single = set(Reason) - {
        Reason.NO_MODEL,
        Reason.NOT_ACTIVE,
        Reason.NOT_IN_TOP,
        Reason.MAX_POSITIONS,
        Reason.MARKET_SELL,
        Reason.MARKET_RISK_OFF,
        Reason.MARKET_SCORE,
        Reason.CORRELATION,
        Reason.EXPOSURE,
        Reason.CAPITAL,
    }
    for reason in single:
        assert reasons[reason] >= 1, reason


def test_money_is_kept():
    case = CASES["defaults"]
    result = case.swept()
    marked_e8 = sum(row.pnl_e8 for row in result.open_at_end)
    assert case.cash_e8 + sum(t.pnl_e8 for t in result.trades) + marked_e8 == result.final_equity_e8


def test_later_bars_change_nothing_before_them():
    case = CASES["defaults"]
    whole = case.swept()
    for cut in (FIRST + 200, FIRST + 777, FIRST + 1_500):
        data = case.data()
        short = SweepInput(
            data.instrument,
            data.instrument_record,
            data.bars[:cut],
            data.frame_ns,
            data.first,
            {name: values[:cut] for name, values in data.columns.items()},
            data.probabilities[:cut],
            data.policy,
            data.bundle_id,
        )
        result = sweep([short], case.config())
        assert result.decisions == whole.decisions[: cut - FIRST - 1]
        assert result.equity == whole.equity[: cut - FIRST - 1]
        until = int(data.bars[cut - 1]["ts_open_ns"]) + data.frame_ns
        assert result.trades == [t for t in whole.trades if t.ts_ns < until]


def test_what_is_open_at_the_end_is_said_and_not_sold():
    case = CASES["defaults"]
    whole = case.swept()
    held = next(k for k, point in enumerate(whole.equity) if point.positions)
    cut = FIRST + held + 1
    data = case.data()
    short = SweepInput(
        data.instrument,
        data.instrument_record,
        data.bars[:cut],
        data.frame_ns,
        data.first,
        {name: values[:cut] for name, values in data.columns.items()},
        data.probabilities[:cut],
        data.policy,
    )
    result = sweep([short], case.config())
    (row,) = result.open_at_end
    bought = [t for t in result.trades if t.side is Side.BUY][-3:]
    assert row.reason == ExitReason.END_OF_DATA
    assert row.quantity_lots < sum(t.quantity_lots for t in bought)  # the commission was taken in base
    assert result.final_equity_e8 == whole.equity[held].equity_e8  # marked at the same close
    assert result.trades[-1].side is Side.BUY


def test_without_a_model_nothing_is_bought_unless_the_rule_strategy_is_on():
    case = CASES["defaults"]
    data = case.data()
    bare = SweepInput(
        data.instrument, data.instrument_record, data.bars, data.frame_ns, data.first, data.columns
    )
    config = case.config()
    held = sweep([bare], config)
    assert {d.reason for d in held.decisions} == {Reason.NO_MODEL}
    assert held.trades == []
    ruled = sweep(
        [bare],
        SweepConfig(config.rules, config.limits, config.costs, WEIGHTS, CASH_E8, has_rule_strategy=True),
    )
    buys = [d for d in ruled.decisions if d.action == Action.BUY]
    wanted = (data.columns["rsi_14"] < 35) & (data.columns["macd_histogram"] > 0)
    complete = ~np.isnan(np.stack([data.columns[name] for name in market.COLUMNS])).any(axis=0)
    assert len(buys) == int((wanted & complete)[FIRST:-1].sum())
    assert ruled.trades != []


def test_days_roll_in_the_configured_zone():
    case = Case(4, max_daily_loss_ppm=4_000, bars=1_500)
    config = case.config()
    utc = sweep([case.data()], config)
    fields = (config.rules, config.limits, config.costs, WEIGHTS, CASH_E8, False)
    tokyo = sweep([case.data()], SweepConfig(*fields, "Asia/Tokyo"))
    assert [d.reason for d in tokyo.decisions] != [d.reason for d in utc.decisions]
    assert sweep([case.data()], SweepConfig(*fields, "Etc/UTC")).decisions == utc.decisions


def test_arrays_that_do_not_fit_are_refused_in_words():
    case = CASES["defaults"]
    data = case.data()
    columns = {name: values for name, values in data.columns.items() if name != "roc_4"}
    common = (data.instrument, data.instrument_record, data.bars, data.frame_ns)
    with pytest.raises(Misconfigured, match="leave nothing to trade"):
        sweep([SweepInput(*common, len(data.bars) - 1, data.columns)], case.config())
    with pytest.raises(Misconfigured, match="needs column roc_4"):
        sweep([SweepInput(*common, FIRST, columns)], case.config())
    with pytest.raises(Misconfigured, match="come together"):
        sweep([SweepInput(*common, FIRST, data.columns, data.probabilities)], case.config())
