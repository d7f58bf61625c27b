"""The halt that was written while nobody could take it: fed to the engine by the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.folder import write_durably
from bnml.app.logs import logger
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Guard, OperatorCommand
from bnml.trading.guarding import PANIC, REDUCING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bnml.core.events import Event

HALT_FILE: Final = "halt.json"


class HaltNote(msgspec.Struct, frozen=True):
    """Why the daemon must not enter: anything, or these symbols."""

    reason: str
    symbols: tuple[str, ...] = ()


def read_note(state_dir: Path) -> HaltNote | None:
    """The note of a state folder, where somebody left one."""
    file = state_dir / HALT_FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=HaltNote)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RecoveryNeeded(
            f"{file} is damaged ({error}): somebody acted without the daemon; compare positions with the venue"
        ) from error


def write_note(state_dir: Path, note: HaltNote) -> None:
    """Leave a note, durably, together with what one says that lies there already; a damaged one halts everything."""
    try:
        earlier = read_note(state_dir)
    except RecoveryNeeded:
        earlier = HaltNote(note.reason)
    if earlier is not None:
        both = earlier.symbols and note.symbols
        symbols = tuple(sorted({*earlier.symbols, *note.symbols})) if both else ()
        note = HaltNote(note.reason, symbols)
    write_durably(state_dir / HALT_FILE, msgspec.json.encode(note))


class Aftermath:
    """The daemon's end of the note: fed before anything may move, and removed when the journal has it."""

    def __init__(
        self, state_dir: Path, feed: Callable[[Event], None], journaled: Callable[[], Awaitable[None]]
    ) -> None:
        self._state_dir = state_dir
        self._feed = feed
        self._journaled = journaled

    async def take(self, now_ns: int) -> None:
        """Halt before anything may move; sales that were made without us are adopted as any unknown order of ours."""
        try:
            note = read_note(self._state_dir)
        except RecoveryNeeded as error:
            # Somebody wanted something to stop: everything does, and what is held is guarded.
            note = HaltNote(str(error))
        if note is None:
            return
        logger().critical(
            "halted_from_outside", reason=note.reason, symbols=note.symbols, way_out="`bnml resume`"
        )
        if not note.symbols:
            self._feed(OperatorCommand("halt", now_ns, note.reason))
        for symbol in note.symbols:  # no sale is asked for: what was sold is adopted first
            self._feed(Guard(f"{PANIC}{symbol}", REDUCING, now_ns, f"{note.reason}; until `bnml resume`"))
        await self._journaled()
        (self._state_dir / HALT_FILE).unlink(missing_ok=True)
