"""One symbol of the market: its state, its recent public trades, and the base candles that are made of them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.events import Bar
from bnml.venues.sim.klines import KlineStore, bar_event, estimate_of, frame_start
from bnml.venues.sim.messages import BookLevels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import Print

LEAST_KEPT = 1_000
"""Trades that Binance lists at most in one answer."""
Closed = tuple[Bar, tuple[int, ...]]
"""A closed base candle and the values of klines.DETAIL."""


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """One trade as lists and streams show it; trades of one price, side and moment share an aggregate."""

    trade_id: int
    price_ticks: int
    quantity_lots: int
    ts_ns: int
    buyer_is_maker: bool
    aggregate_id: int = 0


class Running(msgspec.Struct, gc=False):
    """A candle that trades are still added to, in the base frame."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    volume_lots: int
    trades: int
    quote_e8: int = 0
    taker_lots: int = 0
    taker_quote_e8: int = 0
    first_id: int = -1
    last_id: int = -1
    own_trades: int = 0  # of the exchange's own accounts: a feed's candle knows nothing of them

    def detail(self) -> tuple[int, ...]:
        """The values of klines.DETAIL."""
        return self.trades, self.quote_e8, self.taker_lots, self.taker_quote_e8, self.first_id, self.last_id


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
    next_aggregate_id: int = 1
    ended: list[Running] = []  # candles that are over and wait for the feed to close them
    own_trades: int = 0  # by which recorded trade ids are shifted
    own_updates: int = 0  # and ids of recorded books


class Fresh:
    """Trades that no stream has shown yet, of all symbols in their order.

    They are kept only where somebody takes them (`is_kept`). Each taking ends the aggregates of its trades:
    what was shown does not grow any more.
    """

    def __init__(self) -> None:
        self.is_kept = False
        self.takings = 0
        self.trades: list[tuple[str, PublicTrade]] = []

    def take(self) -> list[tuple[str, PublicTrade]]:
        """The trades since the last taking."""
        taken, self.trades = self.trades, []
        self.takings += 1
        return taken


class SymbolMarket:
    """The state that prints move, and the candles published so far; `kept` trades are remembered."""

    def __init__(
        self, instrument: Instrument, klines: KlineStore, fresh: Fresh | None = None, kept: int = LEAST_KEPT
    ) -> None:
        self.instrument = instrument
        self.klines = klines
        self.state = _state_after(instrument.symbol, klines)
        self.trades: deque[PublicTrade] = deque(maxlen=kept)
        self._fresh = fresh or Fresh()
        self._takings = -1  # when the last trade came
        self._num, self._den = instrument.notional_num, instrument.notional_den

    def record(self, printed: Print) -> PublicTrade | None:
        """Number one print and put it into the trade list, the running candle and the last price.

        None for a print of no lots: the path of a bar passes a price at which the recording has no trade.
        """
        state = self.state
        price = printed.price_ticks
        before, state.last_ticks, state.last_ns = state.last_ticks, price, printed.ts_ns
        state.update_id += 1
        if not printed.quantity_lots:
            return None
        trade_id = printed.trade_id + state.own_trades if printed.trade_id else state.next_trade_id
        state.next_trade_id = trade_id + 1
        state.own_trades += printed.is_own
        maker = printed.buyer_is_maker or (
            price < before and not printed.is_side_known and not printed.trade_id
        )
        aggregate_id = self._aggregate(printed, maker)
        trade = PublicTrade(trade_id, price, printed.quantity_lots, printed.ts_ns, maker, aggregate_id)
        self.trades.append(trade)
        fresh = self._fresh
        if fresh.is_kept:
            fresh.trades.append((printed.symbol, trade))
        self._grow(trade, is_own=printed.is_own)
        return trade

    def _aggregate(self, printed: Print, maker: bool) -> int:
        """The aggregate that a trade belongs to: its predecessor's, if that was not shown, or a new one."""
        state, takings = self.state, self._fresh.takings
        if self._takings == takings and self.trades:
            last = self.trades[-1]
            if (
                last.ts_ns == printed.ts_ns
                and last.price_ticks == printed.price_ticks
                and last.buyer_is_maker == maker
            ):
                return last.aggregate_id
        self._takings = takings
        state.next_aggregate_id += 1
        return state.next_aggregate_id - 1

    def _grow(self, trade: PublicTrade, *, is_own: bool) -> None:
        state, price, lots = self.state, trade.price_ticks, trade.quantity_lots
        running = state.running
        quote_e8 = price * lots * self._num // self._den
        if running is None or not 0 <= trade.ts_ns - running.open_ns < self.klines.frame_ns:
            if running is not None:
                state.ended.append(running)
            open_ns = frame_start(trade.ts_ns, self.klines.frame_ns)
            running = Running(open_ns, price, price, price, price, lots, 1, quote_e8, first_id=trade.trade_id)
            state.running = running
        else:
            if price > running.high:
                running.high = price
            elif price < running.low:
                running.low = price
            running.close = price
            running.volume_lots += lots
            running.trades += 1
            running.quote_e8 += quote_e8
        running.last_id = trade.trade_id
        if not trade.buyer_is_maker:
            running.taker_lots += lots
            running.taker_quote_e8 += quote_e8
        if is_own:
            running.own_trades += 1

    def close(self, bar: Bar) -> list[Bar]:
        """Publish the feed's bar, and before it candles of own trades alone; returns what was published.

        The bar stays as it is unless own trades belong to it: then it is what was traded, as far as that was seen.
        """
        state = self.state
        closing: list[Closed] = []
        traded = None
        for one in state.ended:
            if one.open_ns == bar.ts_open_ns:
                traded = one
            elif one.open_ns < bar.ts_open_ns and one.own_trades == one.trades:
                closing.append((self._bar(one), one.detail()))
        state.ended = [one for one in state.ended if one.open_ns > bar.ts_open_ns]
        running = state.running
        if running is not None and running.open_ns <= bar.ts_open_ns:
            traded = running if running.open_ns == bar.ts_open_ns else traded
            state.running = None
        closing.append(self._closed(bar, traded))
        state.basis = bar
        return self._publish(closing)

    def close_orphans(self, now_ns: int) -> list[Bar]:
        """Publish candles of own trades alone that are over: the feed has no bar that could hold them."""
        over = [
            one
            for one in self.state.ended
            if one.own_trades == one.trades and one.open_ns + self.klines.frame_ns <= now_ns
        ]
        for one in over:
            self.state.ended.remove(one)
        return self._publish([(self._bar(one), one.detail()) for one in over])

    def stand_at(self, printed: Print, published: NDArray[np.void]) -> None:
        """Take over what happened unseen: the last print of it, and all candles published so far."""
        state, klines = self.state, self.klines
        later = np.searchsorted(published["ts_open_ns"], klines.last_open_ns, side="right")
        klines.extend(published[later:])
        state.last_ticks, state.last_ns = printed.price_ticks, printed.ts_ns
        if len(published):
            state.basis = bar_event(printed.symbol, published[-1], klines.frame_ns)
            state.last_close_ns = state.basis.ts_close_ns
        state.running, state.ended = None, []

    def _publish(self, closing: list[Closed]) -> list[Bar]:
        state = self.state
        for bar, detail in closing:
            self.klines.append(bar, detail)
            state.last_close_ns = bar.ts_close_ns
        return [bar for bar, _ in closing]

    def _closed(self, bar: Bar, traded: Running | None) -> Closed:
        if traded is None:
            return bar, estimate_of(bar, self.instrument)
        if not traded.own_trades:
            is_whole = (traded.volume_lots, traded.trades) == (bar.volume_lots, bar.trades)
            return bar, traded.detail() if is_whole else estimate_of(bar, self.instrument)
        if traded.volume_lots >= bar.volume_lots:
            return self._bar(traded), traded.detail()
        trades, *rest = estimate_of(bar, self.instrument)
        whole = msgspec.structs.replace(
            bar,
            high=max(bar.high, traded.high),
            low=min(bar.low, traded.low),
            trades=trades + traded.own_trades,
        )
        return whole, (whole.trades, *rest)

    def _bar(self, one: Running) -> Bar:
        end_ns = one.open_ns + self.klines.frame_ns
        prices = (one.open, one.high, one.low, one.close)
        return Bar(self.instrument.symbol, one.open_ns, end_ns, *prices, one.volume_lots, one.trades)


def _state_after(symbol: str, klines: KlineStore) -> SymbolState:
    """A market with history stands at its last close."""
    if not len(klines):
        return SymbolState()
    last = bar_event(symbol, klines.bars[-1], klines.frame_ns)
    return SymbolState(
        last_ticks=last.close, last_ns=last.ts_close_ns, basis=last, last_close_ns=last.ts_close_ns
    )
