"""Anyone's bar files as integer bars: columns by their usual names, one file a symbol or one for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_MS, format_utc
from bnml.core.errors import Misconfigured
from bnml.core.instrument import E8, Instrument
from bnml.research.input_tables import SUFFIXES, find_columns, read_table, times_ms
from bnml.venues.bar_tables import (
    PRICES,
    Gap,
    check_order,
    check_values,
    find_gaps,
    frame_text,
    infer_instrument,
    to_bars,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ALIASES: dict[str, tuple[str, ...]] = {
    "time": ("open_time", "timestamp", "ts", "date", "datetime", "open_time_ms", "ts_open_ms", "unix"),
    "open": ("o", "open_price"),
    "high": ("h", "high_price"),
    "low": ("l", "low_price"),
    "close": ("c", "close_price"),
    "volume": ("v", "vol", "volume_base", "base_volume"),
    "symbol": ("ticker", "pair", "instrument"),
}
"""Our name of a column, and the others that are taken for it."""
MOST_TICKS = 9 * 10**10
"""Prices above it could overflow a notional; see kernels.fills."""

Table = dict[str, NDArray[Any]]


class Bars(msgspec.Struct, frozen=True):
    """One symbol: integer bars in ascending order, gaps not filled; `fast` bars of the same tick and lot."""

    instrument: Instrument
    bars: NDArray[np.void]
    frame_ns: int
    gaps: tuple[Gap, ...]
    has_volume: bool
    fast: NDArray[np.void] | None = None
    fast_frame_ns: int = 0


class Market(NamedTuple):
    """What rules say of the market where the bars do not: 0 and 0.0 = as the bars have it."""

    frame_ns: int = 0
    tick: float = 0.0
    lot: float = 0.0
    min_notional: float = 5.0


def load_bars(
    path: Path, symbols: Sequence[str], market: Market, fast_path: Path | None = None
) -> dict[str, Bars]:
    """Bars of each symbol, with fast bars where a path of such is given; Misconfigured with one sentence."""
    tables = load_tables(path, symbols)
    fast_tables = load_tables(fast_path, symbols) if fast_path is not None else {}
    return {name: _symbol_bars(name, tables[name], fast_tables.get(name), market, path) for name in symbols}


def load_tables(path: Path, symbols: Sequence[str]) -> dict[str, Table]:
    """Decimal columns of each symbol, ascending in time; `open_time` in ms."""
    if path.is_dir():
        return {name: _of_files(path, name, _files_of(path, name)) for name in symbols}
    tables = _by_symbol(path, symbols[0] if len(symbols) == 1 else path.stem.partition("_")[0])
    missing = [name for name in symbols if name not in tables]
    if missing:
        raise Misconfigured(
            f"{path} has no bars of {', '.join(missing)}, for which there are signals; it holds "
            f"{_few(sorted(tables))}"
        )
    return {name: _in_order(tables[name], f"{name} in {path}") for name in symbols}


def _files_of(folder: Path, symbol: str) -> list[Path]:
    """Files named by the symbol, alone or followed by a mark, as in BTCUSDT_2024.parquet or BTCUSDT-5m.csv."""
    there = sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)
    found = [
        one
        for one in there
        if one.stem == symbol or (one.stem.startswith(symbol) and not one.stem[len(symbol)].isalnum())
    ]
    if not found:
        raise Misconfigured(
            f"{folder} has no file for {symbol}, for which there are signals; put {symbol}.csv or "
            f"{symbol}.parquet there (it holds {_few([one.name for one in there]) or 'neither'})"
        )
    return found


def _of_files(folder: Path, symbol: str, files: Sequence[Path]) -> Table:
    parts = []
    for file in files:
        tables = _by_symbol(file, symbol)
        if symbol not in tables:
            raise Misconfigured(f"{file} holds {_few(sorted(tables))}, not {symbol}; rename it")
        parts.append(tables[symbol])
    where = str(files[0]) if len(files) == 1 else f"{symbol} in {folder}"
    return _in_order({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, where)


def _by_symbol(path: Path, alone: str) -> dict[str, Table]:
    """Tables of a file by symbol; `alone` names the one of a file without such a column."""
    layout = find_columns(path, ALIASES)
    absent = [name for name in ("time", *PRICES) if name not in layout.positions]
    if absent:
        raise Misconfigured(
            f"{path} has no column {', '.join(absent)}; bars need time (or {', '.join(ALIASES['time'][:4])}), "
            f"open, high, low, close and, for tier F1, volume (it has {', '.join(layout.names)})"
        )
    columns = read_table(path, layout, ("symbol",))
    table: Table = {name: columns[name] for name in PRICES}
    table["open_time"] = times_ms(path, columns["time"])
    if "volume" in columns:
        table["volume"] = columns["volume"]
    if "symbol" not in columns:
        return {alone: table}
    names, which = np.unique(columns["symbol"], return_inverse=True)
    return {
        str(name): {column: values[which == k] for column, values in table.items()}
        for k, name in enumerate(names)
    }


def _in_order(table: Table, where: str) -> Table:
    order = np.argsort(table["open_time"], kind="stable")
    table = {name: values[order] for name, values in table.items()}
    check_order(table["open_time"], where)
    check_values(table if "volume" in table else table | {"volume": np.zeros(len(order))}, where)
    return table


def _symbol_bars(symbol: str, table: Table, fast: Table | None, market: Market, path: Path) -> Bars:
    where = f"{symbol} in {path}"
    has_volume = "volume" in table and bool(np.any(table["volume"] > 0))
    both = [with_volume(one) for one in (table, fast) if one is not None]
    instrument = _instrument(symbol, both, has_volume, market, where)
    frame = infer_frame(table["open_time"], where, market.frame_ns)
    bars = to_bars(both[0], instrument)
    gaps = find_gaps(bars["ts_open_ns"], frame)
    if fast is None:
        return Bars(instrument, bars, frame, gaps, has_volume)
    fast_frame = infer_frame(fast["open_time"], f"the fast bars of {symbol}", 0)
    if fast_frame >= frame or frame % fast_frame:
        raise Misconfigured(
            f"{symbol}: fast bars of {frame_text(fast_frame)} do not divide bars of {frame_text(frame)}; "
            "name finer ones with --fast-bars"
        )
    return Bars(instrument, bars, frame, gaps, has_volume, to_bars(both[1], instrument), fast_frame)


def with_volume(table: Table) -> Table:
    """The table itself, or with a volume of zero where it has none."""
    return table if "volume" in table else table | {"volume": np.zeros(len(table["open_time"]))}


def infer_frame(open_time_ms: NDArray[np.int64], where: str, wanted_ns: int) -> int:
    """The length of a bar: as wanted, else the most frequent distance of open times; none may be shorter."""
    steps = np.diff(open_time_ms)
    if not len(steps) and not wanted_ns:
        raise Misconfigured(f"{where} holds one bar, so its frame is unknown; write `frame:` into the rules")
    if wanted_ns:
        frame = wanted_ns // NS_PER_MS
    else:
        distances, counts = np.unique(steps, return_counts=True)
        frame = int(distances[np.argmax(counts)])
    if (steps < frame).any():
        row = int(np.argmax(steps < frame))
        raise Misconfigured(
            f"{where}: the bar of {format_utc(int(open_time_ms[row]) * NS_PER_MS)} is followed by one after "
            f"{frame_text(int(steps[row]) * NS_PER_MS)}, although bars last {frame_text(frame * NS_PER_MS)}; "
            "remove what overlaps, or write `frame:` into the rules"
        )
    return frame * NS_PER_MS


def _instrument(symbol: str, tables: list[Table], has_volume: bool, market: Market, where: str) -> Instrument:
    """Tick and lot as the rules say, else the coarsest decimals that hold slow and fast bars alike.

    Without any volume there is nothing to infer a lot from: it is 1e-8.
    """
    whole = {name: np.concatenate([table[name] for table in tables]) for name in (*PRICES, "volume")}
    if market.tick:
        whole |= {name: np.ones(1) for name in PRICES}
    if market.lot or not has_volume:
        whole["volume"] = np.ones(1)
    try:
        inferred = infer_instrument(symbol, whole, where)
    except Misconfigured as error:
        raise Misconfigured(
            f"{error}; write `tick:` or `lot:` into the rules, to which they are rounded"
        ) from error
    tick_e8 = round(market.tick * E8) or inferred.tick_e8
    lot_e8 = round(market.lot * E8) or (inferred.lot_e8 if has_volume else 1)
    highest = max(float(table["high"].max()) for table in tables)
    lowest = min(float(table["low"].min()) for table in tables)
    if highest * E8 / tick_e8 > MOST_TICKS or lowest * E8 < tick_e8:
        raise Misconfigured(
            f"{where}: prices from {lowest:g} to {highest:g} cannot be counted in ticks of {tick_e8 / E8:g}; "
            "write another `tick:` into the rules"
        )
    return msgspec.structs.replace(
        inferred, tick_e8=tick_e8, lot_e8=lot_e8, min_notional_e8=round(market.min_notional * E8)
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
