"""Binance's public streams as steps of a market that is happening now: a recording that has not ended.

Prices come from trades, books from the twenty best levels, candles only from the venue's own closed ones;
none of the three is ever made from another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.core.errors import Fatal, Retryable
from bnml.core.events import Bar
from bnml.kernels import fills
from bnml.venues.sim.bookbuilder import BookBuilder, e8_of
from bnml.venues.sim.messages import BookLevels, Print, Step
from bnml.venues.sim.pricing import bar_record
from bnml.venues.sim.recorded import Frame, print_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.core.instrument import Instrument

BEAT = "!miniTicker@arr"
FAST_BOOKS = 50
"""Up to so many symbols are asked for their books every 100 ms, more for one a second."""


class _Envelope(msgspec.Struct):
    """The combined wrapper, or the answer to a subscription."""

    stream: str = ""
    data: Any = None
    error: dict[str, Any] | None = None


_envelope = msgspec.json.Decoder(_Envelope)


class PublicCodec:
    """The streams of some symbols in one frame (such as `15m`), and what they say."""

    def __init__(self, instruments: Mapping[str, Instrument], frame: str) -> None:
        self._instruments = instruments
        self._frame = frame

    def streams(self) -> list[str]:
        """Names of all streams of a followed market, the clock last."""
        depth = "depth20@100ms" if len(self._instruments) <= FAST_BOOKS else "depth20"
        kinds = ("trade", depth, f"kline_{self._frame}")
        return [*(f"{name.lower()}@{kind}" for name in self._instruments for kind in kinds), BEAT]

    def decode(self, text: str | bytes) -> tuple[int, Frame | None]:
        """0 and the frame; None for answers and frames of nobody. Retryable when the venue is about to hang up."""
        try:
            envelope = _envelope.decode(text)
        except msgspec.DecodeError as error:
            raise Retryable(f"a market frame cannot be read ({error}): {text[:200]!r}") from error
        if envelope.error is not None:
            raise Fatal(f"the venue refused a subscription: {envelope.error}")
        if envelope.stream == BEAT:
            newest_ms = max((int(row["E"]) for row in envelope.data), default=0)
            return 0, Frame(0, "", BEAT, {"E": newest_ms})
        if not isinstance(envelope.data, dict):
            return 0, None
        if envelope.data.get("e") == "serverShutdown":
            raise Retryable("the venue announced that it closes the market stream")
        name, _, kind = envelope.stream.partition("@")
        symbol = name.upper()
        return 0, Frame(0, symbol, kind, envelope.data) if symbol in self._instruments else None


class Gathering:
    """Takes frames as they come; `cut` makes one step of what came since the last cut.

    Only the newest book of a symbol counts. `now_ns` is the newest event time.
    """

    def __init__(self, instruments: Mapping[str, Instrument], frame_ns: int) -> None:
        self._instruments = instruments
        self._frame_ns = frame_ns
        self._builders = {name: BookBuilder(one) for name, one in instruments.items()}
        self._prints: list[Print] = []
        self._booked: dict[str, dict[str, Any]] = {}
        self._closed: list[Bar] = []
        self._running: dict[str, Bar] = {}
        self._beats = False
        self.now_ns = 0

    def take(self, frame: Frame) -> None:
        """Remember one frame until the next cut."""
        self.now_ns = max(self.now_ns, int(frame.data.get("E", 0)) * NS_PER_MS)
        if frame.stream == BEAT:
            self._beats = True
        elif frame.stream == "trade":
            self._prints.append(print_of(self._instruments[frame.symbol], frame.data))
        elif frame.stream.startswith("depth20"):
            self._booked[frame.symbol] = frame.data
        else:
            self._candle(frame)

    def cut(self, ordinal: int) -> Step | None:
        """The step of everything taken since the last one; None when nothing came."""
        if not (self._prints or self._booked or self._closed or self._running or self._beats):
            return None
        step = Step(
            ordinal,
            self.now_ns,
            prints=tuple(self._prints),
            books=tuple(self._books()),
            closed_bars=tuple(self._closed),
            running=tuple(self._running.values()),
            beat=self._beats,
        )
        self._prints, self._closed, self._beats = [], [], False
        self._booked, self._running = {}, {}
        return step

    def _candle(self, frame: Frame) -> None:
        kline = frame.data["k"]
        bar = _bar(self._instruments[frame.symbol], kline, self._frame_ns)
        if kline["x"]:
            self._closed.append(bar)
            self._running.pop(frame.symbol, None)
        else:
            self._running[frame.symbol] = bar

    def _books(self) -> list[BookLevels]:
        made = []
        for symbol, data in sorted(self._booked.items()):
            builder = self._builders[symbol]
            builder.snapshot(data)
            levels = builder.levels(symbol, self.now_ns)
            if levels is not None:
                made.append(levels)
        return made


def _bar(instrument: Instrument, kline: Mapping[str, Any], length_ns: int) -> Bar:
    opened_ns = int(kline["t"]) * NS_PER_MS
    opened, high, low, close = (e8_of(kline[name]) // instrument.tick_e8 for name in "ohlc")
    lots = e8_of(kline["v"]) // instrument.lot_e8
    closed_ns = opened_ns + length_ns
    return Bar(instrument.symbol, opened_ns, closed_ns, opened, high, low, close, lots, int(kline["n"]))


def missed_prints(bar: Bar, lost_ns: int, last_id: int) -> list[Print]:
    """What a resting order met during a candle that no stream brought; trades were last seen at `lost_ns`.

    A candle that lies whole in the gap is printed along its path, as in recorded bars. Of one that was seen in
    part only the close is printed: its low may have come before the gap, when the order was not there yet.
    `last_id` is the last trade id before the gap; the made ones leave a hole behind it, since trades are missing.
    """
    if not bar.volume_lots or bar.ts_close_ns <= lost_ns:
        return []
    length_ns = bar.ts_close_ns - bar.ts_open_ns
    is_whole = bar.ts_open_ns >= lost_ns
    prints = []
    for slot, price in enumerate(fills.bar_path(bar_record(bar))):
        if is_whole or slot == fills.SLOT_CLOSE:
            prints.append(
                Print(
                    symbol=bar.symbol,
                    price_ticks=int(price),
                    quantity_lots=int(fills.print_lots(bar.volume_lots, slot)),
                    ts_ns=int(fills.print_ts_ns(bar.ts_open_ns, length_ns, slot)),
                    jump=slot == fills.SLOT_OPEN or not is_whole,
                    trade_id=last_id + 2 + slot,
                )
            )
    return prints


def is_confirmed(bar: Bar, now_ns: int) -> bool:
    """A candle read by REST is final one second after its end."""
    return bar.ts_close_ns + NS_PER_S <= now_ns
