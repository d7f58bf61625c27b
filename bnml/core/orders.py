"""Orders: tickets that may leave the engine, and the one transition table of an order's life."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Side(StrEnum):
    """As on the wire."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """The types of Binance Spot, as on the wire; stops and takes are triggered by the last trade price."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"


class TimeInForce(StrEnum):
    """Good till cancelled, immediate or cancel (rest expires), fill or kill (all at once or nothing)."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class ListKind(StrEnum):
    """Order lists of Binance Spot; OPO sizes pending legs by what the working order paid out."""

    OCO = "OCO"
    OTO = "OTO"
    OTOCO = "OTOCO"
    OPO = "OPO"
    OPOCO = "OPOCO"


class OrderTicket(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True, tag_field="ticket"):
    """What a venue needs to know of one order; 0 stands for "not given" in prices and quantity."""

    symbol: str
    client_order_id: str
    side: Side
    type: OrderType
    quantity_lots: int
    price_ticks: int = 0
    stop_price_ticks: int = 0
    time_in_force: TimeInForce | None = None


class ListTicket(msgspec.Struct, frozen=True, array_like=True, tag=True, tag_field="ticket"):
    """An order list: for OCO `working` is None; `pending` is (target, stop), (stop,) or (target,)."""

    symbol: str
    list_client_order_id: str
    kind: ListKind
    working: OrderTicket | None
    pending: tuple[OrderTicket, ...]


class ApprovedOrder(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A ticket that has passed sizing and every limit (or the checks for exits); the only thing a Submit takes."""

    ticket: OrderTicket | ListTicket
    reason: str


class RefusedOrder(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The other result of risk: the first rule that refused, with what was measured against what limit."""

    symbol: str
    code: int
    measured: float
    limit: float


class OrderState(StrEnum):
    """Where an order is in its life, as the engine knows it; the venue's words are mapped by the codec."""

    PENDING = "PENDING"  # made by the engine, intent being journaled
    SLEEPING = "SLEEPING"  # leg of a list whose working order has not filled (PENDING_NEW)
    OPEN = "OPEN"
    PARTLY_FILLED = "PARTLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"  # request left, outcome not known: only a positive read resolves it


FINAL_STATES = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED, OrderState.EXPIRED})

# Reports come twice, late and out of order, over two transports. The further of two words of the venue is the
# true one whichever came first: this order of states, from the least that can be said of an order to the most,
# is what makes every permutation of reports end alike. UNKNOWN is said by us alone, and only of a request that
# nothing has been heard of; a fill is a fact, whatever else was said.
LIFE: tuple[OrderState, ...] = (
    OrderState.PENDING,
    OrderState.UNKNOWN,
    OrderState.SLEEPING,
    OrderState.OPEN,
    OrderState.PARTLY_FILLED,
    OrderState.REJECTED,
    OrderState.EXPIRED,
    OrderState.CANCELED,
    OrderState.FILLED,
)
RANK: dict[OrderState, int] = {state: rank for rank, state in enumerate(LIFE)}
TRANSITIONS: dict[OrderState, frozenset[OrderState]] = {
    state: frozenset(LIFE[rank + 1 :]) for rank, state in enumerate(LIFE)
}
"""From each state, where a report may lead; a report that leads nowhere else is late and changes nothing."""


def next_state(current: OrderState, reported: OrderState) -> OrderState:
    """The state after a report; a report that the table does not allow is late and changes nothing."""
    return reported if reported in TRANSITIONS[current] else current
