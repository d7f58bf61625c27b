"""The feature row: one step per closed base bar, the same function live, in batch and over many symbols.

State and row belong to the caller; a step allocates nothing and looks at nothing but the bar and the state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import njit
from bnml.kernels.features_base import BASE_COLUMNS, BASE_COUNT, base_row
from bnml.kernels.features_higher import HIGHER_COLUMNS, HIGHER_COUNT, higher_row, higher_step
from bnml.kernels.technical import BLOCK

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

FORMULAS = 1  # raise when any column's value changes: bundles trained on other values are then refused

CONFLUENCE_COLUMNS = (
    "mtf_trend_strength_mean",
    "mtf_trend_strength_std",
    "mtf_trend_consensus",
    "mtf_trend_conflict",
    "mtf_macd_consensus",
    "mtf_rsi_bias_mean",
    "mtf_rsi_bias_std",
    "mtf_confluence_score",
)
CONFLUENCE_COUNT = len(CONFLUENCE_COLUMNS)
EMA_SPREAD, MACD, RSI = 13, 18, 19  # base columns that vote
SMA_9, SMA_21, HIGHER_MACD, HIGHER_RSI = 0, 1, 3, 4  # columns of a higher frame that vote

DAY_NS = 86_400_000_000_000
_UNITS = ((DAY_NS, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "m"), (1_000_000_000, "s"))


@dataclass(frozen=True)
class FeatureLayout:
    """Which columns a row has for a base frame and its higher frames, and how long each needs to warm up."""

    base_frame_ns: int
    higher_frames_ns: tuple[int, ...] = ()
    names: tuple[str, ...] = field(init=False)
    warmups: tuple[int, ...] = field(init=False)  # base bars until a column has a value, at the worst anchor

    def __post_init__(self) -> None:
        previous = self.base_frame_ns
        for frame_ns in self.higher_frames_ns:
            if frame_ns <= previous or frame_ns % self.base_frame_ns or DAY_NS % frame_ns:
                raise ValueError(
                    f"higher frame {frame_name(frame_ns)} does not fit: higher frames ascend, are multiples of the "
                    f"base frame {frame_name(self.base_frame_ns)}, and divide a day"
                )
            previous = frame_ns
        columns = list(BASE_COLUMNS)
        for frame_ns in self.higher_frames_ns:
            bars = frame_ns // self.base_frame_ns
            prefix = f"mtf_{frame_name(frame_ns)}_"
            # The first candle may be cut by the start of the recording and is then left out.
            columns += [(prefix + name, (warmup + 1) * bars - 1) for name, warmup in HIGHER_COLUMNS]
        voting = [EMA_SPREAD, MACD, RSI]
        for frame in range(len(self.higher_frames_ns)):
            at = BASE_COUNT + frame * HIGHER_COUNT
            voting += [at + SMA_9, at + SMA_21, at + HIGHER_MACD, at + HIGHER_RSI]
        last = max(columns[index][1] for index in voting)
        columns += [(name, last) for name in CONFLUENCE_COLUMNS]
        object.__setattr__(self, "names", tuple(name for name, _ in columns))
        object.__setattr__(self, "warmups", tuple(warmup for _, warmup in columns))

    @property
    def count(self) -> int:
        """Number of columns of a row."""
        return len(self.names)

    @property
    def state_size(self) -> int:
        """Floats of one symbol's state."""
        return BLOCK * (1 + len(self.higher_frames_ns))

    @property
    def warmup_bars(self) -> int:
        """Base bars after which every column has a value."""
        return max(self.warmups)

    @cached_property
    def frames_ns(self) -> Integers:
        """Base frame and higher frames as the kernels take them."""
        return np.array((self.base_frame_ns, *self.higher_frames_ns), dtype=np.int64)

    @cached_property
    def version(self) -> str:
        """Names a meaning of the row: equal versions promise columns of equal name, order and formula."""
        text = repr((FORMULAS, self.base_frame_ns, self.higher_frames_ns, self.names, self.warmups))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def column(self, name: str) -> int:
        """Index of a column; ValueError for a name that the row does not have."""
        return self.names.index(name)


def frame_name(frame_ns: int) -> str:
    """A frame as the configuration writes it, such as 15m; nanoseconds where no unit fits."""
    for unit_ns, unit in _UNITS:
        if frame_ns % unit_ns == 0:
            return f"{frame_ns // unit_ns}{unit}"
    return f"{frame_ns}ns"


def new_state(layout: FeatureLayout) -> Array:
    """State of a symbol before its first bar; that bar is its anchor."""
    return np.zeros(layout.state_size)


def bar_floats(bars: NDArray[np.void], tick_e8: int, lot_e8: int) -> tuple[Array, Array, Array, Array, Array]:
    """Open, high, low, close, volume of BAR records as the doubles nearest to their decimals.

    The same doubles as `Instrument.price_float` gives for single values (integers below 2^53).
    """
    tick, lot = float(tick_e8), float(lot_e8)
    opened, high, low, close = (
        bars[name].astype(np.float64) * tick / 1e8 for name in ("open", "high", "low", "close")
    )
    return opened, high, low, close, bars["volume_lots"].astype(np.float64) * lot / 1e8


@njit
def vote(frame: int, out: Array) -> tuple[float, float, float]:
    """Trend strength in percent, MACD histogram and RSI bias (-1..1) of one frame; frame 0 is the base."""
    if frame == 0:
        return out[EMA_SPREAD] * 100.0, out[MACD], (out[RSI] - 50.0) / 50.0
    at = BASE_COUNT + (frame - 1) * HIGHER_COUNT
    spread = (1.0 + out[at + SMA_21]) / (1.0 + out[at + SMA_9]) - 1.0
    return spread * 100.0, out[at + HIGHER_MACD], (out[at + HIGHER_RSI] - 50.0) / 50.0


@njit
def confluence(frames: int, out: Array) -> None:
    """How far the frames agree on trend, MACD and RSI; std is 0 for a single frame; NaN until all vote."""
    trend = macd_votes = bias = trend_votes = 0.0
    for frame in range(frames):
        strength, macd, rsi = vote(frame, out)
        trend += strength / frames
        bias += rsi / frames
        trend_votes += np.sign(strength) / frames
        macd_votes += np.sign(macd) / frames
    trend_squares = bias_squares = 0.0
    for frame in range(frames):
        strength, _, rsi = vote(frame, out)
        trend_squares += (strength - trend) * (strength - trend)
        bias_squares += (rsi - bias) * (rsi - bias)
    others = max(frames - 1, 1)
    at = BASE_COUNT + (frames - 1) * HIGHER_COUNT
    out[at] = trend
    out[at + 1] = np.sqrt(trend_squares / others)
    out[at + 2] = trend_votes
    out[at + 3] = 1.0 - abs(trend_votes)
    out[at + 4] = macd_votes
    out[at + 5] = bias
    out[at + 6] = np.sqrt(bias_squares / others)
    out[at + 7] = (trend_votes + macd_votes + bias) / 3.0


@njit
def features_step(
    state: Array,
    frames_ns: Integers,
    ts_open_ns: int,
    o: float,
    h: float,
    l: float,
    c: float,
    v: float,
    out: Array,
) -> None:
    """Take in one closed base bar (prices and volume as floats) and write its row; NaN before warm-up.

    Bars must come in ascending order; missing bars are simply absent.
    """
    base_row(state, ts_open_ns // frames_ns[0], o, h, l, c, v, out)
    for frame in range(1, len(frames_ns)):
        s = frame * BLOCK
        higher_step(state, s, frames_ns[frame], frames_ns[0], ts_open_ns, h, l, c, v)
        higher_row(state, s, out, BASE_COUNT + (frame - 1) * HIGHER_COUNT)
    confluence(len(frames_ns), out)


@njit
def features_batch(
    state: Array,
    frames_ns: Integers,
    ts_open_ns: Integers,
    o: Array,
    h: Array,
    l: Array,
    c: Array,
    v: Array,
    out: Array,
) -> None:
    """`features_step` for bar after bar of one symbol; out[bars, columns]."""
    for i in range(len(ts_open_ns)):
        features_step(state, frames_ns, ts_open_ns[i], o[i], h[i], l[i], c[i], v[i], out[i])


@njit
def features_step_many(
    states: Array,
    frames_ns: Integers,
    ts_open_ns: Integers,
    o: Array,
    h: Array,
    l: Array,
    c: Array,
    v: Array,
    out: Array,
) -> None:
    """`features_step` for one bar of each symbol; states[symbols, state_size], out[symbols, columns]."""
    for i in range(len(ts_open_ns)):
        features_step(states[i], frames_ns, ts_open_ns[i], o[i], h[i], l[i], c[i], v[i], out[i])
