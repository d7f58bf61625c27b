"""One run from settings, bars and models: by replay or by sweep, on one capital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bnml.config import Settings
from bnml.core.clock import NS_PER_MS
from bnml.core.events import ModelPublished
from bnml.core.ids import IdSource
from bnml.core.instrument import E8
from bnml.kernels.features import bar_floats, features_batch, new_state
from bnml.kernels.opinions import SCORE_COLUMNS
from bnml.learn.predictors import BundlePredictor
from bnml.research.ahead import AheadDecider, AheadFeatures, Given, Tracks
from bnml.research.market import Market
from bnml.research.models import Models, probabilities
from bnml.research.replay import Replay, ReplayResult
from bnml.research.sweep import SweepConfig, SweepInput, SweepResult, sweep
from bnml.trading.compile import EngineConfig, compile_engine, instrument_record
from bnml.trading.engine import Engine
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing

OFFLINE_IDS = IdSource("rsch", 0)


def initial_quote_e8(settings: Settings) -> int:
    """Money of a new simulated account."""
    return round(settings.venue.sim.initial_quote * E8)


def run_replay(
    settings: Settings,
    market: Market,
    models: Models,
    models_at: Mapping[int, Sequence[ModelPublished]] | None = None,
    given: Given | None = None,
) -> ReplayResult:
    """The engine over all symbols of the market; `models_at` publishes bundles before the scan of a closing time.

    Features and opinions come in blocks from the batch kernels (or are `given`), equal in every bit to the steps.
    """
    config = compile_engine(settings, OFFLINE_IDS)
    tracks = Tracks(market.instruments, market.bars, config.layout, given)
    venue = SimVenue(
        market.feed(Pricing(config.costs)),
        Pricing(config.costs),
        {config.quote: initial_quote_e8(settings)},
    )
    replay = Replay(
        Engine(
            config,
            models.store,
            features=AheadFeatures(config.layout, tracks),
            decider=AheadDecider(config, models.store, tracks),
        ),
        venue,
        settings.universe.symbols or market.symbols,
        settings.scanner.grace_ms * NS_PER_MS,
        first_events=models.published() if models_at is None else (),
        before_scan=models_at,
    )
    return replay.run()


def run_sweep(settings: Settings, market: Market, models: Models) -> SweepResult:
    """The backtest loop over all symbols of the market, on one capital as in the replay."""
    config = compile_engine(settings, OFFLINE_IDS)
    inputs = [
        sweep_input(config, market, name, feature_rows(config, market, name), models.predictor(name))
        for name in market.symbols
    ]
    return sweep(inputs, sweep_config(config, market.symbols, initial_quote_e8(settings)))


def feature_rows(config: EngineConfig, market: Market, symbol: str) -> NDArray[np.float64]:
    """The feature row of each bar, history included."""
    instrument, bars = market.instruments[symbol], market.bars[symbol]
    rows = np.full((len(bars), config.layout.count), np.nan)
    floats = bar_floats(bars, instrument.tick_e8, instrument.lot_e8)
    features_batch(
        new_state(config.layout), config.layout.frames_ns, bars["ts_open_ns"].copy(), *floats, rows
    )
    return rows


def sweep_input(
    config: EngineConfig,
    market: Market,
    symbol: str,
    rows: NDArray[np.float64],
    predictor: BundlePredictor | None,
) -> SweepInput:
    """One symbol as the sweep takes it; without a predictor it has no model."""
    instrument = market.instruments[symbol]
    return SweepInput(
        instrument=instrument,
        instrument_record=instrument_record(instrument),
        bars=market.bars[symbol],
        frame_ns=market.frame_ns,
        first=market.first_row(symbol),
        columns={name: rows[:, config.layout.column(name)].copy() for name in SCORE_COLUMNS},
        probabilities=None if predictor is None else probabilities(predictor, rows),
        policy=None if predictor is None else predictor.policy,
        bundle_id="" if predictor is None else predictor.bundle_id,
    )


def sweep_config(config: EngineConfig, symbols: Sequence[str], quote_e8: int) -> SweepConfig:
    """The engine's records as the sweep of these symbols takes them."""
    return SweepConfig(
        rules=config.rules,
        limits=np.concatenate([config.limits_of(symbol) for symbol in symbols]),
        costs=config.costs,
        weights=config.weights,
        initial_quote_e8=quote_e8,
        has_rule_strategy=config.has_rule_strategy,
        time_zone=config.time_zone,
        benchmark=config.benchmark,
    )
