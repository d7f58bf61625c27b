"""The folder of a grid: a manifest that says what was asked, and parts of rows that appear whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.errors import Misconfigured, Rejected
from bnml.research.grid_axes import Axes, columns, count
from bnml.research.overfit import BLOCKS

MANIFEST, RESULT, SEALED, LOCK = "manifest.json", "result.json", "sealed.json", ".lock"
FORMAT = 1
MOST_PARTS = 2_000
BLOCK_COLUMNS = tuple(f"{kind}_{block}" for kind in ("sum", "square") for block in range(BLOCKS))

Table = dict[str, NDArray[np.generic]]


class Manifest(msgspec.Struct, frozen=True):
    """What a folder holds; two runs with equal manifests have equal rows."""

    axes: Axes
    data_hash: str  # of everything that is evaluated on, the sealed part as well
    config_hash: str  # of rules and settings without the axes
    kernel_hash: str  # of the arithmetic
    seed: int  # draws the combinations that PBO compares
    part: int  # combinations in a part
    sample: int  # combinations that PBO compares
    sealed_ns: int  # where the sealed part begins; the end of the data if nothing is sealed
    initial_e8: int
    request: dict[str, str | None] = {}
    format: int = FORMAT

    @property
    def combinations(self) -> int:
        return count(self.axes)

    @property
    def parts(self) -> int:
        return -(-self.combinations // self.part)

    @property
    def identity(self) -> str:
        """Names the grid: equal for all runs that give equal rows."""
        told = msgspec.json.encode(msgspec.structs.replace(self, request={}))
        return hashlib.sha256(told).hexdigest()[:16]

    def span(self, part: int) -> tuple[int, int]:
        """First combination of a part, and the one after its last."""
        return part * self.part, min((part + 1) * self.part, self.combinations)

    def sampled(self) -> NDArray[np.int64]:
        """Combinations that PBO compares, ascending: all, or a uniform draw."""
        if self.sample >= self.combinations:
            return np.arange(self.combinations)
        drawn = np.random.default_rng(self.seed).choice(
            self.combinations, self.sample, replace=False, shuffle=False
        )
        return np.sort(drawn)


DIFFERENCES = {
    "axes": "the axes",
    "data_hash": "the data",
    "config_hash": "the rules or settings",
    "kernel_hash": "the program's arithmetic",
    "seed": "the seed",
    "part": "the size of a part",
    "sample": "the size of the sample",
    "sealed_ns": "the sealed part",
    "initial_e8": "the initial capital",
    "format": "the form of the folder",
}


class GridStore:
    """Reads and writes one folder; parts are parquet, `rows-00000.parquet` and `blocks-00000.parquet`."""

    def __init__(self, folder: Path, manifest: Manifest, dtype: np.dtype[np.void]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._dtype = dtype
        self._sampled = manifest.sampled()
        self._names = _column_names(manifest.axes, dtype)
        # One thread and a fixed order: equal tables are equal bytes.
        self._connection = duckdb.connect(":memory:", config={"threads": 1})

    @classmethod
    def open(cls, folder: Path, manifest: Manifest, dtype: np.dtype[np.void], *, resume: bool) -> GridStore:
        """A new folder, or the same grid again with `resume`; Misconfigured if it is another's."""
        there = folder / MANIFEST
        if not there.exists():
            if resume:
                raise Misconfigured(f"{folder} holds no grid; leave out --resume, or name the right --out")
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_whole(there, msgspec.json.format(msgspec.json.encode(manifest)))
            except OSError as error:
                raise Misconfigured(f"{folder} cannot be written ({error}); choose another --out") from error
        elif not resume:
            raise Misconfigured(f"{folder} holds a grid; go on with it by --resume, or choose another --out")
        compare(read_manifest(folder), manifest, folder)
        return cls(folder, manifest, dtype)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out of the folder; afterwards the store is closed."""
        with (self.folder / LOCK).open("w") as lock, self._connection:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Rejected(f"another process works in {self.folder}; wait for it to end") from error
            yield

    def has(self, part: int) -> bool:
        return self._rows(part).exists()

    def write(
        self,
        part: int,
        rows: NDArray[np.void],
        sums: NDArray[np.float64],
        squares: NDArray[np.float64],
    ) -> None:
        """Keep a part: all its rows, and the block sums of those that PBO compares."""
        start, stop = self.manifest.span(part)
        chosen = self._sampled_in(start, stop)
        blocks: Table = {"combination": chosen}
        both = np.concatenate((sums, squares), axis=1)[chosen - start]
        blocks |= {name: both[:, k].copy() for k, name in enumerate(BLOCK_COLUMNS)}
        table: Table = {"combination": np.arange(start, stop)}
        axes = columns(self.manifest.axes, start, stop)
        table |= {self._names[name]: values for name, values in axes.items()}
        table |= {name: rows[name].copy() for name in self._fields()}
        self._write_parquet(self._blocks(part), blocks)
        self._write_parquet(self._rows(part), table)  # last: its presence says that the part is complete

    def read(self, part: int) -> NDArray[np.void]:
        """Rows of a part as they were evaluated."""
        return self._read_rows(part, list(self._dtype.names or ()))

    def rows_of(self, combinations: NDArray[np.int64], fields: list[str]) -> NDArray[np.void]:
        """These fields of finished rows by their numbers, ascending; the other fields are 0."""
        wanted = np.unique(combinations)
        found = np.zeros(len(wanted), dtype=self._dtype)
        for part in np.unique(wanted // self.manifest.part):
            rows = self._read_rows(int(part), ["combination", *fields])
            mine = wanted // self.manifest.part == part
            found[mine] = rows[wanted[mine] - int(part) * self.manifest.part]
        return found

    def block_sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Summed daily returns and their squares of the sampled combinations, (sample, 16) each."""
        both = np.empty((len(self._sampled), 2 * BLOCKS))
        at = 0
        for part in range(self.manifest.parts):
            table = self._read_parquet(self._blocks(part), ["combination", *BLOCK_COLUMNS])
            stop = at + len(table["combination"])
            for k, name in enumerate(BLOCK_COLUMNS):
                both[at:stop, k] = table[name]
            at = stop
        return both[:, :BLOCKS].copy(), both[:, BLOCKS:].copy()

    def _read_rows(self, part: int, fields: list[str]) -> NDArray[np.void]:
        table = self._read_parquet(self._rows(part), fields)
        start, stop = self.manifest.span(part)
        rows = np.zeros(stop - start, dtype=self._dtype)
        for name in fields:
            rows[name] = table[name]
        return rows

    def _write_parquet(self, path: Path, table: Table) -> None:
        draft = path.with_suffix(".draft")
        try:
            self._connection.register("part", table)
            target = str(draft).replace("'", "''")
            self._connection.execute(f"COPY part TO '{target}' (FORMAT parquet, COMPRESSION zstd)")
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        except (OSError, duckdb.IOException) as error:
            raise Misconfigured(f"{path} cannot be written ({error}); make room, then --resume") from error

    def _read_parquet(self, path: Path, names: list[str]) -> Table:
        columns = ", ".join(f'"{name}"' for name in names)
        try:
            found = self._connection.execute(
                f"SELECT {columns} FROM read_parquet(?)",  # noqa: S608 - names of this module and of the row
                [str(path)],
            ).fetchnumpy()
        except duckdb.Error as error:
            raise Misconfigured(f"{path} cannot be read ({error}); remove it and --resume") from error
        return {name: np.asarray(values) for name, values in found.items()}

    def _fields(self) -> list[str]:
        return [name for name in self._dtype.names or () if name != "combination"]

    def _sampled_in(self, start: int, stop: int) -> NDArray[np.int64]:
        first, last = np.searchsorted(self._sampled, (start, stop))
        return self._sampled[first:last]

    def _rows(self, part: int) -> Path:
        return self.folder / f"rows-{part:05d}.parquet"

    def _blocks(self, part: int) -> Path:
        return self.folder / f"blocks-{part:05d}.parquet"


def part_size(combinations: int, wished: int) -> int:
    """Combinations in a part, so that the parts of a huge grid stay countable."""
    return max(wished, -(-combinations // MOST_PARTS))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder; Misconfigured if there is none that can be read."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError as error:
        raise Misconfigured(f"{folder} holds no grid; name the folder of one with --out") from error
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(
            f"{folder / MANIFEST} cannot be read ({error}); begin in another --out"
        ) from error


def compare(there: Manifest, asked: Manifest, folder: Path) -> None:
    """Misconfigured if the folder's grid is another one, naming what differs."""
    other = [words for name, words in DIFFERENCES.items() if getattr(there, name) != getattr(asked, name)]
    if list(there.axes) != list(asked.axes):  # equal values in another order are other numbers
        other = list(dict.fromkeys(["the axes", *other]))
    if other:
        raise Misconfigured(
            f"the grid in {folder} was made with other values of: {', '.join(other)}; "
            "ask for the same, or choose another --out"
        )


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step, so that a reader finds the old or the new one."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _column_names(axes: Mapping[str, object], dtype: np.dtype[np.void]) -> dict[str, str]:
    taken = set(dtype.names or ())
    return {name: f"axis_{name}" if name in taken else name for name in axes}
