"""What the venue allows this address and account, shared out by importance and between the processes of the machine."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from heapq import heapify, heappush
from itertools import count
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.clock import NS_PER_MS, Clock
from bnml.core.errors import Retryable
from bnml.venues.binance.holds import Hold
from bnml.venues.binance.shared_numbers import SharedNumbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bnml.venues.binance.wire import RateLimit

MINUTE_MS: Final = 60_000
TURN_S: Final = 0.001  # between two looks whether more important requests have left
LONGEST_WAIT_S: Final = 1.0  # then what other processes have learned is looked at again
ENTRY_PATIENCE_S: Final = 2.0  # of wall time; an entry that has to wait for longer is not wanted any more
BAN_JITTER_S: Final = 2.0  # several processes must not come back in the same instant
EXIT_RESERVE_PERCENT: Final = 30  # of the orders of a window
USED_BITS: Final = 32
EDGE_MS: Final = 100  # by which our notion of the venue's clock may be ahead of it when a window begins

_ADDRESS_NUMBERS: Final = 3
_WEIGHT, _PAUSE_MS, _BAN_MS = range(_ADDRESS_NUMBERS)
_ORDERS_PAUSE_MS: Final = 0  # of an account's numbers; its windows follow
MOST_ORDER_WINDOWS: Final = 4


class Lane(IntEnum):
    """Who may use how much of the budget; a lower lane goes first."""

    CANCEL = 0
    EXIT = 1
    DOUBT = 2  # reads that tell what became of an order
    ENTRY = 3
    RECONCILE = 4
    DATA = 5


# Share of the minute's weight that a lane may fill: a fifth of it is left to what ends or protects positions, and to
# what must be known for that.
_CEILING_PERCENT: Mapping[Lane, int] = {
    Lane.CANCEL: 95,
    Lane.EXIT: 95,
    Lane.DOUBT: 90,
    Lane.ENTRY: 80,
    Lane.RECONCILE: 75,
    Lane.DATA: 70,
}
_INTERVALS_MS: Mapping[str, int] = {
    "SECOND": 1_000,
    "MINUTE": MINUTE_MS,
    "HOUR": 60 * MINUTE_MS,
    "DAY": 1_440 * MINUTE_MS,
}


class OrderLimit(msgspec.Struct, frozen=True):
    """So many unfilled orders in each window of an account; `letter` names it in headers, such as `10S`."""

    letter: str
    window_ms: int
    limit: int


DEFAULT_ORDER_LIMITS: Final = (
    OrderLimit("10S", 10_000, 50),
    OrderLimit("1D", 86_400_000, 160_000),
)
"""The smallest that the documentation names; exchangeInfo says what holds."""


class Ledger:
    """The numbers of one address and of one account at it, each maybe in a file that other processes share."""

    def __init__(self, address: SharedNumbers | None = None, account: SharedNumbers | None = None) -> None:
        self.address = address or SharedNumbers(None, _ADDRESS_NUMBERS)
        self.account = account or SharedNumbers(None, 1 + MOST_ORDER_WINDOWS)

    def close(self) -> None:
        """Let go of the files."""
        self.address.close()
        self.account.close()


class WeightBudget:
    """Holds requests back before the venue has to: by weight, by orders, by pauses and bans.

    Used weight is what the headers say, and what is on its way since then. `venue_ms` is the venue's clock, by
    which windows begin. With `is_scaled` the venue's windows are not those of any clock here (the embedded
    exchange counts market time): then only what it says counts, not what we sent.
    """

    def __init__(
        self,
        clock: Clock,
        limit: int = 6000,
        *,
        ledger: Ledger | None = None,
        venue_ms: Callable[[], int] | None = None,
        is_scaled: bool = False,
        jitter: Callable[[], float] = lambda: 0.5,
        entry_patience_s: float = ENTRY_PATIENCE_S,
    ) -> None:
        self._clock = clock
        self.limit = limit
        self.ledger = ledger or Ledger()
        self.order_limits: tuple[OrderLimit, ...] = DEFAULT_ORDER_LIMITS
        self._venue_ms = venue_ms or (lambda: clock.now_ns() // NS_PER_MS)
        self._is_scaled = is_scaled
        self._jitter = jitter
        self._entry_patience_s = entry_patience_s
        self._pause = Hold(clock, self.ledger.address, _PAUSE_MS)
        self._ban = Hold(clock, self.ledger.address, _BAN_MS)
        self._no_orders = Hold(clock, self.ledger.account, _ORDERS_PAUSE_MS)
        self._waiting: list[tuple[Lane, int, int, int]] = []
        self._turns = count()
        self._unwritten = [0, 0]  # weight and orders that left in this turn of the loop
        self.held_back: dict[Lane, int] = dict.fromkeys(Lane, 0)
        """Requests that had to wait, by lane."""

    def adopt(self, limits: Iterable[RateLimit]) -> None:
        """Take the limits that exchangeInfo states."""
        orders = []
        for row in limits:
            window_ms = _INTERVALS_MS.get(row.interval, 0) * row.interval_num
            if row.rate_limit_type == "REQUEST_WEIGHT" and window_ms == MINUTE_MS:
                self.limit = row.limit
            elif row.rate_limit_type == "ORDERS" and window_ms:
                orders.append(OrderLimit(f"{row.interval_num}{row.interval[0]}", window_ms, row.limit))
        self.order_limits = tuple(orders[:MOST_ORDER_WINDOWS]) or self.order_limits

    def observe(self, headers: Mapping[str, str], asked_ms: int | None = None) -> None:
        """Take used weight and order counts from the headers of any answer to what was asked at that time.

        What was asked before a window began may have been counted in the one before it: that says nothing of this.
        """
        now_ms = self._venue_ms()
        since_ms = now_ms if asked_ms is None or self._is_scaled else asked_ms - EDGE_MS
        text = headers.get("X-MBX-USED-WEIGHT-1M")
        if text is not None and text.isdigit() and since_ms // MINUTE_MS == now_ms // MINUTE_MS:
            with self.ledger.address.locked():
                self._stated(self.ledger.address, _WEIGHT, MINUTE_MS, int(text))
        for place, one in enumerate(self.order_limits, start=1):
            text = headers.get(f"X-MBX-ORDER-COUNT-{one.letter}")
            is_of_now = since_ms // one.window_ms == now_ms // one.window_ms
            if text is not None and text.isdigit() and is_of_now:
                with self.ledger.account.locked():
                    self._stated(self.ledger.account, place, one.window_ms, int(text))

    def observe_rows(self, rows: Iterable[RateLimit], asked_ms: int | None = None) -> None:
        """The same from the usage that the WebSocket API tells."""
        for row in rows:
            letter = f"{row.interval_num}{row.interval[0]}"
            name = {"REQUEST_WEIGHT": "X-MBX-USED-WEIGHT-", "ORDERS": "X-MBX-ORDER-COUNT-"}.get(
                row.rate_limit_type
            )
            if name is not None:
                self.observe({name + letter: str(row.count)}, asked_ms)

    def pause(self, duration_s: float) -> None:
        """The venue told everybody at this address to wait (429)."""
        self._pause.extend(duration_s)

    def ban(self, duration_s: float) -> None:
        """The venue does not serve this address for so long (418); nothing leaves before, nor shortly after."""
        self._ban.extend(duration_s + BAN_JITTER_S * self._jitter())

    def pause_orders(self, duration_s: float) -> None:
        """The account has placed too many orders (-1015): no new ones for so long, everything else goes on."""
        self._no_orders.extend(duration_s)

    @property
    def banned_s(self) -> float:
        """Seconds until the address is served again, 0 when it is."""
        return self._ban.left_s

    async def wait(self, lane: Lane, *, weight: int = 1, orders: int = 0) -> None:
        """Return when a request of this lane may leave; more important lanes first, each lane in its order.

        Raises Retryable for an entry that would have to wait for longer than entries are good for.
        """
        if not self._waiting and self.delay_s(lane, weight=weight, orders=orders) <= 0:
            self._count(weight, orders)
            return
        self.held_back[lane] += 1
        ticket = (lane, next(self._turns), weight, orders)
        heappush(self._waiting, ticket)
        try:
            while (delay_s := self._turn_s(ticket)) >= 0:
                if lane is Lane.ENTRY and delay_s > self._entry_patience_s:
                    raise Retryable(
                        f"an entry is held back by the venue's limits for {delay_s:.0f} s",
                        retry_after_s=delay_s,
                    )
                # Whose turn it is may still sleep: nobody spins until it wakes.
                await asyncio.sleep(min(delay_s, LONGEST_WAIT_S) or TURN_S)
            self._count(weight, orders)
        finally:
            self._waiting.remove(ticket)
            heapify(self._waiting)

    def delay_s(self, lane: Lane, *, weight: int = 1, orders: int = 0) -> float:
        """Seconds that a request of this lane has to wait now."""
        pause_s = max(self._ban.left_s, self._pause.left_s)
        if orders:
            pause_s = max(pause_s, self._no_orders.left_s, self._orders_s(lane, orders))
        if pause_s > 0:
            return pause_s
        used = self._used(self.ledger.address, _WEIGHT, MINUTE_MS)
        if (used + weight) * 100 <= self.limit * _CEILING_PERCENT[lane]:
            return 0.0
        return self._rest_s(MINUTE_MS) if used else 0.0

    @property
    def used_weight(self) -> int:
        """Of the running minute, as far as it is known here."""
        return self._used(self.ledger.address, _WEIGHT, MINUTE_MS)

    def _turn_s(self, ticket: tuple[Lane, int, int, int]) -> float:
        """Seconds to wait for one's own delay, 0 for one's turn; negative: it is now."""
        lane, turn, weight, orders = ticket
        delay_s = self.delay_s(lane, weight=weight, orders=orders)
        if delay_s > 0:
            return delay_s
        if self._waiting[0][:2] == (lane, turn):
            return -1.0
        for other in self._waiting:  # the first of them is usually the answer
            if other[:2] < (lane, turn) and self.delay_s(other[0], weight=other[2], orders=other[3]) <= 0:
                return 0.0
        return -1.0

    def _orders_s(self, lane: Lane, orders: int) -> float:
        wait_s = 0.0
        for place, one in enumerate(self.order_limits, start=1):
            share = 100 - EXIT_RESERVE_PERCENT if lane >= Lane.ENTRY else 100
            used = self._used(self.ledger.account, place, one.window_ms)
            if used and (used + orders) * 100 > one.limit * share:
                wait_s = max(wait_s, self._rest_s(one.window_ms))
        return wait_s

    def _count(self, weight: int, orders: int) -> None:
        """What leaves now is used, before any answer says so; other processes are told once it is on its way."""
        if self._is_scaled:
            return
        if not any(self._unwritten):
            asyncio.get_running_loop().call_soon(self._write_counts)
        self._unwritten[0] += weight
        self._unwritten[1] += orders

    def _write_counts(self) -> None:
        (weight, orders), self._unwritten = self._unwritten, [0, 0]
        with self.ledger.address.locked():
            self._add(self.ledger.address, _WEIGHT, MINUTE_MS, weight)
        if orders:
            with self.ledger.account.locked():
                for place, one in enumerate(self.order_limits, start=1):
                    self._add(self.ledger.account, place, one.window_ms, orders)

    def _add(self, numbers: SharedNumbers, place: int, window_ms: int, amount: int) -> None:
        window = self._venue_ms() // window_ms
        numbers[place] = window << USED_BITS | (self._written(numbers, place, window_ms) + amount)

    def _stated(self, numbers: SharedNumbers, place: int, window_ms: int, stated: int) -> None:
        """The venue's own count; what left after it was taken is counted here, so it only raises ours."""
        used = 0 if self._is_scaled else self._written(numbers, place, window_ms)
        numbers[place] = self._venue_ms() // window_ms << USED_BITS | max(used, stated)

    def _used(self, numbers: SharedNumbers, place: int, window_ms: int) -> int:
        return self._written(numbers, place, window_ms) + self._unwritten[numbers is self.ledger.account]

    def _written(self, numbers: SharedNumbers, place: int, window_ms: int) -> int:
        found = numbers[place]
        is_current = found >> USED_BITS == self._venue_ms() // window_ms
        return found & ((1 << USED_BITS) - 1) if is_current else 0

    def _rest_s(self, window_ms: int) -> float:
        return (window_ms - self._venue_ms() % window_ms + 1) / 1000
