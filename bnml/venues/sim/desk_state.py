"""The small records of the desk: counters, what changed since the last commit, what an account has open."""

from __future__ import annotations

from typing import Final

import msgspec

from bnml.venues.sim.messages import Amendment, PreventedMatch, TradeRecord
from bnml.venues.sim.orders import SimOrder


class Counters(msgspec.Struct):
    """Next free number of each kind; persisted, so that none is ever given twice."""

    order_id: int = 1
    list_id: int = 1
    trade_id: int = 1
    execution_id: int = 1
    made_id: int = 1  # for client order ids that the client did not give
    prevented_id: int = 1
    priority: int = 1

    def take(self, name: str) -> int:
        """The next number of this kind."""
        number = int(getattr(self, name))
        setattr(self, name, number + 1)
        return number


class Changes(msgspec.Struct):
    """What the current request or step has touched, for the ledger; cleared by its commit."""

    orders: set[int] = msgspec.field(default_factory=set)
    lists: set[int] = msgspec.field(default_factory=set)
    accounts: set[str] = msgspec.field(default_factory=set)
    trades: list[TradeRecord] = msgspec.field(default_factory=list)
    prevented: list[PreventedMatch] = msgspec.field(default_factory=list)
    amendments: list[Amendment] = msgspec.field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.orders or self.lists or self.accounts or self.trades)

    def clear(self) -> None:
        """Forget everything: it is saved."""
        self.orders.clear()
        self.lists.clear()
        self.accounts.clear()
        self.trades.clear()
        self.prevented.clear()
        self.amendments.clear()


class Held(msgspec.Struct):
    """Open orders of one account on one symbol, by id, and how many of them count as what."""

    orders: dict[int, SimOrder] = msgspec.field(default_factory=dict)
    algos: int = 0
    icebergs: int = 0
    lists: int = 0

    def count(self, order: SimOrder, sign: int) -> None:
        """Count an order in (1) or out (-1); it must be in the same state both times."""
        self.algos += sign * order.waits_for_trigger
        self.icebergs += sign * (order.iceberg_lots > 0)


NOTHING_HELD: Final = Held()
