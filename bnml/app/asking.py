"""What a command asks for: its new orders, the names a query can use, and what the engine is told when it did not happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import Retryable
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import ApprovedOrder, ListTicket, OrderState, OrderTicket, OrderType, Side
from bnml.venues.binance.errors import NO_SUCH_ORDER, ReplacementFailed
from bnml.venues.binance.venue import is_entry

if TYPE_CHECKING:
    from bnml.core.errors import BnmlError
    from bnml.core.events import Event
    from bnml.venues.binance.requests import VenueCommand


def tickets_of(command: VenueCommand) -> list[OrderTicket]:
    """The new orders that a command would make."""
    if isinstance(command, ReplaceOrder):
        return [command.ticket]
    if not isinstance(command, Submit):
        return []
    ticket = command.order.ticket
    if isinstance(ticket, ListTicket):
        return [*([ticket.working] if ticket.working is not None else []), *ticket.pending]
    return [ticket]


def new_names(command: VenueCommand) -> list[str]:
    """Client order ids of the new orders."""
    return [ticket.client_order_id for ticket in tickets_of(command)]


def cancelled_name(command: VenueCommand) -> str:
    """The order (or list) that a command wants to end."""
    match command:
        case ReplaceOrder():
            return command.cancel_client_order_id
        case CancelOrder():
            return command.client_order_id
        case CancelList():
            return command.list_client_order_id
        case _:
            return ""


def symbol_of(command: VenueCommand) -> str:
    """The one symbol that a command is about."""
    if isinstance(command, CancelOrder | CancelList | QueryOrder):
        return command.symbol
    return tickets_of(command)[0].symbol


def buys(command: VenueCommand) -> bool:
    """Whether the command opens something: its decision grows old, and nothing is bare without it."""
    return isinstance(command, Submit) and is_entry(command)


def sells_at_market(command: VenueCommand) -> bool:
    """Whether a second one could fill, too; a replacement does so once, with what it cancels."""
    return isinstance(command, Submit) and any(
        one.side is Side.SELL and one.type is OrderType.MARKET for one in tickets_of(command)
    )


def is_spare(command: VenueCommand) -> bool:
    """See `Submit.is_spare`."""
    return isinstance(command, Submit) and command.is_spare


def once_more(command: VenueCommand) -> Submit | None:
    """What may be sent again, under the same names, once the first request is proven never to have arrived.

    A replacement whose cancel was carried out becomes the placing of the order that was to follow.
    """
    if isinstance(command, Submit):
        return None if is_entry(command) or command.is_spare else command
    if isinstance(command, ReplaceOrder):
        return Submit(ApprovedOrder(command.ticket, command.reason))
    return None


def reports_of(
    command: VenueCommand, state: OrderState, now_ns: int, code: int = 0, text: str = ""
) -> list[OrderReport]:
    """One report for each new order of a command."""
    return [
        OrderReport(ticket.symbol, ticket.client_order_id, now_ns, state, ticket.side, code=code, text=text)
        for ticket in tickets_of(command)
    ]


def refusal(command: VenueCommand, error: BnmlError, now_ns: int) -> tuple[Event, ...]:
    """What the engine is told when the venue did not execute a command, or only half of it.

    What the venue has not judged (busy, not reached) has no code: protection does not count it as a refusal.
    """
    code = getattr(error, "code", None) or 0
    if isinstance(error, Retryable) and code != NO_SUCH_ORDER:
        code = 0
    events: list[Event] = []
    name = cancelled_name(command)
    half = error if isinstance(error, ReplacementFailed) else None
    if name and not (half is not None and half.cancelled):
        events.append(CancelFailed(symbol_of(command), name, now_ns, code, str(error)))
    if half is not None:
        events += half.reports
    if half is None or not half.placed:
        events += reports_of(command, OrderState.REJECTED, now_ns, code, str(error))
    return tuple(events)
