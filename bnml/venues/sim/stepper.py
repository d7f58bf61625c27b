"""Stepped time: clients that number what they receive, and a market that waits for each of them."""

from __future__ import annotations

import secrets

import msgspec

from bnml.venues.sim.messages import VenueReject


class Confirmation(msgspec.Struct, frozen=True, gc=False):
    """What a `POST /sim/step` found: whether the market may move, and the last number sent to the asker."""

    ready: bool
    sent: int


class Stepper:
    """One client of the stepped market; `sent` is the last number given to a frame or response for it."""

    def __init__(self, stepper_id: str) -> None:
        self.stepper_id = stepper_id
        self.sent = 0
        self.in_flight = 0
        self.sockets = 0
        self.confirmed = False

    def number(self) -> int:
        """The next number; whoever asks must send it."""
        self.sent += 1
        self.confirmed = False
        return self.sent


class Steppers:
    """All registered steppers; the market moves when each has confirmed its last number."""

    def __init__(self) -> None:
        self._steppers: dict[str, Stepper] = {}

    def __len__(self) -> int:
        return len(self._steppers)

    def register(self) -> Stepper:
        """A new stepper with a number line of its own."""
        stepper = Stepper(secrets.token_hex(4))
        self._steppers[stepper.stepper_id] = stepper
        return stepper

    def find(self, stepper_id: str | None) -> Stepper | None:
        """The stepper a request names; none named is None, an unknown one is refused."""
        if stepper_id is None:
            return None
        stepper = self._steppers.get(stepper_id)
        if stepper is None:
            raise VenueReject(-1130, f"stepper {stepper_id!r} is not registered; POST /sim/steppers first.")
        return stepper

    def socket_opened(self, stepper: Stepper) -> None:
        stepper.sockets += 1

    def socket_closed(self, stepper: Stepper) -> None:
        """A stepper without any socket is gone: a killed client must not stop the market for good."""
        stepper.sockets -= 1
        if stepper.sockets == 0:
            self._steppers.pop(stepper.stepper_id, None)

    def confirm(self, stepper: Stepper, number: int) -> Confirmation:
        """Note that a stepper has handled everything up to `number`; ready when all have, with nothing in flight."""
        stepper.confirmed = number == stepper.sent and stepper.in_flight == 0
        ready = all(one.confirmed and one.in_flight == 0 for one in self._steppers.values())
        if ready:
            for one in self._steppers.values():
                one.confirmed = False
        return Confirmation(ready, stepper.sent)
