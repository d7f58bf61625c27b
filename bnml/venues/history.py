"""Recorded bars: folders of parquet files to checked integer bars with the instrument inferred from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S, format_utc
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument, decimals_of
from bnml.kernels.records import BAR

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
PRICES = ("open", "high", "low", "close")
# Longest first, so that FDUSD is not read as USD.
QUOTES = (
    "FDUSD",
    "USDT",
    "USDC",
    "BUSD",
    "TUSD",
    "USD1",
    "BIDR",
    "DAI",
    "BTC",
    "ETH",
    "BNB",
    "TRY",
    "EUR",
    "BRL",
)
# Sums of decimals carry noise in the last bits of a double; more than this is a price finer than 1e-8.
NOISE = 1e-12

Array = NDArray[np.float64]


class Gap(NamedTuple):
    """Bars that the recording lacks: the first missing open time, and how many in a row."""

    ts_open_ns: int
    bars: int


class History(msgspec.Struct, frozen=True):
    """One symbol: `bars` (kernels.records.BAR, ascending, gaps not filled) inside the asked window."""

    symbol: str
    instrument: Instrument
    frame_ns: int
    bars: NDArray[np.void]
    gaps: tuple[Gap, ...]
    files: tuple[str, ...]


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
    _check_order(table["open_time"], where)
    frame = _check_frame(table["open_time"], where, frame_ns)
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
    _check_values(table, path)
    return table


def _check_values(table: dict[str, Array], path: Path) -> None:
    opened, high, low, close = (table[name] for name in PRICES)
    finite = np.isfinite(opened + high + low + close + table["volume"])
    for broken, what in (
        (~finite, "a price or volume that is not a finite number"),
        (low <= 0, "a price that is not above zero"),
        (table["volume"] < 0, "a volume below zero"),
        (
            (high < np.maximum(opened, close)) | (low > np.minimum(opened, close)),
            "open or close outside low..high",
        ),
    ):
        if broken.any():
            row = int(np.argmax(broken))
            when = format_utc(int(table["open_time"][row]) * NS_PER_MS)
            raise Misconfigured(f"{path} row {row} ({when}) has {what}; mend or remove the row")


def _check_order(open_time_ms: Array, where: str) -> None:
    steps = np.diff(open_time_ms)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        when = format_utc(int(open_time_ms[row]) * NS_PER_MS)
        word = "comes twice" if steps[row - 1] == 0 else "is earlier than the row before"
        raise Misconfigured(f"{where} row {row}: open_time {when} {word}; bars must be sorted and unique")


def _check_frame(open_time_ms: Array, where: str, wanted_ns: int) -> int:
    """Most frequent distance of open times; each bar must start on a multiple of it."""
    if len(open_time_ms) == 1:
        frame = wanted_ns // NS_PER_MS
        if not frame:
            raise Misconfigured(f"{where} holds one bar, so its frame is unknown; name the frame or add bars")
    else:
        distances, counts = np.unique(np.diff(open_time_ms), return_counts=True)
        frame = int(distances[np.argmax(counts)])
    if wanted_ns and frame * NS_PER_MS != wanted_ns:
        raise Misconfigured(
            f"{where} has bars of {frame_text(frame * NS_PER_MS)}, not of {frame_text(wanted_ns)}; "
            "name that folder or that base frame"
        )
    if (open_time_ms % frame).any():
        row = int(np.argmax(open_time_ms % frame != 0))
        when = format_utc(int(open_time_ms[row]) * NS_PER_MS)
        raise Misconfigured(
            f"{where} row {row} opens at {when}, off the grid of {frame_text(frame * NS_PER_MS)}"
        )
    return frame * NS_PER_MS


def infer_instrument(symbol: str, table: dict[str, Array], where: str = "") -> Instrument:
    """Instrument whose tick and lot are the coarsest decimals (at most 8) that hold every value exactly."""
    price_decimals = max(_decimals(table[name], f"{where}: {name}") for name in PRICES)
    volume_decimals = _decimals(table["volume"], f"{where}: volume")
    quote = next((name for name in QUOTES if symbol.endswith(name) and symbol != name), "")
    return Instrument(
        symbol=symbol,
        base=symbol.removesuffix(quote),
        quote=quote or "USDT",
        tick_e8=10 ** (8 - price_decimals),
        lot_e8=10 ** (8 - volume_decimals),
    )


def _decimals(values: Array, what: str) -> int:
    for tolerance in (0.0, NOISE):
        for decimals in range(9):
            scaled = np.rint(values * 10.0**decimals)
            if (np.abs(scaled / 10.0**decimals - values) <= tolerance * np.abs(values)).all():
                return decimals
    raise Misconfigured(f"{what} has values finer than 8 decimals; a venue's prices and quantities do not")


def to_bars(table: dict[str, Array], instrument: Instrument) -> NDArray[np.void]:
    """Decimal columns (open_time in ms) as integer bars of the instrument."""
    bars = np.zeros(len(table["open_time"]), dtype=BAR)
    bars["ts_open_ns"] = table["open_time"].astype(np.int64) * NS_PER_MS
    for name in PRICES:
        bars[name] = np.rint(table[name] * 10.0 ** decimals_of(instrument.tick_e8))
    bars["volume_lots"] = np.rint(table["volume"] * 10.0 ** decimals_of(instrument.lot_e8))
    return bars


def find_gaps(ts_open_ns: NDArray[np.int64], frame_ns: int) -> tuple[Gap, ...]:
    """Every hole between consecutive bars."""
    missing = np.diff(ts_open_ns) // frame_ns - 1
    return tuple(Gap(int(ts_open_ns[i]) + frame_ns, int(missing[i])) for i in np.flatnonzero(missing > 0))


def describe_gaps(history: History) -> str:
    """One sentence for the operator; empty when nothing is missing."""
    if not history.gaps:
        return ""
    largest = max(history.gaps, key=lambda gap: gap.bars)
    return (
        f"{history.symbol}: {sum(gap.bars for gap in history.gaps)} bars are missing in {len(history.gaps)} gaps, "
        f"the largest {largest.bars} bars from {format_utc(largest.ts_open_ns)}; they are not filled"
    )


def frame_text(frame_ns: int) -> str:
    """A frame as the configuration writes it, such as 15m."""
    for unit_ns, unit in ((NS_PER_DAY, "d"), (NS_PER_HOUR, "h"), (60 * NS_PER_S, "m"), (NS_PER_S, "s")):
        if frame_ns % unit_ns == 0:
            return f"{frame_ns // unit_ns}{unit}"
    return f"{frame_ns} ns"


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
