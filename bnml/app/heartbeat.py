"""The daemon's sign of life in the state folder: written by its loop each second, read by the dead-man."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.logs import logger
from bnml.core.errors import BnmlError, Misconfigured

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "heartbeat.json"
FAREWELL: Final = "stopped"
"""The state in which the daemon has said farewell. One that has failed may not be started again, and cannot tell."""
FAILED: Final = "failed"


class Heartbeat(msgspec.Struct, frozen=True):
    """Who lives, when it said so (ns, UTC), in which state, and how many decisions it has made."""

    pid: int
    ts_ns: int
    state: str
    scans: int


def beat(state_dir: Path, ts_ns: int, state: str, scans: int) -> None:
    """Replace the sign of life; OSError when the folder cannot be written."""
    temporary = state_dir / f".{FILE}"
    temporary.write_bytes(msgspec.json.encode(Heartbeat(os.getpid(), ts_ns, state, scans)))
    temporary.replace(state_dir / FILE)


def last_beat(state_dir: Path) -> Heartbeat | None:
    """The newest sign of life; None before the first."""
    file = state_dir / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Heartbeat)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Misconfigured(
            f"{file} cannot be read ({error}); give the dead-man the daemon's user and folder"
        ) from error


def take_back_farewell(state_dir: Path, ts_ns: int) -> None:
    """After an error there is none, whoever said it: the daemon is to be started again, and that may not happen."""
    try:
        last = last_beat(state_dir)
        if last is not None and last.state == FAREWELL:
            beat(state_dir, ts_ns, FAILED, last.scans)
    except (BnmlError, OSError) as error:  # the one that ended the session is what counts
        logger().error("heartbeat_not_written", error=str(error))
