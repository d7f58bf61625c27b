"""Names of things: newtypes, and client order ids that can be recomputed after a crash.

A client order id is `bn` + instance (4) + epoch (base 36) `-` sequence (base 36) `-` ordinal + leg,
for example `bnA1B21f-2kq-0w`. Sequence is the journal number of the event that caused the command,
ordinal counts the commands of that event; so the same event always makes the same id, and no two
sessions share one because the epoch is persisted and checked against the venue's history. A panic without
the daemon has no event, and maybe no disk that takes its epoch: its sequence is the time (ms) at which it began.
"""

from __future__ import annotations

from typing import Final

import msgspec

from bnml.core.errors import Fatal

PREFIX: Final = "bn"
MAX_LENGTH: Final = 36
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"

LEG_WORKING: Final = "w"
LEG_TARGET: Final = "t"
LEG_STOP: Final = "s"
LEG_EXIT: Final = "x"
LEG_LIST: Final = "l"
LEG_FEES: Final = "f"  # a purchase of what fees are paid in
LEG_PANIC: Final = "p"  # a market sale that `bnml panic` made without the daemon


def base36(number: int) -> str:
    """Lower-case base 36 of a non-negative number."""
    if number < 0:
        message = f"an id is made from non-negative numbers, got {number}"
        raise Fatal(message)
    digits = _DIGITS[number % 36]
    while number := number // 36:
        digits = _DIGITS[number % 36] + digits
    return digits


class IdSource(msgspec.Struct, frozen=True):
    """Makes client order ids of one session of one instance."""

    instance: str  # four letters or digits, persisted in the state folder
    epoch: int  # grows by one with each start, persisted

    def client_order_id(self, sequence: int, ordinal: int, leg: str) -> str:
        """The id of leg `leg` of the `ordinal`-th command of event number `sequence`."""
        return stem_of(self.event_prefix(sequence), ordinal) + leg

    def event_prefix(self, sequence: int) -> str:
        """What the ids of all commands of event number `sequence` begin with."""
        return f"{PREFIX}{self.instance}{base36(self.epoch)}-{base36(sequence)}-"


def stem_of(event_prefix: str, ordinal: int) -> str:
    """What the ids of all legs of the `ordinal`-th command of an event begin with: the letter of a leg completes one."""
    stem = event_prefix + base36(ordinal)
    if len(stem) >= MAX_LENGTH:
        message = f"client order ids of {stem!r} are longer than the {MAX_LENGTH} characters a venue takes"
        raise Fatal(message)
    return stem


def is_of_fees(client_order_id: str) -> bool:
    """Whether an order of ours, whatever the session, bought what fees are paid in: nothing that is sold again."""
    return client_order_id.endswith(LEG_FEES)


def is_ours(client_order_id: str, instance: str) -> bool:
    """Whether an order at the venue was placed by this instance, in any session."""
    return client_order_id.startswith(PREFIX + instance)
