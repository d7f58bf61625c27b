"""Everything the engine can ask for: a closed union of immutable messages."""

from __future__ import annotations

import msgspec

from bnml.core.orders import ApprovedOrder, OrderTicket


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Place an order or an order list; waits for the journal commit of its intent.

    `after` names orders and lists of the same event whose requests come just before it: cancels, or a purchase;
    it sells what these free or bring. All of them leave in one write where the venue can, else one after the
    other; the engine is sure that the venue refuses the order for want of free coins when one of them fails.

    `beside` names orders in doubt for the same coins: the engine is sure that the venue takes at most one of all
    these. They are not sent again.
    """

    order: ApprovedOrder
    after: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def is_spare(self) -> bool:
        """Whether it is there in case that the orders before it fail: it leaves in the same write or not at all, and once."""
        return bool(self.after and self.beside)


class CancelOrder(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Cancel one order; a leg of a list takes its list with it."""

    symbol: str
    client_order_id: str
    reason: str


class CancelList(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Cancel all legs of an order list that are still alive."""

    symbol: str
    list_client_order_id: str
    reason: str


class ReplaceOrder(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Cancel one resting order and place `ticket` in its stead in one request, unless it has filled in part (STOP_ON_FAILURE, ONLY_NEW)."""

    cancel_client_order_id: str
    ticket: OrderTicket
    reason: str


class QueryOrder(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Read the venue's truth of one order whose outcome is unknown; the answer comes back as reports."""

    symbol: str
    client_order_id: str


class RequestTrain(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Ask for new bundles; training runs in a child process and answers with ModelPublished."""

    symbols: tuple[str, ...]
    reason: str


class Alert(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """`severity` is info, warning or critical; `text` is for the operator at 3 a.m."""

    severity: str
    name: str
    text: str


class Halt(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Stop entries for good until the operator acts; protection keeps working."""

    reason: str


Command = Submit | CancelOrder | CancelList | ReplaceOrder | QueryOrder | RequestTrain | Alert | Halt
