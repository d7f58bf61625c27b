"""Public operations on statistics: a day, a trading day, a rolling window, last prices and best quotes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_S
from bnml.venues.sim import payloads_market as payloads
from bnml.venues.sim.intervals import Interval
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Call, Operation
from bnml.venues.sim.operations_market import check_status, symbol_status, symbols_of, timed, zone_ns
from bnml.venues.sim.payloads_account import price8
from bnml.venues.sim.stream_tickers import window_start

if TYPE_CHECKING:
    from bnml.venues.sim.market import Ticker
    from bnml.venues.sim.params import Params

MOST_SYMBOLS: Final = 100
_WINDOW: Final = re.compile(r"^([1-9][0-9]?)([mhd])$")
_UNITS: Final = {"m": (60 * NS_PER_S, 59), "h": (NS_PER_HOUR, 23), "d": (NS_PER_DAY, 7)}


def ticker_24h(call: Call) -> Any:
    """24 h statistics of one, several or all symbols."""
    names, is_mini = _chosen(call), _is_mini(call.params)
    call.params.finish()
    venue = call.venue
    rows = []
    for name in names:
        ticker, instrument = venue.market.ticker(name, venue.now_ns), venue.instruments[name]
        if is_mini:
            rows.append(payloads.mini_ticker(ticker, instrument))
        else:
            book = venue.market.book(name, venue.now_ns, 1)
            rows.append(payloads.full_ticker(ticker, book, instrument))
    return _one_or_many(call, rows)


def trading_day(call: Call) -> Any:
    """Statistics since midnight of a zone."""
    names, is_mini = _named(call), _is_mini(call.params)
    day = Interval(NS_PER_DAY, zone_ns(call.params))
    call.params.finish()
    start_ns = day.start(call.venue.now_ns)
    return _statistics(call, names, start_ns, day.end(start_ns) - 1, is_mini=is_mini)


def rolling_window(call: Call) -> Any:
    """Statistics of a window that begins on a minute, or with the base candle that holds its beginning."""
    names, is_mini = _named(call), _is_mini(call.params)
    length_ns = _window_ns(call.params)
    call.params.finish()
    if any(call.venue.instruments[name].status == "BREAK" for name in names):
        raise VenueReject(-2016, "No trading window could be found for the symbol. Try ticker/24hrs instead.")
    now_ns = call.venue.now_ns
    start_ns = window_start(now_ns, length_ns, call.venue.market.frame_ns)
    return _statistics(call, names, start_ns, now_ns, is_mini=is_mini)


def ticker_price(call: Call) -> Any:
    """The last price of one, several or all symbols."""
    names = _chosen(call)
    call.params.finish()
    venue = call.venue
    rows = [
        {"symbol": name, "price": price8(venue.instruments[name], venue.market.last_ticks(name))}
        for name in names
    ]
    return _one_or_many(call, rows)


def book_ticker(call: Call) -> Any:
    """The best bid and ask of one, several or all symbols."""
    names = _chosen(call)
    call.params.finish()
    venue = call.venue
    rows = [
        payloads.book_ticker(venue.market.book(name, venue.now_ns, 1), venue.instruments[name])
        for name in names
    ]
    return _one_or_many(call, rows)


def _statistics(call: Call, names: list[str], start_ns: int, end_ns: int, *, is_mini: bool) -> Any:
    venue = call.venue
    show = payloads.mini_ticker if is_mini else payloads.window_ticker
    tickers: list[Ticker] = [venue.market.ticker(name, venue.now_ns, start_ns) for name in names]
    rows = [
        show(payloads.between(ticker, start_ns, end_ns), venue.instruments[ticker.symbol])
        for ticker in tickers
    ]
    return _one_or_many(call, rows)


def _chosen(call: Call) -> list[str]:
    """The symbols that are asked for and have the status that is asked for; a single one must have it."""
    names = symbols_of(call)
    status = symbol_status(call.params)
    if "symbol" in call.params:
        check_status(call.venue.instruments[names[0]], status)
    return [name for name in names if status in {None, call.venue.instruments[name].status}]


def _named(call: Call) -> list[str]:
    """As `_chosen`, where symbols must be named, and at most a hundred of them."""
    if "symbol" not in call.params and "symbols" not in call.params:
        raise VenueReject(-1102, "Param 'symbol' or 'symbols' must be sent, but both were empty/null!")
    if len(call.params.texts("symbols") or ()) > MOST_SYMBOLS:
        raise VenueReject(
            -1101, f"Too many values sent for parameter 'symbols', maximum allowed up to {MOST_SYMBOLS}."
        )
    return _chosen(call)


def _is_mini(params: Params) -> bool:
    text = params.optional("type")
    if text not in {None, "FULL", "MINI"}:
        raise VenueReject(-1139, "Invalid ticker type.")
    return text == "MINI"


def _window_ns(params: Params) -> int:
    """`windowSize`: 1m to 59m, 1h to 23h, 1d to 7d."""
    match = _WINDOW.match(params.optional("windowSize") or "1d")
    unit_ns, most = _UNITS[match[2]] if match else (0, 0)
    if match is None or int(match[1]) > most:
        raise VenueReject(-1130, "Data sent for parameter 'windowSize' is not valid.")
    return int(match[1]) * unit_ns


def _one_or_many(call: Call, rows: list[dict[str, Any]]) -> Any:
    return rows[0] if "symbol" in call.params else rows


def _day_weight(params: Params) -> int:
    if "symbol" in params:
        return 2
    count = len(params.texts("symbols") or ()) or 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _window_weight(params: Params) -> int:
    return min(4 * max(1, len(params.texts("symbols") or ())), 200)


def _price_weight(params: Params) -> int:
    return 2 if "symbol" in params else 4


TICKER_24H = Operation(timed(ticker_24h), _day_weight)
TICKER_PRICE = Operation(ticker_price, _price_weight)
BOOK_TICKER = Operation(book_ticker, _price_weight)
TRADING_DAY = Operation(timed(trading_day), _window_weight)
ROLLING_WINDOW = Operation(timed(rolling_window), _window_weight)
