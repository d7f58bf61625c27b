"""Decimal columns to checked integer bars, with tick, lot, frame and gaps inferred from them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, NS_PER_S, format_utc
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument, decimals_of
from bnml.kernels.records import BAR

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


def check_values(table: dict[str, Array], where: str) -> None:
    """Misconfigured for the first row that no market can have printed."""
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
            raise Misconfigured(f"{where} row {row} ({when}) has {what}; mend or remove the row")


def check_order(open_time_ms: Array, where: str) -> None:
    """Misconfigured for the first row that is not later than the one before."""
    steps = np.diff(open_time_ms)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        when = format_utc(int(open_time_ms[row]) * NS_PER_MS)
        word = "comes twice" if steps[row - 1] == 0 else "is earlier than the row before"
        raise Misconfigured(f"{where} row {row}: open_time {when} {word}; bars must be sorted and unique")


def check_frame(open_time_ms: Array, where: str, wanted_ns: int) -> int:
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
    return describe_missing(history.symbol, history.gaps)


def describe_missing(symbol: str, gaps: tuple[Gap, ...]) -> str:
    """The same of a symbol's gaps."""
    if not gaps:
        return ""
    largest = max(gaps, key=lambda gap: gap.bars)
    return (
        f"{symbol}: {sum(gap.bars for gap in gaps)} bars are missing in {len(gaps)} gaps, "
        f"the largest {largest.bars} bars from {format_utc(largest.ts_open_ns)}; they are not filled"
    )


def frame_text(frame_ns: int) -> str:
    """A frame as the configuration writes it, such as 15m."""
    for unit_ns, unit in ((NS_PER_DAY, "d"), (NS_PER_HOUR, "h"), (60 * NS_PER_S, "m"), (NS_PER_S, "s")):
        if frame_ns % unit_ns == 0:
            return f"{frame_ns // unit_ns}{unit}"
    return f"{frame_ns} ns"
