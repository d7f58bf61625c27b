"""A loaded fault script: stands in every seam of the exchange, asks the plan, and carries out what it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bnml.core.clock import NS_PER_S
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults.frames import FrameFaults
from bnml.venues.sim.faults.lines import Lines
from bnml.venues.sim.faults.plan import SHOWN, FaultPlan, shown
from bnml.venues.sim.faults.requests import ApiCall, RestFaults
from bnml.venues.sim.faults.world import World
from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp import web

    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.faults.rules import Event, Fired, Script
    from bnml.venues.sim.hub import Listener
    from bnml.venues.sim.messages import Step, UserEvent
    from bnml.venues.sim.seams import RequestId, SocketKind
    from bnml.venues.sim.venue import Venue


class Faults:
    """One script at work on one venue, from `start` to `end`."""

    def __init__(self, venue: Venue, script: Script) -> None:
        self.venue = venue
        self.plan = FaultPlan(script, venue.now_ns, venue.clock.now_ns())
        self.lines = Lines(venue.sockets)
        self.world = World(venue, self.lines)
        self._rest = RestFaults(self)
        self._frames = FrameFaults(self)
        self._failures: dict[int, str] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Stand in the seams, in place of a script that is there already."""
        if isinstance(self.venue.faults, Faults):
            self.venue.faults.end()
        self.venue.inject(self)
        self._on_wall_time()

    def end(self) -> None:
        """Leave the seams; what lasts is undone, what was done to orders and money stays."""
        self.venue.inject(None)
        if self._alarm is not None:
            self._alarm.cancel()
        self.world.end()
        self._frames.end()
        self.lines.end()

    def view(self) -> dict[str, Any]:
        """Rules, counts and the last faults; what the exchange refused says why."""
        view = self.plan.view()
        for one in view["fired"]:
            if one["ordinal"] in self._failures:
                one["failed"] = self._failures[one["ordinal"]]
        return view

    def decide(self, event: Event) -> list[Fired]:
        """What is to be done about an event; noted in the log."""
        return self._noted(self.plan.on(event, self.venue.now_ns, self.venue.clock.now_ns()))

    def strike(self, fired: Fired, connections: Iterable[Connection]) -> None:
        """Do something to sockets or to the exchange; that it was not possible is remembered."""
        action = fired.action
        try:
            if isinstance(action, acts.OnSocket):
                undo = self.lines.strike(action, connections)
                if undo is not None:
                    self.world.lasting(action, undo)
            elif isinstance(action, acts.HalfReplace):
                self.venue.exchange.refused_half = action.refused
            else:
                self.world.act(action)
        except VenueReject as error:
            self._failures[fired.ordinal] = f"{error.reject_code} {error.text}"
            for ordinal in [one for one in self._failures if one <= fired.ordinal - SHOWN]:
                del self._failures[ordinal]

    async def rest(
        self, request: web.BaseRequest, execute: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        return await self._rest.request(request, execute)

    def api(
        self,
        connection: Connection,
        request_id: RequestId,
        method: str,
        values: Mapping[str, str],
        execute: Callable[[], bytes],
    ) -> None:
        ApiCall(self, connection, request_id, execute).begin(method, values)

    async def connect(self, request: web.BaseRequest, kind: SocketKind) -> web.Response | None:
        return await self._rest.connect(request, kind)

    def opened(self, connection: Connection) -> None:
        self._rest.opened(connection)

    def frame(self, name: str, payload: bytes, listeners: tuple[Listener, ...]) -> None:
        self._frames.frame(name, payload, listeners)

    def user_event(self, event: UserEvent, payload: bytes, connections: Mapping[Connection, int]) -> None:
        self._frames.user_event(event, payload, connections)

    def step(self, step: Step) -> Step:
        """Do what is due by the market's clock, and let prices be what the script makes of them."""
        self.world.on_market_time(step.ts_ns)
        self._strike_all(self.plan.on_time(step.ts_ns, self.venue.clock.now_ns()))
        return self.world.prices.apply(step)

    def _on_wall_time(self) -> None:
        """Do what is due by the wall's clock, and come back when something is due again."""
        self._strike_all(self.plan.on_time(self.venue.now_ns, self.venue.clock.now_ns()))
        due_ns = self.plan.wall_due_ns()
        if due_ns is not None:
            seconds = max(due_ns - self.venue.clock.now_ns(), 0) / NS_PER_S
            self._alarm = asyncio.get_running_loop().call_later(seconds, self._on_wall_time)

    def _strike_all(self, fired: list[Fired]) -> None:
        for one in self._noted(fired):
            self.strike(one, ())

    def _noted(self, fired: list[Fired]) -> list[Fired]:
        if self.venue.fault_log is not None:
            for one in fired:
                self.venue.fault_log(shown(one))
        return fired
