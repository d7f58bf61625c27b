"""Orders under our prefix that the journal does not know: whose they are, and what of them has to be taken over."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bnml.app.histories import OrderHistory, trades_since
from bnml.app.patience import patiently
from bnml.core.clock import NS_PER_MS, NS_PER_S, format_utc
from bnml.core.commands import ReplaceOrder, Submit
from bnml.core.errors import Rejected
from bnml.core.events import Adoption, OrderReport, Stranger
from bnml.core.ids import LEG_LIST, PREFIX, is_of_fees
from bnml.core.orders import FINAL_STATES, ListTicket, OrderType, Side
from bnml.venues.binance.numbers import lots, ticks
from bnml.venues.binance.reports import state_of, traded_reports

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from bnml.core.commands import Command
    from bnml.core.instrument import Instrument
    from bnml.journal.reader import JournalReader
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import AccountTrade, OrderAnswer

FRESH_NS = 3600 * NS_PER_S
"""An order of another daemon that is younger means that it may be trading now."""
MARGIN_NS = 600 * NS_PER_S
"""The journal's last event may be older than the venue's last word that it knows."""
FEW = 20
"""Orders that are read one by one; of more of them the trades of the symbol are read by the page."""
_ID = re.compile(PREFIX + r"([a-z0-9]{4})([0-9a-z]+)-([0-9a-z]+)-[0-9a-z]+[a-z]")


class Name(msgspec.Struct, frozen=True):
    """A client order id of this program, taken apart."""

    instance: str
    epoch: int
    sequence: int


def name_of(client_order_id: str) -> Name | None:
    """The parts of an id as `core.ids` makes it; None for the id of anybody else."""
    found = _ID.fullmatch(client_order_id)
    if found is None:
        return None
    return Name(found[1], int(found[2], 36), int(found[3], 36))


async def read_history(
    venue: BinanceVenue, symbols: Sequence[str], since_ns: int = 0, at_once: int = 1
) -> list[OrderAnswer]:
    """All open orders of the account, and those that these symbols had since then, each once."""
    history = OrderHistory(venue, since_ns=since_ns, at_once=at_once)
    standing = await patiently(venue.open_orders)
    history.orders = {order.order_id: order for order in standing}
    named = [order.symbol for order in standing if name_of(order.client_order_id)]
    await history.read(list(dict.fromkeys((*named, *symbols))))
    return list(history.orders.values())


def touched_symbols(orders: Iterable[OrderAnswer], instance: str, since_ns: int) -> list[str]:
    """Symbols in which orders of ours live, or were changed since then."""
    return sorted(
        {
            order.symbol
            for order in orders
            if order.client_order_id.startswith(PREFIX + instance)
            and (order.status in _OPEN or _touched_ns(order) >= since_ns)
        }
    )


def newest_epoch(orders: Iterable[OrderAnswer], instance: str) -> int:
    """The newest session of ours that the venue has seen an order of; 0 for none."""
    names = (name_of(order.client_order_id) for order in orders)
    return max((one.epoch for one in names if one is not None and one.instance == instance), default=0)


def refuse_second_daemon(
    orders: Iterable[OrderAnswer], instance: str, epoch: int, now_ns: int, acknowledged_ns: int
) -> None:
    """Refuse to start beside a daemon that may be trading on this account now.

    `epoch` is the last one that this state folder knows of. What the operator has acknowledged since is no reason.
    """
    for order in sorted(orders, key=_touched_ns, reverse=True):
        name = name_of(order.client_order_id)
        if name is None or (name.instance == instance and name.epoch <= epoch):
            continue
        touched_ns = _touched_ns(order)
        if touched_ns < max(now_ns - FRESH_NS, acknowledged_ns):
            return
        if name.instance == instance:
            whose = (
                f"session {name.epoch} of this instance ({instance}), but this state folder only knows {epoch}: "
                "a copy of it is in use elsewhere, or it was restored from a backup"
            )
        else:
            whose = f"another daemon ({name.instance}) with the same key"
        raise Rejected(
            f"order {order.client_order_id} of {order.symbol} was placed or changed at {format_utc(touched_ns)} by "
            f"{whose}; stop the other daemon. If none runs, say so with `bnml recover --acknowledge`, then start again"
        )


def foreign(orders: Iterable[OrderAnswer], instance: str) -> list[OrderAnswer]:
    """Open orders that are not ours; they are shown, and never touched."""
    return [
        order
        for order in orders
        if order.status in _OPEN and not order.client_order_id.startswith(PREFIX + instance)
    ]


async def adoptions(
    venue: BinanceVenue,
    orders: Iterable[OrderAnswer],
    instance: str,
    is_known: Callable[[str], bool],
    since_ns: int,
    now_ns: int,
) -> list[Adoption]:
    """What of our own orders the books do not know: those that live, and those that filled since `since_ns`."""
    unknown: dict[str, list[OrderAnswer]] = {}
    for order in orders:
        name = name_of(order.client_order_id)
        if name is None or name.instance != instance or order.symbol not in venue.instruments:
            continue
        if is_of_fees(order.client_order_id):
            continue  # the balances hold what it bought, and it is nobody's position
        lives = state_of(order.status) not in FINAL_STATES
        filled = float(order.executed_qty) > 0 and _touched_ns(order) >= since_ns
        if (lives or filled) and not is_known(order.client_order_id):
            unknown.setdefault(order.symbol, []).append(order)
    return [
        await _adoption(venue, symbol, found, now_ns, has_books=since_ns > 0)
        for symbol, found in sorted(unknown.items())
    ]


async def _adoption(
    venue: BinanceVenue, symbol: str, orders: Sequence[OrderAnswer], now_ns: int, *, has_books: bool
) -> Adoption:
    instrument = venue.instruments[symbol]
    fills = await _fills(venue, instrument, [order for order in orders if float(order.executed_qty) > 0])
    fills.sort(key=lambda report: (report.ts_ns, report.trade_id))
    if not has_books:
        fills = fills_of_now(fills, instrument)
    filled = {report.client_order_id for report in fills}
    kept = [
        _stranger(order, instrument)
        for order in sorted(orders, key=lambda one: one.order_id)
        if order.client_order_id in filled or state_of(order.status) not in FINAL_STATES
    ]
    return Adoption(symbol, now_ns, tuple(kept), tuple(fills))


async def _fills(
    venue: BinanceVenue, instrument: Instrument, orders: Sequence[OrderAnswer]
) -> list[OrderReport]:
    """What these orders have filled. An order that lives, or whose trades do not add up, is read by itself."""
    over = [order for order in orders if state_of(order.status) in FINAL_STATES]
    trades: dict[int, list[AccountTrade]] = {}
    if len(over) > FEW:
        for row in await trades_since(venue, instrument.symbol, {order.order_id for order in over}):
            trades.setdefault(row.order_id, []).append(row)
    found: list[OrderReport] = []
    for order in orders:
        reports = traded_reports(order, trades.get(order.order_id, ()), instrument)
        counted = sum(report.last_lots for report in reports)
        if order not in over or counted != lots(instrument, order.executed_qty):
            reports = await patiently(partial(venue.order_reports, instrument.symbol, order.client_order_id))
        found += [report for report in reports if report.trade_id > 0]
    return found


def fills_of_now(fills: Sequence[OrderReport], instrument: Instrument) -> list[OrderReport]:
    """The fills after the last moment at which everything bought had been sold.

    For books that begin anew; a sale of more than was bought began before the first of them.
    """
    held_e8, start = 0, 0
    for place, report in enumerate(fills, start=1):
        sign = 1 if report.side is Side.BUY else -1
        held_e8 += sign * report.last_lots * instrument.lot_e8
        if report.commission_asset == instrument.base:
            held_e8 -= report.commission_e8
        if held_e8 < 0:
            return list(fills)
        if held_e8 < instrument.lot_e8 and sign < 0:
            held_e8, start = 0, place
    return list(fills[start:])


def is_known(orders: Container[str], journal: JournalReader, client_order_id: str) -> bool:
    """Whether the books hold an order, or the journal the intent to make it."""
    name = name_of(client_order_id)
    if client_order_id in orders or name is None:
        return True
    return any(client_order_id in intended(one) for one in journal.commands_of(name.sequence))


def shows_ours(
    orders: Iterable[OrderAnswer], instance: str, known: Container[str], journal: JournalReader
) -> bool:
    """Whether an account has any order that these books made: then it is the account that they were kept of."""
    return any(
        is_known(known, journal, order.client_order_id)
        for order in orders
        if order.client_order_id.startswith(PREFIX + instance)
    )


def since_ns(engine: Engine) -> int:
    """What filled before this is in the books of the engine, if it was ours."""
    return max(0, engine.state.now_ns - MARGIN_NS)


def intended(command: Command) -> list[str]:
    """Client order ids of the orders that a command makes."""
    if isinstance(command, ReplaceOrder):
        return [command.ticket.client_order_id]
    if not isinstance(command, Submit):
        return []
    ticket = command.order.ticket
    if not isinstance(ticket, ListTicket):
        return [ticket.client_order_id]
    legs = [leg.client_order_id for leg in ticket.pending]
    return legs if ticket.working is None else [ticket.working.client_order_id, *legs]


def _stranger(order: OrderAnswer, instrument: Instrument) -> Stranger:
    trigger = ticks(instrument, order.stop_price)
    in_list = order.order_list_id >= 0
    return Stranger(
        order.client_order_id,
        # Legs of one request differ in their last letter only.
        order.client_order_id[:-1] + LEG_LIST if in_list else "",
        Side(order.side),
        OrderType(order.type),
        state_of(order.status),
        lots(instrument, order.orig_qty),
        lots(instrument, order.executed_qty),
        trigger or ticks(instrument, order.price),
    )


def _touched_ns(order: OrderAnswer) -> int:
    return max(order.update_time, order.time, order.transact_time) * NS_PER_MS


_OPEN = frozenset({"NEW", "PENDING_NEW", "PARTIALLY_FILLED"})
