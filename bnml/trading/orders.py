"""Our own orders: what was asked of the venue, what it said, and which fills have been counted."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from enum import StrEnum
from itertools import islice

import msgspec

from bnml.core.events import OrderReport
from bnml.core.orders import FINAL_STATES, RANK, OrderState, Side, next_state

KEEP_FINAL = 1024
_UNHEARD = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.SLEEPING})
"""Final orders remembered, so that a late duplicate of a report is known for what it is."""


class Role(StrEnum):
    """What an order does for its tranche."""

    WORKING = "working"
    TARGET = "target"
    STOP = "stop"
    EXIT = "exit"
    FEES = "fees"  # buys what fees are paid in; of no tranche


class Order(msgspec.Struct):
    """One order of ours; `cumulative_lots` is the venue's word, `applied_lots` what the ledger has counted."""

    client_order_id: str
    symbol: str
    side: Side
    role: Role
    tranche: int  # 0: several tranches together
    quantity_lots: int
    ticks: int  # limit of a working order or target, trigger of a stop, 0 for MARKET
    reason: int = 0  # kernels.records.ExitReason that a fill of it stands for
    list_id: str = ""
    replaces: str = ""  # the order whose cancel was the first half of this request
    follows: str = ""  # the purchase that left just before it: a sale of what nobody knew to be bought yet
    state: OrderState = OrderState.PENDING
    cumulative_lots: int = 0
    applied_lots: int = 0
    trade_ids: list[int] = msgspec.field(default_factory=list)
    cancel_sent: bool = False
    is_doubted: bool = False  # was waiting for an answer when the last timer passed
    limit_ticks: int = 0  # of a stop that may rest once it is triggered; 0: it sells at market
    open_ns: int = 0  # when the venue first called it open
    moved_ns: int = (
        0  # since when it should have come to an end: first fill in part, or a print at its trigger
    )
    is_beside: bool = (
        False  # asked for while another order for the same coins was in doubt: the venue takes one of them
    )
    spare_of: str = ""  # left behind this order, which takes the place of a stop: taken if the venue fails it
    is_told: bool = False  # the venue has said more of it than that it sleeps
    is_asked: bool = False  # about a fill that is not told, when the last second passed

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def is_settled(self) -> bool:
        """Nothing more can come of it: final, and every lot that the venue filled has been counted."""
        return self.state in FINAL_STATES and self.applied_lots >= self.cumulative_lots

    @property
    def is_presumed(self) -> bool:
        """Over as far as we know, although the venue never said so: refused or absent by answers, or with its list."""
        return self.state in _PRESUMED and not self.is_told and not self.applied_lots

    @property
    def is_untold(self) -> bool:
        """A fill that the venue counts in it has not been told."""
        return self.applied_lots < self.cumulative_lots

    @property
    def open_lots(self) -> int:
        return 0 if self.is_final else self.quantity_lots - self.applied_lots

    @property
    def due_lots(self) -> int:
        """What may still be counted: what is open, or filled and not told."""
        return self.cumulative_lots - self.applied_lots if self.is_final else self.open_lots


_PRESUMED = frozenset({OrderState.REJECTED, OrderState.EXPIRED})
_LIVE = frozenset({OrderState.OPEN, OrderState.PARTLY_FILLED})
_UNTOLD = frozenset({OrderState.PENDING, OrderState.UNKNOWN, OrderState.SLEEPING})


def is_alive(report: OrderReport) -> bool:
    """Whether only an order that the venue has, and had awake, is reported so."""
    return report.state in _LIVE or report.trade_id > 0


def _is_ours(report: OrderReport) -> bool:
    """Said by us of a request without an order: the venue's own word has a quantity."""
    return report.state is OrderState.REJECTED and not report.quantity_lots and not report.trade_id


def is_gone(report: OrderReport) -> bool:
    """Said by us, too: the venue does not show an order any more that it had confirmed."""
    return report.state is OrderState.EXPIRED and not report.quantity_lots and not report.trade_id


class OrderBook:
    """All orders by client order id; the transition table decides what a report may change."""

    def __init__(self, orders: dict[str, Order] | None = None) -> None:
        self.orders: dict[str, Order] = {} if orders is None else orders
        self._live: dict[str, Order] = {}
        self._untold = {key: order for key, order in self.orders.items() if order.is_untold}
        self._lists = _by_list(self.orders)
        self._revive()

    def register(self, order: Order) -> None:
        """Remember an order before its request leaves."""
        key, is_known = order.client_order_id, order.client_order_id in self.orders
        self.orders[key] = self._live[key] = order
        self._note_untold(order)
        if is_known:  # it stands where the one before it stood
            self._revive()
            self._lists = _by_list(self.orders)
        elif order.list_id:
            self._lists[order.list_id].append(order)

    def get(self, client_order_id: str) -> Order | None:
        return self.orders.get(client_order_id)

    def is_settled(self, client_order_id: str) -> bool:
        """Whether nothing more can come of an order; of one that is not remembered, or of none, nothing can."""
        order = self.orders.get(client_order_id)
        return order is None or order.is_settled

    def is_heard_of(self, client_order_id: str) -> bool:
        """Whether the venue has said anything of an order of ours; a leg sleeps from the start, which says nothing."""
        order = self.orders.get(client_order_id)
        return order is not None and order.state not in _UNHEARD

    def apply(self, report: OrderReport) -> bool:
        """Count what `report` says; return whether it brings a fill that the ledger has not seen.

        Reports may come twice, late, or before the ones they follow: a state moves only along the
        transition table, a fill counts once by its trade id. The order must be registered. What we concluded
        without a word of the venue gives way to one, whichever came first.
        """
        order = self.orders[report.client_order_id]
        if order.is_told and _is_ours(report):
            return False
        if is_gone(report):
            self._vanish(order)
            return False
        if order.is_presumed and is_alive(report):
            self.doubt(order)
        order.is_told |= report.state not in _UNTOLD and not _is_ours(report)
        self._size(order, report)
        order.state = next_state(order.state, report.state)
        order.cumulative_lots = max(order.cumulative_lots, report.cumulative_lots)
        if report.state is OrderState.OPEN:
            order.open_ns = _earlier(order.open_ns, report.ts_ns)
        elif report.state is OrderState.PARTLY_FILLED:
            order.moved_ns = _earlier(order.moved_ns, report.ts_ns)
        is_new = report.trade_id > 0 and report.last_lots > 0 and report.trade_id not in order.trade_ids
        if is_new:
            insort(order.trade_ids, report.trade_id)
            order.applied_lots += report.last_lots
            order.cumulative_lots = max(order.cumulative_lots, order.applied_lots)
        self._note_untold(order)
        return is_new

    def _note_untold(self, order: Order) -> None:
        if order.is_untold:
            self._untold[order.client_order_id] = order
        else:
            self._untold.pop(order.client_order_id, None)
            order.is_asked = False

    def _revive(self) -> None:
        """What is open, in the one order that a restart finds, too: commands follow it, and are compared."""
        self._live = {key: order for key, order in self.orders.items() if not order.is_final}

    @staticmethod
    def _size(order: Order, report: OrderReport) -> None:
        """The venue may size a leg anew when it wakes: the word of the further state counts, else the smaller."""
        if report.quantity_lots == 0 or RANK[report.state] < RANK[order.state]:
            return
        if report.state is order.state:
            order.quantity_lots = min(order.quantity_lots, report.quantity_lots)
        else:
            order.quantity_lots = report.quantity_lots

    def _vanish(self, order: Order) -> None:
        """What was told of it counts; no more is waited for, but it may be shown again."""
        order.state = next_state(order.state, OrderState.EXPIRED)
        order.is_told = False
        order.cumulative_lots = order.applied_lots
        self._note_untold(order)

    def doubt(self, order: Order) -> None:
        """An order that counted as never there may be there after all."""
        order.state = OrderState.UNKNOWN
        self._revive()

    def expire(self, client_order_id: str) -> None:
        """Close an order that cannot live any more although the venue sent no word of it; what it filled may be told later."""
        order = self.orders.get(client_order_id)
        if order is not None and not order.is_final:
            order.state = OrderState.EXPIRED

    def of_list(self, list_id: str) -> list[Order]:
        """What is remembered of a list, oldest first."""
        return list(self._lists.get(list_id, ()))

    def open(self) -> list[Order]:
        """Orders that the venue may still act upon, oldest first."""
        self._live = {key: order for key, order in self._live.items() if order.state not in FINAL_STATES}
        return list(self._live.values())

    def untold(self) -> list[Order]:
        """Orders of which a fill has not been told, by name: the report that would bring it may be lost."""
        return [self._untold[name] for name in sorted(self._untold)]

    def unsettled(self) -> list[Order]:
        """Orders of which the venue has more to tell than we know."""
        return [*self.open(), *(order for order in self.untold() if order.is_final)]

    def is_ending(self, leg: Order) -> bool:
        """Whether the venue ends this leg: the other one of its list was filled."""
        others = self.of_list(leg.list_id) if leg.list_id else ()
        return any(one.side is Side.SELL and one.state is OrderState.FILLED for one in others)

    def forget(self) -> None:
        """Drop the oldest settled orders beyond what late duplicates can reach back to."""
        excess = len(self.orders) - KEEP_FINAL
        if excess < KEEP_FINAL // 4:
            return
        settled = (order for order in self.orders.values() if order.is_settled)
        for order in list(islice(settled, excess)):
            del self.orders[order.client_order_id]
            if order.list_id:
                legs = self._lists[order.list_id]
                legs.remove(order)
                if not legs:
                    del self._lists[order.list_id]


def _by_list(orders: dict[str, Order]) -> defaultdict[str, list[Order]]:
    lists: defaultdict[str, list[Order]] = defaultdict(list)
    for order in orders.values():
        if order.list_id:
            lists[order.list_id].append(order)
    return lists


def _earlier(known_ns: int, told_ns: int) -> int:
    """The earlier of two times, 0 standing for none."""
    return min(known_ns, told_ns) if known_ns else told_ns
