"""Faults of what goes out by itself: market frames and user events that are lost, late, doubled or in disorder."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults import describe
from bnml.venues.sim.faults.requests import seconds_of
from bnml.venues.sim.faults.rules import Seam
from bnml.venues.sim.userdata import wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.faults.injector import Faults
    from bnml.venues.sim.faults.rules import Fired
    from bnml.venues.sim.hub import Listener
    from bnml.venues.sim.messages import UserEvent


class Recipient(NamedTuple):
    """Where a payload goes, and how it is wrapped for there."""

    connection: Connection
    send: Callable[[bytes], None]


class Held:
    """A frame that lets some of its kind pass."""

    def __init__(self, count: int, deliver: Callable[[], None]) -> None:
        self.count = count
        self.deliver = deliver


class FrameFaults:
    """Around everything that is published."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._held: dict[str, list[Held]] = {}

    def frame(self, name: str, payload: bytes, listeners: tuple[Listener, ...]) -> None:
        """One market event."""
        event = describe.frame_event(name, payload)
        if event.symbol in self._faults.world.mask.gone:
            return
        recipients = [Recipient(one.connection, partial(one.deliver, name)) for one in listeners]
        fired = self._faults.decide(event) if self._faults.plan.watches(Seam.STREAM) else []
        self._emit(name, payload, recipients, fired)

    def user_event(self, event: UserEvent, payload: bytes, connections: Mapping[Connection, int]) -> None:
        """One user event."""
        recipients = [
            Recipient(one, partial(_send_wrapped, one, number)) for one, number in connections.items()
        ]
        fired = self._faults.decide(describe.user_event(event))
        self._emit(f"user {event.account}", payload, recipients, fired)

    def end(self) -> None:
        """Send what is still held back."""
        for held in self._held.values():
            for one in held:
                one.deliver()
        self._held.clear()

    def _emit(self, key: str, payload: bytes, recipients: list[Recipient], fired: list[Fired]) -> None:
        waiting = self._held.pop(key, [])
        copies, behind = 1, 0
        for one in fired:
            match one.action:
                case acts.Drop() | acts.Truncate() | acts.Inject(instead=True):
                    copies = 0
                case acts.Duplicate():
                    copies = copies and copies + one.action.copies
                case acts.Reorder():
                    behind = one.action.behind
            self._affect(one, payload, recipients)
        deliver = partial(_deliver, recipients, payload, copies)
        if behind:
            waiting.append(Held(behind + 1, deliver))
        else:
            deliver()
        for held in waiting:
            held.count -= 1
            if not held.count:
                held.deliver()
        if left := [held for held in waiting if held.count]:
            self._held[key] = left

    def _affect(self, one: Fired, payload: bytes, recipients: list[Recipient]) -> None:
        """What an action does besides letting the payload through or not."""
        match one.action:
            case acts.Drop() | acts.Duplicate() | acts.Reorder():
                pass
            case acts.Inject():
                _send_all(recipients, one.action.text.encode())
            case acts.Truncate():
                _send_all(recipients, payload[: int(len(payload) * one.action.keep)])
            case acts.Delay():
                for recipient in recipients:
                    self._faults.lines.of(recipient.connection).hold(seconds_of(one, one.action))
            case _:
                self._strike(one, recipients)

    def _strike(self, fired: Fired, recipients: list[Recipient]) -> None:
        """Sockets are struck at once; the exchange itself only when it has finished what it is doing."""
        if isinstance(fired.action, acts.OnSocket):
            self._faults.strike(fired, [one.connection for one in recipients])
        else:
            asyncio.get_running_loop().call_soon(self._faults.strike, fired, ())


def _deliver(recipients: list[Recipient], payload: bytes, copies: int) -> None:
    for _ in range(copies):
        for recipient in recipients:
            recipient.send(payload)


def _send_all(recipients: list[Recipient], text: bytes) -> None:
    """A text of the script's own: wrapped and numbered only where it is a JSON object."""
    for recipient in recipients:
        if text.startswith(b"{") and text.endswith(b"}"):
            recipient.send(text)
        else:
            recipient.connection.send_raw(text)


def _send_wrapped(connection: Connection, subscription_id: int, payload: bytes) -> None:
    connection.send(wrapped(subscription_id, payload))
