"""The search: parts of combinations evaluated, kept, counted as trials, and the best of them held in bounded memory."""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_S, Clock
from bnml.core.errors import Misconfigured
from bnml.research.grid_store import GridStore
from bnml.research.ledger import DataRange, TrialLedger, Trials

SLICE_S = 0.5
"""Aim of one call of the evaluator: how long an interruption waits."""
TELL_S = 0.5
TELL_IN_LINES_S = 15.0


class Chunk(NamedTuple):
    """Consecutive combinations: a row each (`kernels.grid.GRID_ROW`), daily returns and their squares by block."""

    rows: NDArray[np.void]
    sums: NDArray[np.float64]  # (combinations, 16)
    squares: NDArray[np.float64]


class Evaluator(Protocol):
    """What runs combinations of one grid; safe to be called by several threads."""

    @property
    def dtype(self) -> np.dtype[np.void]:
        """That of the rows."""
        ...

    @property
    def plan(self) -> tuple[str, str]:
        """The way that combinations are evaluated, `tables` or `loop`, and why."""
        ...

    def evaluate(self, start: int, stop: int) -> Chunk:
        """The combinations from `start` to before `stop`."""
        ...

    def daily_returns(self, combination: int) -> NDArray[np.float64]:
        """Daily marked returns of one combination, by the ordinary backtest of that configuration."""
        ...


class Found(NamedTuple):
    """What a search remembers beside the folder: counts, the spread of all Sharpe ratios, the best rows."""

    evaluated: int  # in this run; the others were read from the folder
    own: Trials
    best: list[NDArray[np.void]]  # one-row arrays, the best Sharpe ratio first
    elapsed_s: float
    warning: str


JUDGED_BY = ["daily_mean", "daily_m2", "days", "final_equity_e8"]
"""Fields of a row that a neighbour is judged by."""


def daily_sharpes(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """Daily Sharpe ratio of each row, from the mean and the sum of squared deviations; 0 without variation."""
    variance = rows["daily_m2"] / np.maximum(rows["days"] - 1, 1)
    flat = variance <= 1e-30
    return np.where(flat, 0.0, rows["daily_mean"] / np.sqrt(np.where(flat, 1.0, variance)))


class Best:
    """The `most` rows of the highest Sharpe ratio with enough trades; of equals the lower number stays."""

    def __init__(self, most: int, min_trades: int) -> None:
        self._most = most
        self._min_trades = min_trades
        self._heap: list[tuple[float, int, NDArray[np.void]]] = []

    def add(self, rows: NDArray[np.void], sharpes: NDArray[np.float64]) -> None:
        able = np.flatnonzero(rows["trades"] >= self._min_trades)
        if len(able) > self._most:
            able = able[np.argsort(-sharpes[able], kind="stable")[: self._most]]
        for i in able:
            entry = (float(sharpes[i]), -int(rows["combination"][i]), rows[i : i + 1].copy())
            if len(self._heap) < self._most:
                heapq.heappush(self._heap, entry)
            elif entry[:2] > self._heap[0][:2]:
                heapq.heapreplace(self._heap, entry)

    def rows(self) -> list[NDArray[np.void]]:
        return [row for *_, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


class Progress:
    """How far a search is, on stderr: one line that renews itself on a terminal, else a line now and then."""

    def __init__(self, total: int, clock: Clock) -> None:
        self._total = total
        self._clock = clock
        self._started_ns = self._told_ns = clock.monotonic_ns()
        self._first: tuple[int, int] | None = None
        self._is_terminal = sys.stderr.isatty()

    def elapsed_s(self) -> float:
        return (self._clock.monotonic_ns() - self._started_ns) / NS_PER_S

    def tell(self, done: int, evaluated: int) -> None:
        """`done` of all are in the folder or in work, `evaluated` of them by this run."""
        now_ns = self._clock.monotonic_ns()
        if self._first is None:  # it had to compile and to make tables, which says nothing of the others
            self._first = now_ns, evaluated
            return
        pause_s = TELL_S if self._is_terminal else TELL_IN_LINES_S
        began_ns, before = self._first
        if now_ns - self._told_ns < pause_s * NS_PER_S or evaluated <= before:
            return
        self._told_ns = now_ns
        speed = (evaluated - before) * NS_PER_S / max(now_ns - began_ns, 1)
        left_s = round((self._total - done) / speed)
        text = (
            f"{done:,} of {self._total:,} combinations ({100 * done / self._total:.1f} %), "
            f"{speed:,.0f} a second, {left_s // 3600}:{left_s // 60 % 60:02d}:{left_s % 60:02d} left"
        )
        sys.stderr.write(f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()

    def end(self) -> None:
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")


class Search:
    """Evaluates what the folder lacks, part by part, and remembers what the report needs."""

    def __init__(
        self,
        evaluator: Evaluator,
        store: GridStore,
        data: DataRange,
        ledger: TrialLedger,
        clock: Clock,
        *,
        keep: int,
        min_trades: int,
    ) -> None:
        self._evaluator = evaluator
        self._store = store
        self._data = data
        self._ledger = ledger
        self._clock = clock
        self._best = Best(keep, min_trades)
        self._own = Trials()
        self._slice = 1
        self._warning = ""

    def run(self, threads: int = 0) -> Found:
        """To the end, or to KeyboardInterrupt: then the finished parts stay; `threads` 0 = one per processor."""
        manifest = self._store.manifest
        progress = Progress(manifest.combinations, self._clock)
        evaluated = 0
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            for part in range(manifest.parts):
                start, stop = manifest.span(part)
                if self._store.has(part):
                    self._remember(self._store.read(part))
                    continue
                chunks = []
                for chunk in self._evaluated(pool, threads or os.cpu_count() or 1, start, stop):
                    chunks.append(chunk)
                    evaluated += len(chunk.rows)
                    progress.tell(int(chunk.rows["combination"][-1]) + 1, evaluated)
                whole = Chunk(*(np.concatenate(pieces) for pieces in zip(*chunks, strict=True)))
                trials = self._remember(whole.rows)
                # Before the rows: a part that is counted and lost is evaluated, and counted, as the same again.
                self._count(trials, part)
                self._store.write(part, *whole)
        progress.end()
        return Found(evaluated, self._own, self._best.rows(), progress.elapsed_s(), self._warning)

    def _evaluated(self, pool: ThreadPoolExecutor, threads: int, start: int, stop: int) -> Iterator[Chunk]:
        """Slices in their order, as many at once as there are threads, sized by how long the last ones took."""
        while start < stop:
            began_ns = self._clock.monotonic_ns()
            edges = range(start, min(stop, start + threads * self._slice), self._slice)
            slices = [(edge, min(stop, edge + self._slice)) for edge in edges]
            yield from pool.map(lambda span: self._evaluator.evaluate(*span), slices)
            took_s = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
            if took_s < SLICE_S / 2:
                self._slice *= 2
            elif took_s > SLICE_S * 2:
                self._slice = max(1, self._slice // 2)
            start = slices[-1][1]

    def _remember(self, rows: NDArray[np.void]) -> Trials:
        sharpes = daily_sharpes(rows)
        self._best.add(rows, sharpes)
        trials = Trials.of(sharpes)
        self._own = self._own.merged(trials)
        return trials

    def _count(self, trials: Trials, part: int) -> None:
        """A ledger that cannot be written is said once; the grid's own combinations are counted anyway."""
        if self._warning:
            return
        name = f"{self._store.manifest.identity}/{part}"
        try:
            self._ledger.append(self._data, "grid", trials.count, trials.sharpe_mean, trials.sharpe_m2, name)
        except Misconfigured as error:
            self._warning = f"these evaluations are not counted in the ledger: {error}"
