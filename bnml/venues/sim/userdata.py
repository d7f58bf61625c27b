"""User data subscriptions: which connection hears which account, under which subscription id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.messages import UserEvent
    from bnml.venues.sim.payloads_account import AccountPayloads
    from bnml.venues.sim.seams import Injector


MAX_ACTIVE = 1_000
MAX_IDS = 65_535


class UserStreams:
    """Every event is encoded once a time unit and sent to each subscription of its account, in order."""

    def __init__(self, payloads: Mapping[int, AccountPayloads]) -> None:
        self._payloads = payloads
        self.faults: Injector | None = None
        self._accounts: dict[str, dict[Connection, int]] = {}
        self._next_id: dict[Connection, int] = {}

    def subscribe(self, account: str, connection: Connection) -> int:
        """A new subscription of one connection; a second one of the same account is -2035."""
        connections = self._accounts.setdefault(account, {})
        if connection in connections:
            raise VenueReject(-2035, "User Data Stream subscription already active.")
        subscription_id = self._next_id.get(connection, 0)
        if len(self.subscriptions(connection)) >= MAX_ACTIVE:
            raise VenueReject(
                -1191,
                f"Too many subscriptions. Connection may create up to '{MAX_ACTIVE}' subscriptions at a time.",
            )
        if subscription_id >= MAX_IDS:
            raise VenueReject(-2042, "Maximum subscription ID reached for this connection.")
        self._next_id[connection] = subscription_id + 1
        connections[connection] = subscription_id
        return subscription_id

    def subscriptions(self, connection: Connection) -> list[int]:
        """Ids of the open subscriptions of a connection."""
        return sorted(held[connection] for held in self._accounts.values() if connection in held)

    def unsubscribe(self, connection: Connection, subscription_id: int | None, ts_ns: int) -> None:
        """End one subscription, or all without an id; each hears `eventStreamTerminated` as its last event."""
        ended = [
            account
            for account, held in self._accounts.items()
            if connection in held and subscription_id in {None, held[connection]}
        ]
        if not ended:
            raise VenueReject(-2036, "User Data Stream subscription not active.")
        for account in ended:
            self._end(account, connection, ts_ns)

    def close_account(self, account: str, ts_ns: int) -> None:
        """End every subscription of an account."""
        for connection in list(self._accounts.get(account, ())):
            self._end(account, connection, ts_ns)

    def _end(self, account: str, connection: Connection, ts_ns: int) -> None:
        shown = {"e": "eventStreamTerminated", "E": ts_ns // connection.unit_ns}
        connection.send(wrapped(self._accounts[account].pop(connection), msgspec.json.encode(shown)))

    def drop(self, connection: Connection) -> None:
        """Forget a closed connection."""
        self._next_id.pop(connection, None)
        for held in self._accounts.values():
            held.pop(connection, None)

    def publish(self, event: UserEvent) -> None:
        """Send one event to everybody who hears its account."""
        connections = self._accounts.get(event.account)
        if not connections:
            return
        for unit_ns in {connection.unit_ns for connection in connections}:
            payload = msgspec.json.encode(self._payloads[unit_ns].user_event(event))
            heard = {one: number for one, number in connections.items() if one.unit_ns == unit_ns}
            if self.faults is not None:
                self.faults.user_event(event, payload, heard)
                continue
            for connection, subscription_id in heard.items():
                connection.send(wrapped(subscription_id, payload))


def wrapped(subscription_id: int, payload: bytes) -> bytes:
    """A user event as a subscription hears it."""
    return b'{"subscriptionId":%d,"event":%b}' % (subscription_id, payload)
