"""What events bring forth: commands with recomputable ids, and conclusions for the journal."""

from __future__ import annotations

from bnml.core.commands import Alert, Command
from bnml.core.ids import IdSource, stem_of
from bnml.core.outcomes import Outcome


class Outbox:
    """Collects commands and outcomes until they are taken; ids follow from the event's journal number."""

    __slots__ = ("_ids", "_ordinal", "_prefix", "_sequence", "commands", "outcomes")

    def __init__(self, ids: IdSource, sequence: int) -> None:
        self._ids = ids
        self._sequence = sequence
        self._ordinal = -1
        self._prefix = ""
        self.commands: list[Command] = []
        self.outcomes: list[Outcome] = []

    def renew(self, sequence: int) -> None:
        """Start the next event."""
        self._sequence = sequence
        self._ordinal = -1
        self._prefix = ""

    def take_commands(self) -> list[Command]:
        """The commands so far; they are the caller's from now on."""
        if not self.commands:
            return []
        taken, self.commands = self.commands, []
        return taken

    def take_outcomes(self) -> list[Outcome]:
        """The same of outcomes."""
        if not self.outcomes:
            return []
        taken, self.outcomes = self.outcomes, []
        return taken

    def begin(self) -> str:
        """Start the next request; returns what the ids of its legs begin with (see `core.ids`)."""
        if not self._prefix:
            self._prefix = self._ids.event_prefix(self._sequence)
        self._ordinal += 1
        return stem_of(self._prefix, self._ordinal)

    def alert(self, severity: str, name: str, text: str) -> None:
        self.commands.append(Alert(severity, name, text))
