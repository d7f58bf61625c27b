"""An approved entry as order lists, each tranche bought and protected in one request, or as purchases with stops behind them."""

from __future__ import annotations

import msgspec

from bnml.core.commands import Submit
from bnml.core.ids import LEG_LIST, LEG_STOP, LEG_TARGET, LEG_WORKING
from bnml.core.instrument import Instrument
from bnml.core.orders import (
    ApprovedOrder,
    ListKind,
    ListTicket,
    OrderState,
    OrderTicket,
    OrderType,
    Side,
    TimeInForce,
)
from bnml.kernels.records import ExitReason
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Tranche

_SIZED_BY_VENUE = frozenset({ListKind.OPO, ListKind.OPOCO})
_TARGET1, _TARGET2 = int(ExitReason.TARGET1), int(ExitReason.TARGET2)
STOP_LIMIT_PPM = 50_000
"""How far below its trigger a STOP_LOSS_LIMIT may sell, where a symbol has no STOP_LOSS."""


class EntryPlan(msgspec.Struct, frozen=True):
    """Integers of one entry as sizing and exits gave them; `tranches` are (index, lots, target or 0)."""

    symbol: str
    limit_ticks: int
    stop_ticks: int
    stop_reason: int
    tranches: tuple[tuple[int, int, int], ...]
    commission_ppm: int  # in base, of the working order; only for legs that are not sized by the venue
    is_alone: bool = False  # see `freeing.is_alone`; without a list, stops leave with what they sell


def stop_price(instrument: Instrument, stop_ticks: int) -> int:
    """At what price the venue values the stop of that trigger: its own, or the limit where it has to have one."""
    if instrument.stop_loss_allowed:
        return stop_ticks
    limit_ticks = stop_ticks - stop_ticks * STOP_LIMIT_PPM // 1_000_000
    return max(instrument.min_ticks, limit_ticks - limit_ticks % instrument.price_step)


def stop_ticket(instrument: Instrument, client_order_id: str, lots: int, stop_ticks: int) -> OrderTicket:
    """A protective stop: STOP_LOSS where the symbol has it, else STOP_LOSS_LIMIT with a wide limit."""
    if instrument.stop_loss_allowed:
        return OrderTicket(
            instrument.symbol,
            client_order_id,
            Side.SELL,
            OrderType.STOP_LOSS,
            lots,
            stop_price_ticks=stop_ticks,
        )
    limit_ticks = stop_price(instrument, stop_ticks)
    return OrderTicket(
        instrument.symbol,
        client_order_id,
        Side.SELL,
        OrderType.STOP_LOSS_LIMIT,
        lots,
        limit_ticks,
        stop_ticks,
        TimeInForce.GTC,
    )


def target_ticket(instrument: Instrument, client_order_id: str, lots: int, ticks: int) -> OrderTicket:
    """A resting target that pays the maker's commission."""
    return OrderTicket(instrument.symbol, client_order_id, Side.SELL, OrderType.LIMIT_MAKER, lots, ticks)


def fit(
    tranches: tuple[tuple[int, int, int], ...], instrument: Instrument, book: OrderBook
) -> tuple[tuple[int, int, int], ...]:
    """The tranches, or all in one, or none: as many as the symbol has room for beside our own open orders.

    A stop counts as algorithmic order also while it sleeps; one that the venue refused would leave its tranche bare.
    """
    own = [order for order in book.open() if order.symbol == instrument.symbol]
    stops = [order for order in own if order.role is Role.STOP]
    lists = {order.list_id for order in own if order.list_id}
    orders = instrument.max_orders - len(own)
    room = min(instrument.max_algo_orders - len(stops), instrument.max_lists - len(lists))
    if len(tranches) <= room and _orders_of(tranches) <= orders:
        return tranches
    whole = ((1, sum(lots for _, lots, _ in tranches), tranches[0][2]),)
    return whole if room > 0 and _orders_of(whole) <= orders else ()


def _orders_of(tranches: tuple[tuple[int, int, int], ...]) -> int:
    """Orders of all tranches: what buys, the stop, and a target where there is one."""
    return 2 * len(tranches) + len([target for _, _, target in tranches if target])


def submit_entry(plan: EntryPlan, instrument: Instrument, book: OrderBook, out: Outbox) -> list[Tranche]:
    """Emit one request per tranche and register all its legs; the first tranche leaves first."""
    return [
        _submit_tranche(plan, index, lots, target, instrument, book, out)
        for index, lots, target in plan.tranches
    ]


def _submit_tranche(
    plan: EntryPlan, index: int, lots: int, target: int, instrument: Instrument, book: OrderBook, out: Outbox
) -> Tranche:
    stem, symbol, reason = out.begin(), plan.symbol, f"entry tranche {index}"
    working_id, limit_ticks = stem + LEG_WORKING, plan.limit_ticks
    tranche = Tranche(index, target, plan.stop_ticks, plan.stop_reason, working_id)
    if not instrument.oco_allowed:  # no list holds a pair there either: its stop rests alone
        tranche.emulated_ticks, tranche.target_ticks, target = target, 0, 0
    working = OrderTicket(
        symbol, working_id, Side.BUY, OrderType.LIMIT, lots, limit_ticks, 0, TimeInForce.FOK
    )
    kind = list_kind(instrument, with_target=target > 0)
    list_id = stem + LEG_LIST if kind else ""
    book.register(
        Order(working_id, symbol, Side.BUY, Role.WORKING, index, lots, limit_ticks, list_id=list_id)
    )
    net = lots - -(-lots * plan.commission_ppm // 1_000_000)
    if kind is None:
        out.commands.append(Submit(ApprovedOrder(working, reason)))
        if plan.is_alone:
            follow(tranche, instrument, net - net % instrument.lot_step, book, out)
        return tranche
    legs = lots if kind in _SIZED_BY_VENUE else net
    pending = register_protection(tranche, instrument, legs, stem, list_id, book, OrderState.SLEEPING)
    out.commands.append(Submit(ApprovedOrder(ListTicket(symbol, list_id, kind, working, pending), reason)))
    return tranche


def follow(tranche: Tranche, instrument: Instrument, lots: int, book: OrderBook, out: Outbox) -> None:
    """Protect what the purchase just asked for will bring, in the same write: filled at once, it is never bare.

    The venue refuses it where the purchase brought less; protection then begins with the report of the fill.
    """
    if lots >= instrument.min_lots:
        protect(tranche, instrument, lots, book, out, after=(tranche.working_id,), follows=tranche.working_id)
        spare_stop(tranche, instrument, lots, tranche.stop_ticks, tuple(tranche.legs), book, out)


def protect(
    tranche: Tranche,
    instrument: Instrument,
    lots: int,
    book: OrderBook,
    out: Outbox,
    *,
    after: tuple[str, ...] = (),
    follows: str = "",
) -> None:
    """Ask for the legs of a tranche: target and stop as a pair, or the stop alone where pairs are not allowed."""
    stem = out.begin()
    ticket: OrderTicket | ListTicket
    if tranche.target_ticks and instrument.oco_allowed:
        list_id = stem + LEG_LIST
        pending = register_protection(tranche, instrument, lots, stem, list_id, book, follows=follows)
        ticket = ListTicket(instrument.symbol, list_id, ListKind.OCO, None, pending)
    else:
        tranche.emulated_ticks, tranche.target_ticks = tranche.target_ticks or tranche.emulated_ticks, 0
        (ticket,) = register_protection(tranche, instrument, lots, stem, "", book, follows=follows)
    out.commands.append(Submit(ApprovedOrder(ticket, f"protection of tranche {tranche.index}"), after))


def lone_stop(
    tranche: Tranche,
    instrument: Instrument,
    lots: int,
    book: OrderBook,
    out: Outbox,
    *,
    replaces: str = "",
    is_beside: bool = False,
    ticks: int = 0,
) -> OrderTicket:
    """Name and register a stop alone for a tranche, at its level or at another one."""
    order_id, ticks = out.begin() + LEG_STOP, ticks or tranche.stop_ticks
    ticket = stop_ticket(instrument, order_id, lots, ticks)
    book.register(
        Order(
            order_id,
            instrument.symbol,
            Side.SELL,
            Role.STOP,
            tranche.index,
            lots,
            ticks,
            tranche.stop_reason,
            replaces=replaces,
            limit_ticks=ticket.price_ticks,
            is_beside=is_beside,
        )
    )
    tranche.legs.append(order_id)
    return ticket


def spare_stop(
    tranche: Tranche,
    instrument: Instrument,
    lots: int,
    ticks: int,
    behind: tuple[str, ...],
    book: OrderBook,
    out: Outbox,
) -> None:
    """Ask for a stop behind the orders that are to guard or sell the same lots: the venue has it if it fails these."""
    ticket = lone_stop(tranche, instrument, lots, book, out, is_beside=True, ticks=ticks)
    order = book.orders[ticket.client_order_id]
    order.spare_of, order.follows = behind[-1], book.orders[behind[-1]].follows
    reason = f"spare stop of tranche {tranche.index}, should what leaves with it fail"
    out.commands.append(Submit(ApprovedOrder(ticket, reason), behind, behind))


def register_protection(
    tranche: Tranche,
    instrument: Instrument,
    lots: int,
    stem: str,
    list_id: str,
    book: OrderBook,
    state: OrderState = OrderState.PENDING,
    follows: str = "",
) -> tuple[OrderTicket, ...]:
    """Name and register the selling legs of a tranche: (target, stop), or (stop,) where it has no target."""
    stop = stop_ticket(instrument, stem + LEG_STOP, lots, tranche.stop_ticks)
    legs = [(stop, Role.STOP, tranche.stop_ticks, tranche.stop_reason)]
    tickets: tuple[OrderTicket, ...] = (stop,)
    if tranche.target_ticks:
        target = target_ticket(instrument, stem + LEG_TARGET, lots, tranche.target_ticks)
        reason = _TARGET1 if tranche.index == 1 else _TARGET2
        legs.insert(0, (target, Role.TARGET, tranche.target_ticks, reason))
        tickets = target, stop
    for ticket, role, ticks, reason in legs:
        order = Order(
            ticket.client_order_id,
            ticket.symbol,
            Side.SELL,
            role,
            tranche.index,
            lots,
            ticks,
            reason,
            list_id,
        )
        order.state, order.follows = state, follows
        if role is Role.STOP:
            order.limit_ticks = ticket.price_ticks
        tranche.legs.append(ticket.client_order_id)
        book.register(order)
    return tickets


def list_kind(instrument: Instrument, *, with_target: bool) -> ListKind | None:
    """The list that buys and protects at once; None where the symbol has none (buy, then protect)."""
    if not instrument.oto_allowed:
        return None
    if instrument.opo_allowed:
        return ListKind.OPOCO if with_target else ListKind.OPO
    return ListKind.OTOCO if with_target else ListKind.OTO
