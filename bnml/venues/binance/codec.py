"""Market data without I/O: frames and REST rows to exact core types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.clock import frame_ns
from bnml.core.errors import Fatal, Retryable
from bnml.core.events import Bar, Book
from bnml.core.instrument import E8, Instrument
from bnml.venues.binance.numbers import NS_PER_MS, e8, lots, ticks
from bnml.venues.binance.reports import decoded
from bnml.venues.binance.wire import (
    EMPTY,
    DepthData,
    EventHead,
    ExchangeInfo,
    KlineBody,
    KlineData,
    MiniTicker,
    StreamFrame,
    SymbolInfo,
    TradeData,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPTH_BAND_DIVISOR = 200  # a level counts as depth within 1/200 = 0.5 % of the mid price


class SubscriptionRefused(Fatal):
    """The venue does not give what we asked to read."""


class Print(msgspec.Struct, frozen=True, gc=False):
    """One public trade."""

    symbol: str
    ts_ns: int
    ticks: int
    lots: int
    trade_id: int


class Beat(msgspec.Struct, frozen=True, gc=False):
    """The exchange's clock went on; nothing else is said."""

    ts_ns: int
    is_common: bool = (
        False  # what each of several sockets has reached: none of them has anything older to tell
    )


class Shutdown(msgspec.Struct, frozen=True, gc=False):
    """The venue will close this connection soon."""

    ts_ns: int


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A subscription request of ours was carried out."""

    id: int | str


MarketItem = Print | Book | Bar | Beat | Shutdown

CLOCK: Final = "!miniTicker@arr"
"""The stream whose events are beats, on any socket that asks for it."""

_frame = msgspec.json.Decoder(StreamFrame)
_trade = msgspec.json.Decoder(TradeData)
_kline = msgspec.json.Decoder(KlineData)
_depth = msgspec.json.Decoder(DepthData)
_tickers = msgspec.json.Decoder(list[MiniTicker])
_head = msgspec.json.Decoder(EventHead)
_info = msgspec.json.Decoder(ExchangeInfo)
_klines = msgspec.json.Decoder(list[tuple[int, str, str, str, str, str, int, str, int, str, str, str]])


class MarketCodec:
    """Decodes the market streams of the symbols it was given; `frame` is the base frame, such as `15m`."""

    def __init__(self, instruments: Mapping[str, Instrument], frame: str) -> None:
        self._instruments = dict(instruments)
        self._by_stream = {symbol.lower(): instrument for symbol, instrument in instruments.items()}
        self._frame = frame
        self._frame_ns = frame_ns(frame)
        self.last_stream = ""
        """Which stream the frame that was decoded last belongs to."""

    def streams(self) -> list[str]:
        """Names of all streams the daemon needs, the clock last."""
        return [
            *(name for symbol in self._instruments for name in self.streams_of(symbol)),
            CLOCK,
        ]

    def streams_of(self, symbol: str) -> tuple[str, ...]:
        """Names of the streams of one symbol."""
        name = symbol.lower()
        return (f"{name}@trade", f"{name}@depth20", f"{name}@kline_{self._frame}")

    def expected_of(self, symbol: str) -> tuple[str, ...]:
        """Those of them that must not fall silent: a symbol may well not be traded for a while."""
        return self.streams_of(symbol)[1:]

    def add(self, instrument: Instrument) -> None:
        """Understand the streams of one more symbol."""
        self._instruments[instrument.symbol] = instrument
        self._by_stream[instrument.symbol.lower()] = instrument

    def remove(self, symbol: str) -> None:
        """Ignore what still comes of a symbol."""
        self._instruments.pop(symbol, None)
        self._by_stream.pop(symbol.lower(), None)

    def decode(self, frame: str | bytes) -> tuple[int, MarketItem | Answered | None]:
        """Number of the frame (0 outside stepped mode) and what it says; None for open candles and strangers."""
        try:
            envelope = _frame.decode(frame)
            if envelope.error is not None:
                raise SubscriptionRefused(
                    f"the venue refused a subscription: {envelope.error.code} {envelope.error.msg}"
                )
            self.last_stream = ""
            if envelope.id is not None:
                return envelope.simSeq, Answered(envelope.id)
            return envelope.simSeq, self._item(envelope)
        except ValueError as error:
            raise Retryable(f"a market frame cannot be read ({error}): {frame[:200]!r}") from error

    def _item(self, envelope: StreamFrame) -> MarketItem | None:
        self.last_stream = envelope.stream
        name, _, kind = envelope.stream.partition("@")
        if kind == "trade":
            return self._print(_trade.decode(envelope.data))
        if kind.startswith("depth20"):
            return self._book(name, envelope.data)
        if kind.startswith("kline"):
            return self._bar(_kline.decode(envelope.data))
        if name == "!miniTicker":
            tickers = _tickers.decode(envelope.data)
            return Beat(max(row.E for row in tickers) * NS_PER_MS) if tickers else None
        if envelope.data != EMPTY and _head.decode(envelope.data).e == "serverShutdown":
            return Shutdown(_head.decode(envelope.data).E * NS_PER_MS)
        return None

    def _print(self, data: TradeData) -> Print | None:
        instrument = self._instruments.get(data.s)
        if instrument is None:
            return None
        return Print(data.s, data.T * NS_PER_MS, ticks(instrument, data.p), lots(instrument, data.q), data.t)

    def _bar(self, data: KlineData) -> Bar | None:
        instrument = self._instruments.get(data.s)
        if instrument is None or not data.k.x or data.k.i != self._frame:
            return None
        return bar_of_kline(instrument, data.k, self._frame_ns)

    def _book(self, name: str, data: msgspec.Raw) -> Book | None:
        instrument = self._by_stream.get(name)
        return book_of_depth(instrument, data) if instrument is not None else None


def book_of_depth(instrument: Instrument, data: msgspec.Raw | bytes) -> Book | None:
    """Best prices and the quote value within 0.5 % of the mid price; None where a side is empty."""
    depth = decoded(_depth, data)
    if not depth.bids or not depth.asks:
        return None
    bids = [(ticks(instrument, price), lots(instrument, quantity)) for price, quantity in depth.bids]
    asks = [(ticks(instrument, price), lots(instrument, quantity)) for price, quantity in depth.asks]
    doubled_mid = bids[0][0] + asks[0][0]
    near = [
        instrument.notional_e8(price, quantity)
        for price, quantity in (*bids, *asks)
        if abs(2 * price - doubled_mid) * DEPTH_BAND_DIVISOR <= doubled_mid
    ]
    return Book(instrument.symbol, bids[0][0], asks[0][0], sum(near))


def bar_of_kline(instrument: Instrument, k: KlineBody, length_ns: int) -> Bar:
    """A closed candle of a stream."""
    opened_ns = k.t * NS_PER_MS
    o, h, low, c = (ticks(instrument, text) for text in (k.o, k.h, k.l, k.c))
    return Bar(instrument.symbol, opened_ns, opened_ns + length_ns, o, h, low, c, lots(instrument, k.v), k.n)


def bars_of_klines(instrument: Instrument, body: bytes, length_ns: int) -> list[Bar]:
    """The rows of a REST answer, oldest first, the running candle included."""
    return [
        Bar(
            instrument.symbol,
            row[0] * NS_PER_MS,
            row[0] * NS_PER_MS + length_ns,
            ticks(instrument, row[1]),
            ticks(instrument, row[2]),
            ticks(instrument, row[3]),
            ticks(instrument, row[4]),
            lots(instrument, row[5]),
            row[8],
        )
        for row in decoded(_klines, body)
    ]


def exchange_info(body: bytes) -> ExchangeInfo:
    """Decode exchangeInfo, whole or of some symbols."""
    return decoded(_info, body)


def instrument_of(info: SymbolInfo) -> Instrument:
    """Filters as integers; a filter that is absent or off (0) leaves the default."""
    filters = {str(row.get("filterType")): row for row in info.filters}

    def amount(name: str, key: str, default: int) -> int:
        value = filters.get(name, {}).get(key)
        return e8(str(value)) or default if value is not None else default

    def count(name: str, key: str, default: int) -> int:
        value = filters.get(name, {}).get(key)
        return int(value) if value is not None else default

    tick, lot = amount("PRICE_FILTER", "tickSize", 1), amount("LOT_SIZE", "stepSize", 1)
    minimum = "NOTIONAL" if "NOTIONAL" in filters else "MIN_NOTIONAL"
    return Instrument(
        symbol=info.symbol,
        base=info.base_asset,
        quote=info.quote_asset,
        tick_e8=tick,
        lot_e8=lot,
        min_lots=max(1, -(-amount("LOT_SIZE", "minQty", 1) // lot)),
        max_lots=amount("LOT_SIZE", "maxQty", 2**53 * lot) // lot,
        market_max_lots=amount("MARKET_LOT_SIZE", "maxQty", 2**53 * lot) // lot,
        min_ticks=max(1, -(-amount("PRICE_FILTER", "minPrice", 1) // tick)),
        max_ticks=amount("PRICE_FILTER", "maxPrice", 2**53 * tick) // tick,
        min_notional_e8=amount(minimum, "minNotional", 5 * E8),
        max_notional_e8=amount("NOTIONAL", "maxNotional", 2**62),
        max_algo_orders=count("MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders", 5),
        max_orders=count("MAX_NUM_ORDERS", "maxNumOrders", 200),
        status=info.status,
        oto_allowed=info.oto_allowed,
        oco_allowed=info.oco_allowed,
        opo_allowed=info.opo_allowed,
        cancel_replace_allowed=info.cancel_replace_allowed,
        stop_loss_allowed="STOP_LOSS" in info.order_types,
        max_lists=count("MAX_NUM_ORDER_LISTS", "maxNumOrderLists", 20),
    )
