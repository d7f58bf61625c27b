"""Recorded bars: folders of parquet files to checked integer bars with the instrument inferred from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np

from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Misconfigured
from bnml.venues.bar_tables import (
    COLUMNS,
    PRICES,
    Array,
    History,
    check_frame,
    check_order,
    check_values,
    find_gaps,
    infer_instrument,
    to_bars,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument


def recorded_symbols(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Files of each symbol in the folder: `BTCUSDT.parquet`, or parts such as `BTCUSDT_2023.parquet`."""
    if not folder.is_dir():
        raise Misconfigured(
            f"data folder {folder} does not exist; name a folder with files such as BTCUSDT.parquet"
        )
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        found.setdefault(path.stem.partition("_")[0], []).append(path)
    if not found:
        raise Misconfigured(
            f"data folder {folder} holds no parquet file; put files such as BTCUSDT.parquet there"
        )
    return {symbol: tuple(paths) for symbol, paths in sorted(found.items())}


def load_history(
    folder: Path,
    symbols: tuple[str, ...] | list[str] = (),
    *,
    frame_ns: int = 0,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> dict[str, History]:
    """Load symbols (none named: all) in alphabetical order, cut to bars that open in [from_ns, to_ns).

    The instrument comes from the whole recording, so that it does not depend on the window. With
    `frame_ns` the recording must have that frame. Raises Misconfigured with one sentence.
    """
    there = recorded_symbols(folder)
    missing = sorted(set(symbols) - set(there))
    if missing:
        raise Misconfigured(
            f"data folder {folder} has no file for {', '.join(missing)}; it holds {', '.join(there)}"
        )
    with duckdb.connect(":memory:") as connection:
        return {
            symbol: _load_symbol(connection, symbol, there[symbol], frame_ns, (from_ns, to_ns))
            for symbol in sorted(set(symbols) or there)
        }


def _load_symbol(
    connection: duckdb.DuckDBPyConnection,
    symbol: str,
    paths: tuple[Path, ...],
    frame_ns: int,
    window: tuple[int | None, int | None],
) -> History:
    tables = [_read(connection, path) for path in paths]
    tables.sort(key=lambda table: int(table["open_time"][0]))
    table = {name: np.concatenate([part[name] for part in tables]) for name in COLUMNS}
    where = f"{symbol} in {paths[0].parent}" if len(paths) > 1 else str(paths[0])
    check_order(table["open_time"], where)
    frame = check_frame(table["open_time"], where, frame_ns)
    instrument = infer_instrument(symbol, table, where)
    bars = to_bars(table, instrument)
    first = 0 if window[0] is None else int(np.searchsorted(bars["ts_open_ns"], window[0]))
    last = len(bars) if window[1] is None else int(np.searchsorted(bars["ts_open_ns"], window[1]))
    bars = bars[first:last]
    gaps = find_gaps(bars["ts_open_ns"], frame)
    return History(symbol, instrument, frame, bars, gaps, tuple(str(path) for path in paths))


def _read(connection: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Array]:
    try:
        relation = connection.read_parquet(str(path))
        absent = [name for name in COLUMNS if name not in relation.columns]
        if absent:
            raise Misconfigured(
                f"{path} lacks the column {', '.join(absent)}; bars need {', '.join(COLUMNS)} (it has {', '.join(relation.columns)})"
            )
        wanted = ", ".join(
            f"CAST({name} AS {'BIGINT' if name == 'open_time' else 'DOUBLE'}) AS {name}" for name in COLUMNS
        )
        raw = relation.project(wanted).fetchnumpy()
    except duckdb.Error as error:
        detail = str(error).strip().splitlines()[0]
        raise Misconfigured(
            f"{path} is not a readable parquet file of bars ({detail}); fetch or write it again"
        ) from error
    for name in COLUMNS:
        if np.ma.is_masked(raw[name]):
            row = int(np.argmax(np.ma.getmaskarray(raw[name])))
            raise Misconfigured(f"{path} row {row} has no {name}; remove the row or fetch the file again")
    table = {name: np.ma.getdata(raw[name]) for name in COLUMNS}
    if len(table["open_time"]) == 0:
        raise Misconfigured(f"{path} holds no bars; remove it or fetch it again")
    check_values(table, str(path))
    return table


def write_history(path: Path, instrument: Instrument, bars: NDArray[np.void]) -> None:
    """Write bars in the format that `load_history` reads; the file appears whole or not at all."""
    columns: dict[str, NDArray[np.generic]] = {"open_time": bars["ts_open_ns"] // NS_PER_MS}
    for name in PRICES:
        columns[name] = bars[name].astype(np.float64) * float(instrument.tick_e8) / 1e8
    columns["volume"] = bars["volume_lots"].astype(np.float64) * float(instrument.lot_e8) / 1e8
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with duckdb.connect(":memory:") as connection:
        connection.register("columns", columns)
        target = str(part).replace("'", "''")
        connection.execute(f"COPY columns TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
    part.replace(path)
