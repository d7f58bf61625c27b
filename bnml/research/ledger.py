"""The ledger of trials: what was ever evaluated on which stretch of data, so that the best of it can be deflated.

Every Sharpe ratio here is that of daily returns, not annualised: figures of different frames can be merged.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import Clock, LiveClock
from bnml.core.errors import Misconfigured

LEDGER_FILE = "trials.db"
SCHEMA_VERSION = 1
BUSY_S = 30.0
"""How long one process waits for another that is writing."""

_SCHEMA = """
CREATE TABLE evaluations (
  id INTEGER PRIMARY KEY,
  appended_ns INTEGER NOT NULL,
  kind TEXT NOT NULL,
  config_hash TEXT NOT NULL,
  symbols TEXT NOT NULL,
  frame_ns INTEGER NOT NULL,
  from_ns INTEGER NOT NULL,
  to_ns INTEGER NOT NULL CHECK (to_ns > from_ns),
  count INTEGER NOT NULL CHECK (count > 0),
  sharpe_mean REAL NOT NULL,
  sharpe_m2 REAL NOT NULL CHECK (sharpe_m2 >= 0)
);
CREATE INDEX evaluations_time ON evaluations (from_ns, to_ns);
CREATE TRIGGER evaluations_stay BEFORE UPDATE ON evaluations BEGIN SELECT RAISE(ABORT, 'append only'); END;
CREATE TRIGGER evaluations_remain BEFORE DELETE ON evaluations BEGIN SELECT RAISE(ABORT, 'append only'); END;
"""
_OVERLAPPING = """
SELECT DISTINCT kind, config_hash, symbols, frame_ns, from_ns, to_ns, count, sharpe_mean, sharpe_m2
FROM evaluations
WHERE from_ns < ? AND to_ns > ? AND EXISTS (
  SELECT 1 FROM json_each(evaluations.symbols) AS theirs
  WHERE theirs.value IN (SELECT value FROM json_each(?)))
ORDER BY kind, config_hash, symbols, frame_ns, from_ns, to_ns, count, sharpe_mean, sharpe_m2
"""


class DataRange(msgspec.Struct, frozen=True):
    """The data that something was evaluated on: symbols, length of their bars, traded time, half open, UTC."""

    symbols: tuple[str, ...]
    frame_ns: int
    from_ns: int
    to_ns: int


class Trials(msgspec.Struct, frozen=True):
    """How many evaluations there were, and how their daily Sharpe ratios spread; `m2` is their sum of squares."""

    count: int = 0
    sharpe_mean: float = 0.0
    sharpe_m2: float = 0.0

    @property
    def sharpe_variance(self) -> float:
        """Sample variance; 0 for fewer than two trials."""
        return self.sharpe_m2 / (self.count - 1) if self.count > 1 else 0.0

    def luck_variance(self, days: int) -> float:
        """Variance of the ratios that luck alone gives: that of the trials, at most that of a worthless one.

        The ratio of `days` returns of mean 0 has variance 1 / (days - 1). What trials spread beyond it is
        no luck: combinations that lose their costs for certain would raise the bar without end.
        """
        return min(self.sharpe_variance, 1.0 / (days - 1)) if days > 1 else 0.0

    def merged(self, other: Trials) -> Trials:
        """Both together, in whatever order; Chan, Golub and LeVeque 1979."""
        count = self.count + other.count
        if count == 0:
            return self
        apart = other.sharpe_mean - self.sharpe_mean
        return Trials(
            count,
            self.sharpe_mean + apart * other.count / count,
            self.sharpe_m2 + other.sharpe_m2 + apart * apart * self.count * other.count / count,
        )

    @classmethod
    def of(cls, sharpes: NDArray[np.float64]) -> Trials:
        """The trials whose daily Sharpe ratios these are."""
        if len(sharpes) == 0:
            return cls()
        mean = float(np.mean(sharpes))
        return cls(len(sharpes), mean, float(np.sum((sharpes - mean) ** 2)))


class TrialLedger:
    """One SQLite file, made when something is first written; several processes may append at the same time.

    Nothing is ever changed or removed. Raises Misconfigured if the file cannot be used.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._path = path
        self._clock = clock or LiveClock()

    def append(
        self,
        data: DataRange,
        kind: str,
        count: int,
        sharpe_mean: float,
        sharpe_m2: float,
        config_hash: str,
    ) -> None:
        """Note `count` evaluations of `kind`; `config_hash` names what was evaluated, such as a part of a grid."""
        row = (
            self._clock.now_ns(),
            kind,
            config_hash,
            json.dumps(sorted(data.symbols)),
            data.frame_ns,
            data.from_ns,
            data.to_ns,
            count,
            sharpe_mean,
            sharpe_m2,
        )
        with self._connected(write=True) as connection:
            connection.execute(
                "INSERT INTO evaluations (appended_ns, kind, config_hash, symbols, frame_ns, from_ns, to_ns,"
                " count, sharpe_mean, sharpe_m2) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def overlapping(self, data: DataRange) -> Trials:
        """All evaluations that shared a symbol and some time with `data`.

        The same thing evaluated again with the same outcome on the same data is one trial.
        """
        if not self._path.exists():
            return Trials()
        with self._connected(write=False) as connection:
            found = connection.execute(
                _OVERLAPPING, (data.to_ns, data.from_ns, json.dumps(data.symbols))
            ).fetchall()
        total = Trials()
        for *_, count, mean, m2 in found:
            total = total.merged(Trials(count, mean, m2))
        return total

    @contextmanager
    def _connected(self, *, write: bool) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)) as connection:
                if write:
                    connection.execute("BEGIN IMMEDIATE")
                self._check(connection, write=write)
                yield connection
                if write:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise Misconfigured(
                f"the ledger of trials {self._path} cannot be {'written' if write else 'read'} ({error}); "
                "make its folder writable, or choose another with --state-dir"
            ) from error

    def _check(self, connection: sqlite3.Connection, *, write: bool) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0 and write:
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif version != SCHEMA_VERSION:
            raise Misconfigured(
                f"the ledger of trials {self._path} has version {version}, this bnml writes version "
                f"{SCHEMA_VERSION}; use the bnml that made it, or choose another folder with --state-dir"
            )


def count_run(
    path: Path, data: DataRange, kind: str, returns: NDArray[np.float64], config_hash: str
) -> tuple[Trials, str]:
    """Append one run by its daily returns; give all trials of its data, this one among them.

    A ledger that cannot be used is a sentence, not a failure: then the run is its own only trial.
    """
    own = Trials.of(np.array([daily_sharpe(returns)]))
    ledger = TrialLedger(path)
    try:
        ledger.append(data, kind, own.count, own.sharpe_mean, own.sharpe_m2, config_hash)
        return ledger.overlapping(data), ""
    except Misconfigured as error:
        return own, f"this run is judged as if it were the only one: {error}"


def daily_sharpe(returns: NDArray[np.float64]) -> float:
    """Mean over sample deviation of daily returns, not annualised; 0 without variation."""
    if len(returns) < 2:
        return 0.0
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / deviation if deviation > 1e-15 else 0.0


def _statements(script: str) -> Iterator[str]:
    """Single statements: `executescript` would end the transaction that keeps two makers apart."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
