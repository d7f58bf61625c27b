"""Tables that others wrote: chosen columns of a CSV or parquet file as arrays, faults named by file and row."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bnml.core.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

SUFFIXES = (".csv", ".parquet")
TEXT_WIDTH = 48
DELIMITERS = ",;\t"
MS_DIGITS, US_DIGITS, NS_DIGITS = 10**11, 10**14, 10**17  # a time above it is in ms, us, ns, else in s
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_ZONE = re.compile(r"(Z|\+00:?00|[ ]?UTC)$")

Columns = dict[str, "NDArray[Any]"]


class Layout(msgspec.Struct, frozen=True):
    """What a header says: position in the file by our name of the column, and how to split a line (CSV)."""

    positions: dict[str, int]
    names: tuple[str, ...]
    delimiter: str = ","


def read_table(path: Path, layout: Layout, texts: Sequence[str] = ()) -> Columns:
    """The columns of `layout`, those in `texts` as text (missing = empty), the others as float64.

    Raises Misconfigured where a cell that must be a number is none, naming the row (1 = first after the header).
    """
    return _read_csv(path, layout, texts) if _is_csv(path) else _read_parquet(path, layout, texts)


def find_columns(path: Path, aliases: Mapping[str, Sequence[str]]) -> Layout:
    """Where the columns lie; `aliases` are the other names of each, compared without case and space."""
    names, delimiter = _csv_header(path) if _is_csv(path) else (_parquet_header(path), ",")
    plain = [name.strip().lower().replace(" ", "_") for name in names]
    positions: dict[str, int] = {}
    for ours, others in aliases.items():
        there = [name for name in (ours, *others) if name in plain]
        if there:
            positions[ours] = plain.index(there[0])
    return Layout(positions, tuple(names), delimiter)


def times_ms(path: Path, values: NDArray[Any]) -> NDArray[np.int64]:
    """Moments (numbers in s, ms, us or ns, or ISO texts in UTC) as milliseconds."""
    if values.dtype.kind == "U":
        return _iso_ms(path, values)
    largest = int(np.max(np.abs(values), initial=0))
    for digits, unit in ((NS_DIGITS, 1_000_000), (US_DIGITS, 1_000), (MS_DIGITS, 1)):
        if largest > digits:
            return np.asarray(np.rint(values // unit), dtype=np.int64)
    return np.asarray(np.rint(values * 1000), dtype=np.int64)


def numbers(path: Path, name: str, texts: NDArray[np.str_]) -> NDArray[np.float64]:
    """A text column as numbers, an empty cell as NaN."""
    try:
        return np.where(np.char.strip(texts) == "", "nan", texts).astype(np.float64)
    except ValueError:
        row = next(k for k, text in enumerate(texts) if text.strip() and not _is_number(text))
        raise Misconfigured(
            f'{path} row {row + 1}: {name} is "{texts[row]}"; write a number such as 0.5'
        ) from None


def _is_csv(path: Path) -> bool:
    if not path.is_file():
        raise Misconfigured(f"there is no file {path}; name a {' or '.join(SUFFIXES)} file")
    if path.suffix.lower() not in SUFFIXES:
        raise Misconfigured(f"{path} is neither .csv nor .parquet; write it as one of them")
    return path.suffix.lower() == ".csv"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _iso_ms(path: Path, texts: NDArray[np.str_]) -> NDArray[np.int64]:
    plain = [_ZONE.sub("", text.strip()) for text in texts.tolist()]
    if not any("+" in text or text.count("-") > 2 for text in plain):  # no zone of its own
        try:
            moments = np.array(plain, dtype="datetime64[ms]")
        except ValueError:
            moments = np.array(["NaT"], dtype="datetime64[ms]")  # the first that is none is named below
        if not np.isnat(moments).any():
            return moments.astype(np.int64)
    return np.array([_one_ms(path, row, text) for row, text in enumerate(plain)], dtype=np.int64)


def _one_ms(path: Path, row: int, text: str) -> int:
    has_zone = "+" in text or text.count("-") > 2
    try:
        moment: Any = np.datetime64("NaT" if has_zone or not text else text, "ms")
    except ValueError:
        moment = np.datetime64("NaT")
    if np.isnat(moment):
        raise Misconfigured(
            f'{path} row {row + 1}: the time is "{text}"; write UTC milliseconds, or UTC as 2023-07-01T12:00:00Z'
        )
    return int(moment.astype(np.int64))


# -- CSV -------------------------------------------------------------------------------------------------------


def _csv_lines(path: Path, use: Callable[[Any], Any]) -> Any:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return use(file)
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read ({error}); write it as UTF-8 text") from error


def _csv_header(path: Path) -> tuple[list[str], str]:
    first = _csv_lines(path, lambda file: file.readline())
    delimiter = max(DELIMITERS, key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    if not names or any(_is_number(name) for name in names):
        raise Misconfigured(
            f"{path} does not begin with the names of its columns; write them into the first line"
        )
    return names, delimiter


def _read_csv(path: Path, layout: Layout, texts: Sequence[str]) -> Columns:
    order = sorted(layout.positions, key=layout.positions.__getitem__)
    first = _csv_lines(path, lambda file: (file.readline(), file.readline())[1])
    if not first.strip():
        raise Misconfigured(f"{path} holds no rows below its header; write some, or name another file")
    cells = next(csv.reader([first], delimiter=layout.delimiter))
    kinds = [(name, _kind(name, cells, layout, texts)) for name in order]
    try:
        rows = np.loadtxt(
            path,
            dtype=kinds,
            delimiter=layout.delimiter,
            skiprows=1,
            usecols=[layout.positions[name] for name in order],
            encoding="utf-8-sig",
            comments=None,
            quotechar='"',
            ndmin=1,
        )
    except ValueError as error:
        raise Misconfigured(_bad_cell(path, layout, dict(kinds)) or f"{path}: {error}") from error
    return {name: rows[name].copy() for name in order}


def _kind(name: str, cells: Sequence[str], layout: Layout, texts: Sequence[str]) -> str:
    if name in texts:
        return f"U{TEXT_WIDTH}"
    if name != "time":
        return "f8"
    at = layout.positions[name]
    cell = cells[at].strip() if at < len(cells) else ""
    if not _NUMBER.fullmatch(cell):
        return f"U{TEXT_WIDTH}"
    return "i8" if cell.lstrip("+-").isdigit() else "f8"


def _bad_cell(path: Path, layout: Layout, kinds: Mapping[str, str]) -> str:
    """The first cell that is not what its column should be, in a sentence."""
    rows = _csv_lines(path, lambda file: list(csv.reader(file, delimiter=layout.delimiter)))
    for number, cells in enumerate((row for row in rows[1:] if row), start=1):
        for name, at in layout.positions.items():
            if at >= len(cells):
                return f"{path} row {number} ends before its {name}; write all columns, or remove the row"
            wanted = kinds[name]
            if wanted == "f8" and not _is_number(cells[at]):
                return f'{path} row {number}: {name} is "{cells[at]}"; write a number, or remove the row'
            if wanted == "i8" and not cells[at].strip().lstrip("+-").isdigit():
                return f'{path} row {number}: {name} is "{cells[at]}"; write all times in one form'
    return ""


# -- parquet, by duckdb, which is imported only for it ---------------------------------------------------------


def _parquet_header(path: Path) -> list[str]:
    names: list[str] = _with_relation(path, lambda relation: list(relation.columns))
    return names


def _read_parquet(path: Path, layout: Layout, texts: Sequence[str]) -> Columns:
    def read(relation: Any) -> dict[str, NDArray[Any]]:
        kinds = dict(zip(relation.columns, map(str, relation.types), strict=True))
        wanted = ", ".join(
            f"{_cast(name, layout.names[at], kinds[layout.names[at]], texts)} AS {name}"
            for name, at in layout.positions.items()
        )
        found: dict[str, NDArray[Any]] = relation.project(wanted).fetchnumpy()
        return found

    raw = _with_relation(path, read)
    if not len(next(iter(raw.values()), [])):
        raise Misconfigured(f"{path} holds no rows; write some, or name another file")
    columns: Columns = {}
    for name, values in raw.items():
        if np.ma.is_masked(values):
            row = int(np.argmax(np.ma.getmaskarray(values)))
            raise Misconfigured(f"{path} row {row + 1} has no {name}; write it, or remove the row")
        plain = np.ma.getdata(values)
        columns[name] = plain.astype(np.str_) if plain.dtype.kind == "O" else plain
    return columns


def _cast(ours: str, theirs: str, kind: str, texts: Sequence[str]) -> str:
    quoted = '"' + theirs.replace('"', '""') + '"'
    if ours in texts:
        return f"COALESCE(CAST({quoted} AS VARCHAR), '')"
    if ours != "time":
        return f"CAST({quoted} AS DOUBLE)"
    if kind.startswith(("TIMESTAMP", "DATE")):
        return f"epoch_us({quoted})"
    return quoted if kind == "VARCHAR" else f"CAST({quoted} AS {'BIGINT' if 'INT' in kind else 'DOUBLE'})"


def _with_relation(path: Path, use: Callable[[Any], Any]) -> Any:
    import duckdb  # noqa: PLC0415 - a run on CSV files does not wait for it

    try:
        with duckdb.connect(":memory:") as connection:
            return use(connection.read_parquet(str(path)))
    except duckdb.Error as error:
        detail = str(error).strip().splitlines()[0]
        raise Misconfigured(f"{path} is not a readable parquet table ({detail}); write it again") from error
