"""Places in the book: by trigger, by limit behind those before it, or following the market without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.venues.sim.book import RESTING, TRACKING, TRIGGER

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.orders import SimOrder


def seat(desk: Desk, order: SimOrder) -> None:
    """Give a live order its place: by its trigger, by its limit behind those before it, or following."""
    if order.waits_for_trigger and not order.level_ticks:
        desk.books[order.symbol].enter(order, TRACKING)
        return
    order.priority = desk.counters.priority
    desk.counters.priority += 1
    seat = TRIGGER if order.waits_for_trigger else RESTING
    if order.iceberg_lots:
        order.shown_lots = min(order.iceberg_lots, order.remaining_lots)
    desk.books[order.symbol].enter(order, seat, order.level_ticks)


def trigger(desk: Desk, order: SimOrder) -> None:
    """Turn a stop into the order it carries; it has no place until it is seated."""
    desk.books[order.symbol].leave(order)
    desk.held[order.account, order.symbol].algos -= 1
    order.triggered = True


def seat_again(desk: Desk) -> None:
    """After loading: everybody to the place they had, in the order in which they took it.

    Those of a ledger that knew no places follow by their numbers.
    """
    live = [order for orders in desk.live.values() for order in orders.values() if order.is_live]
    for order in sorted(live, key=lambda order: order.priority):
        if order.seat:
            desk.books[order.symbol].enter(order, order.seat, order.seat_ticks)
    for order in live:
        if not order.seat and not order.enters_ns:
            seat(desk, order)


def show_more(desk: Desk, order: SimOrder, lots: int) -> None:
    """After `lots` less of a resting iceberg: once nothing of it shows, its next part does, behind the others."""
    order.shown_lots -= min(lots, order.shown_lots)
    if not order.shown_lots and order.seat == RESTING:
        order.shown_lots = min(order.iceberg_lots, order.remaining_lots)
        desk.books[order.symbol].requeue(order)
