"""Brings the venue's truth to the engine: orders of ours by id, missed fills as ordinary reports, balances."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Balances, OrderReport
from bnml.core.ids import PREFIX
from bnml.core.orders import FINAL_STATES, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from bnml.core.events import Event
    from bnml.trading.engine import Engine
    from bnml.trading.orders import Order
    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import OrderAnswer

SYMBOLS_READ = 40  # whose whole order history is read at start: a request each

SECOND_LOOK_S = 1.0


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


async def missed_reports(venue: BinanceVenue, orders: Sequence[Order], now_ns: int) -> list[OrderReport]:
    """What the venue says of orders that are not over for us; one it never got is reported as rejected."""
    found: list[OrderReport] = []
    for order in orders:
        reports = await venue.order_reports(order.symbol, order.client_order_id)
        if reports:
            found += reports
        elif order.state in {OrderState.PENDING, OrderState.UNKNOWN}:
            found.append(_absent(order, now_ns))
        else:
            raise RecoveryNeeded(
                f"the venue does not know order {order.client_order_id} of {order.symbol}, which it had confirmed; "
                "the account is another one, or the exchange's ledger was replaced"
            )
    return sorted(found, key=lambda report: (report.ts_ns, report.trade_id))


def compare_balances(before: dict[str, int], balances: Balances) -> dict[str, int]:
    """Difference by asset, venue less ours, in 1e-8; empty when all agree."""
    venue = {asset: free + locked for asset, (free, locked) in balances.assets.items()}
    names = sorted(set(before) | set(venue))
    return {
        name: venue.get(name, 0) - before.get(name, 0)
        for name in names
        if venue.get(name, 0) != before.get(name, 0)
    }


async def recheck(venue: BinanceVenue, engine: Engine, changes: Callable[[], int]) -> list[Event]:
    """The periodic comparison with the venue; returns the reports that never reached us.

    What differs at first sight is usually only on its way, so it is looked at again after a pause. Balances
    are compared when nothing happened while they were read; `changes` counts what the engine was told.
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
    before = changes()
    totals = dict(engine.state.ledger.totals)
    balances = await venue.balances()
    await asyncio.sleep(SECOND_LOOK_S)
    off = compare_balances(totals, balances)
    if off and changes() == before and not events:
        log.warning("balances_differ", difference_e8=off)
    return events


def _absent(order: Order, now_ns: int) -> OrderReport:
    return OrderReport(
        order.symbol,
        order.client_order_id,
        now_ns,
        OrderState.REJECTED,
        order.side,
        text="never arrived at the venue",
    )
