"""Brings the venue's truth to the engine: orders of ours by id, missed fills as ordinary reports, balances."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bnml.app.accounting import compare_balances
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Balances, OrderReport, Timer
from bnml.core.ids import PREFIX
from bnml.core.orders import FINAL_STATES, OrderState
from bnml.trading.engine import RECONCILE
from bnml.trading.orders import Order, OrderBook, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bnml.core.events import Event
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import OrderAnswer

SYMBOLS_READ = 40  # whose whole order history is read at start: a request each

SECOND_LOOK_S = 1.0
BETWEEN_READS_S = 0.1


def epoch_of(client_order_id: str, instance: str) -> int:
    """Epoch of an id that this instance made, 0 for any other id."""
    head, dash, _ = client_order_id.removeprefix(PREFIX + instance).partition("-")
    if not client_order_id.startswith(PREFIX + instance) or not dash or not head.isalnum():
        return 0
    return int(head, 36)


async def highest_epoch(venue: BinanceVenue, instance: str, symbols: Sequence[str]) -> int:
    """The newest session of ours that the venue has seen an order of."""
    seen = await venue.open_orders()
    for symbol in symbols[:SYMBOLS_READ]:
        seen += await venue.recent_orders(symbol)
    return max((epoch_of(order.client_order_id, instance) for order in seen), default=0)


def refuse_strangers(open_orders: Iterable[OrderAnswer], known: Iterable[str], instance: str) -> None:
    """Open orders with our ids that our journal does not know mean a clone, or a journal restored from a backup."""
    ours = {order.client_order_id for order in open_orders if epoch_of(order.client_order_id, instance)}
    strange = sorted(ours.difference(known))
    if strange:
        raise RecoveryNeeded(
            f"the venue holds {len(strange)} open orders of instance {instance!r} that the journal does not know "
            f"(first: {strange[0]}); another daemon trades as this instance, or the journal is older than the "
            "account: stop the other one, or cancel these orders and start again"
        )


class Missed(msgspec.Struct):
    """What the venue says of orders that are not over for us: `reports` of those that it knows, and the others."""

    reports: list[OrderReport]
    absent: list[Order]


class Truth(msgspec.Struct):
    """What the start found at the venue; `absent` are orders that it did not know then (see `prove_absence`)."""

    balances: Balances
    missed_reports: int
    absent: list[Order]
    difference_e8: dict[str, int]


async def bring_truth(
    venue: BinanceVenue, engine: Engine, feed: Callable[[Event], None], now_ns: int
) -> Truth:
    """Feed what the venue knows of our orders and balances, then let protection look at everything that is held."""
    count, seen = 0, None
    while True:
        missed = await missed_reports(venue, engine.book)
        for report in missed.reports:
            feed(report)
        count += len(missed.reports)
        balances = msgspec.structs.replace(await patiently(venue.balances), ts_ns=now_ns)
        difference_e8 = compare_balances(dict(engine.state.ledger.totals), balances)
        # A fill between the two reads is in the balances only; the next pair of reads has it in both.
        if not difference_e8 or difference_e8 == seen:
            break
        seen = difference_e8
        await asyncio.sleep(BETWEEN_READS_S)
    feed(balances)
    feed(Timer(RECONCILE, now_ns))
    return Truth(balances, count, missed.absent, difference_e8)


async def missed_reports(venue: BinanceVenue, book: OrderBook) -> Missed:
    """Read every order that is not over; RecoveryNeeded when one is gone that the venue had confirmed."""
    missed = Missed([], [])
    for order in book.open():
        reports = await patiently(partial(venue.order_reports, order.symbol, order.client_order_id))
        if reports:
            missed.reports += reports
        elif _was_confirmed(order, book):
            raise RecoveryNeeded(
                f"the venue does not know order {order.client_order_id} of {order.symbol}, which it had confirmed; "
                "the account is another one, or the exchange's ledger was replaced"
            )
        else:
            missed.absent.append(order)
    missed.reports.sort(key=lambda report: (report.ts_ns, report.trade_id))
    return missed


async def prove_absence(
    venue: BinanceVenue, orders: Sequence[Order], now_ns: Callable[[], int]
) -> list[Event]:
    """The truth of orders that the venue did not know at the start, read when no request can be under way any more.

    The caller waits until the receive window has passed since this process began: what the process before
    had sent has arrived by then, or is refused.
    """
    found: list[Event] = []
    for order in orders:
        if order.is_final:
            continue
        reports = await patiently(partial(venue.order_reports, order.symbol, order.client_order_id))
        found += reports or [never_arrived(order, now_ns())]
    return found


def _was_confirmed(order: Order, book: OrderBook) -> bool:
    """Legs of a list sleep from the start for us; that they exist is known with the order that wakes them."""
    if order.state in {OrderState.PENDING, OrderState.UNKNOWN}:
        return False
    workings = (
        [one for one in book.of_list(order.list_id) if one.role is Role.WORKING] if order.list_id else []
    )
    if order.state is not OrderState.SLEEPING or not workings:
        return True
    return workings[0].state not in {OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED}


async def recheck(venue: BinanceVenue, engine: Engine) -> list[Event]:
    """The periodic comparison with the venue; returns the reports that never reached us.

    What differs at first sight is usually only on its way, so it is looked at again after a pause.
    """
    log = logger()
    shown = {order.client_order_id for order in await venue.open_orders()}
    suspects = [order for order in engine.book.open() if order.client_order_id not in shown]
    if suspects:
        await asyncio.sleep(SECOND_LOOK_S)
    events: list[Event] = []
    for order in suspects:
        if order.is_final:
            continue
        reports = await venue.order_reports(order.symbol, order.client_order_id)
        if reports and reports[-1].state in FINAL_STATES and not order.is_final:
            log.warning("report_missed", client_order_id=order.client_order_id, state=reports[-1].state)
            events += reports
    return events


def never_arrived(order: Order, now_ns: int) -> OrderReport:
    """An order that the venue certainly never got."""
    return OrderReport(
        order.symbol,
        order.client_order_id,
        now_ns,
        OrderState.REJECTED,
        order.side,
        text="never arrived at the venue",
    )
