"""One served exchange: the sans-I/O exchange together with everybody who listens to it."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

from bnml.core.clock import NS_PER_MS, NS_PER_S, NS_PER_US, Clock
from bnml.venues.sim.access import Access
from bnml.venues.sim.hub import Hub
from bnml.venues.sim.messages import ExecutionReport
from bnml.venues.sim.payloads_account import AccountPayloads
from bnml.venues.sim.publisher import Publisher
from bnml.venues.sim.stepper import Steppers
from bnml.venues.sim.userdata import UserStreams
from bnml.venues.sim.weights import RateLimits, WindowTime

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.exchange import Exchange
    from bnml.venues.sim.ledger import Ledger
    from bnml.venues.sim.market import Market
    from bnml.venues.sim.messages import Step
    from bnml.venues.sim.seams import Door, Injector
    from bnml.venues.sim.signing import KeyRing


class MarketTime(Protocol):
    """Whoever moves the market knows how late it is between two steps."""

    speed: float

    def market_now_ns(self) -> int:
        """Market time right now; never beyond the next step."""
        ...


class Venue:
    """What requests and the driver act on; one event loop, no waiting inside.

    `market_time` is tied in by the driver's owner; without one, time stands still between steps.
    """

    def __init__(self, exchange: Exchange, access: Access | KeyRing, clock: Clock, *, live: bool) -> None:
        self.exchange = exchange
        self.access = access if isinstance(access, Access) else Access(access)
        self.limits = RateLimits()
        self.hub = Hub()
        self.steppers = Steppers()
        self.payloads = {unit: AccountPayloads(exchange.instruments, unit) for unit in (NS_PER_MS, NS_PER_US)}
        self.users = UserStreams(self.payloads)
        self.mode = "timed" if live else "stepped"
        self.clock = clock
        self._window_time = WindowTime(clock)
        self.market_time: MarketTime | None = None
        self.is_stale = False  # the source of a followed market is not connected: nobody may begin to listen
        self.sockets: set[Connection] = set()  # every open one, of streams and of the WebSocket API
        self.faults: Injector | None = None
        self.clock_offset_ms = 0  # by which the clock that signatures are checked against is wrong
        self.fault_log: Callable[[Mapping[str, Any]], None] | None = None  # told of each fault that fires
        self.door: Door | None = None
        self._publisher = Publisher(exchange.market, self.hub, live=live)
        self.ledger: Ledger | None = None
        self.flush: Callable[[], None] = _nothing  # saves what was done; called before anybody is told of it
        self.socket_time_scale = 1.0  # how many times as fast as on Binance sockets are pinged and grow old
        for symbol, status in self.access.statuses.items():
            if symbol in self.instruments:
                exchange.set_status(symbol, status)

    @property
    def keys(self) -> KeyRing:
        """The keys that are valid at the moment."""
        return self.access.keys

    @property
    def account_payloads(self) -> AccountPayloads:
        """Account payloads with times in milliseconds."""
        return self.payloads[NS_PER_MS]

    @property
    def market(self) -> Market:
        """The public side."""
        return self.exchange.market

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Filters by symbol."""
        return self.exchange.instruments

    @property
    def now_ns(self) -> int:
        """Market time: what data and orders are stamped with."""
        return self.exchange.now_ns

    @property
    def window_ns(self) -> int:
        """The time that every rate window counts by."""
        return self._window_time.now_ns(self.now_ns)

    @property
    def socket_ns(self) -> int:
        """The time of sockets: wall time at their own pace."""
        return int(self.clock.now_ns() * self.socket_time_scale)

    def wall_ms(self) -> int:
        """Wall time: what signatures are checked against."""
        return self.clock.now_ns() // NS_PER_MS + self.clock_offset_ms

    def wall_ns(self) -> int:
        """Wall time in nanoseconds."""
        return self.clock.now_ns() + self.clock_offset_ms * NS_PER_MS

    def wall_seconds(self, window_ns: int) -> int:
        """How long a client has to wait for `window_ns` of window time, in whole seconds, at least one."""
        speed = self.market_time.speed if self.market_time is not None else 0.0
        if self._window_time.is_walls:
            speed = 1.0
        return max(1, ceil(window_ns / NS_PER_S / speed)) if speed else 1

    def inject(self, faults: Injector | None) -> None:
        """Put an injector of faults into every seam, or take it out."""
        self.faults = self.hub.faults = self.users.faults = faults

    def begin_request(self) -> None:
        """Let market time pass up to now, so that a request between two steps has its own time."""
        if self.market_time is not None:
            self.exchange.set_time(self.market_time.market_now_ns())
        if self.access.delistings:
            self._delist()

    def settle_request(self) -> None:
        """Send the user events of the request that just ran, and what it made public, before its answer."""
        self._publisher.publish_request(self.now_ns, self._settle_users())

    def tick(self) -> None:
        """Time has passed without a step: send what market streams owe their listeners by now."""
        if self.market_time is not None:
            self._publisher.flush(self.market_time.market_now_ns())

    def advance(self, step: Step) -> None:
        """Apply one step: user events of all its prints first, then its market events."""
        self._window_time.begin(self.now_ns)
        if self.faults is not None:
            step = self.faults.step(step)
        self.exchange.apply(step)
        self._publisher.publish(step, self._settle_users())
        if self.access.delistings:
            self._delist()

    def set_status(self, symbol: str, status: str) -> None:
        """Switch a symbol; a restart remembers it."""
        self.exchange.set_status(symbol, status)
        self.access.note_status(symbol, status)

    def _delist(self) -> None:
        """Stop the trading of symbols whose time has come, and cancel what rests there."""
        now_ms = self.now_ns // NS_PER_MS
        for symbol in [name for name, ts_ms in self.access.delistings.items() if ts_ms <= now_ms]:
            if symbol not in self.instruments or self.instruments[symbol].status == "BREAK":
                continue
            for account in self.exchange.read.accounts():
                if self.exchange.read.open_orders(account, symbol):
                    self.exchange.cancel_all(account, symbol)
            self.set_status(symbol, "BREAK")
            self.settle_request()

    def _settle_users(self) -> dict[str, None]:
        """Send user events; returns the symbols whose books accounts' orders may have changed."""
        symbols: dict[str, None] = {}
        if self.market.overlay is not None:  # in F3 an order comes into the book without an event
            symbols = dict.fromkeys(self.exchange.read.symbols_with_orders())
        for event in self.exchange.drain():
            if isinstance(event, ExecutionReport):
                symbols[event.order.symbol] = None
                if event.trade is not None:
                    self._credit(event)
            self.users.publish(event)
        return symbols

    def _credit(self, event: ExecutionReport) -> None:
        """The first fill of an order frees its place in the order limits."""
        trade = event.trade
        if trade is not None and event.order.executed_lots == trade.quantity_lots:
            self.limits.credit_fill(event.account, is_maker=trade.is_maker, now_ns=self.window_ns)


def _nothing() -> None:
    """Without a ledger there is nothing to save."""


def announce_shutdown(venue: Venue) -> None:
    """Send `serverShutdown` to every socket."""
    for connection in list(venue.sockets):
        if connection.farewell is not None:
            connection.send(connection.farewell(venue.now_ns))
