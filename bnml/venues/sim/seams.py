"""Where faults may be put in: what the exchange asks an injector at each seam, when one is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from bnml.core.errors import Fatal
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.hub import Listener
    from bnml.venues.sim.messages import Step, UserEvent

SocketKind = Literal["api", "stream"]
RequestId = int | str | None


class Unanswered(Exception):
    """A REST request that gets no answer: its connection is cut before anything is written."""


class Door(Protocol):
    """The port, as whoever may close it sees it."""

    def refuse_for(self, seconds: float, *, cut: bool) -> None:
        """Refuse new connections for so long; those that stand stay, or are broken off (`cut`)."""
        ...

    def fail(self, error: Fatal) -> None:
        """The exchange's own state is broken: whoever serves it must stop."""
        ...


class Injector(Protocol):
    """Stands in each seam. Without one, a seam costs one test for None."""

    async def rest(
        self, request: web.BaseRequest, execute: Callable[[], Awaitable[web.Response]]
    ) -> web.Response:
        """Around one REST request; whoever calls `execute` carries it out. Raises Unanswered."""
        ...

    def api(
        self,
        connection: Connection,
        request_id: RequestId,
        method: str,
        values: Mapping[str, str],
        execute: Callable[[], bytes],
    ) -> None:
        """Around one request of the WebSocket API: sends its answer, or does not."""
        ...

    async def connect(self, request: web.BaseRequest, kind: SocketKind) -> web.Response | None:
        """Before a socket is opened: the answer of one that is refused. Raises Unanswered."""
        ...

    def opened(self, connection: Connection) -> None:
        """A socket is open, and nothing has been sent on it."""
        ...

    def frame(self, name: str, payload: bytes, listeners: tuple[Listener, ...]) -> None:
        """One event of the canonical market stream `name` on its way to its listeners."""
        ...

    def user_event(self, event: UserEvent, payload: bytes, connections: Mapping[Connection, int]) -> None:
        """One user event on its way to the connections that hear it, by subscription id."""
        ...

    def step(self, step: Step) -> Step:
        """Before a step of the market: the step to apply instead, mostly the same."""
        ...
