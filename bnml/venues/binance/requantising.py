"""Fits what was refused by a filter to filters that have become coarser meanwhile, in the units that the engine counts in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from bnml.core.commands import ReplaceOrder, Submit
from bnml.core.orders import ListTicket, OrderTicket, OrderType, Side

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.binance.requests import VenueCommand

_STOPS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})


def requantised(command: VenueCommand, old: Instrument, new: Instrument) -> VenueCommand | None:
    """The command as `new` allows it, still in units of `old`; None where that is impossible or changes nothing.

    Quantities and prices to pay are rounded down, prices to be paid up; a stop falls, never rises.
    """
    if new.tick_e8 % old.tick_e8 or new.lot_e8 % old.lot_e8:
        return None
    fitted: VenueCommand | None = None
    if isinstance(command, ReplaceOrder):
        ticket = _ticket(command.ticket, old, new)
        fitted = replace(command, ticket=ticket) if ticket is not None else None
    elif isinstance(command, Submit):
        asked = command.order.ticket
        if isinstance(asked, OrderTicket) and asked.side is Side.BUY:
            return None  # what guards it left in the same write, and was refused as it was
        found = _list(asked, old, new) if isinstance(asked, ListTicket) else _ticket(asked, old, new)
        fitted = replace(command, order=replace(command.order, ticket=found)) if found is not None else None
    return None if fitted == command else fitted


def _list(asked: ListTicket, old: Instrument, new: Instrument) -> ListTicket | None:
    """The legs of a smaller purchase become as much smaller, and fit then: commissions are taken of it, too."""
    working, less = None, 0
    if asked.working is not None:
        working = _ticket(asked.working, old, new)
        if working is None:
            return None
        less = asked.working.quantity_lots - working.quantity_lots
    smaller = [replace(leg, quantity_lots=leg.quantity_lots - less) for leg in asked.pending]
    kept = [found for leg in smaller if (found := _ticket(leg, old, new)) is not None]
    return replace(asked, working=working, pending=tuple(kept)) if len(kept) == len(smaller) else None


def _ticket(asked: OrderTicket, old: Instrument, new: Instrument) -> OrderTicket | None:
    """None where nothing worth an order is left."""
    quantity = _multiple(asked.quantity_lots, new.lot_e8 // old.lot_e8)
    step = new.tick_e8 // old.tick_e8
    is_up = asked.side is Side.SELL and asked.type not in _STOPS
    price = _multiple(asked.price_ticks, step, up=is_up)
    stop = _multiple(asked.stop_price_ticks, step, up=asked.side is Side.BUY)
    level = price or stop
    lots = quantity * old.lot_e8 // new.lot_e8
    if lots < new.min_lots or (level and old.notional_e8(level, quantity) < new.min_notional_e8):
        return None
    return replace(asked, quantity_lots=quantity, price_ticks=price, stop_price_ticks=stop)


def _multiple(units: int, step: int, *, up: bool = False) -> int:
    return -(-units // step) * step if up else units // step * step
