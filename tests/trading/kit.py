"""Random markets and predictors that tests of trading and research share."""

import zlib
from dataclasses import dataclass

import numpy as np

from bnml.bench.eager import EAGER_RISK
from bnml.config import Settings
from bnml.core.events import ModelPublished
from bnml.core.ids import IdSource
from bnml.core.instrument import Instrument
from bnml.kernels.features import FeatureLayout, bar_floats, features_batch, new_state
from bnml.kernels.opinions import SCORE_COLUMNS
from bnml.kernels.records import BAR, BUCKETS, POLICY, QUANTILES, record
from bnml.research.replay import Replay
from bnml.research.runs import sweep_config
from bnml.research.sweep import SweepConfig, SweepInput
from bnml.trading.compile import EngineConfig, compile_engine, instrument_record
from bnml.trading.engine import Engine
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing

HOUR_NS = 3_600_000_000_000
START_NS = 1_690_848_000_000_000_000  # 2023-08-01, a whole day


def settings(**sections: dict) -> Settings:
    """Settings of a fast test: 1h bars with a 4h frame, and whatever a test says."""
    tree = {"features": {"base_frame": "1h", "higher_frames": ["4h"], "history_bars": 400}}
    for name, values in sections.items():
        tree.setdefault(name, {}).update(values)
    return Settings.model_validate(tree)


def config(chosen: Settings | None = None) -> EngineConfig:
    return compile_engine(chosen or settings(), IdSource("T35T", 1))


def instrument(symbol: str = "BTCUSDT", tick_e8: int = 1_000_000, lot_e8: int = 1_000) -> Instrument:
    return Instrument(symbol, symbol.removesuffix("USDT"), "USDT", tick_e8, lot_e8)


def random_bars(
    count: int,
    seed: int,
    *,
    start_ns: int = START_NS,
    close: int = 3_000_000,
    move: float = 0.006,
    gaps: int = 0,
    wild: bool = False,
) -> np.ndarray:
    """A random walk in ticks with fat tails, jumps at opens, and `gaps` outages of one to thirty bars."""
    draw = np.random.default_rng(seed)
    bars = np.zeros(count, dtype=BAR)
    opens = start_ns + HOUR_NS * np.arange(count, dtype=np.int64)
    for at in sorted(draw.integers(1, count, gaps)):
        opens[at:] += HOUR_NS * int(draw.integers(1, 31))
    bars["ts_open_ns"] = opens
    calm = move
    for i in range(count):
        if wild and i % 168 == 0:
            move = calm * float(draw.choice([0.5, 1.0, 2.0, 3.5]))
        jump = draw.standard_t(3) * move * (0.1 if draw.random() < 0.97 else 3)
        opened = max(1000, round(close * (1 + jump)))
        close = max(1000, round(opened * (1 + draw.standard_t(4) * move * 0.7)))
        high = round(max(opened, close) * (1 + abs(draw.normal()) * move * 0.5))
        low = max(900, round(min(opened, close) * (1 - abs(draw.normal()) * move * 0.5)))
        bars[i] = (opens[i], opened, high, low, close, int(draw.integers(50_000, 5_000_000)) * 10)
    return bars


def policy_record(cut: float = 0.1) -> np.ndarray:
    """A policy that buys above the cut, with ranks and buckets linear in the score."""
    made = record(POLICY)
    made["cut"] = cut
    made["score_quantiles"] = np.linspace(-1, 1, QUANTILES)
    made["bucket_edges"] = np.linspace(-1, 1, BUCKETS + 1)
    made["bucket_edge_ppm"] = np.linspace(-3000, 5000, BUCKETS)
    return made


class RandomPredictor:
    """Probabilities that are a hash of the row: no skill, no state, the same in every run."""

    def __init__(self, layout: FeatureLayout, cut: float = 0.1, warmup: int = 490) -> None:
        self.bundle_id = "random"
        self.features_version = layout.version
        self.columns = np.flatnonzero(np.array(layout.warmups) <= warmup)
        self.policy = policy_record(cut)

    def probabilities(self, row: np.ndarray, out: np.ndarray) -> None:
        digest = zlib.crc32(row[self.columns].tobytes())
        parts = [1 + (digest >> shift) % 1000 for shift in (0, 10, 20)]
        out[:] = np.array(parts) / sum(parts)


class Predictors:
    """One predictor for every bundle id."""

    def __init__(self, predictor: RandomPredictor) -> None:
        self._predictor = predictor

    def predictor(self, bundle_id: str) -> RandomPredictor:
        return self._predictor


def published(*symbols: str) -> list[ModelPublished]:
    return [ModelPublished(symbol, "random", 0) for symbol in symbols]


LIVELY = {
    "scanner": {"min_global_score": 58},
    "exits": {
        "time_stop_h": 6,
        "time_stop_band_pct": 0.9,
        "stop_atr": 1.6,
        "dust_pct": 1.2,
        "exit_on_sell": True,
    },
    "risk": {
        "min_ml_confidence": 62,
        "min_depth_quote": 20_000,
        "max_spread_pct": 0.13,
        "max_losses_in_row": 4,
        "loss_pause_h": 8,
        "max_volatility_ratio": 1.9,
        "drift_ks": 0.2,
        "drift_volatility_ratio": 2.2,
        "max_daily_loss_pct": 1.5,
        "max_drawdown_pct": 12,
        "drawdown_pause_h": 60,
        "daily_budget_pct": 1.6,
        "weekly_budget_pct": 4,
        "min_expected_edge_pct": 0.02,
    },
}
"""Settings under which random markets reach every kind of exit and most refusing rules."""


def lively_bars(count: int, seed: int, **options: object) -> np.ndarray:
    """Random bars with calm and wild weeks, so that stops by ATR and hard stops both occur."""
    return random_bars(count, seed, wild=True, **options)


@dataclass
class Bench:
    """One symbol, set up for both implementations."""

    settings: Settings
    instrument: Instrument
    bars: np.ndarray
    first: int
    cut: float = 0.0

    @property
    def start_ns(self) -> int:
        return int(self.bars["ts_open_ns"][self.first])

    def predictor(self) -> RandomPredictor:
        return RandomPredictor(config(self.settings).layout, self.cut)

    def replay(self, **parts: object) -> Replay:
        """A replay that has not started; `parts` replace its config."""
        made = parts.get("config") or config(self.settings)
        symbol = self.instrument.symbol
        pricing = Pricing(made.costs)
        feed = BarFeed({symbol: self.instrument}, {symbol: self.bars}, HOUR_NS, pricing, self.start_ns)
        venue = SimVenue(feed, pricing, {"USDT": 10_000 * 10**8})
        engine = Engine(made, Predictors(self.predictor()))
        return Replay(engine, venue, [symbol], 2_000_000_000, first_events=published(symbol))

    def sweep_input(self) -> SweepInput:
        """Columns and probabilities as the replay will see them."""
        layout, predictor = config(self.settings).layout, self.predictor()
        rows = np.full((len(self.bars), layout.count), np.nan)
        floats = bar_floats(self.bars, self.instrument.tick_e8, self.instrument.lot_e8)
        features_batch(new_state(layout), layout.frames_ns, self.bars["ts_open_ns"].copy(), *floats, rows)
        chances = np.full((len(self.bars), 3), np.nan)
        for index in range(self.first, len(self.bars)):
            if not np.isnan(rows[index][predictor.columns]).any():
                predictor.probabilities(rows[index], chances[index])
        return SweepInput(
            instrument=self.instrument,
            instrument_record=instrument_record(self.instrument),
            bars=self.bars,
            frame_ns=HOUR_NS,
            first=self.first,
            columns={name: rows[:, layout.column(name)] for name in SCORE_COLUMNS},
            probabilities=chances,
            policy=predictor.policy,
            bundle_id="random",
        )

    def sweep_config(self) -> SweepConfig:
        return sweep_config(config(self.settings), [self.instrument.symbol], 10_000 * 10**8)


EAGER = {
    "scanner": {"min_global_score": 0},
    "risk": EAGER_RISK,
}
"""Settings under which nearly every BUY is approved."""


def lively_bench(count: int, seed: int, gaps: int = 0) -> Bench:
    """`count` traded bars after enough history, under LIVELY settings."""
    bars = lively_bars(count + 500, seed, gaps=gaps)
    return Bench(settings(**LIVELY), instrument(), bars, 500)
