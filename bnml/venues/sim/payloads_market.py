"""Candles, trades, books, tickers and symbol rules as Binance writes them in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_MS
from bnml.core.instrument import E8, plain
from bnml.venues.sim.payloads_account import ZERO, price8, quantity8
from bnml.venues.sim.payloads_filters import symbol_filters
from bnml.venues.sim.rules import SymbolRules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.depth import Levels
    from bnml.venues.sim.klines import Kline
    from bnml.venues.sim.market import Average, Ticker
    from bnml.venues.sim.messages import BookLevels
    from bnml.venues.sim.symbol_market import PublicTrade

Json = dict[str, Any]
_STOP_TYPES: Final = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")


DEFAULT_RULES: Final = SymbolRules()


def symbol_row(instrument: Instrument, rules: SymbolRules = DEFAULT_RULES) -> Json:
    """One element of exchangeInfo's `symbols`."""
    stops = _STOP_TYPES if instrument.stop_loss_allowed else _STOP_TYPES[1::2]
    return {
        "symbol": instrument.symbol,
        "status": instrument.status,
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", *stops],
        "icebergAllowed": rules.iceberg_allowed,
        "ocoAllowed": instrument.oco_allowed,
        "otoAllowed": instrument.oto_allowed,
        "opoAllowed": instrument.opo_allowed,
        "quoteOrderQtyMarketAllowed": rules.quote_market_allowed,
        "allowTrailingStop": rules.trailing_allowed,
        "cancelReplaceAllowed": instrument.cancel_replace_allowed,
        "amendAllowed": rules.amend_allowed,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": symbol_filters(instrument, rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": rules.prevention,
        "allowedSelfTradePreventionModes": list(rules.preventions),
    }


def kline_row(kline: Kline, instrument: Instrument) -> list[Any]:
    """The twelve columns of a candle; of history nobody knows who was the taker: those columns are zero."""
    return [
        kline.open_ns // NS_PER_MS,
        price8(instrument, kline.open),
        price8(instrument, kline.high),
        price8(instrument, kline.low),
        price8(instrument, kline.close),
        quantity8(instrument, kline.volume_lots),
        kline.close_ns // NS_PER_MS - 1,
        plain(kline.quote_volume_e8),
        kline.trades,
        quantity8(instrument, kline.taker_lots),
        plain(kline.taker_quote_e8),
        "0",
    ]


def kline_event(kline: Kline, instrument: Instrument, interval: str, ts_ms: int, *, is_closed: bool) -> Json:
    """A candle of the kline stream; trade ids of history are unknown (-1)."""
    return {
        "e": "kline",
        "E": ts_ms,
        "s": instrument.symbol,
        "k": {
            "t": kline.open_ns // NS_PER_MS,
            "T": kline.close_ns // NS_PER_MS - 1,
            "s": instrument.symbol,
            "i": interval,
            "f": kline.first_id,
            "L": kline.last_id,
            "o": price8(instrument, kline.open),
            "c": price8(instrument, kline.close),
            "h": price8(instrument, kline.high),
            "l": price8(instrument, kline.low),
            "v": quantity8(instrument, kline.volume_lots),
            "n": kline.trades,
            "x": is_closed,
            "q": plain(kline.quote_volume_e8),
            "V": quantity8(instrument, kline.taker_lots),
            "Q": plain(kline.taker_quote_e8),
            "B": "0",
        },
    }


def trade_row(trade: PublicTrade, instrument: Instrument) -> Json:
    """One element of GET trades."""
    return {
        "id": trade.trade_id,
        "price": price8(instrument, trade.price_ticks),
        "qty": quantity8(instrument, trade.quantity_lots),
        "quoteQty": plain(instrument.notional_e8(trade.price_ticks, trade.quantity_lots)),
        "time": trade.ts_ns // NS_PER_MS,
        "isBuyerMaker": trade.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate_row(trades: Sequence[PublicTrade], instrument: Instrument) -> Json:
    """One element of GET aggTrades: the trades of one aggregate."""
    first, last = trades[0], trades[-1]
    return {
        "a": first.aggregate_id,
        "p": price8(instrument, first.price_ticks),
        "q": quantity8(instrument, sum(trade.quantity_lots for trade in trades)),
        "f": first.trade_id,
        "l": last.trade_id,
        "T": first.ts_ns // NS_PER_MS,
        "m": first.buyer_is_maker,
        "M": True,
    }


def aggregate_event(trades: Sequence[PublicTrade], instrument: Instrument, ts_ms: int) -> Json:
    """The aggregate trade stream."""
    return {"e": "aggTrade", "E": ts_ms, "s": instrument.symbol, **aggregate_row(trades, instrument)}


def trade_event(trade: PublicTrade, instrument: Instrument, ts_ms: int) -> Json:
    """The trade stream."""
    return {
        "e": "trade",
        "E": ts_ms,
        "s": instrument.symbol,
        "t": trade.trade_id,
        "p": price8(instrument, trade.price_ticks),
        "q": quantity8(instrument, trade.quantity_lots),
        "T": trade.ts_ns // NS_PER_MS,
        "m": trade.buyer_is_maker,
        "M": True,
    }


def _levels(levels: Levels, instrument: Instrument, limit: int, lot_e8: int) -> list[list[str]]:
    unit_e8 = lot_e8 or instrument.lot_e8
    return [[price8(instrument, ticks), plain(lots * unit_e8)] for ticks, lots in levels[:limit]]


def depth(book: BookLevels, instrument: Instrument, limit: int) -> Json:
    """GET depth and the partial book streams, best level first."""
    return {
        "lastUpdateId": book.update_id,
        "bids": _levels(book.bids, instrument, limit, book.lot_e8),
        "asks": _levels(book.asks, instrument, limit, book.lot_e8),
    }


def depth_event(
    instrument: Instrument, ts_ms: int, ids: tuple[int, int], sides: tuple[Levels, Levels], lot_e8: int = 0
) -> Json:
    """A difference of two books as a diff. depth event: first and last id; a level that is gone has quantity zero."""
    return {
        "e": "depthUpdate",
        "E": ts_ms,
        "s": instrument.symbol,
        "U": ids[0],
        "u": ids[1],
        "b": _levels(sides[0], instrument, len(sides[0]), lot_e8),
        "a": _levels(sides[1], instrument, len(sides[1]), lot_e8),
    }


def book_ticker(book: BookLevels, instrument: Instrument) -> Json:
    """GET ticker/bookTicker; an empty side is zero."""
    (bid, bid_lots), (ask, ask_lots) = best(book)
    unit_e8 = book.lot_e8 or instrument.lot_e8
    return {
        "symbol": instrument.symbol,
        "bidPrice": price8(instrument, bid),
        "bidQty": plain(bid_lots * unit_e8),
        "askPrice": price8(instrument, ask),
        "askQty": plain(ask_lots * unit_e8),
    }


def book_ticker_event(book: BookLevels, instrument: Instrument) -> Json:
    """The bookTicker stream: it has no event type."""
    row = book_ticker(book, instrument)
    return {
        "u": book.update_id,
        "s": row["symbol"],
        "b": row["bidPrice"],
        "B": row["bidQty"],
        "a": row["askPrice"],
        "A": row["askQty"],
    }


def best(book: BookLevels) -> tuple[tuple[int, int], tuple[int, int]]:
    """Best bid and ask with their lots."""
    return (book.bids[0] if book.bids else (0, 0), book.asks[0] if book.asks else (0, 0))


def average_price(average: Average, minutes: int) -> Json:
    """GET avgPrice."""
    return {"mins": minutes, "price": plain(average.price_e8), "closeTime": average.last_ns // NS_PER_MS}


def average_event(average: Average, minutes: int, symbol: str, ts_ms: int) -> Json:
    """The average price stream."""
    return {
        "e": "avgPrice",
        "E": ts_ms,
        "s": symbol,
        "i": f"{minutes}m",
        "w": plain(average.price_e8),
        "T": average.last_ns // NS_PER_MS,
    }


def _change_percent(ticker: Ticker) -> str:
    return f"{100 * (ticker.last - ticker.open) / ticker.open:.3f}" if ticker.open else "0.000"


def _average(ticker: Ticker, instrument: Instrument) -> str:
    volume_e8 = ticker.volume_lots * instrument.lot_e8
    return plain(ticker.quote_volume_e8 * E8 // volume_e8) if volume_e8 else ZERO


def mini_ticker(ticker: Ticker, instrument: Instrument) -> Json:
    """GET ticker/24hr with `type=MINI`."""
    return {
        "symbol": ticker.symbol,
        "openPrice": price8(instrument, ticker.open),
        "highPrice": price8(instrument, ticker.high),
        "lowPrice": price8(instrument, ticker.low),
        "lastPrice": price8(instrument, ticker.last),
        "volume": quantity8(instrument, ticker.volume_lots),
        "quoteVolume": plain(ticker.quote_volume_e8),
        "openTime": ticker.open_ns // NS_PER_MS,
        "closeTime": ticker.close_ns // NS_PER_MS,
        "firstId": ticker.first_trade_id,
        "lastId": ticker.last_trade_id,
        "count": ticker.trades,
    }


def full_ticker(ticker: Ticker, book: BookLevels, instrument: Instrument) -> Json:
    """GET ticker/24hr."""
    top = book_ticker(book, instrument)
    return {
        **mini_ticker(ticker, instrument),
        "priceChange": price8(instrument, ticker.last - ticker.open),
        "priceChangePercent": _change_percent(ticker),
        "weightedAvgPrice": _average(ticker, instrument),
        "prevClosePrice": price8(instrument, ticker.before or ticker.open),
        "lastQty": quantity8(instrument, ticker.last_lots),
        **{name: top[name] for name in ("bidPrice", "bidQty", "askPrice", "askQty")},
    }


def between(ticker: Ticker, start_ns: int, end_ns: int) -> Ticker:
    """The statistics as those of a window with these ends."""
    return msgspec.structs.replace(ticker, open_ns=start_ns, close_ns=end_ns)


def window_ticker(ticker: Ticker, instrument: Instrument) -> Json:
    """GET ticker and ticker/tradingDay."""
    return {
        "symbol": ticker.symbol,
        "priceChange": price8(instrument, ticker.last - ticker.open),
        "priceChangePercent": _change_percent(ticker),
        "weightedAvgPrice": _average(ticker, instrument),
        **mini_ticker(ticker, instrument),
    }


def window_ticker_event(ticker: Ticker, instrument: Instrument, window: str, ts_ms: int) -> Json:
    """The rolling window streams."""
    return {
        "e": f"{window}Ticker",
        "E": ts_ms,
        "s": ticker.symbol,
        "p": price8(instrument, ticker.last - ticker.open),
        "P": _change_percent(ticker),
        "o": price8(instrument, ticker.open),
        "h": price8(instrument, ticker.high),
        "l": price8(instrument, ticker.low),
        "c": price8(instrument, ticker.last),
        "w": _average(ticker, instrument),
        "v": quantity8(instrument, ticker.volume_lots),
        "q": plain(ticker.quote_volume_e8),
        "O": ticker.open_ns // NS_PER_MS,
        "C": ticker.close_ns // NS_PER_MS,
        "F": ticker.first_trade_id,
        "L": ticker.last_trade_id,
        "n": ticker.trades,
    }


def mini_ticker_event(ticker: Ticker, instrument: Instrument, ts_ms: int) -> Json:
    """The miniTicker streams."""
    return {
        "e": "24hrMiniTicker",
        "E": ts_ms,
        "s": ticker.symbol,
        "c": price8(instrument, ticker.last),
        "o": price8(instrument, ticker.open),
        "h": price8(instrument, ticker.high),
        "l": price8(instrument, ticker.low),
        "v": quantity8(instrument, ticker.volume_lots),
        "q": plain(ticker.quote_volume_e8),
    }


def ticker_event(ticker: Ticker, book: BookLevels, instrument: Instrument, ts_ms: int) -> Json:
    """The 24 h ticker stream of one symbol."""
    top = book_ticker(book, instrument)
    return {
        **mini_ticker_event(ticker, instrument, ts_ms),
        "e": "24hrTicker",
        "p": price8(instrument, ticker.last - ticker.open),
        "P": _change_percent(ticker),
        "w": _average(ticker, instrument),
        "x": price8(instrument, ticker.before or ticker.open),
        "Q": quantity8(instrument, ticker.last_lots),
        "b": top["bidPrice"],
        "B": top["bidQty"],
        "a": top["askPrice"],
        "A": top["askQty"],
        "O": ticker.open_ns // NS_PER_MS,
        "C": ticker.close_ns // NS_PER_MS,
        "F": ticker.first_trade_id,
        "L": ticker.last_trade_id,
        "n": ticker.trades,
    }
