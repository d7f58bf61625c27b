"""Tables of a run: named columns with units, written as CSV and JSON, and shown by the page from the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from bnml.core.clock import format_utc
from bnml.core.errors import Misconfigured

Value = str | int | float | bool | None
Kind = Literal[
    "text", "time", "day", "count", "money", "gain", "share", "change", "ratio", "number", "hours", "bps"
]
"""How people read a value: `gain` and `change` are money and shares with a sign; times are UTC nanoseconds."""


class Column(msgspec.Struct, frozen=True):
    """Name in files, words on the page, kind."""

    name: str
    label: str
    kind: Kind = "text"


class Table(msgspec.Struct, frozen=True):
    """Rows of equal length; `name` is the name of its files."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def records(self) -> list[dict[str, Value]]:
        """Rows by column name, times as text."""
        return [
            {column.name: plain_value(column, value) for column, value in zip(self.columns, row, strict=True)}
            for row in self.rows
        ]


def plain_value(column: Column, value: Value) -> Value:
    """A value as files have it: times as UTC text, all else as it is."""
    if column.kind == "time" and isinstance(value, int):
        return format_utc(value)
    if column.kind == "day" and isinstance(value, int):
        return format_utc(value)[:10]
    return value


def csv_text(table: Table) -> str:
    """Header and rows; floats with all their digits, nothing for None."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    for row in table.records():
        writer.writerow(["" if value is None else value for value in row.values()])
    return out.getvalue()


def write_tables(folder: Path, tables: Iterable[Table], summary: bytes) -> None:
    """`NAME.csv` and `NAME.json` for each table and `summary.json`; Misconfigured if the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_bytes(summary + b"\n")
        for table in tables:
            (folder / f"{table.name}.csv").write_text(csv_text(table), encoding="utf-8")
            encoded = msgspec.json.format(msgspec.json.encode(table.records()), indent=1)
            (folder / f"{table.name}.json").write_bytes(encoded + b"\n")
    except OSError as error:
        raise Misconfigured(
            f"{folder} cannot be written ({error}); choose another folder with --tables"
        ) from error
