"""What one event brings forth: commands with recomputable ids, and conclusions for the journal."""

from __future__ import annotations

from bnml.core.commands import Alert, Command
from bnml.core.ids import IdSource
from bnml.core.outcomes import Outcome


class Outbox:
    """Collects commands and outcomes of one event; ids follow from the event's journal number."""

    __slots__ = ("_ids", "_ordinal", "_sequence", "commands", "outcomes")

    def __init__(self, ids: IdSource, sequence: int) -> None:
        self._ids = ids
        self._sequence = sequence
        self._ordinal = -1
        self.commands: list[Command] = []
        self.outcomes: list[Outcome] = []

    def begin(self) -> None:
        """Start the next request: `client_order_id` names its legs from here on."""
        self._ordinal += 1

    def client_order_id(self, leg: str) -> str:
        """The id of leg `leg` (see `core.ids`) of the current request."""
        return self._ids.client_order_id(self._sequence, self._ordinal, leg)

    def alert(self, severity: str, name: str, text: str) -> None:
        self.commands.append(Alert(severity, name, text))
