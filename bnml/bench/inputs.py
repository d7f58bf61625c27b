"""Inputs of the backtest loop made for measuring: given signals with plain rules, and a portfolio under all rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.bench import hand
from bnml.bench.market import LOT, TICK, Walk, walk
from bnml.config import Settings
from bnml.core.clock import NS_PER_S
from bnml.core.ids import IdSource
from bnml.core.instrument import E8, Instrument
from bnml.kernels.opinions import SCORE_COLUMNS
from bnml.kernels.records import OPINION, POLICY, Action, record
from bnml.research.rules import Rules, compile_limits, compile_rules
from bnml.research.sweep import SweepConfig, SweepInput
from bnml.trading.compile import compile_engine
from bnml.trading.filling import compile_costs
from bnml.trading.instruments import instrument_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_NS = 60 * NS_PER_S
PLAIN = Rules(
    stop_pct=100 * hand.STOP,
    target_pct=100 * hand.TARGET,
    trail_pct=100 * hand.TRAIL,
    max_hold_bars=hand.HOLD,
    initial_quote=1e7,
    fixed_quote=1_000.0,  # so small beside it that the money lasts to the end
    max_positions=1,
    tier="F0",
    maker_bps=1e4 * hand.FEE,
    taker_bps=1e4 * hand.FEE,
    slippage_bps=1e4 * hand.SLIPPAGE,
    spread_floor_bps=0.0,
    spread_range_bps_per_pct=0.0,
)


def instrument(symbol: str) -> Instrument:
    """Filters that fit the random walk."""
    return Instrument(symbol, symbol.removesuffix("USDT"), "USDT", round(TICK * E8), round(LOT * E8))


def rules_world(rules: Rules = PLAIN, *, keep_equity: bool = True) -> SweepConfig:
    """The configuration of `bnml backtest --signals` with these rules."""
    return SweepConfig(
        rules=compile_rules(rules, FRAME_NS),
        limits=compile_limits(rules),
        costs=compile_costs(rules),
        weights=(0.0, 0.0, 1.0),
        initial_quote_e8=round(rules.initial_quote * E8),
        risk=False,
        keep_equity=keep_equity,
    )


def given(
    made: Walk, entry: NDArray[np.bool_], leave: NDArray[np.bool_], symbol: str = "WALKUSDT"
) -> SweepInput:
    """Bars with a BUY where `entry`, a SELL where `leave`."""
    asked = np.flatnonzero(entry | leave)
    opinions = np.zeros(len(asked), dtype=OPINION)
    opinions["bar"] = asked
    opinions["action"] = np.where(leave[asked], int(Action.SELL), int(Action.BUY))
    opinions["score"] = opinions["confidence"] = 100.0
    opinions["expected_edge_ppm"] = np.nan
    one = instrument(symbol)
    return SweepInput(one, instrument_record(one), made.bars, FRAME_NS, 1, opinions=opinions)


def one_capital(symbols: int, bars: int) -> tuple[list[SweepInput], SweepConfig]:
    """Probabilities that ask for a buy on about one bar in fifty, under the default risk rules."""
    settings = Settings()
    engine = compile_engine(settings, IdSource("bench", 1))
    config = SweepConfig(
        rules=engine.rules,
        limits=engine.limits,
        costs=engine.costs,
        weights=engine.weights,
        initial_quote_e8=10_000 * E8,
        benchmark="S00USDT",
    )
    return [_predicted(number, bars) for number in range(symbols)], config


def _predicted(number: int, bars: int) -> SweepInput:
    random = np.random.default_rng(100 + number)
    made, one = walk(bars, seed=200 + number), instrument(f"S{number:02d}USDT")
    raw = random.random((bars, 3))
    columns = {name: random.random(bars) for name in SCORE_COLUMNS}
    columns["rsi_14"] *= 100.0
    columns["atr_ratio_14"] = 0.002 + 0.001 * columns["atr_ratio_14"]
    return SweepInput(
        one,
        instrument_record(one),
        made.bars,
        FRAME_NS,
        400,
        columns=columns,
        probabilities=raw / raw.sum(axis=1, keepdims=True),
        policy=_policy(),
        bundle_id="bench",
    )


def _policy() -> NDArray[np.void]:
    """Scores are the difference of two shares by chance: the cut leaves their top two percent."""
    made = record(POLICY)
    made["cut"] = 0.58
    made["score_quantiles"] = np.linspace(-0.8, 0.8, made["score_quantiles"].shape[1])
    made["bucket_edges"] = np.linspace(-0.8, 0.8, made["bucket_edges"].shape[1])
    made["bucket_edge_ppm"] = 3000.0
    made["bucket_lower_ppm"] = 1000.0
    return made
