"""From bars to rows with labels, and the purged walk-forward folds over them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Rejected
from bnml.core.instrument import Instrument
from bnml.kernels.features import bar_floats, features_batch, new_state
from bnml.kernels.labels import UNKNOWN
from bnml.learn.labels import label_bars

if TYPE_CHECKING:
    from bnml.kernels.features import FeatureLayout

SMALLEST = 400
"""Fewer rows than this cannot fill the folds with more than noise."""


FIRST_FIT = 0.4
"""Share of the rows that the first fold is fitted on: with a quarter, its scores were noise."""


class SymbolBars(msgspec.Struct, frozen=True):
    """What a symbol is learned from: bars (kernels.records.BAR), ascending; the first is the anchor.

    `record` is the instrument as kernels read it (kernels.records.INSTRUMENT, one element).
    """

    instrument: Instrument
    record: NDArray[np.void]
    bars: NDArray[np.void]


class Dataset(msgspec.Struct, frozen=True):
    """Rows in time order; `bar` is the index of the deciding bar, whose close all features know at most.

    `columns` are the indices of the full row that are usable, `features` the full rows (float64),
    `labels` 0 SELL, 1 HOLD, 2 BUY; a label looks `horizon` bars beyond its own.
    """

    features: NDArray[np.float64]
    columns: NDArray[np.int64]
    labels: NDArray[np.int64]
    bar: NDArray[np.int64]
    horizon: int

    @property
    def rows(self) -> NDArray[np.float32]:
        """What the estimators see."""
        return np.ascontiguousarray(self.features[:, self.columns], dtype=np.float32)


class Fold(msgspec.Struct, frozen=True):
    """Positions in a dataset: fit on [0, fit_end), judge on [judge_start, judge_end)."""

    fit_end: int
    judge_start: int
    judge_end: int


def feature_rows(history: SymbolBars, layout: FeatureLayout) -> NDArray[np.float64]:
    """Full feature rows of all bars; NaN where not warmed up."""
    instrument, bars = history.instrument, history.bars
    out = np.full((len(bars), len(layout.names)), np.nan)
    prices = bar_floats(bars, instrument.tick_e8, instrument.lot_e8)
    features_batch(new_state(layout), layout.frames_ns, bars["ts_open_ns"].copy(), *prices, out)
    return out


def make_dataset(
    history: SymbolBars,
    features: NDArray[np.float64],
    atr_ratio: NDArray[np.float64],
    labelling: NDArray[np.void],
    *,
    history_bars: int,
    max_rows: int,
) -> Dataset:
    """The newest `max_rows` rows that have a label and all usable columns; raises Rejected when too few.

    A column is usable if it is warm after `history_bars`, which the daemon feeds before it trades, and
    after a quarter of the bars at hand; so a young listing learns without the frames it is too young for,
    and does not pay for them with its rows.
    """
    symbol, bars = history.instrument.symbol, history.bars
    close = bar_floats(bars, history.instrument.tick_e8, history.instrument.lot_e8)[3]
    labels = label_bars(close, atr_ratio, labelling)
    patience = min(history_bars, len(bars) // 4)
    columns = usable_columns(features, patience)
    if not len(columns):
        raise Rejected(
            f"{symbol}: no feature is warm after {patience} of {len(bars)} bars; load more history"
        )
    complete = np.isfinite(features[:, columns]).all(axis=1) & (labels != UNKNOWN)
    bar = np.flatnonzero(complete)[-max_rows:]
    if len(bar) < SMALLEST:
        raise Rejected(
            f"{symbol}: {len(bars)} bars give {len(bar)} rows with features and label, "
            f"a model needs {SMALLEST}; load more history"
        )
    return Dataset(features[bar], columns, labels[bar], bar, int(labelling[0]["horizon_bars"]))


def usable_columns(features: NDArray[np.float64], patience: int) -> NDArray[np.int64]:
    """Columns whose first number comes within `patience` rows and that are hardly ever missing afterwards."""
    finite = np.isfinite(features)
    first = np.where(finite.any(axis=0), finite.argmax(axis=0), len(features))
    later = finite[min(patience, len(features) - 1) :].mean(axis=0)
    return np.flatnonzero((first < patience) & (later > 0.99))


def walk_forward(dataset: Dataset, folds: int) -> list[Fold]:
    """A first block of FIRST_FIT of the rows, then `folds` equal blocks, each judged by a fit on all before it.

    Purged and embargoed by bars, not rows: between the last bar that a fit saw and the first judged
    one lies twice the horizon, so that no label of the fit and none of its neighbours reaches into it.
    """
    rows = len(dataset.bar)
    edges = np.linspace(int(FIRST_FIT * rows), rows, folds + 1).astype(np.int64)
    made = []
    for start, end in pairwise(edges):
        last_bar = int(dataset.bar[start]) - 2 * dataset.horizon
        fit_end = int(np.searchsorted(dataset.bar, last_bar))
        made.append(Fold(fit_end=fit_end, judge_start=int(start), judge_end=int(end)))
    return made
