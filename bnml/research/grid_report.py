"""What a finished search may claim: candidates on plateaus, deflated by all trials, and a plain word when none stands."""

from __future__ import annotations

from math import sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import format_utc
from bnml.kernels import metrics
from bnml.research.grid_axes import point, shape
from bnml.research.grid_search import JUDGED_BY, Evaluator, Found, daily_sharpes
from bnml.research.grid_store import GridStore, Manifest
from bnml.research.ledger import Trials
from bnml.research.overfit import (
    Neighbourhood,
    Overfitting,
    block_days,
    neighbourhood,
    neighbours_of,
    overfitting,
)

LISTED = 10
ENOUGH_DSR = 0.95
ENOUGH_PBO = 0.5
FEWEST_DAYS = 32
"""Two days in each block that PBO compares."""


class Candidate(msgspec.Struct, frozen=True):
    """One combination on the searched part; shares are fractions, Sharpe ratios yearly from daily marked returns."""

    combination: int
    values: dict[str, float]
    trades: int
    net_return: float
    profit_factor: float | None  # None: profit without any loss
    max_drawdown: float  # of daily marks
    sharpe: float
    deflated_sharpe: float
    neighbourhood: Neighbourhood
    survives: bool


class Sealed(msgspec.Struct, frozen=True):
    """The part of the data that the search has not seen."""

    share: float
    from_: str = msgspec.field(name="from")
    to: str
    opened: str | None = None  # when, and which combination, in words


class GridResult(msgspec.Struct, frozen=True):
    """The one object of `bnml grid --json`."""

    combinations: int
    evaluated: int  # by this run; the others were in the folder
    way: str
    way_why: str
    candidates: tuple[Candidate, ...]
    verdict: str
    pbo: float | None  # None: too few days or combinations to say
    overfitting: Overfitting | None
    deflated_sharpe: float  # the best of the candidates'; 0 without one
    trials: int  # evaluations that touched this data, with these
    luck_sharpe: float  # yearly ratio to be expected of the best of so many worthless trials
    searched_from: str
    searched_to: str
    sealed: Sealed
    folder: str
    elapsed_s: float
    combinations_per_s: float
    notes: tuple[str, ...] = ()


def net_returns(rows: NDArray[np.void], manifest: Manifest) -> NDArray[np.float64]:
    """Share gained of the initial equity."""
    gained: NDArray[np.float64] = rows["final_equity_e8"] / manifest.initial_e8 - 1.0
    return gained


def compared(store: GridStore, days: int) -> Overfitting | None:
    """PBO over the kept sample; None where there is too little to compare."""
    if days < FEWEST_DAYS or store.manifest.combinations < 2:
        return None
    return overfitting(*store.block_sums(), block_days(days))


def candidates(store: GridStore, evaluator: Evaluator, found: Found, trials: Trials) -> tuple[Candidate, ...]:
    """The best rows, those on plateaus first; those beside one that is listed only where others do not fill the list."""
    around = _neighbourhoods(store, found.best)
    order = sorted(range(len(around)), key=lambda k: (not around[k].is_plateau, k))
    peaks: list[int] = []
    beside: list[int] = []
    sizes = shape(store.manifest.axes)
    for k in order:
        near = any(_adjacent(found.best[k], found.best[other], sizes) for other in peaks)
        (beside if near else peaks).append(k)
    listed = (peaks + beside)[:LISTED]
    told = [_candidate(store, evaluator, found.best[k], around[k], trials) for k in listed]
    return tuple(sorted(told, key=lambda one: (not one.survives, not one.neighbourhood.is_plateau,
                                               -one.deflated_sharpe, -one.sharpe)))  # fmt: skip


def _neighbourhoods(store: GridStore, best: list[NDArray[np.void]]) -> list[Neighbourhood]:
    sizes = shape(store.manifest.axes)
    around = [neighbours_of(int(row["combination"][0]), sizes) for row in best]
    wanted = np.unique(np.array([one for group in around for one in group], dtype=np.int64))
    rows = store.rows_of(wanted, JUDGED_BY)
    sharpes, gains = daily_sharpes(rows), net_returns(rows, store.manifest)
    told = []
    for row, group in zip(best, around, strict=True):
        at = np.searchsorted(wanted, group)
        told.append(neighbourhood(float(daily_sharpes(row)[0]), sharpes[at], gains[at]))
    return told


def _adjacent(one: NDArray[np.void], other: NDArray[np.void], sizes: tuple[int, ...]) -> bool:
    places = (np.array(np.unravel_index(int(row["combination"][0]), sizes)) for row in (one, other))
    first, second = places
    return bool(np.max(np.abs(first - second)) <= 1)


def _candidate(
    store: GridStore, evaluator: Evaluator, row: NDArray[np.void], around: Neighbourhood, trials: Trials
) -> Candidate:
    number = int(row["combination"][0])
    returns = evaluator.daily_returns(number)
    moments = metrics.DailyMoments(*metrics.daily_moments(returns))
    deflated = metrics.deflated_sharpe(
        moments, len(returns), trials.count, trials.luck_variance(len(returns))
    )
    factor = metrics.profit_factor(int(row["gross_profit_e8"][0]), int(row["gross_loss_e8"][0]))
    gain = float(net_returns(row, store.manifest)[0])
    return Candidate(
        combination=number,
        values=point(store.manifest.axes, number),
        trades=int(row["trades"][0]),
        net_return=gain,
        profit_factor=None if np.isinf(factor) else factor,
        max_drawdown=int(row["daily_max_drawdown_ppm"][0]) / 1e6,
        sharpe=metrics.sharpe(moments.mean, moments.deviation),
        deflated_sharpe=deflated,
        neighbourhood=around,
        survives=deflated >= ENOUGH_DSR and around.is_plateau and gain > 0.0,
    )


def luck_sharpe(trials: Trials, days: int) -> float:
    """Yearly Sharpe ratio that the best of so many trials without worth is expected to show."""
    best = metrics.expected_maximum(trials.count) * sqrt(metrics.DAYS_PER_YEAR)
    return sqrt(trials.luck_variance(days)) * best


def verdict(listed: tuple[Candidate, ...], over: Overfitting | None, trials: Trials) -> str:
    """One sentence: what stands, or that no edge is shown and why."""
    standing = [one for one in listed if one.survives]
    if not listed:
        return "no edge shown: no combination has enough trades to be judged"
    best = max(one.deflated_sharpe for one in listed)
    if not standing:
        return (
            f"no edge shown: after {trials.count:,} trials the best deflated Sharpe ratio is {best:.3f} "
            f"({ENOUGH_DSR:g} is needed, on a plateau that earns money)"
        )
    if over is not None and over.pbo >= ENOUGH_PBO:
        return (
            f"no edge shown: what does best on one half of the days is not above the median of the other "
            f"in {100 * over.pbo:.0f} % of the splits (PBO; below {100 * ENOUGH_PBO:.0f} % is needed)"
        )
    return (
        f"{len(standing)} of {len(listed)} candidates stand after {trials.count:,} trials; none is proven: "
        "choose one and open the sealed part on it, once"
    )


def sealed_words(manifest: Manifest, from_ns: int, to_ns: int, opened: str | None) -> Sealed:
    """The sealed part of the traded time `from_ns` to `to_ns`."""
    share = (to_ns - manifest.sealed_ns) / (to_ns - from_ns)
    return Sealed(share, format_utc(manifest.sealed_ns), format_utc(to_ns), opened)
