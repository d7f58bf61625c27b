"""Binance's messages as typed structs, one per shape on the wire; nothing is interpreted here."""

from __future__ import annotations

from typing import Literal

import msgspec

from bnml.venues.binance.errors import ErrorBody

EMPTY = msgspec.Raw(b"null")


class StreamFrame(msgspec.Struct, gc=False):
    """The combined wrapper of market streams, or the answer to a SUBSCRIBE (`id` set)."""

    stream: str = ""
    data: msgspec.Raw = EMPTY
    id: int | str | None = None
    simSeq: int = 0  # noqa: N815 - name on the wire
    error: ErrorBody | None = None


class TradeData(msgspec.Struct, gc=False):
    """Stream `<symbol>@trade`."""

    s: str
    t: int
    p: str
    q: str
    T: int


class KlineBody(msgspec.Struct, gc=False):
    """The candle inside a kline frame; `x` marks the last update."""

    t: int
    i: str
    o: str
    h: str
    l: str  # noqa: E741 - name on the wire
    c: str
    v: str
    n: int
    x: bool


class KlineData(msgspec.Struct, gc=False):
    """Stream `<symbol>@kline_<interval>`."""

    s: str
    k: KlineBody
    E: int


class DepthData(msgspec.Struct, gc=False):
    """A book snapshot, best levels first; stream `@depth20` or REST."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class MiniTicker(msgspec.Struct, gc=False):
    """One row of `!miniTicker@arr`; only its event time matters here."""

    E: int
    s: str = ""


class RateLimit(msgspec.Struct, gc=False, rename="camel"):
    """One of the limits that exchangeInfo states; `count` where usage is told."""

    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int
    count: int = 0


class ApiFrame(msgspec.Struct, gc=False):
    """Anything on a WebSocket API connection: an answer (`id`) or a user event (`event`)."""

    id: str | int | None = None
    status: int = 0
    result: msgspec.Raw = EMPTY
    error: ErrorBody | None = None
    event: msgspec.Raw = EMPTY
    simSeq: int = 0  # noqa: N815 - name on the wire
    rateLimits: list[RateLimit] = []  # noqa: N815 - name on the wire


class EventHead(msgspec.Struct, gc=False):
    """What all events with a type share."""

    e: str = ""
    E: int = 0


class EventKey(msgspec.Struct, gc=False):
    """What tells one user event from another; `I` numbers the reports of an account."""

    e: str = ""
    s: str = ""
    c: str = ""
    x: str = ""
    I: int = 0  # noqa: E741 - name on the wire


class ExecutionReport(msgspec.Struct, gc=False):
    """User event `executionReport`; fields by the letters of the documentation."""

    s: str
    c: str
    S: str
    q: str
    X: str
    i: int
    z: str
    T: int
    x: str = ""
    C: str = ""
    r: str = "NONE"
    l: str = "0"  # noqa: E741 - name on the wire
    L: str = "0"
    n: str = "0"
    N: str | None = None
    t: int = -1
    m: bool = False


class AssetBalance(msgspec.Struct, gc=False):
    """One asset of `outboundAccountPosition`."""

    a: str
    f: str
    l: str  # noqa: E741 - name on the wire


class AccountPosition(msgspec.Struct, gc=False):
    """User event `outboundAccountPosition`."""

    E: int
    B: list[AssetBalance]


class BalanceUpdate(msgspec.Struct, gc=False):
    """User event `balanceUpdate`: a deposit or a withdrawal."""

    a: str
    d: str
    T: int


class Fill(msgspec.Struct, gc=False, rename="camel"):
    """One fill in a FULL answer."""

    price: str
    qty: str
    commission: str
    commission_asset: str
    trade_id: int = 0


class OrderAnswer(msgspec.Struct, gc=False, rename="camel"):
    """An order as answers and queries show it."""

    symbol: str
    client_order_id: str
    order_id: int = 0
    status: str = ""
    side: str = ""
    orig_qty: str = "0"
    executed_qty: str = "0"
    transact_time: int = 0
    update_time: int = 0
    orig_client_order_id: str = ""
    order_list_id: int = -1
    fills: list[Fill] = []
    type: str = ""
    price: str = "0"
    stop_price: str = "0"
    time: int = 0


class ListAnswer(msgspec.Struct, gc=False, rename="camel"):
    """An order list as placing and cancelling it answer."""

    list_client_order_id: str = ""
    order_reports: list[OrderAnswer] = []


class ListMember(msgspec.Struct, gc=False, rename="camel"):
    """One order of a list."""

    client_order_id: str


class ListMembers(msgspec.Struct, gc=False, rename="camel"):
    """A list as queried: which orders belong to it, not how they stand."""

    orders: list[ListMember] = []


class ReplaceAnswer(msgspec.Struct, gc=False, rename="camel"):
    """Both halves of a replacement that worked; the cancelled one is a whole list where it was a leg."""

    cancel_result: Literal["SUCCESS"]
    new_order_result: Literal["SUCCESS"]
    cancel_response: msgspec.Raw
    new_order_response: msgspec.Raw


class AccountTrade(msgspec.Struct, gc=False, rename="camel"):
    """One row of myTrades."""

    id: int
    order_id: int
    price: str
    qty: str
    commission: str
    commission_asset: str
    time: int
    is_buyer: bool
    is_maker: bool = False


class Balance(msgspec.Struct, gc=False):
    """One row of the account."""

    asset: str
    free: str
    locked: str


class Account(msgspec.Struct, gc=False, rename="camel"):
    """Answer of GET account."""

    balances: list[Balance]
    can_trade: bool = True
    permissions: list[str] = []


class SymbolInfo(msgspec.Struct, rename="camel"):
    """One symbol of exchangeInfo; `filters` are objects told apart by `filterType`."""

    symbol: str
    status: str
    base_asset: str
    quote_asset: str
    filters: list[dict[str, str | int | bool | None]] = []
    order_types: list[str] = []
    oco_allowed: bool = False
    oto_allowed: bool = False
    opo_allowed: bool = False
    cancel_replace_allowed: bool = False
    is_spot_trading_allowed: bool = True
    permission_sets: list[list[str]] = []


class ExchangeInfo(msgspec.Struct, rename="camel"):
    """Answer of GET exchangeInfo."""

    symbols: list[SymbolInfo]
    rate_limits: list[RateLimit] = []


class ServerTime(msgspec.Struct, rename="camel"):
    """Answer of GET time."""

    server_time: int


class Ticker24h(msgspec.Struct, rename="camel"):
    """One row of GET ticker/24hr."""

    symbol: str
    quote_volume: str = "0"
    last_price: str = "0"
