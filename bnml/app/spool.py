"""The operator's words to a running daemon: one small file each, taken in order, journaled as OperatorCommand."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from bnml.app.folder import is_locked, write_durably
from bnml.app.logs import logger
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import Fatal, Misconfigured, Rejected
from bnml.core.events import OperatorCommand
from bnml.journal.reserve import is_full

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bnml.config import Settings
    from bnml.options import OrderOptions

FOLDER = "commands"
LOOK_S = 0.25
PATIENCE_S = 10.0
WAIT_S = 0.05
UNTOLD = ".untold"
"""What the file of a word becomes whose answer could not be written: a name takes no room on a full disk."""
WAYS_OUT = {
    "halted": "no entries until `bnml resume`; first look at the log and at the positions. Protection goes on working",
    "reducing": "positions may leave and none may come, until `bnml resume`. Protection goes on working",
}


class Word(msgspec.Struct, frozen=True):
    """One command as it lies in the spool."""

    name: str
    argument: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What the daemon says to a word beside having taken it; `exit_code` is that of the command that sent it."""

    text: str = ""
    exit_code: int = 0


class Spool:
    """The daemon's end: feeds each word to the engine, and removes its file when the journal has it.

    `act` then does what a word asks of the daemon around the engine; a text that it returns is the answer.

    Files that lie there at the start are thrown away: a daemon was killed before it took them, or between
    the journal and the removal, and their senders were told that they were not taken.
    """

    def __init__(
        self,
        state_dir: Path,
        feed: Callable[[OperatorCommand], None],
        journaled: Callable[[], Awaitable[None]],
        act: Callable[[Word], Awaitable[Answer | None]] | None = None,
    ) -> None:
        self._path = state_dir / FOLDER
        self._act = act
        self._feed = feed
        self._journaled = journaled
        for file in self._files():
            logger().warning("operator_command_discarded", file=file.name)
            _remove(file)
        for file in [*self._path.glob("*.answer"), *self._path.glob(f"*{UNTOLD}")]:
            _remove(file)

    async def run(self, now_ns: Callable[[], int]) -> None:
        """Look until cancelled; commands carry the market time of `now_ns`."""
        while True:
            await asyncio.sleep(LOOK_S)
            for file in self._files():
                await self._take(file, now_ns())

    async def _take(self, file: Path, now_ns: int) -> None:
        word = _read(file)
        if word is not None:
            logger().warning("operator_command", name=word.name, argument=word.argument)
            self._feed(OperatorCommand(word.name, now_ns, word.argument))
            await self._journaled()
            answer = await self._act(word) if self._act is not None else None
            if answer is not None and not _leave(answer, file):
                return
        _remove(file)

    def _files(self) -> list[Path]:
        return sorted(self._path.glob("*.json"))


def send(settings: Settings, options: OrderOptions) -> int:
    """Leave a word and wait until the daemon has taken it; Rejected when there is no daemon to take it."""
    state_dir = settings.app.state_dir
    if not is_locked(state_dir):
        raise Rejected(
            f"no daemon is running on the state folder {state_dir}, so nobody can {options.name}; "
            "name the folder of a running one with --state-dir, or start it with `bnml run`"
        )
    answer = ask(state_dir, Word(options.name, options.argument), PATIENCE_S)
    if answer is None:
        raise Rejected(
            f"the daemon did not take `{options.name}` within {PATIENCE_S:.0f} s and it was withdrawn; the daemon "
            "may still be starting: repeat it when `bnml status` says more than starting"
        )
    taken = {"command": options.name, "argument": options.argument, "taken": True, **_said(answer)}
    text = answer.text or f"the daemon has taken `{options.name}`; `bnml status` shows what it does now"
    sys.stdout.write(f"{msgspec.json.encode(taken).decode() if options.json else text}\n")
    return answer.exit_code


def ask(state_dir: Path, word: Word, patience_s: float) -> Answer | None:
    """Leave a word; None when the daemon did not take it in time, and it was withdrawn."""
    clock = LiveClock()
    file = state_dir / FOLDER / f"{clock.now_ns():020d}-{os.getpid()}.json"
    try:
        file.parent.mkdir(exist_ok=True)
        write_durably(file, msgspec.json.encode(word))
    except OSError as error:
        way_out = "make room on its disk" if is_full(error) else "give the command as the daemon's user"
        raise Misconfigured(f"{file.parent} cannot be written ({error.strerror}); {way_out}") from error
    deadline_ns = clock.monotonic_ns() + int(patience_s * NS_PER_S)
    pause = threading.Event()
    while file.exists():
        if clock.monotonic_ns() > deadline_ns:
            _remove(file)
            return None
        pause.wait(WAIT_S)
    if (untold := file.with_suffix(UNTOLD)).exists():
        _remove(untold)
        return Answer(
            "the daemon has read it, and could not write its answer (a full disk?): its log and `bnml status` say what came of it",
            Fatal.exit_code,
        )
    answer_file = _answer_file(file)
    if not answer_file.exists():
        return Answer()
    answer = msgspec.json.decode(answer_file.read_bytes(), type=Answer)
    _remove(answer_file)
    return answer


def _said(answer: Answer) -> dict[str, str]:
    return {"answer": answer.text} if answer.text else {}


def _answer_file(file: Path) -> Path:
    return file.with_suffix(".answer")


def _leave(answer: Answer, file: Path) -> bool:
    """Whether the answer could be written; trading does not end for one that cannot, and its word is renamed to say so."""
    try:
        write_durably(_answer_file(file), msgspec.json.encode(answer))
    except OSError as error:
        logger().error("operator_answer_not_written", answer=answer.text, error=str(error))
        with suppress(FileNotFoundError):  # withdrawn meanwhile
            file.replace(file.with_suffix(UNTOLD))
        return False
    return True


def _read(file: Path) -> Word | None:
    """None for a word that was withdrawn, or that nobody can read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Word)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger().error("operator_command_unreadable", file=file.name, error=str(error))
        return None


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)


def way_out(state: str) -> str:
    """What the operator can do about a state that he must end himself, else nothing."""
    return next((text for name, text in WAYS_OUT.items() if state.startswith(name)), "")
