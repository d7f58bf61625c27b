"""Rate limits: request weight, raw requests and connections of an address, orders of an account, and their time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_DAY, NS_PER_S
from bnml.venues.sim.bans import Bans
from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from bnml.core.clock import Clock

MINUTE_NS: Final = 60 * NS_PER_S
MAKER_FILL_CREDIT: Final = 5
TAKER_FILL_CREDIT: Final = 1


LOOPBACK: Final = "127.0.0.1"


class TooMany(VenueReject):
    """A limit is reached; `retry_after_ns` of window time remain in its window."""

    def __init__(self, code: int, text: str, retry_after_ns: int) -> None:
        super().__init__(code, text)
        self.retry_after_ns = retry_after_ns


class Banned(TooMany):
    """The address went on asking and is not served for a while; the text says until when."""

    def __init__(self, left_ns: int) -> None:
        super().__init__(-1003, "Way too much request weight used; IP banned.", left_ns)

    @staticmethod
    def until(ts_ms: int) -> str:
        """The text, with the end of the ban in wall time."""
        return (
            f"Way too much request weight used; IP banned until {ts_ms}. "
            "Please use WebSocket Streams for live updates to avoid bans."
        )


class Limit(msgspec.Struct, frozen=True, gc=False):
    """One published limit; `letter` names it in headers (`10S`)."""

    kind: str
    interval: str
    interval_count: int
    interval_ns: int
    limit: int

    @property
    def letter(self) -> str:
        return f"{self.interval_count}{self.interval[0]}"

    def row(self, count: int | None = None) -> dict[str, Any]:
        """As exchangeInfo and the WebSocket API show it; `count` only where usage is reported."""
        shown: dict[str, Any] = {
            "rateLimitType": self.kind,
            "interval": self.interval,
            "intervalNum": self.interval_count,
            "limit": self.limit,
        }
        if count is not None:
            shown["count"] = count
        return shown


WEIGHT: Final = Limit("REQUEST_WEIGHT", "MINUTE", 1, MINUTE_NS, 6_000)
ORDERS: Final = (
    Limit("ORDERS", "SECOND", 10, 10 * NS_PER_S, 100),
    Limit("ORDERS", "DAY", 1, NS_PER_DAY, 200_000),
)
RAW: Final = Limit("RAW_REQUESTS", "MINUTE", 5, 5 * MINUTE_NS, 300_000)
ALL: Final = (WEIGHT, *ORDERS, RAW)
WALLET_WEIGHT: Final = Limit("REQUEST_WEIGHT", "MINUTE", 1, MINUTE_NS, 12_000)
"""Of `/sapi/`, counted apart from that of the spot API."""
CONNECTIONS: Final = Limit("CONNECTIONS", "MINUTE", 5, 5 * MINUTE_NS, 300)


class Window:
    """A counter that starts again at each boundary of its interval."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._number = -1
        self._count = 0

    def count(self, now_ns: int) -> int:
        number = now_ns // self.limit.interval_ns
        if number != self._number:
            self._number, self._count = number, 0
        return self._count

    def add(self, amount: int, now_ns: int) -> None:
        self._count = max(self.count(now_ns) + amount, 0)

    def left_ns(self, now_ns: int) -> int:
        return self.limit.interval_ns - now_ns % self.limit.interval_ns


class WindowTime:
    """The time that windows count by: that of the wall until the market begins to move, then the market's.

    A market that waits for its listener stands still, but a client that has used up its weight while it reads
    the history must be served again some day. Until the market moves, windows therefore end together with the
    wall's minutes. From then on they are those of market time, so many whole days later that no window comes
    back: with its first step the market starts with empty windows, however long it had waited.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_ns = clock.now_ns() % NS_PER_DAY - clock.monotonic_ns()
        self._ahead_ns: int | None = None

    @property
    def is_walls(self) -> bool:
        """Whether the market has not begun to move."""
        return self._ahead_ns is None

    def now_ns(self, market_ns: int) -> int:
        """Window time at a market time that never falls; it never falls either."""
        if self._ahead_ns is not None:
            return market_ns + self._ahead_ns
        return market_ns - market_ns % NS_PER_DAY + self._wall_ns + self._clock.monotonic_ns()

    def begin(self, market_ns: int) -> None:
        """The market moves from now on; saying so again changes nothing."""
        if self._ahead_ns is None:
            waited_ns = self.now_ns(market_ns) - market_ns
            self._ahead_ns = max(waited_ns // NS_PER_DAY + 1, 0) * NS_PER_DAY


class Address:
    """What one address has used."""

    def __init__(self) -> None:
        self.weight = Window(WEIGHT)
        self.raw = Window(RAW)
        self.wallet_weight = Window(WALLET_WEIGHT)
        self.connections = Window(CONNECTIONS)
        self.bans = Bans()


class RateLimits:
    """All windows of this exchange: those of each address, two for each account."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._orders: dict[str, tuple[Window, ...]] = {}

    def address(self, name: str = LOOPBACK) -> Address:
        """The counters of an address."""
        found = self._addresses.get(name)
        if found is None:
            found = self._addresses[name] = Address()
        return found

    def used_weight(self, now_ns: int, address: str = LOOPBACK) -> int:
        """Weight used in the running minute."""
        return self.address(address).weight.count(now_ns)

    def charge(self, weight: int, now_ns: int, address: str = LOOPBACK) -> None:
        """Count a request; beyond a limit it is refused with -1003 and not counted, during a ban anyway."""
        found = self.address(address)
        self.check_ban(now_ns, address)
        for window, amount in ((found.weight, weight), (found.raw, 1)):
            if window.count(now_ns) + amount > window.limit.limit:
                found.bans.strike(now_ns)
                raise _too_heavy(window, now_ns)
        found.weight.add(weight, now_ns)
        found.raw.add(1, now_ns)

    def charge_wallet(self, weight: int, now_ns: int, address: str = LOOPBACK) -> None:
        """Count a request to `/sapi/`, which has a limit of its own."""
        found = self.address(address)
        self.check_ban(now_ns, address)
        if found.wallet_weight.count(now_ns) + weight > WALLET_WEIGHT.limit:
            found.bans.strike(now_ns)
            raise _too_heavy(found.wallet_weight, now_ns)
        found.wallet_weight.add(weight, now_ns)

    def give_back(self, weight: int, now_ns: int, address: str = LOOPBACK) -> None:
        """A successful order request weighs nothing."""
        self.address(address).weight.add(-weight, now_ns)

    def check_ban(self, now_ns: int, address: str = LOOPBACK) -> None:
        """Refuse a banned address."""
        left_ns = self.address(address).bans.left_ns(now_ns)
        if left_ns:
            raise Banned(left_ns)

    def connect(self, now_ns: int, address: str = LOOPBACK) -> None:
        """Count an attempt to open a socket, in the time of sockets; beyond the limit it is refused with -1034."""
        window = self.address(address).connections
        if window.count(now_ns) >= window.limit.limit:
            raise TooMany(
                -1034,
                f"Too many connection attempts from IP; current limit is {window.limit.limit} per '5m'.",
                window.left_ns(now_ns),
            )
        window.add(1, now_ns)

    def check_orders(self, account: str, orders: int, now_ns: int) -> None:
        """Refuse new orders beyond a limit of the account with -1015."""
        for window in self._windows(account):
            if window.count(now_ns) + orders > window.limit.limit:
                limit = window.limit
                raise TooMany(
                    -1015,
                    f"Too many new orders; current limit is {limit.limit} orders per "
                    f"{limit.interval_count} {limit.interval}.",
                    window.left_ns(now_ns),
                )

    def charge_orders(self, account: str, orders: int, now_ns: int) -> None:
        """Count new orders of an account; beyond a limit they are refused with -1015."""
        self.check_orders(account, orders, now_ns)
        self.add_orders(account, orders, now_ns)

    def add_orders(self, account: str, orders: int, now_ns: int) -> None:
        """Count new orders; a negative number takes back what was counted for orders that never were."""
        for window in self._windows(account):
            window.add(orders, now_ns)

    def credit_fill(self, account: str, *, is_maker: bool, now_ns: int) -> None:
        """The first fill of an order gives counts back: only unfilled orders are limited."""
        self.add_orders(account, -(MAKER_FILL_CREDIT if is_maker else TAKER_FILL_CREDIT), now_ns)

    def order_counts(self, account: str, now_ns: int) -> list[tuple[Limit, int]]:
        """Both order limits with what is used of them."""
        return [(window.limit, window.count(now_ns)) for window in self._windows(account)]

    def weight_row(self, now_ns: int, address: str = LOOPBACK) -> dict[str, Any]:
        """The weight limit with its usage, as the WebSocket API reports it."""
        return WEIGHT.row(self.used_weight(now_ns, address))

    def forget(self) -> None:
        """Begin with empty windows and without bans."""
        self._addresses.clear()
        self._orders.clear()

    def _windows(self, account: str) -> tuple[Window, ...]:
        if account not in self._orders:
            self._orders[account] = tuple(Window(limit) for limit in ORDERS)
        return self._orders[account]


def _too_heavy(window: Window, now_ns: int) -> TooMany:
    limit = window.limit
    return TooMany(
        -1003,
        f"Too much request weight used; current limit is {limit.limit} request weight per "
        f"{limit.interval_count} {limit.interval}. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
        window.left_ns(now_ns),
    )
