"""What a rule may do: one struct an action, with what each parameter means."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=1e9, description="seconds, wall time")]
Sockets = Literal["these", "all", "api", "stream"]
"""`these`: those that the event is about, on which a frame goes out or a request came in."""


class Action(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="action",
    kw_only=True,
    omit_defaults=True,
):
    """One thing done when a rule fires."""


class Lasting(Action, frozen=True, kw_only=True):
    """An action that ends by itself after `lasts_s` of wall time or `lasts_market_s` of market time; 0: it stays."""

    lasts_s: Seconds = 0.0
    lasts_market_s: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class Delay(Action, frozen=True, tag="delay", kw_only=True):
    """Requests, answers and sockets are late by so much; frames hold back all that follow them on their socket."""

    seconds: Seconds
    jitter_s: Seconds = 0.0  # up to so much more, drawn from the seed


class Drop(Action, frozen=True, tag="drop"):
    """The frame or user event is never sent."""


class Duplicate(Action, frozen=True, tag="duplicate", kw_only=True):
    """The frame, user event or answer is sent `copies` times more."""

    copies: Annotated[int, Meta(ge=1, le=1000)] = 1


class Reorder(Action, frozen=True, tag="reorder", kw_only=True):
    """The frame goes out behind the next `behind` of its stream, a user event behind those of its account."""

    behind: Annotated[int, Meta(ge=1, le=100)] = 1


class Inject(Action, frozen=True, tag="inject", kw_only=True):
    """Another text goes out before the frame or user event, or instead of it."""

    text: Annotated[str, Meta(min_length=1, max_length=100_000)]
    instead: bool = False


class Truncate(Action, frozen=True, tag="truncate", kw_only=True):
    """Only the first part of the frame or body is sent; a body either breaks off, or is whole by its length."""

    keep: Annotated[float, Meta(ge=0, lt=1, description="share that is sent")] = 0.5
    breaks_off: bool = True


class SlowBody(Action, frozen=True, tag="slow_body", kw_only=True):
    """The body of a REST answer trickles in over so many seconds."""

    seconds: Seconds


class NoAnswer(Action, frozen=True, tag="no_answer", kw_only=True):
    """The request is never answered; its REST connection is cut after `seconds`, 0 = when the client gives up."""

    seconds: Seconds = 0.0


class Answer(Action, frozen=True, tag="answer", kw_only=True):
    """The request, or the opening of a socket, is answered so: as a named error, and what else is given."""

    like: str = ""
    status: Annotated[int, Meta(ge=0, le=599)] = 0
    code: Annotated[int, Meta(ge=-99_999, le=0)] = 0
    text: str = ""
    body: str = ""  # sent as it is, instead of code and text
    content_type: str = ""
    retry_after_s: Seconds = 0.0


class HalfReplace(Action, frozen=True, tag="half_replace", kw_only=True):
    """One half of a cancelReplace is refused by the exchange (HTTP 409, -2021)."""

    refused: Literal["new", "cancel"] = "new"


class Reset(Action, frozen=True, tag="reset", kw_only=True):
    """The connection breaks off, without any closing handshake."""

    sockets: Sockets = "these"


class Cut(Action, frozen=True, tag="cut", kw_only=True):
    """Sockets are closed in order, as after 24 hours."""

    sockets: Sockets = "these"


class Silent(Lasting, frozen=True, tag="silent", kw_only=True):
    """Sockets stay open, but nothing is sent on them; without `pings` they are dead altogether."""

    sockets: Sockets = "these"
    pings: bool = True


class NoPings(Lasting, frozen=True, tag="no_pings", kw_only=True):
    """Sockets get no ping any more."""

    sockets: Sockets = "these"


class ServerShutdown(Action, frozen=True, tag="server_shutdown", kw_only=True):
    """`serverShutdown` on every socket, which is closed `notice_s` later."""

    notice_s: Seconds = 10.0
    sockets: Sockets = "all"


class RefuseConnections(Action, frozen=True, tag="refuse_connections", kw_only=True):
    """The port is closed for a while; `cut` also breaks off what is open."""

    seconds: Annotated[float, Meta(gt=0, le=86_400)]
    cut: bool = False


class Ban(Action, frozen=True, tag="ban", kw_only=True):
    """Every request and every new socket is refused for a while, with the rest of it as `Retry-After`."""

    seconds: Annotated[float, Meta(gt=0, le=1e6)]
    status: Literal[418, 429] = 418
    cut: bool = False  # breaks off open sockets too


class UseWeight(Action, frozen=True, tag="use_weight", kw_only=True):
    """So much of the running minute's request weight is used up."""

    weight: Annotated[int, Meta(ge=1, le=1_000_000)]


class ClockSkew(Lasting, frozen=True, tag="clock_skew", kw_only=True):
    """The clock that signatures are checked against, and `GET time` tells, goes wrong by so much."""

    ms: Annotated[int, Meta(ge=-(10**10), le=10**10)]


class RevokeKey(Lasting, frozen=True, tag="revoke_key", kw_only=True):
    """The keys of the account are unknown from now on (-2015), and its user data streams end."""

    account: str = "*"


class SymbolStatus(Lasting, frozen=True, tag="symbol_status", kw_only=True):
    """The symbol's status; its orders stay."""

    symbol: str
    status: Literal["HALT", "BREAK", "CANCEL_ONLY", "TRADING"]


class Filters(Lasting, frozen=True, tag="filters", kw_only=True):
    """The symbol's filters become coarser; exchangeInfo says so, and orders are refused by them."""

    symbol: str
    tick: str = ""
    step: str = ""
    min_quantity: str = ""
    min_notional: str = ""


class Delist(Action, frozen=True, tag="delist", kw_only=True):
    """Trading ends (BREAK) and open orders are canceled; so much market time later the symbol does not exist."""

    symbol: str
    gone_after_s: Annotated[float, Meta(ge=0, le=1e9, description="seconds, market time")] = 0.0


class Fees(Lasting, frozen=True, tag="fees", kw_only=True):
    """Commission rates of an account, in hundredths of a percent."""

    maker_bps: Annotated[float, Meta(ge=0, le=1000)]
    taker_bps: Annotated[float, Meta(ge=0, le=1000)]
    account: str = "*"


class Transfer(Action, frozen=True, tag="transfer", kw_only=True):
    """A deposit, or with a minus a withdrawal (at most what is free); `all` withdraws everything free."""

    asset: Annotated[str, Meta(pattern="^[A-Z0-9]{1,20}$")]
    amount: Annotated[str, Meta(pattern=r"^(all|-?[0-9]{1,15}(\.[0-9]{1,8})?)$")]
    account: str = "*"


class PriceGap(Lasting, frozen=True, tag="price_gap", kw_only=True):
    """From the next print on all prices of the symbol are higher or lower by so much."""

    symbol: str
    percent: Annotated[float, Meta(gt=-100, le=10_000)]


class PriceSpike(Action, frozen=True, tag="price_spike", kw_only=True):
    """One trade of the smallest quantity far from the market, before the symbol's next print."""

    symbol: str
    percent: Annotated[float, Meta(gt=-100, le=10_000)]


class ManualOrder(Action, frozen=True, tag="manual_order", kw_only=True):
    """A market order in the account's name, as if its owner had traded by hand."""

    symbol: str
    side: Literal["BUY", "SELL"]
    quantity: Annotated[str, Meta(pattern=r"^[0-9]{1,15}(\.[0-9]{1,8})?$")]
    account: str = "*"


class CancelOrders(Action, frozen=True, tag="cancel_orders", kw_only=True):
    """All open orders of a symbol are canceled, as if the account's owner had done it by hand."""

    symbol: str
    account: str = "*"


OnRequest = Delay | Duplicate | Truncate | SlowBody | NoAnswer | Answer | HalfReplace
OnFrame = Delay | Drop | Duplicate | Reorder | Inject | Truncate
OnSocket = Reset | Cut | Silent | NoPings
OnVenue = (
    ServerShutdown
    | RefuseConnections
    | Ban
    | UseWeight
    | ClockSkew
    | RevokeKey
    | SymbolStatus
    | Filters
    | Delist
    | Fees
    | Transfer
    | PriceGap
    | PriceSpike
    | ManualOrder
    | CancelOrders
)
AnyAction = OnRequest | OnFrame | OnSocket | OnVenue
