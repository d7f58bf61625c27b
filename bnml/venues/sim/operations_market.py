"""Public operations: time, symbol rules, candles, trades, books and tickers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_DAY, NS_PER_MS, NS_PER_S, frame_ns
from bnml.core.instrument import plain
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim import weights
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Call, Operation
from bnml.venues.sim.params_orders import symbol_of
from bnml.venues.sim.payloads_account import price8

if TYPE_CHECKING:
    from bnml.venues.sim.market import PublicTrade, SymbolMarket
    from bnml.venues.sim.params import Params

INTERVALS: Final = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w"),
)
_DEPTH_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_AVERAGE_MINUTES: Final = 5


class TickerType(StrEnum):
    """How much a ticker shows."""

    FULL = "FULL"
    MINI = "MINI"


class SymbolStatus(StrEnum):
    """Values of the `symbolStatus` filter."""

    TRADING = "TRADING"
    HALT = "HALT"
    BREAK = "BREAK"
    CANCEL_ONLY = "CANCEL_ONLY"


def ping(call: Call) -> dict[str, Any]:
    """An empty answer."""
    call.params.finish()
    return {}


def server_time(call: Call) -> dict[str, Any]:
    """The clock that signatures are checked against: wall time, whatever the market's time is."""
    call.params.finish()
    return {"serverTime": call.venue.wall_ms()}


def exchange_info(call: Call) -> dict[str, Any]:
    """Symbols with their filters, and the rate limits."""
    names = _symbols(call)
    status = call.params.optional_choice("symbolStatus", SymbolStatus)
    call.params.discard("permissions", "showPermissionSets")
    call.params.finish()
    instruments = (call.venue.instruments[name] for name in names)
    return {
        "timezone": "UTC",
        "serverTime": call.venue.wall_ms(),
        "rateLimits": [limit.row() for limit in weights.ALL],
        "exchangeFilters": [],
        "symbols": [payloads.symbol_row(one) for one in instruments if status in {None, one.status}],
    }


def klines(call: Call) -> list[list[Any]]:
    """Candles of any interval that is made of whole base candles."""
    params, venue = call.params, call.venue
    symbol = symbol_of(params, venue.instruments)
    interval = params.text("interval")
    if interval not in INTERVALS:
        raise VenueReject(-1120, "Invalid interval.")
    start, end = time_range(params)
    limit = params.limit(500, 1000)
    if params.optional("timeZone") not in {None, "0", "+00:00", "00:00"}:
        raise VenueReject(-1130, "Data sent for parameter 'timeZone' is not valid.")
    params.finish()
    found = venue.market.candles(symbol, frame_ns(interval), venue.now_ns, start, end, limit)
    return [payloads.kline_row(kline, venue.instruments[symbol]) for kline in found]


def depth(call: Call) -> dict[str, Any]:
    """The book; `lastUpdateId` counts in the same line as the depth stream."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(100, 5000)
    call.params.discard("symbolStatus")
    call.params.finish()
    book = call.venue.market.book(symbol, call.venue.now_ns)
    return payloads.depth(book, call.venue.instruments[symbol], limit)


def trades(call: Call) -> list[dict[str, Any]]:
    """The latest trades, oldest first."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(500, 1000)
    call.params.finish()
    market = call.venue.market[symbol]
    return [payloads.trade_row(trade, market.instrument) for trade in list(market.trades)[-limit:]]


def historical_trades(call: Call) -> list[dict[str, Any]]:
    """Trades from an id on, as far back as they are kept."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(500, 1000)
    first = call.params.optional_integer("fromId")
    call.params.finish()
    market = call.venue.market[symbol]
    return [payloads.trade_row(trade, market.instrument) for trade in _page(market, first, None, None, limit)]


def aggregate_trades(call: Call) -> list[dict[str, Any]]:
    """Aggregated trades: by id, by time, or the latest."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(500, 1000)
    first = call.params.optional_integer("fromId")
    start, end = time_range(call.params)
    call.params.finish()
    if first is not None and (start is not None or end is not None):
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    market = call.venue.market[symbol]
    found = _page(market, first, start, end, limit)
    return [payloads.aggregate_row(trade, market.instrument) for trade in found]


def _page(
    market: SymbolMarket, first_id: int | None, start_ns: int | None, end_ns: int | None, limit: int
) -> list[PublicTrade]:
    """Kept trades from an id or a time on, oldest first; without either the latest."""
    found = [
        trade
        for trade in market.trades
        if (first_id is None or trade.trade_id >= first_id)
        and (start_ns is None or trade.ts_ns >= start_ns)
        and (end_ns is None or trade.ts_ns < end_ns + NS_PER_MS)
    ]
    return found[-limit:] if first_id is None and start_ns is None else found[:limit]


def ticker_24h(call: Call) -> Any:
    """24 h statistics of one, several or all symbols."""
    names = _symbols(call)
    kind = call.params.optional_choice("type", TickerType)
    call.params.discard("symbolStatus")
    call.params.finish()
    venue = call.venue
    rows = []
    for name in names:
        ticker, instrument = venue.market.ticker(name, venue.now_ns), venue.instruments[name]
        if kind is TickerType.MINI:
            rows.append(payloads.mini_ticker(ticker, instrument))
        else:
            book = venue.market.book(name, venue.now_ns)
            rows.append(payloads.full_ticker(ticker, book, instrument))
    return _one_or_many(call, rows)


def ticker_price(call: Call) -> Any:
    """The last price of one, several or all symbols."""
    names = _symbols(call)
    call.params.discard("symbolStatus")
    call.params.finish()
    rows = [
        {"symbol": name, "price": price8(call.venue.instruments[name], _last(call, name))} for name in names
    ]
    return _one_or_many(call, rows)


def book_ticker(call: Call) -> Any:
    """The best bid and ask of one, several or all symbols."""
    names = _symbols(call)
    call.params.discard("symbolStatus")
    call.params.finish()
    venue = call.venue
    rows = [
        payloads.book_ticker(venue.market.book(name, venue.now_ns), venue.instruments[name]) for name in names
    ]
    return _one_or_many(call, rows)


def average_price(call: Call) -> dict[str, Any]:
    """The volume-weighted price of the last minutes with trades, else the last price."""
    symbol = symbol_of(call.params, call.venue.instruments)
    call.params.finish()
    market, instrument = call.venue.market[symbol], call.venue.instruments[symbol]
    since_ns = call.venue.now_ns - _AVERAGE_MINUTES * 60 * NS_PER_S
    recent = [trade for trade in market.trades if trade.ts_ns > since_ns and trade.quantity_lots]
    lots = sum(trade.quantity_lots for trade in recent)
    ticks_lots = sum(trade.price_ticks * trade.quantity_lots for trade in recent)
    average_e8 = ticks_lots * instrument.tick_e8 // lots if lots else _last(call, symbol) * instrument.tick_e8
    return {
        "mins": _AVERAGE_MINUTES,
        "price": plain(average_e8),
        "closeTime": (market.state.last_ns or call.venue.now_ns) // NS_PER_MS,
    }


def _last(call: Call, symbol: str) -> int:
    """The last print, or the last close of history before there was one."""
    market = call.venue.market[symbol]
    bars = market.klines.bars
    return market.state.last_ticks or (int(bars["close"][-1]) if len(bars) else 0)


def _symbols(call: Call) -> list[str]:
    """`symbol`, `symbols` or neither, as the names that are meant."""
    params, known = call.params, call.venue.instruments
    one, several = params.optional("symbol"), params.texts("symbols")
    if one is not None and several is not None:
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    names = [one] if one is not None else list(known) if several is None else several
    if any(name not in known for name in names):
        raise VenueReject(-1121, "Invalid symbol.")
    return names


def _one_or_many(call: Call, rows: list[dict[str, Any]]) -> Any:
    return rows[0] if "symbol" in call.params else rows


def time_range(params: Params) -> tuple[int | None, int | None]:
    """`startTime` and `endTime` in nanoseconds."""
    start, end = params.optional_integer("startTime"), params.optional_integer("endTime")
    if start is not None and end is not None and start > end:
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    return None if start is None else start * NS_PER_MS, None if end is None else end * NS_PER_MS


def check_day(start_ns: int | None, end_ns: int | None) -> None:
    """Account history is asked for a day at a time."""
    if start_ns is not None and end_ns is not None and end_ns - start_ns > NS_PER_DAY:
        raise VenueReject(
            -1127, "Lookup interval is too big. More than 24 hours between startTime and endTime."
        )


def _depth_weight(params: Params) -> int:
    limit = params.limit(100, 5000)
    return next(weight for most, weight in _DEPTH_WEIGHTS if limit <= most)


def _ticker_weight(params: Params) -> int:
    if "symbol" in params:
        return 2
    count = len(params.texts("symbols") or ()) or 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _price_weight(params: Params) -> int:
    return 2 if "symbol" in params else 4


PING = Operation(ping)
TIME = Operation(server_time)
EXCHANGE_INFO = Operation(exchange_info, 20)
KLINES = Operation(klines, 2)
DEPTH = Operation(depth, _depth_weight)
TRADES = Operation(trades, 25)
HISTORICAL_TRADES = Operation(historical_trades, 25)
AGGREGATE_TRADES = Operation(aggregate_trades, 4)
TICKER_24H = Operation(ticker_24h, _ticker_weight)
TICKER_PRICE = Operation(ticker_price, _price_weight)
BOOK_TICKER = Operation(book_ticker, _price_weight)
AVERAGE_PRICE = Operation(average_price, 2)
