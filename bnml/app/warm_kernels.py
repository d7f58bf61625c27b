"""Compiles every kernel of the engine before a socket is open, by trading a small market in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.core.clock import NS_PER_DAY, frame_ns
from bnml.core.events import Book, UniverseUpdate
from bnml.core.ids import IdSource
from bnml.core.instrument import E8, Instrument
from bnml.kernels.records import BAR
from bnml.trading.bars import BarGate
from bnml.trading.compile import compile_engine
from bnml.trading.engine import Engine
from bnml.trading.filling import compile_costs
from bnml.trading.risk.breakers import correlation
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.config import Settings
    from bnml.core.events import Event
    from bnml.core.ports import Predictor

SYMBOL = "WARMUSDT"
BARS = 700
PRINTED = 150
STEPS = 5 * PRINTED
SEED = 7


class _NoModels:
    """The warm-up market is traded by rule."""

    def predictor(self, bundle_id: str) -> Predictor:
        raise LookupError(bundle_id)


def warm_kernels(settings: Settings) -> int:
    """Trade a random walk by the RSI and MACD rule with every limit open; returns the number of fills.

    Nothing of it is kept. With a filled cache this takes about a second, else as long as compiling does;
    it is meant for a thread while the exchange starts.
    """
    chosen, venue = warm_market(settings)
    return _trade(venue, Engine(compile_engine(chosen, IdSource("warm", 1)), _NoModels()))


def warm_market(settings: Settings) -> tuple[Settings, SimVenue]:
    """The settings with every limit open, and a small market in memory that they trade."""
    open_risk = {
        "min_ml_confidence": 0.0,
        "max_spread_pct": 100.0,
        "min_depth_quote": 0.0,
        "max_drawdown_pct": 100.0,
        "max_daily_loss_pct": 100.0,
        "drift_ks": 1.0,
        "max_volatility_ratio": 1000.0,
        "benchmark": SYMBOL,
    }
    chosen = settings.model_copy(
        update={
            "decision": settings.decision.model_copy(update={"without_model": "rule"}),
            "scanner": settings.scanner.model_copy(update={"min_global_score": 0.0}),
            "risk": settings.risk.model_copy(update=open_risk),
        }
    )
    length_ns = frame_ns(settings.features.base_frame)
    pricing = Pricing(compile_costs(settings.costs))
    bars = _random_walk(length_ns)
    first_ns = int(bars["ts_open_ns"][BARS - PRINTED])
    instrument = Instrument(SYMBOL, "WARM", settings.universe.quote, 10_000, 10_000)
    feed = BarFeed({SYMBOL: instrument}, {SYMBOL: bars}, length_ns, pricing, first_ns, fingerprint="warm")
    venue = SimVenue(feed, pricing, {settings.universe.quote: 10_000 * E8})
    return chosen, venue


def _trade(venue: SimVenue, engine: Engine) -> int:
    gate = BarGate((SYMBOL,), 0, engine.at_stake)
    count = fills = 0
    pending: list[Event] = []

    def feed(events: Iterable[Event]) -> None:
        nonlocal count, fills
        for event in events:
            count += 1
            for command in engine.process(event, count):
                pending.extend(venue.execute(command))
            fills += sum(type(outcome).__name__ == "Trade" for outcome in engine.drain())

    feed([*venue.start(), UniverseUpdate((SYMBOL,), 0), *venue.history(SYMBOL)])
    while (advance := venue.advance()) is not None:
        step = advance.step
        feed(advance.reports)
        for one in step.prints:
            feed(gate.on_print(one.symbol, one.price_ticks, one.quantity_lots, one.ts_ns))
        for levels in step.books:
            feed(
                gate.on_book(Book(SYMBOL, levels.bids[0][0], levels.asks[0][0], levels.depth_e8), step.ts_ns)
            )
        for bar in step.closed_bars:
            feed(gate.on_bar(bar, step.ts_ns))
        while pending:
            feed([pending.pop(0)])
    correlation(
        engine.state.symbols[SYMBOL], engine.state.symbols[SYMBOL]
    )  # one symbol alone never asks for it
    return fills


def _random_walk(length_ns: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Bars of a market that moves enough to be bought, stopped out and sold again."""
    random = np.random.default_rng(SEED)
    closes = (1_000_000 * np.exp(np.cumsum(random.normal(0.0, 0.01, BARS)))).astype(np.int64)
    bars = np.zeros(BARS, dtype=BAR)
    bars["ts_open_ns"] = np.arange(BARS) * length_ns + 20_000 * NS_PER_DAY
    bars["open"] = np.concatenate([closes[:1], closes[:-1]])
    bars["close"] = closes
    spread = random.integers(1, 10_000, (2, BARS))
    bars["high"] = np.maximum(bars["open"], closes) + spread[0]
    bars["low"] = np.minimum(bars["open"], closes) - spread[1]
    bars["volume_lots"] = random.integers(10_000_000, 100_000_000, BARS)
    return bars
