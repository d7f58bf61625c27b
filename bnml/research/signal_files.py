"""Given signals: rows of a CSV or parquet file, checked, each found at the close of its bar."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.clock import NS_PER_MS, format_utc
from bnml.core.errors import Misconfigured
from bnml.research.input_tables import find_columns, numbers, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.research.bar_files import Bars
    from bnml.research.input_tables import Layout

NEEDED = ("symbol", "ts_close_ms", "score")
OPTIONAL = ("exit", "size")
WORDS = {"true": "1", "false": "0"}
FIRST_MS, LAST_MS = 10**11, 10**14  # 1973 to 5138: what lies outside is in seconds or in microseconds


class Signals(NamedTuple):
    """One row a signal, in the order of the file. NaN score: an exit; NaN size: as the rules say."""

    symbol: NDArray[np.str_]
    ts_close_ms: NDArray[np.int64]
    score: NDArray[np.float64]
    is_exit: NDArray[np.bool_]
    size: NDArray[np.float64]

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.symbol.tolist())))

    def only(self, keep: NDArray[np.bool_]) -> Signals:
        """Some of the rows."""
        return Signals(
            self.symbol[keep], self.ts_close_ms[keep], self.score[keep], self.is_exit[keep], self.size[keep]
        )


class Placed(NamedTuple):
    """The signals of one symbol, ascending: index of the bar they are known at the close of, and what they say."""

    bar: NDArray[np.int64]
    score: NDArray[np.float64]
    is_exit: NDArray[np.bool_]
    size: NDArray[np.float64]


def load_signals(path: Path) -> Signals:
    """Read and check a signals file; Misconfigured with the file, the row and what to write instead."""
    layout = find_columns(path, dict.fromkeys((*NEEDED, *OPTIONAL), ()))
    _check_columns(path, layout)
    columns = read_table(path, layout, (*NEEDED, *OPTIONAL))
    count = len(columns["symbol"])
    blank = np.full(count, "", dtype=np.str_)
    is_exit = _exits(path, columns.get("exit", blank))
    signals = Signals(
        np.char.strip(columns["symbol"]),
        _moments(path, columns["ts_close_ms"]),
        numbers(path, "score", columns["score"]),
        is_exit,
        numbers(path, "size", columns.get("size", blank)),
    )
    _check_values(path, signals)
    return signals


def place(
    signals: Signals, bars: Mapping[str, Bars], path: Path, *, loose: bool
) -> tuple[dict[str, Placed], str]:
    """Signals at the bars that close at their times, and a sentence on those left out (only if `loose`)."""
    placed: dict[str, Placed] = {}
    strays: list[int] = []
    for symbol in signals.symbols:
        rows = np.flatnonzero(signals.symbol == symbol)
        rows = rows[np.argsort(signals.ts_close_ms[rows], kind="stable")]
        closes = (bars[symbol].bars["ts_open_ns"] + bars[symbol].frame_ns) // NS_PER_MS
        at = np.searchsorted(closes, signals.ts_close_ms[rows])
        there = closes[np.minimum(at, len(closes) - 1)] == signals.ts_close_ms[rows]
        strays += rows[~there].tolist()
        rows, at = rows[there], at[there]
        placed[symbol] = Placed(at, signals.score[rows], signals.is_exit[rows], signals.size[rows])
    if not strays:
        return placed, ""
    sentence = _stray_sentence(signals, bars, path, strays)
    if not loose:
        raise Misconfigured(f"{sentence}; correct them, or leave them out with --loose")
    return placed, f"{sentence}; they are left out"


def _check_columns(path: Path, layout: Layout) -> None:
    known = (*NEEDED, *OPTIONAL)
    for name in layout.names:
        if name.strip().lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.0)[0]
            raise Misconfigured(
                f"{path} has a column {name}; signals have {', '.join(NEEDED)} and may have "
                f"{', '.join(OPTIONAL)}: rename it (to {near}?) or remove it"
            )
    absent = [name for name in NEEDED if name not in layout.positions]
    if absent:
        raise Misconfigured(
            f"{path} has no column {', '.join(absent)}; signals need {', '.join(NEEDED)} "
            f"(it has {', '.join(layout.names)})"
        )


def _exits(path: Path, texts: NDArray[np.str_]) -> NDArray[np.bool_]:
    values = numbers(path, "exit", np.array([WORDS.get(text.lower(), text) for text in texts.tolist()]))
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    _refuse(path, wrong, texts, "exit", "write 1 to sell what is held, 0 to buy")
    return np.equal(values, 1)


def _moments(path: Path, texts: NDArray[np.str_]) -> NDArray[np.int64]:
    try:
        moments = texts.astype(np.int64)
    except ValueError:
        wrong = np.array([not text.strip().isdigit() for text in texts.tolist()])
        _refuse(path, wrong, texts, "ts_close_ms", "write whole milliseconds since 1970, UTC")
        raise
    wrong = (moments < FIRST_MS) | (moments > LAST_MS)
    _refuse(path, wrong, texts, "ts_close_ms", "that is not in milliseconds since 1970; write it so")
    return moments


def _check_values(path: Path, s: Signals) -> None:
    _refuse(path, s.symbol == "", s.symbol, "symbol", "write one such as BTCUSDT")
    wrong = ~np.isfinite(s.score) & ~(s.is_exit & np.isnan(s.score))
    _refuse(path, wrong, s.score, "score", "write a finite number: entries are ranked by it")
    wrong = ~np.isnan(s.size) & ~((s.size > 0) & (s.size <= 1))
    _refuse(path, wrong, s.size, "size", "write a share of equity above 0 and at most 1, or nothing")
    order = np.lexsort((s.ts_close_ms, s.symbol))
    same = (s.symbol[order][1:] == s.symbol[order][:-1]) & (np.diff(s.ts_close_ms[order]) == 0)
    if same.any():
        k = int(np.argmax(same))
        first, again = sorted((int(order[k]), int(order[k + 1])))
        when = format_utc(int(s.ts_close_ms[again]) * NS_PER_MS)
        raise Misconfigured(
            f"{path} row {again + 1}: {s.symbol[again]} at {when} stands twice, first in row {first + 1}; "
            "keep one of them"
        )


def _refuse(
    path: Path, wrong: NDArray[np.bool_], values: NDArray[np.generic], name: str, advice: str
) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise Misconfigured(f'{path} row {row + 1}: {name} is "{values[row]}"; {advice}')


def _stray_sentence(signals: Signals, bars: Mapping[str, Bars], path: Path, strays: list[int]) -> str:
    row = min(strays)
    symbol, ts_ms = str(signals.symbol[row]), int(signals.ts_close_ms[row])
    own = bars[symbol]
    closes = (own.bars["ts_open_ns"] + own.frame_ns) // NS_PER_MS
    hint = ""
    if (closes == ts_ms + 1).any():
        hint = " (a bar closes 1 ms later: write open time + frame)"
    elif not closes[0] <= ts_ms <= closes[-1]:
        hint = f" (they close from {format_utc(int(closes[0]) * NS_PER_MS)} to {format_utc(int(closes[-1]) * NS_PER_MS)})"
    return (
        f"{path}: {len(strays)} of {len(signals.symbol)} signals are at no bar's close, the first in row {row + 1}: "
        f"{symbol} at {format_utc(ts_ms * NS_PER_MS)}{hint}"
    )
