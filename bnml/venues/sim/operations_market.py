"""Public operations: time, symbol rules, candles, trades and books."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim import weights
from bnml.venues.sim.intervals import Interval, interval_of
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Call, Handler, Operation
from bnml.venues.sim.outlet import in_microseconds
from bnml.venues.sim.params_orders import symbol_of
from bnml.venues.sim.payloads_filters import exchange_filters
from bnml.venues.sim.stream_tickers import AVERAGE_MINUTES, AVERAGE_NS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.params import Params
    from bnml.venues.sim.symbol_market import PublicTrade, SymbolMarket

_DEPTH_WEIGHTS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))
_ZONE: Final = re.compile(r"^([+-]?)([0-9]{1,2})(?::([0-9]{2}))?$")
_WEST_NS, _EAST_NS = -12 * NS_PER_HOUR, 14 * NS_PER_HOUR
_SHOWN_PERMISSIONS: Final = frozenset({"SPOT"})
"""Of every symbol of this exchange."""


class SymbolStatus(StrEnum):
    """Values of the `symbolStatus` filter."""

    TRADING = "TRADING"
    HALT = "HALT"
    BREAK = "BREAK"


def timed(handler: Handler) -> Handler:
    """The handler with its times in the unit that the caller asked for."""

    def answer(call: Call) -> Any:
        result = handler(call)
        return result if call.unit_ns == NS_PER_MS else in_microseconds(result)

    return answer


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
    params, venue = call.params, call.venue
    narrows = any(name in params for name in ("symbol", "symbols"))
    if narrows and any(name in params for name in ("permissions", "symbolStatus")):
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    names = symbols_of(call)
    status = symbol_status(params)
    permissions = _permissions(params)
    shows_sets = params.flag("showPermissionSets", default=True)
    params.finish()
    instruments = [venue.instruments[name] for name in names] if permissions & _SHOWN_PERMISSIONS else []
    if status is not None:
        instruments = [one for one in instruments if one.status == status]
    return {
        "timezone": "UTC",
        "serverTime": venue.wall_ms(),
        "rateLimits": [limit.row() for limit in weights.ALL],
        "exchangeFilters": exchange_filters(venue.exchange.manage.limits),
        "symbols": venue.market.symbol_rows.encoded(
            instruments, venue.exchange.manage.rules, shows_sets=shows_sets
        ),
    }


def _permissions(params: Params) -> frozenset[str]:
    """`permissions=SPOT` or a JSON list; by default everything that this exchange has."""
    text = params.optional("permissions")
    if text is None:
        return _SHOWN_PERMISSIONS
    if not text.startswith("["):
        return frozenset({text})
    return frozenset(params.texts("permissions") or ())


def klines(call: Call) -> list[list[Any]]:
    """Candles of any interval that is made of whole base candles."""
    params, venue = call.params, call.venue
    symbol = symbol_of(params, venue.instruments)
    interval = interval_of(params.text("interval"))
    if interval is None:
        raise VenueReject(-1120, "Invalid interval.")
    start, end = time_range(params)
    limit = params.limit(500, 1000)
    zoned = Interval(interval.length_ns, zone_ns(params))
    params.finish()
    found = venue.market.candles(symbol, zoned, venue.now_ns, start, end, limit)
    return [payloads.kline_row(kline, venue.instruments[symbol]) for kline in found]


def zone_ns(params: Params) -> int:
    """`timeZone` such as `8`, `-1:00` or `05:45`, in nanoseconds east of UTC; from -12:00 to +14:00."""
    text = params.optional("timeZone")
    if text is None:
        return 0
    match = _ZONE.match(text.strip())
    minutes = int(match[3] or 0) if match else 60
    if match is None or minutes >= 60:
        raise VenueReject(-1130, "Data sent for parameter 'timeZone' is not valid.")
    offset_ns = (int(match[2]) * 60 + minutes) * NS_PER_HOUR // 60
    offset_ns = -offset_ns if match[1] == "-" else offset_ns
    if not _WEST_NS <= offset_ns <= _EAST_NS:
        raise VenueReject(-1130, "Data sent for parameter 'timeZone' is not valid.")
    return offset_ns


def depth(call: Call) -> dict[str, Any]:
    """The book; `lastUpdateId` counts in the same line as the depth stream."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(100, 5000)
    status = symbol_status(call.params)
    call.params.finish()
    check_status(call.venue.instruments[symbol], status)
    book = call.venue.market.book(symbol, call.venue.now_ns, limit)
    return payloads.depth(book, call.venue.instruments[symbol], limit)


def trades(call: Call) -> list[dict[str, Any]]:
    """The latest trades, oldest first."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(500, 1000)
    call.params.finish()
    market = call.venue.market[symbol]
    return [payloads.trade_row(trade, market.instrument) for trade in _last(market, limit)]


def historical_trades(call: Call) -> list[dict[str, Any]]:
    """Trades from an id on, as far back as they are kept."""
    symbol = symbol_of(call.params, call.venue.instruments)
    limit = call.params.limit(500, 1000)
    first = call.params.optional_integer("fromId")
    call.params.finish()
    market = call.venue.market[symbol]
    if first is None:
        found = _last(market, limit)
    else:
        found = list(islice((trade for trade in market.trades if trade.trade_id >= first), limit))
    return [payloads.trade_row(trade, market.instrument) for trade in found]


def _last(market: SymbolMarket, limit: int) -> list[PublicTrade]:
    return list(islice(reversed(market.trades), limit))[::-1]


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
    if first is None and start is None and end is None:
        found = _last_aggregates(market, limit)
    else:
        chosen = (
            trade
            for trade in market.trades
            if (first is None or trade.aggregate_id >= first)
            and (start is None or trade.ts_ns >= start)
            and (end is None or trade.ts_ns < end + NS_PER_MS)
        )
        every = _aggregates(chosen)
        found = every[-limit:] if first is None and start is None else every[:limit]
    return [payloads.aggregate_row(one, market.instrument) for one in found]


def _last_aggregates(market: SymbolMarket, limit: int) -> list[list[PublicTrade]]:
    """The latest aggregates; the oldest that is kept may have lost trades, and is left out when others do."""
    found: list[list[PublicTrade]] = []
    for _, group in groupby(reversed(market.trades), _aggregate_of):
        if len(found) == limit:
            break
        found.append(list(group)[::-1])
    return found[::-1]


def _aggregates(trades: Iterable[PublicTrade]) -> list[list[PublicTrade]]:
    return [list(group) for _, group in groupby(trades, _aggregate_of)]


def _aggregate_of(trade: PublicTrade) -> int:
    return trade.aggregate_id


def average_price(call: Call) -> dict[str, Any]:
    """The volume-weighted price of the last minutes with trades, else the last price."""
    symbol = symbol_of(call.params, call.venue.instruments)
    call.params.finish()
    average = call.venue.market.average(symbol, call.venue.now_ns, AVERAGE_NS)
    return payloads.average_price(average, AVERAGE_MINUTES)


def symbols_of(call: Call) -> list[str]:
    """`symbol`, `symbols` or neither, as the names that are meant."""
    params, known = call.params, call.venue.instruments
    one, several = params.optional("symbol"), params.texts("symbols")
    if one is not None and several is not None:
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    names = [one] if one is not None else list(known) if several is None else several
    if any(name not in known for name in names):
        raise VenueReject(-1121, "Invalid symbol.")
    return names


def symbol_status(params: Params) -> str | None:
    """The `symbolStatus` filter; an unknown word is -1122."""
    text = params.optional("symbolStatus")
    if text is not None and text not in SymbolStatus.__members__:
        raise VenueReject(-1122, "Invalid symbolStatus.")
    return text


def check_status(instrument: Instrument, status: str | None) -> None:
    """Refuse a single symbol whose status is another one."""
    if status not in {None, instrument.status}:
        raise VenueReject(-1220, "The symbol's status does not match the requested symbolStatus.")


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


PING = Operation(ping)
TIME = Operation(timed(server_time))
EXCHANGE_INFO = Operation(timed(exchange_info), 20)
KLINES = Operation(timed(klines), 2)
DEPTH = Operation(depth, _depth_weight)
TRADES = Operation(timed(trades), 25)
HISTORICAL_TRADES = Operation(timed(historical_trades), 25)
AGGREGATE_TRADES = Operation(timed(aggregate_trades), 4)
AVERAGE_PRICE = Operation(timed(average_price), 2)
