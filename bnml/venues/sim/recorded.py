"""Recorded Binance streams or trades as a feed: real trades and books, and the minute candles that they make.

Files hold `<receive time in ns> <JSON>` a line: combined-stream frames (`trade`, `depth@100ms`,
`bookTicker`) and a REST snapshot of the book. Frames of all files are merged by receive time and
served in steps of 100 ms of the exchange's time; a step carries its trades, the depth differences as they
were recorded and, for each symbol whose book moved, its best levels at its end. The first snapshot, which
came a moment after the first differences, stands from the beginning: those differences change nothing.
Recorded best quotes are left out: between two differences the book stands still. A minute closes with the symbol's first trade of a later minute, or two
seconds after its end; the minute in which the recording begins is incomplete and never published.

Tables of trades alone (`*_trades*.parquet`) are served the same way; their books are made around the last trade.
"""

from __future__ import annotations

import gzip
import heapq
import zlib
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import numpy as np

from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Misconfigured
from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.kernels.records import BAR
from bnml.venues.bar_tables import QUOTES
from bnml.venues.sim.bookbuilder import BookBuilder, e8_of, levels_of
from bnml.venues.sim.messages import BookLevels, DepthChange, Print, Step
from bnml.venues.sim.minutes import MINUTE_NS, Minute, first_bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

STEP_NS = 100 * NS_PER_MS


class Frame(msgspec.Struct):
    """One line of a recording: the symbol in small letters, the stream's name, and its data."""

    received_ns: int
    symbol: str
    stream: str  # trade, bookTicker, depth@100ms, or snapshot
    data: dict[str, Any]


class RecordedStreamFeed:
    """Steps of the recording, made once; of `history` (bars of one minute) it takes those from before it."""

    def __init__(
        self,
        files: Iterable[Path],
        instruments: Mapping[str, Instrument],
        history: Mapping[str, NDArray[np.void]] | None = None,
    ) -> None:
        self.instruments = {name: instruments[name] for name in sorted(instruments)}
        self.frame_ns = MINUTE_NS
        names = sorted(path.name for path in files)
        self.fingerprint = f"recorded:2:{','.join(names)}"
        frames = heapq.merge(*(_frames(path) for path in files), key=lambda frame: frame.received_ns)
        assembly = _Assembly(self.instruments)
        self._steps = list(assembly.steps(frames))
        self._snapshots = assembly.first_snapshots
        self.book_holes = assembly.holes
        begin_ns = self._steps[0].ts_ns - STEP_NS
        self._history = {
            name: rows[rows["ts_open_ns"] + MINUTE_NS <= begin_ns] for name, rows in (history or {}).items()
        }

    def history(self, ordinal: int) -> dict[str, NDArray[np.void]]:
        """Bars from before the recording, and those that it closed before step `ordinal`."""
        closed = [bar for step in self._steps[:ordinal] for bar in step.closed_bars]
        return {
            name: self._with(name, [bar for bar in closed if bar.symbol == name]) for name in self.instruments
        }

    def step(self, ordinal: int) -> Step | None:
        """Step number `ordinal`; None after the recording."""
        return self._steps[ordinal] if ordinal < len(self._steps) else None

    def depth(self, ordinal: int) -> Iterator[DepthChange]:
        """What makes the whole books as they stand before step `ordinal`."""
        yield from self._snapshots.values()
        for step in self._steps[:ordinal]:
            yield from step.depth

    def _with(self, name: str, bars: list[Bar]) -> NDArray[np.void]:
        rows = np.zeros(len(bars), dtype=BAR)
        for i, bar in enumerate(bars):
            rows[i] = (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
        return np.concatenate([self._history.get(name, np.zeros(0, dtype=BAR)), rows])


def read_frames(path: Path) -> Iterator[Frame]:
    """Lines of one recording in their order; raises Misconfigured for a file that is not one."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    symbol = path.name.split("_")[1] if "_" in path.name else ""
    try:
        with gzip.open(path, "rb") as lines:
            for line in lines:
                received, _, text = line.partition(b" ")
                message = decode(text)
                stream = message.get("stream")
                if stream is None:
                    yield Frame(int(received), symbol, "snapshot", message)
                else:
                    name, _, kind = stream.partition("@")
                    yield Frame(int(received), name, kind, message["data"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise Misconfigured(
            f"{path} is not a recording of Binance streams ({error}); fetch it again or leave it out"
        ) from error


def read_trades(path: Path) -> Iterator[Frame]:
    """Rows of a table of trades (time in ms, id, side of the taker, price, amount) as frames of a trade stream."""
    symbol = path.name.partition("_")[0].lower()
    try:
        with duckdb.connect(":memory:") as connection:
            rows = connection.read_parquet(str(path)).project("time, id, side, price, amount").fetchall()
    except duckdb.Error as error:
        raise Misconfigured(
            f"{path} is not a table of trades ({str(error).splitlines()[0]}); it needs time, id, side, price, amount"
        ) from error
    for ms, number, side, price, amount in rows:
        data = {"E": ms, "T": ms, "t": number, "p": f"{price:.8f}", "q": f"{amount:.8f}", "m": side == "sell"}
        yield Frame(ms * NS_PER_MS, symbol, "trade", data)


def _frames(path: Path) -> Iterator[Frame]:
    return read_trades(path) if path.suffix == ".parquet" else read_frames(path)


def infer_instruments(files: Iterable[Path]) -> dict[str, Instrument]:
    """Tick and lot of each recorded symbol: the coarsest power of ten that holds all its trades."""
    units: dict[str, tuple[int, int]] = {}
    for path in files:
        for frame in _frames(path):
            if frame.stream == "trade":
                tick, lot = units.get(frame.symbol, (10**8, 10**8))
                units[frame.symbol] = (
                    _coarsest(tick, e8_of(frame.data["p"])),
                    _coarsest(lot, e8_of(frame.data["q"])),
                )
    return {name.upper(): _instrument(name.upper(), *units[name]) for name in sorted(units)}


def _instrument(symbol: str, tick_e8: int, lot_e8: int) -> Instrument:
    quote = next((one for one in QUOTES if symbol.endswith(one) and symbol != one), "USDT")
    return Instrument(symbol, symbol.removesuffix(quote), quote, tick_e8, lot_e8)


def print_of(instrument: Instrument, data: Mapping[str, Any]) -> Print:
    """The data of a trade stream as a print; between two of them nothing was traded."""
    return Print(
        symbol=instrument.symbol,
        price_ticks=e8_of(data["p"]) // instrument.tick_e8,
        quantity_lots=e8_of(data["q"]) // instrument.lot_e8,
        ts_ns=int(data["T"]) * NS_PER_MS,
        jump=True,
        trade_id=int(data["t"]),
        buyer_is_maker=bool(data["m"]),
    )


def _coarsest(unit: int, amount: int) -> int:
    while amount % unit:
        unit //= 10
    return unit


class _Assembly:
    """Goes once through the frames and cuts them into steps."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._builders = {name: BookBuilder(one) for name, one in instruments.items()}
        self._minutes = {name: Minute(one) for name, one in instruments.items()}
        self._instruments = instruments
        self._prints: list[Print] = []
        self._moved: set[str] = set()
        self._depth: list[DepthChange] = []
        self.first_snapshots: dict[str, DepthChange] = {}
        self._closed: list[Bar] = []
        self._begun: set[str] = set()
        self._basis: list[Bar] = []  # prices books until a candle has closed
        self._count = 0

    @property
    def holes(self) -> int:
        """Depth differences that did not follow their predecessor."""
        return sum(builder.holes for builder in self._builders.values())

    def steps(self, frames: Iterable[Frame]) -> Iterator[Step]:
        now_ns = window = 0
        for frame in frames:
            symbol = frame.symbol.upper()
            if symbol not in self._instruments:
                continue
            event_ns = int(frame.data.get("E", 0)) * NS_PER_MS
            now_ns = max(now_ns, event_ns)
            if now_ns // STEP_NS > window:
                if window:
                    yield self._cut((window + 1) * STEP_NS)
                    yield from self._quiet((window + 1) * STEP_NS, now_ns // STEP_NS * STEP_NS)
                window = now_ns // STEP_NS
            self._take(symbol, frame)
        yield self._cut((window + 1) * STEP_NS)

    def _quiet(self, begin_ns: int, end_ns: int) -> Iterator[Step]:
        """Candles that close while nothing happens."""
        due = {minute.due_ns for minute in self._minutes.values()}
        for ts_ns in sorted(one for one in due if begin_ns < one <= end_ns):
            yield self._cut(ts_ns)

    def _take(self, symbol: str, frame: Frame) -> None:
        builder, data = self._builders[symbol], frame.data
        if frame.stream == "trade":
            printed = print_of(self._instruments[symbol], data)
            self._closed.extend(self._minutes[symbol].add(printed))
            self._prints.append(printed)
            if symbol not in self._begun:
                self._begun.add(symbol)
                self._basis.append(first_bar(printed))
            return
        if frame.stream == "snapshot":
            builder.snapshot(data)
            change = _change(self._instruments[symbol], data)
            if self.first_snapshots.setdefault(symbol, change) is not change:
                self._depth.append(change)
        elif frame.stream.startswith("depth"):
            builder.apply(data)
            self._depth.append(_change(self._instruments[symbol], data))
        else:
            return
        self._moved.add(symbol)

    def _cut(self, ts_ns: int) -> Step:
        for minute in self._minutes.values():
            self._closed.extend(minute.expire(ts_ns))
        books = [self._builders[symbol].levels(symbol, ts_ns) for symbol in sorted(self._moved)]
        step = Step(
            self._count,
            ts_ns,
            prints=tuple(self._prints),
            books=tuple(book for book in books if isinstance(book, BookLevels)),
            closed_bars=tuple(self._closed),
            depth=tuple(self._depth),
            basis=tuple(self._basis),
        )
        self._count += 1
        self._prints, self._moved, self._closed, self._depth = [], set(), [], []
        self._basis = []
        return step


def _change(instrument: Instrument, data: Mapping[str, Any]) -> DepthChange:
    """A depth difference, or a snapshot, in ticks and 1e-8."""
    if "lastUpdateId" in data:
        last_id = int(data["lastUpdateId"])
        bids, asks = (levels_of(instrument, data[side], 1) for side in ("bids", "asks"))
        return DepthChange(instrument.symbol, last_id, last_id, bids, asks, is_snapshot=True)
    bids, asks = (levels_of(instrument, data[side], 1) for side in "ba")
    return DepthChange(instrument.symbol, int(data["U"]), int(data["u"]), bids, asks)
