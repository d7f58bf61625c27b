"""What events bring forth: commands with recomputable ids, and conclusions for the journal."""

from __future__ import annotations

from bnml.core.commands import Alert, Command
from bnml.core.ids import IdSource, leg_id
from bnml.core.outcomes import Outcome


class Outbox:
    """Collects commands and outcomes until they are taken; ids follow from the event's journal number."""

    __slots__ = ("_ids", "_ordinal", "_sequence", "_stem", "commands", "outcomes")

    def __init__(self, ids: IdSource, sequence: int) -> None:
        self._ids = ids
        self._sequence = sequence
        self._ordinal = -1
        self._stem = ""
        self.commands: list[Command] = []
        self.outcomes: list[Outcome] = []

    def renew(self, sequence: int) -> None:
        """Start the next event."""
        self._sequence = sequence
        self._ordinal = -1
        self._stem = ""

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

    def begin(self) -> None:
        """Start the next request: `client_order_id` names its legs from here on."""
        self._ordinal += 1
        self._stem = ""

    def client_order_id(self, leg: str) -> str:
        """The id of leg `leg` (see `core.ids`) of the current request."""
        if not self._stem:
            self._stem = self._ids.stem(self._sequence, self._ordinal)
        return leg_id(self._stem, leg)

    def alert(self, severity: str, name: str, text: str) -> None:
        self.commands.append(Alert(severity, name, text))
