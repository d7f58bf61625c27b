"""The exchange's door to `kernels.fills`: every price, cap and commission of a fill comes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.errors import Misconfigured
from bnml.core.orders import OrderType, Side
from bnml.kernels import fills
from bnml.kernels.records import BAR, COSTS, INSTRUMENT, Taking
from bnml.venues.sim.messages import BookLevels
from bnml.venues.sim.tiers import BookModel, Tier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.core.events import Bar
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.orders import SimOrder
    from bnml.venues.sim.symbol_market import SymbolState


_AT_ANY_PRICE = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
Quote = list[int]
"""Bid, ask, bid lots, ask lots, depth (1e-8 of the quote asset): a book with one level a side, see `fills.book_of_bar`."""
QUOTE_FIELDS = 5


class Take(NamedTuple):
    """What an order takes at once: how many lots at which price."""

    lots: int
    price_ticks: int


class Pricing:
    """Fill rules of one session: `costs` is a one-element array of `kernels.records.COSTS`."""

    def __init__(
        self,
        costs: NDArray[np.void],
        *,
        takes_recorded_books: bool = False,
        tier: Tier | None = None,
        model: BookModel | None = None,
    ) -> None:
        """`tier` None: that of `costs`; `model` belongs to F2 and F3."""
        if costs.dtype != COSTS or len(costs) != 1:
            raise Misconfigured("the exchange needs one record of costs (kernels.records.COSTS)")
        self.costs = costs[0]
        self.tier = Tier(f"F{self.costs['tier']}") if tier is None else tier
        self.model = model or BookModel()
        self.seed = int(self.costs["seed"])
        self.takes_recorded_books = takes_recorded_books
        self._touching = costs.copy()[0]  # a recorded quote already holds its spread
        self._touching["spread_floor_ppm"] = self._touching["spread_range_ppm"] = 0
        self._records: dict[str, np.void] = {}
        self._bars: dict[str, tuple[Bar, np.void]] = {}
        self._nothing = np.zeros(1, dtype=BAR)[0]
        self._nothing["close"] = 1

    @property
    def maker_ppm(self) -> int:
        return int(self.costs["maker_ppm"])

    @property
    def taker_ppm(self) -> int:
        return int(self.costs["taker_ppm"])

    def book(self, instrument: Instrument, last_ticks: int, basis: Bar, ts_ns: int) -> BookLevels:
        """One level a side around the last print."""
        bid, ask, bid_lots, ask_lots, depth_e8 = fills.book_of_bar(
            last_ticks, self._bar(basis), self._instrument(instrument), self.costs
        )
        quote = [int(bid), int(ask), int(bid_lots), int(ask_lots), int(depth_e8)]
        return book_levels(instrument.symbol, ts_ns, quote)

    def books(
        self, instrument: Instrument, prints: NDArray[np.int64], bases: NDArray[np.void]
    ) -> list[Quote]:
        """The books around many prints, each with the bar that prices it."""
        out = np.empty((len(prints), QUOTE_FIELDS), dtype=np.int64)
        ticks = np.ascontiguousarray(prints)
        fills.books_of_bars(ticks, bases, self._instrument(instrument), self.costs, out)
        quotes: list[Quote] = out.tolist()
        return quotes

    def touch(self, side: Side, state: SymbolState, instrument: Instrument, ts_ns: int) -> int:
        """Best opposite price in ticks: what an order of `side` would match first."""
        book = state.quoted
        if book is None and state.basis is not None:
            book = self.book(instrument, state.last_ticks, state.basis, ts_ns)
        if book is None:
            return state.last_ticks
        levels = book.asks if side is Side.BUY else book.bids
        return levels[0][0] if levels else state.last_ticks

    def take(self, order: SimOrder, lots: int, state: SymbolState, *, at_any_price: bool) -> Take:
        """Lots and price that an order gets at once at the last print; (0, price) when its limit forbids."""
        taking = _taking(order, at_any_price=at_any_price)
        is_buy = order.side is Side.BUY
        price = self._at(state, is_buy=is_buy)
        costs = self.costs if state.quoted is None else self._touching
        bar = self._nothing if state.basis is None else self._bar(state.basis)
        got, at = fills.taker_fill(taking, is_buy, lots, order.price_ticks, price, bar, costs)
        return Take(int(got), int(at))

    def most(self, order: SimOrder, lots: int, state: SymbolState) -> Take:
        """What an order would take of `lots` if it were content with less."""
        bar = self._nothing if state.basis is None else self._bar(state.basis)
        is_buy = order.side is Side.BUY
        costs = self.costs if state.quoted is None else self._touching
        price = self._at(state, is_buy=is_buy)
        got, at = fills.taker_fill(int(Taking.IOC), is_buy, lots, order.price_ticks, price, bar, costs)
        return Take(int(got), int(at))

    @staticmethod
    def _at(state: SymbolState, *, is_buy: bool) -> int:
        """The price that taking starts from: the recorded quote, else the last print."""
        if state.quoted is None:
            return state.last_ticks
        levels = state.quoted.asks if is_buy else state.quoted.bids
        return levels[0][0] if levels else state.last_ticks

    def lots_for(self, amount_e8: int, price_ticks: int, instrument: Instrument) -> int:
        """The most lots that an amount of quote buys at a price."""
        return int(fills.lots_for(amount_e8, price_ticks, self._instrument(instrument)))

    def touch_fills(self, print_ticks: int, ts_ns: int, instrument: Instrument) -> bool:
        """Whether a print fills the limit orders that rest at its very price; beyond it they fill for certain."""
        key = int(self._instrument(instrument)["symbol_key"])
        return bool(fills.limit_fills(True, print_ticks, print_ticks, key, ts_ns, self.costs))

    def commission_e8(self, amount_e8: int, ppm: int) -> int:
        """Commission on what a fill pays out, rounded down."""
        return int(fills.mul_ppm(amount_e8, ppm))

    def _instrument(self, instrument: Instrument) -> np.void:
        record = self._records.get(instrument.symbol)
        if record is None:
            record = instrument_record(instrument)
            self._records[instrument.symbol] = record
        return record

    def _bar(self, bar: Bar) -> np.void:
        cached = self._bars.get(bar.symbol)
        if cached is None or cached[0] is not bar:
            cached = (bar, bar_record(bar))
            self._bars[bar.symbol] = cached
        return cached[1]


def book_levels(symbol: str, ts_ns: int, quote: Quote) -> BookLevels:
    """A quote as a book."""
    bid, ask, bid_lots, ask_lots, depth_e8 = quote
    return BookLevels(symbol, ts_ns, ((bid, bid_lots),), ((ask, ask_lots),), depth_e8)


def instrument_record(instrument: Instrument) -> np.void:
    """The instrument as kernels read it."""
    record: np.void = np.zeros(1, dtype=INSTRUMENT)[0]
    for name in (
        "tick_e8",
        "lot_e8",
        "notional_num",
        "notional_den",
        "min_lots",
        "max_lots",
        "min_notional_e8",
    ):
        record[name] = getattr(instrument, name)
    record["symbol_key"] = fills.symbol_key(instrument.symbol)
    return record


def bar_record(bar: Bar) -> np.void:
    """A bar as kernels read it."""
    record: np.void = np.zeros(1, dtype=BAR)[0]
    record["ts_open_ns"] = bar.ts_open_ns
    for name in ("open", "high", "low", "close", "volume_lots"):
        record[name] = getattr(bar, name)
    return record


def _taking(order: SimOrder, *, at_any_price: bool) -> int:
    """FOK is looked at before, over everything that an order could meet."""
    return int(Taking.MARKET if at_any_price or order.type in _AT_ANY_PRICE else Taking.IOC)
