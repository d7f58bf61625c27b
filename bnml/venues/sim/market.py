"""Public state of the market: last prices, books, candles, 24 h statistics and recent trades."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY
from bnml.core.errors import Fatal
from bnml.core.events import Bar
from bnml.kernels.records import BAR
from bnml.venues.sim.klines import (
    Kline,
    KlineStore,
    bar_event,
    frame_start,
    is_frame_served,
    merge,
    quote_volume_e8,
)
from bnml.venues.sim.messages import BookLevels, Print, VenueReject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import Step
    from bnml.venues.sim.pricing import Pricing

RECENT_TRADES = 1000
MAX_KLINES = 1000


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """One print as the trade list and the trade stream show it."""

    trade_id: int
    price_ticks: int
    quantity_lots: int
    ts_ns: int
    buyer_is_maker: bool


class Running(msgspec.Struct, gc=False):
    """The candle that is being printed, in the base frame."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume_lots: int
    trades: int


class SymbolState(msgspec.Struct):
    """What of one symbol must survive a restart; candles and history come back from the feed."""

    last_ticks: int = 0
    last_ns: int = 0
    basis: Bar | None = None
    next_trade_id: int = 1
    update_id: int = 1
    running: Running | None = None
    quoted: BookLevels | None = None  # a recorded book; None: made from the last print and the basis
    last_close_ns: int = 0


class Ticker(msgspec.Struct, frozen=True):
    """Statistics of the 24 hours before now, from base candles and the running one."""

    symbol: str
    open_ns: int
    close_ns: int
    open: int
    high: int
    low: int
    last: int
    volume_lots: int
    quote_volume_e8: int
    trades: int
    first_trade_id: int
    last_trade_id: int


class SymbolMarket:
    """One symbol: the state that prints move, and the candles published so far."""

    def __init__(self, instrument: Instrument, klines: KlineStore) -> None:
        self.instrument = instrument
        self.klines = klines
        self.state = _state_after(instrument.symbol, klines)
        self.trades: deque[PublicTrade] = deque(maxlen=RECENT_TRADES)

    def record(self, printed: Print) -> PublicTrade:
        """Number one print and put it into the trade list, the running candle and the last price."""
        state = self.state
        trade_id = printed.trade_id or state.next_trade_id
        state.next_trade_id = trade_id + 1
        maker = printed.buyer_is_maker or (not printed.trade_id and printed.price_ticks < state.last_ticks)
        trade = PublicTrade(trade_id, printed.price_ticks, printed.quantity_lots, printed.ts_ns, maker)
        self.trades.append(trade)
        state.last_ticks, state.last_ns = printed.price_ticks, printed.ts_ns
        state.update_id += 1
        self._grow(trade)
        return trade

    def stand_at(self, printed: Print, published: NDArray[np.void]) -> None:
        """Take over what happened unseen: the last print of it, and all candles published so far."""
        state, klines = self.state, self.klines
        klines.extend(published[len(klines) :])
        state.last_ticks, state.last_ns = printed.price_ticks, printed.ts_ns
        if len(published):
            state.basis = bar_event(printed.symbol, published[-1], klines.frame_ns)
            state.last_close_ns = state.basis.ts_close_ns
        state.running = None

    def _grow(self, trade: PublicTrade) -> None:
        open_ns = frame_start(trade.ts_ns, self.klines.frame_ns)
        running = self.state.running
        price = trade.price_ticks
        if running is None or running.open_ns != open_ns:
            self.state.running = Running(open_ns, price, price, price, price, trade.quantity_lots, 1)
            return
        running.high = max(running.high, price)
        running.low = min(running.low, price)
        running.close = price
        running.volume_lots += trade.quantity_lots
        running.trades += 1


def _state_after(symbol: str, klines: KlineStore) -> SymbolState:
    """A market with history stands at its last close."""
    if not len(klines):
        return SymbolState()
    last = bar_event(symbol, klines.bars[-1], klines.frame_ns)
    return SymbolState(
        last_ticks=last.close, last_ns=last.ts_close_ns, basis=last, last_close_ns=last.ts_close_ns
    )


class Market:
    """All symbols of one exchange in one base frame."""

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        frame_ns: int,
        pricing: Pricing,
        history: Mapping[str, NDArray[np.void]] | None = None,
    ) -> None:
        empty = np.zeros(0, dtype=BAR)
        self.frame_ns = frame_ns
        self.pricing = pricing
        self.symbols = {
            name: SymbolMarket(instrument, KlineStore(frame_ns, (history or {}).get(name, empty)))
            for name, instrument in sorted(instruments.items())
        }

    def __getitem__(self, symbol: str) -> SymbolMarket:
        try:
            return self.symbols[symbol]
        except KeyError:
            raise VenueReject(-1121, "Invalid symbol.") from None

    def begin(self, step: Step) -> None:
        """Give symbols without any bar the one that prices them until their first closes."""
        for bar in step.basis:
            state = self[bar.symbol].state
            if state.basis is None:
                state.basis = bar

    def finish(self, step: Step) -> None:
        """Publish the step's books and candles; comes after its prints."""
        for book in step.books:
            if self.pricing.takes_recorded_books:
                self[book.symbol].state.quoted = book
        for bar in step.closed_bars:
            market = self[bar.symbol]
            market.klines.append(bar)
            market.state.last_close_ns = bar.ts_close_ns
            market.state.basis = bar
            running = market.state.running
            if running is not None and running.open_ns <= bar.ts_open_ns:
                market.state.running = None
        for bar in step.running:
            self[bar.symbol].state.running = Running(
                bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots, bar.trades
            )

    def forget_books(self) -> None:
        """Recorded books are out of date: until the next ones, books are made from the last print."""
        for market in self.symbols.values():
            market.state.quoted = None

    def book(self, symbol: str, ts_ns: int) -> BookLevels:
        """The book as it stands: recorded, or one level a side around the last print."""
        state = self[symbol].state
        if state.quoted is not None:
            return state.quoted
        if state.basis is None:
            return BookLevels(symbol, ts_ns, (), (), 0, state.update_id)
        book = self.pricing.book(self[symbol].instrument, state.last_ticks, state.basis, ts_ns)
        return msgspec.structs.replace(book, update_id=state.update_id)

    def candles(
        self,
        symbol: str,
        frame_ns: int,
        now_ns: int,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
    ) -> list[Kline]:
        """Candles that open in [start, end], oldest first with a start, else the last `limit`; with the running one."""
        if not is_frame_served(self.frame_ns, frame_ns):
            raise VenueReject(-1120, "Invalid interval.")
        market = self[symbol]
        limit = min(limit, MAX_KLINES)
        bars = market.klines.bars
        opens = bars["ts_open_ns"]
        last = now_ns if end_ns is None else end_ns
        if start_ns is None:
            first = frame_start(last, frame_ns) - 4 * limit * frame_ns
            most = len(bars)
        else:
            first = frame_start(start_ns + frame_ns - 1, frame_ns)  # aligned up
            most = (limit + 1) * (frame_ns // self.frame_ns)
        chosen = bars[np.searchsorted(opens, first) : np.searchsorted(opens, last, side="right")]
        if len(chosen) <= most:
            chosen = self._with_running(market, chosen, first, last)
        chosen = chosen[:most]
        made = merge(chosen, market.instrument, frame_ns, market.state.last_close_ns or now_ns, 4)
        return made[:limit] if start_ns is not None else made[-limit:]

    def ticker(self, symbol: str, now_ns: int) -> Ticker:
        """24 h statistics; before the first print all numbers are zero."""
        market = self[symbol]
        since_ns = now_ns - NS_PER_DAY
        bars = self._with_running(market, market.klines.window(since_ns, now_ns + 1), since_ns, now_ns)
        state = market.state
        trade_ids = (market.trades[0].trade_id, market.trades[-1].trade_id) if market.trades else (-1, -1)
        is_empty = len(bars) == 0
        return Ticker(
            symbol=symbol,
            open_ns=since_ns if is_empty else int(bars["ts_open_ns"][0]),
            close_ns=now_ns,
            open=0 if is_empty else int(bars["open"][0]),
            high=0 if is_empty else int(bars["high"].max()),
            low=0 if is_empty else int(bars["low"].min()),
            last=state.last_ticks or (0 if is_empty else int(bars["close"][-1])),
            volume_lots=int(bars["volume_lots"].sum()),
            quote_volume_e8=quote_volume_e8(bars, market.instrument),
            trades=4 * len(bars),
            first_trade_id=trade_ids[0],
            last_trade_id=trade_ids[1],
        )

    @staticmethod
    def _with_running(
        market: SymbolMarket, bars: NDArray[np.void], first_ns: int, last_ns: int
    ) -> NDArray[np.void]:
        """The last published bars before `last_ns` and the running one, if it opens in [first, last]."""
        running = market.state.running
        published = market.klines.bars["ts_open_ns"][-1] if len(market.klines) else -1
        if running is None or running.open_ns <= published or not first_ns <= running.open_ns <= last_ns:
            return bars
        row = np.zeros(1, dtype=BAR)
        row[0] = (
            running.open_ns,
            running.open,
            running.high,
            running.low,
            running.close,
            running.volume_lots,
        )
        return np.concatenate([bars, row])

    def snapshot(self) -> dict[str, SymbolState]:
        """What a restart needs besides the feed's own position."""
        return {name: market.state for name, market in self.symbols.items()}

    def restore(self, states: Mapping[str, SymbolState]) -> None:
        """Continue from a snapshot; the candles were given as history."""
        for name, state in states.items():
            if name not in self.symbols:
                raise Fatal(
                    f"the ledger knows {name}, the feed does not; start with the feed it was made with"
                )
            self.symbols[name].state = state
