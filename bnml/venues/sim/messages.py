"""What goes into the exchange and what comes out: requests, user events, market steps, refusals.

Requests carry amounts as on the wire, in integers of 1e-8 (`*_e8`), so that filters can refuse what is
off the tick or the lot. Everything that comes out is in ticks, lots and 1e-8 of an asset.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bnml.core.errors import Rejected
from bnml.core.events import Bar
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce


class VenueReject(Rejected):
    """A refusal with Binance's error code and text; nothing has happened."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text, code=code)
        self.reject_code = code
        self.text = text


class OrderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the wire gives it; 0 and "" stand for "not given".

    MARKET takes `quantity_e8` or `quote_quantity_e8`. In OPO and OPOCO pending legs give no quantity.
    """

    symbol: str
    side: Side
    type: OrderType
    quantity_e8: int = 0
    quote_quantity_e8: int = 0
    price_e8: int = 0
    stop_price_e8: int = 0
    time_in_force: TimeInForce | None = None
    client_order_id: str = ""
    iceberg_e8: int = 0
    trailing_bips: int = 0
    prevention: str = ""  # self-trade prevention mode; "": the symbol's
    strategy_id: int = -1  # -1: not given
    strategy_type: int = -1


class ListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An order list; for OCO `working` is None and `pending` holds both legs, in any order.

    OTO and OPO have one pending order, OTOCO and OPOCO two of the same side and quantity.
    """

    symbol: str
    kind: ListKind
    pending: tuple[OrderRequest, ...]
    working: OrderRequest | None = None
    list_client_order_id: str = ""


class OrderKey(msgspec.Struct, frozen=True, kw_only=True):
    """Names an order by the venue's id, the client's id, or both (then both must match, else -2039)."""

    symbol: str
    order_id: int = 0
    client_order_id: str = ""


class ListKey(msgspec.Struct, frozen=True, kw_only=True):
    """Names an order list by the venue's id or the client's; queries need no symbol."""

    list_id: int = 0
    list_client_order_id: str = ""
    symbol: str = ""


class Status(StrEnum):
    """Order states as Binance writes them."""

    NEW = "NEW"
    PENDING_NEW = "PENDING_NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    PENDING_CANCEL = "PENDING_CANCEL"  # only in answers: the cancel has not reached the book yet


class Execution(StrEnum):
    """Execution types (`x`) as Binance writes them."""

    NEW = "NEW"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    TRADE = "TRADE"
    EXPIRED = "EXPIRED"
    REPLACED = "REPLACED"
    TRADE_PREVENTION = "TRADE_PREVENTION"


class TradeRecord(msgspec.Struct, frozen=True):
    """One fill of one order, as myTrades lists it."""

    account: str
    symbol: str
    trade_id: int
    order_id: int
    list_id: int  # -1: not in a list
    price_ticks: int
    quantity_lots: int
    quote_e8: int
    commission_e8: int
    commission_asset: str
    ts_ns: int
    is_buyer: bool
    is_maker: bool
    execution_id: int = 0  # of the report that told it; unlike the trade's number it is never shared


class PreventedMatch(msgspec.Struct, frozen=True):
    """Two orders of one owner that would have traded; lots are what the taker, the maker lost by it (0: nothing)."""

    prevented_id: int
    symbol: str
    taker_account: str
    maker_account: str
    taker_order_id: int
    maker_order_id: int
    trade_group: int
    mode: str
    price_ticks: int
    lots: int  # that would have traded
    taker_lots: int
    maker_lots: int
    ts_ns: int


class Amendment(msgspec.Struct, frozen=True):
    """One reduction of an order's quantity in place."""

    execution_id: int
    account: str
    symbol: str
    order_id: int
    old_client_order_id: str
    new_client_order_id: str
    old_lots: int
    new_lots: int
    ts_ns: int


class OrderView(msgspec.Struct, frozen=True):
    """An order as queries and responses show it."""

    account: str
    symbol: str
    order_id: int
    list_id: int  # -1: not in a list
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    quantity_lots: int
    quote_quantity_e8: int  # as asked for by MARKET with quoteOrderQty, else 0
    price_ticks: int
    stop_price_ticks: int
    status: Status
    executed_lots: int
    executed_quote_e8: int
    is_working: bool
    created_ns: int
    updated_ns: int
    working_ns: int  # -1: not yet on the book
    expiry_reason: str
    prevention: str = "NONE"
    prevented_lots: int = 0
    prevented_match_id: int = -1
    iceberg_lots: int = 0
    trailing_bips: int = 0
    trailing_ns: int = -1
    strategy_id: int = -1
    strategy_type: int = -1


class ListView(msgspec.Struct, frozen=True):
    """An order list as queries and responses show it; `orders` in the order of their ids."""

    account: str
    symbol: str
    list_id: int
    list_client_order_id: str
    kind: ListKind
    contingency: str  # OCO or OTO, Binance's contingencyType
    list_status: str  # EXEC_STARTED, ALL_DONE (listStatusType)
    order_status: str  # EXECUTING, ALL_DONE (listOrderStatus)
    ts_ns: int
    orders: tuple[OrderView, ...]


class ExecutionReport(msgspec.Struct, frozen=True):
    """`executionReport`: `order` is the state after this execution; letters are Binance's field names."""

    account: str
    ts_ns: int  # E and T
    execution_id: int  # I, strictly increasing over the exchange
    execution: Execution  # x
    order: OrderView
    client_order_id: str  # c: of the order, or of the request that canceled it
    original_client_order_id: str  # C: empty unless canceled or amended by request
    trade: TradeRecord | None = None  # l, L, n, N, t, m, Y
    prevented: PreventedMatch | None = None  # v, A, B, u, U, Cs, pl, pL, pY


class AccountPosition(msgspec.Struct, frozen=True):
    """`outboundAccountPosition`: (free, locked) of the assets that a request or print may have changed."""

    account: str
    ts_ns: int
    assets: dict[str, tuple[int, int]]


class BalanceUpdate(msgspec.Struct, frozen=True):
    """`balanceUpdate`: a deposit (positive) or a withdrawal."""

    account: str
    ts_ns: int
    asset: str
    delta_e8: int


class ListStatus(msgspec.Struct, frozen=True):
    """`listStatus`: the list began to execute or is over; `updated`: a leg has a new client id."""

    account: str
    ts_ns: int
    order_list: ListView
    updated: bool = False


UserEvent = ExecutionReport | AccountPosition | BalanceUpdate | ListStatus


class Placed(msgspec.Struct, frozen=True):
    """Answer to a new order: its state after matching, its fills so far, and the matches prevented on the way."""

    order: OrderView
    fills: tuple[TradeRecord, ...]
    prevented: tuple[PreventedMatch, ...] = ()


class Canceled(msgspec.Struct, frozen=True):
    """Answer to a cancel: `client_order_id` is the id of the cancel request, the order keeps its own.

    `order_list` is set when the order was a leg: the whole list is over then.
    """

    order: OrderView
    client_order_id: str
    order_list: ListView | None = None


class Amended(msgspec.Struct, frozen=True):
    """Answer to an amendment; `order_list` is set for a leg."""

    order: OrderView
    amendment: Amendment
    order_list: ListView | None = None


class Replaced(msgspec.Struct, frozen=True):
    """Answer to cancelReplace when both halves worked; each half that failed holds its refusal instead."""

    cancel_result: Canceled | VenueReject
    new_result: Placed | VenueReject | None  # None: NOT_ATTEMPTED


class ReplaceFailed(VenueReject):
    """-2021 (one half failed) or -2022 (nothing happened); `replaced` says what each half did."""

    def __init__(self, code: int, text: str, replaced: Replaced) -> None:
        super().__init__(code, text)
        self.replaced = replaced


class AccountView(msgspec.Struct, frozen=True):
    """All balances of an account, (free, locked) in 1e-8 by asset."""

    account: str
    updated_ns: int
    maker_ppm: int
    taker_ppm: int
    balances: dict[str, tuple[int, int]]


class Print(msgspec.Struct, frozen=True, gc=False):
    """One public trade. `jump`: nothing was traded between the previous print and this one.

    One of no lots moves the price where a recording has no trade, and is not shown.
    """

    symbol: str
    price_ticks: int
    quantity_lots: int
    ts_ns: int
    jump: bool
    trade_id: int = 0  # of a recorded trade; 0: the exchange numbers it
    buyer_is_maker: bool = False
    is_side_known: bool = False  # else a numbered print that falls has its buyer as the maker
    is_own: bool = False  # a trade of the exchange's own accounts, which the feed's candle does not hold


class BookLevels(msgspec.Struct, frozen=True):
    """Best levels first, (ticks, lots); `depth_e8` = quote value of the levels within 0.5 % of the middle."""

    symbol: str
    ts_ns: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    depth_e8: int
    update_id: int = 0
    lot_e8: int = 0  # unit of the quantities where it is not the instrument's lot


class DepthChange(msgspec.Struct, frozen=True):
    """A recorded difference of the whole book, or the whole book: (ticks, quantity in 1e-8), none deletes a level.

    Old orders may hold quantities finer than a lot.
    """

    symbol: str
    first_id: int
    last_id: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    is_snapshot: bool = False


class Step(msgspec.Struct, frozen=True):
    """One advance of the market. Wearers apply it whole: user events first, then its frames in this order.

    Frames: prints, books, closed bars, and the beat (`!miniTicker@arr`) where `beat`. Spread and volume
    that price fills change with the closed bars, after the prints; `basis` gives a market its first ones.
    `running` are candles that a followed venue shows before they close; others grow from their prints.
    `depth` are differences of whole books, where a feed has them; `books` are then their best levels.
    """

    ordinal: int
    ts_ns: int
    prints: tuple[Print, ...] = ()
    books: tuple[BookLevels, ...] = ()
    closed_bars: tuple[Bar, ...] = ()
    basis: tuple[Bar, ...] = ()
    beat: bool = False
    running: tuple[Bar, ...] = ()
    depth: tuple[DepthChange, ...] = ()
