"""Random markets and predictors that tests of trading and research share."""

import zlib

import numpy as np

from bnml.config import Settings
from bnml.core.events import ModelPublished
from bnml.core.ids import IdSource
from bnml.core.instrument import Instrument
from bnml.kernels.features import FeatureLayout
from bnml.kernels.records import BAR, BUCKETS, POLICY, QUANTILES, record
from bnml.trading.compile import EngineConfig, compile_engine

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
    count: int, seed: int, *, start_ns: int = START_NS, close: int = 3_000_000, move: float = 0.006, gaps: int = 0
) -> np.ndarray:
    """A random walk in ticks with fat tails, jumps at opens, and `gaps` outages of one to thirty bars."""
    draw = np.random.default_rng(seed)
    bars = np.zeros(count, dtype=BAR)
    opens = start_ns + HOUR_NS * np.arange(count, dtype=np.int64)
    for at in sorted(draw.integers(1, count, gaps)):
        opens[at:] += HOUR_NS * int(draw.integers(1, 31))
    bars["ts_open_ns"] = opens
    for i in range(count):
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
        draw = np.random.default_rng(zlib.crc32(row[self.columns].tobytes()))
        out[:] = draw.dirichlet((1.0, 1.0, 1.0))


class Predictors:
    """One predictor for every bundle id."""

    def __init__(self, predictor: RandomPredictor) -> None:
        self._predictor = predictor

    def predictor(self, bundle_id: str) -> RandomPredictor:
        return self._predictor


def published(*symbols: str) -> list[ModelPublished]:
    return [ModelPublished(symbol, "random", 0) for symbol in symbols]
