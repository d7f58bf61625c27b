"""Random rules, markets, fast frames and latencies through the loop and through its plain-Python twin."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bnml.core.errors import Misconfigured
from bnml.core.orders import Side
from bnml.kernels import records
from bnml.kernels.records import ExitReason, Reason
from bnml.research import sweep_world
from bnml.research.sweep import SweepConfig, SweepInput, sweep
from tests.twins import random_market as market
from tests.twins.backtest_twin import Market
from tests.twins.portfolio_twin import Place, Portfolio

# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
ROOT = Path(__file__).resolve().parents[2]
HOUR_NS = market.HOUR_NS
FAST = 6
FAST_NS = HOUR_NS // FAST
INSTRUMENTS = {market.ADA: 4_000, market.BTC: 3_000_000, market.DOGE: 8_000, market.FINE: 3_000_000}


def pick(draw, *values):
    return values[draw.integers(len(values))]


def random_rules(draw):
    """Every field of RULES, each often off."""
    first = int(pick(draw, 1_000_000, 500_000, 333_333, 0))
    second = int(draw.integers(0, 1_000_001 - first)) if first < 1_000_000 and draw.random() < 0.6 else 0
    return market.RULES | {
        "price_cap_ppm": int(pick(draw, 5_000, 20_000, 300)),
        "stop_atr_ppm": int(pick(draw, 0, 1_500_000, 700_000)),
        "hard_stop_ppm": int(pick(draw, 0, 30_000, 6_000)),
        "trail_start_ppm": int(pick(draw, 0, 4_000, 15_000)),
        "trail_atr_ppm": int(pick(draw, 0, 1_000_000)),
        "trail_step_ppm": int(pick(draw, 0, 1_000)),
        "target1_ppm": int(pick(draw, 0, 8_000, 20_000)),
        "target2_ppm": int(pick(draw, 0, 40_000)),
        "share1_ppm": first,
        "share2_ppm": second,
        "time_stop_ns": int(pick(draw, 0, 9, 30)) * HOUR_NS,
        "time_stop_band_ppm": int(pick(draw, 10**9, 4_000)),
        "dust_ppm": int(pick(draw, 0, 60_000, 400_000)),
        "exit_on_sell": int(draw.integers(0, 2)),
        "trail_ppm": int(pick(draw, 0, 12_000, 3_000)),
        "target1_r_ppm": int(pick(draw, 0, 0, 1_500_000)),
        "target2_r_ppm": int(pick(draw, 0, 0, 2_500_000)),
        "from_fill": int(draw.integers(0, 2)),
        "entry_taking": int(pick(draw, 0, 2)),
    }


def random_limits(draw):
    values = {
        "active_ppm": int(pick(draw, 1_000_000, 600_000)),
        "max_quote_e8": int(pick(draw, 0, 0, 3_000 * 10**8)),
        "risk_per_trade_ppm": int(pick(draw, 0, 0, 5_000)),
        "max_position_ppm": int(pick(draw, 1_000_000, 1_000_000, 400_000, 150_000)),
        "max_exposure_ppm": int(pick(draw, 1_000_000, 500_000, 5_000_000, 5_000_000)),
        "max_positions": int(pick(draw, 1, 2, 10)),
    }
    values["max_cost_e8"] = values["max_quote_e8"]
    return dict.fromkeys(records.LIMITS.names, 0) | values


def aggregated(fast):
    """Hours out of bars of ten minutes."""
    hours = fast["ts_open_ns"] // HOUR_NS
    starts = np.flatnonzero(np.diff(hours, prepend=-1))
    bars = np.zeros(len(starts), records.BAR)
    bars["ts_open_ns"] = hours[starts] * HOUR_NS
    bars["open"], bars["close"] = fast["open"][starts], fast["close"][np.append(starts[1:], len(fast)) - 1]
    bars["high"] = np.maximum.reduceat(fast["high"], starts)
    bars["low"] = np.minimum.reduceat(fast["low"], starts)
    bars["volume_lots"] = np.add.reduceat(fast["volume_lots"], starts)
    return bars


def random_opinions(draw, count):
    rows = np.flatnonzero(draw.random(count) < pick(draw, 0.05, 0.3))
    made = np.zeros(len(rows), records.OPINION)
    made["bar"] = rows
    made["action"] = np.where(draw.random(len(rows)) < 0.25, 0, 2)
    made["score"] = np.round(draw.uniform(0, 100, len(rows)), -1)  # equal scores are decided by name
    made["expected_edge_ppm"] = np.nan
    made["atr_ratio"] = draw.uniform(0.004, 0.03, len(rows))
    made["size_ppm"] = np.where(draw.random(len(rows)) < 0.5, 0, draw.integers(20_000, 600_000, len(rows)))
    return made


class Case:
    """One random case: inputs for the loop, places for the twin."""

    def __init__(self, seed, symbols=None, bars=260):
        draw = np.random.default_rng(seed)
        self.rules, self.limits = random_rules(draw), random_limits(draw)
        self.costs = market.COSTS | {"tier": int(draw.integers(0, 2)), "volume_share_ppm": 20_000}
        self.has_fast = bool(draw.random() < 0.6)
        self.latency_bars = int(pick(draw, 0, 0, 1, 3))
        self.latency_ns = 0
        self.cash_e8 = int(pick(draw, 10_000, 10_000, 60)) * 10**8
        if self.has_fast and not self.latency_bars:
            self.latency_ns = int(pick(draw, 0, 1, 25 * 60, 100 * 60)) * 10**9
        self.inputs, self.places = [], []
        count = symbols or int(draw.integers(1, 5))
        for number in draw.permutation(len(INSTRUMENTS))[:count]:
            self.add(draw, list(INSTRUMENTS)[number], bars)

    def add(self, draw, instrument, count):
        close, volume = INSTRUMENTS[instrument], int(pick(draw, 10**9, 10**6))
        fast = market.random_bars(
            draw, count * FAST, close, FAST_NS, volatility=0.002, volume_lots=volume, gap_chance=0.003
        )
        bars = aggregated(fast)
        if draw.random() < 0.5:  # a stretch of the fast frame is missing
            at = int(draw.integers(len(fast)))
            fast = np.delete(fast, range(at, min(len(fast), at + int(draw.integers(1, 40)))))
        opinions, first = random_opinions(draw, len(bars)), int(draw.integers(0, 30))
        self.inputs.append(
            SweepInput(
                instrument,
                market.instrument_record(instrument),
                bars,
                HOUR_NS,
                first,
                opinions=opinions,
                fast=fast if self.has_fast else None,
                fast_frame_ns=FAST_NS if self.has_fast else 0,
            )
        )
        self.places.append(
            Place(
                instrument.symbol,
                Market(self.costs, market.instrument_values(instrument)),
                as_dicts(bars),
                as_dicts(fast) if self.has_fast else [],
                {row["bar"]: row for row in as_dicts(opinions)},
                first,
                first - 1,
            )
        )

    def config(self, **changes):
        chosen = SweepConfig(
            market.filled(records.RULES, self.rules),
            market.filled(records.LIMITS, self.limits),
            market.filled(records.COSTS, self.costs),
            (1.0, 0.0, 0.0),
            self.cash_e8,
            latency_bars=self.latency_bars,
            latency_ns=self.latency_ns,
            risk=False,
        )
        return dataclasses.replace(chosen, **changes)

    def swept(self, **changes):
        return sweep(self.inputs, self.config(**changes))

    def twin(self):
        frame = FAST_NS if self.has_fast else 0
        twin = Portfolio(
            self.places,
            self.rules,
            self.limits,
            HOUR_NS,
            frame,
            self.latency_bars,
            self.latency_ns,
            self.cash_e8,
        )
        return twin, twin.run()


def as_dicts(rows):
    return [dict(zip(rows.dtype.names, row, strict=True)) for row in rows.tolist()]


def rows_of(result):
    return [
        (
            t.ts_ns,
            t.symbol,
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


def assert_twin(case):
    result, (twin, final_e8) = case.swept(), case.twin()
    assert rows_of(result) == sorted(twin.trades, key=lambda row: row[:2])
    buys = [one for one in result.decisions if one.action == 2]
    closes = {one.instrument.symbol: one.bars["ts_open_ns"] + HOUR_NS for one in case.inputs}
    answers = {(name, int(closes[name][bar])): answer for (name, bar), answer in twin.answers.items()}
    assert {(one.symbol, one.ts_close_ns): (one.reason, one.quantity_lots) for one in buys} == answers
    assert [(p.ts_ns, p.equity_e8, p.free_quote_e8, p.positions) for p in result.equity] == twin.equity
    assert result.final_equity_e8 == final_e8
    return result


@pytest.mark.parametrize("seed", range(70))
def test_random_rules_on_random_markets_are_the_twins(seed):
    assert_twin(Case(seed))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1_000, 1_400))
def test_many_random_rules_on_random_markets_are_the_twins(seed):
    assert_twin(Case(seed, bars=400))


def test_the_cases_meet_every_exit_and_every_refusal():
    results = [Case(seed).swept() for seed in range(70)]
    exits = Counter(ExitReason(trade.reason) for one in results for trade in one.trades)
    for reason in ("TARGET1", "TARGET2", "STOP", "HARD_STOP", "TRAILING", "TIME", "SIGNAL", "DUST", "GAP"):
        assert exits[ExitReason[reason]] >= 5, reason
    reasons = Counter(Reason(one.reason) for result in results for one in result.decisions)
    for reason in ("ALREADY_HELD", "MAX_POSITIONS", "EXPOSURE", "MINIMUM_SIZE", "CAPITAL"):
        assert reasons[Reason[reason]] >= 1, reason
    assert sum(one.fallbacks for one in results) >= 10
    assert sum(len(one.open_at_end) for one in results) >= 10


def test_outputs_that_have_to_grow_change_nothing(monkeypatch):
    cases = sorted(map(Case, range(70)), key=lambda case: -len(case.swept().trades) / len(case.inputs))[:6]
    whole = [case.swept() for case in cases]
    monkeypatch.setattr(sweep_world, "BOUNDARIES_AT_FIRST", 2)
    for case, one in zip(cases, whole, strict=True):
        grown = case.swept()
        assert rows_of(grown) == rows_of(one)
        assert grown.equity == one.equity
        assert len(one.trades) > 4 * sweep_world.ROWS_PER_SYMBOL * len(case.inputs)
    assert {len(case.inputs) > 1 for case in cases} == {False, True}


@pytest.mark.parametrize("seed", [4, 5, 11])
def test_later_bars_change_nothing_before_them(seed):
    case = Case(seed)
    whole = case.swept()
    for hours in (80, 150):
        until_ns = market.START_NS + hours * HOUR_NS
        short = sweep([cut(one, until_ns) for one in case.inputs], case.config())
        assert rows_of(short) == [row for row in rows_of(whole) if row[0] < until_ns]
        assert short.equity == whole.equity[: len(short.equity)]
        assert len(short.equity) > 40


def cut(data, until_ns):
    """What was known at a moment."""
    bars = data.bars[data.bars["ts_open_ns"] < until_ns]
    fast = None if data.fast is None else data.fast[data.fast["ts_open_ns"] < until_ns]
    opinions = data.opinions[data.opinions["bar"] < len(bars)]
    return dataclasses.replace(data, bars=bars, fast=fast, opinions=opinions)


def test_equity_that_is_not_kept_changes_no_trade():
    for seed in range(6):
        case = Case(seed)
        bare = case.swept(keep_equity=False)
        assert rows_of(bare) == rows_of(case.swept())
        assert len(bare.equity_e8) == 0


def four_fast(changes=None):
    """One hour of four quarters after two quiet ones; the fast bars reach target before stop, the hour's path not."""
    quiet = [(10_000, 10_000, 10_000, 10_000)] * 4
    last = [
        (10_000, 10_100, 10_000, 10_100),
        (10_100, 10_300, 10_100, 10_200),
        (10_200, 10_200, 9_700, 9_800),
    ]
    last.append((9_800, 9_900, 9_800, 9_900))
    fast = np.zeros(12, records.BAR)
    for k, path in enumerate(quiet * 2 + last):
        fast[k] = (market.START_NS + k * HOUR_NS // 4, *path, 10**9)
    bars = np.zeros(3, records.BAR)
    for k in range(3):
        part = fast[4 * k : 4 * k + 4]
        high, low = part["high"].max(), part["low"].min()
        bars[k] = (part["ts_open_ns"][0], part["open"][0], high, low, part["close"][-1], 10**10)
    for (row, name), value in (changes or {}).items():
        fast[name][row] = value
    opinions = np.zeros(1, records.OPINION)
    opinions["bar"], opinions["action"] = 0, 2
    record = market.instrument_record(market.ADA)
    return SweepInput(
        market.ADA, record, bars, HOUR_NS, 0, opinions=opinions, fast=fast, fast_frame_ns=HOUR_NS // 4
    )


def first_exit(data):
    case = Case(0, symbols=1)
    off = dict.fromkeys(market.RULES, 0)
    case.rules = off | {
        "price_cap_ppm": 5_000,
        "share1_ppm": 10**6,
        "target1_ppm": 20_000,
        "hard_stop_ppm": 20_000,
    }
    whole = {"active_ppm": 10**6, "max_position_ppm": 10**6, "max_exposure_ppm": 10**6, "max_positions": 1}
    case.limits = dict.fromkeys(market.LIMITS, 0) | whole
    case.inputs, case.latency_bars, case.latency_ns, case.costs["tier"] = [data], 0, 0, 0
    result = case.swept()
    return ExitReason(result.trades[-1].reason), result.fallbacks


def test_the_fast_frame_decides_what_came_first():
    data = four_fast()
    assert first_exit(data) == (ExitReason.TARGET1, 0)
    assert first_exit(dataclasses.replace(data, fast=None, fast_frame_ns=0)) == (ExitReason.HARD_STOP, 0)


@pytest.mark.parametrize(
    "changes",
    [{(9, "high"): 10_250}, {(10, "low"): 9_750}, {(8, "open"): 10_001}, {(11, "close"): 9_901}],
    ids=["high", "low", "open", "close"],
)
def test_fast_bars_that_do_not_make_the_slow_bar_are_not_believed(changes):
    assert first_exit(four_fast(changes)) == (ExitReason.HARD_STOP, 1)


def test_a_bar_without_fast_bars_has_its_own_path():
    data = four_fast()
    assert first_exit(dataclasses.replace(data, fast=data.fast[:8])) == (ExitReason.HARD_STOP, 1)


def test_inputs_that_do_not_go_together_are_refused_in_words():
    case = Case(2, symbols=2)
    one, other = case.inputs
    with pytest.raises(Misconfigured, match="stands twice"):
        sweep([one, one], case.config())
    with pytest.raises(Misconfigured, match="nothing to trade"):
        sweep([], case.config())
    with pytest.raises(Misconfigured, match="same frames"):
        sweep([one, dataclasses.replace(other, frame_ns=2 * HOUR_NS)], case.config())
    with pytest.raises(Misconfigured, match="limits are given for 3 of 2"):
        sweep([one, other], case.config(limits=np.zeros(3, records.LIMITS)))
    bare = [dataclasses.replace(data, fast=None, fast_frame_ns=0) for data in case.inputs]
    with pytest.raises(Misconfigured, match="needs bars of a fast frame"):
        sweep(bare, case.config(latency_ns=1, latency_bars=0))
    with pytest.raises(Misconfigured, match="ascending order"):
        sweep([dataclasses.replace(bare[0], opinions=bare[0].opinions[::-1])], case.config(latency_ns=0))
    with pytest.raises(Misconfigured, match="shorter than the bars"):
        sweep([dataclasses.replace(one, fast=one.bars, fast_frame_ns=HOUR_NS)], case.config())


def test_interpreted_and_compiled_agree():
    script = (
        "from tests.research.test_portfolio import Case, digest\n"
        "print([digest(Case(seed, symbols=3, bars=90).swept()) for seed in (3, 7)])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    compiled = [digest(Case(seed, symbols=3, bars=90).swept()) for seed in (3, 7)]
    assert done.stdout.strip() == str(compiled)


def digest(result):
    return hashlib.sha256(repr(rows_of(result)).encode() + result.equity_e8.tobytes()).hexdigest()
