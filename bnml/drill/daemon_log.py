"""What a daemon logged, read back as events with their fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class DaemonLog:
    """One file of JSON lines that grows while it is read."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def mark(self) -> int:
        """A place in the log, for `events`."""
        return self._file.stat().st_size if self._file.exists() else 0

    def events(self, name: str = "", since: int = 0) -> list[dict[str, Any]]:
        """What the daemon logged from a place on; all of it, or the events of one name."""
        found = []
        with self._file.open("rb") as log:
            log.seek(since)
            for line in log.read().split(b"\n"):
                if line.startswith(b"{") and line.endswith(b"}"):
                    event = json.loads(line)
                    if not name or event.get("event") == name:
                        found.append(event)
        return found

    def last_words(self) -> str:
        """The last line of the log."""
        lines = self._file.read_text("utf-8", "replace").strip().splitlines() if self._file.exists() else []
        return lines[-1][:400] if lines else "it said nothing"
