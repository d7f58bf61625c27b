"""User data subscriptions: which connection hears which account, under which subscription id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from bnml.venues.sim.connection import Connection
    from bnml.venues.sim.messages import UserEvent
    from bnml.venues.sim.payloads_account import AccountPayloads
    from bnml.venues.sim.seams import Injector


class UserStreams:
    """Every event is encoded once and sent to each subscription of its account, in order."""

    def __init__(self, payloads: AccountPayloads) -> None:
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
        self._next_id[connection] = subscription_id + 1
        connections[connection] = subscription_id
        return subscription_id

    def subscriptions(self, connection: Connection) -> list[int]:
        """Ids of the open subscriptions of a connection."""
        return sorted(held[connection] for held in self._accounts.values() if connection in held)

    def unsubscribe(self, connection: Connection, subscription_id: int | None, ts_ms: int) -> None:
        """End one subscription, or all without an id; each hears `eventStreamTerminated` as its last event."""
        ended = [
            account
            for account, held in self._accounts.items()
            if connection in held and subscription_id in {None, held[connection]}
        ]
        if not ended:
            raise VenueReject(-2036, "User Data Stream subscription not active.")
        payload = msgspec.json.encode({"e": "eventStreamTerminated", "E": ts_ms})
        for account in ended:
            connection.send(wrapped(self._accounts[account].pop(connection), payload))

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
        payload = msgspec.json.encode(self._payloads.user_event(event))
        if self.faults is not None:
            self.faults.user_event(event, payload, connections)
            return
        for connection, subscription_id in connections.items():
            connection.send(wrapped(subscription_id, payload))


def wrapped(subscription_id: int, payload: bytes) -> bytes:
    """A user event as a subscription hears it."""
    return b'{"subscriptionId":%d,"event":%b}' % (subscription_id, payload)
