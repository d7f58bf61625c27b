"""What a word of the operator does around the engine, once the journal has it: the key, and what is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.access import try_again
from bnml.app.spool import Answer

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.app.spool import Word


class Desk:
    """Answers those words that ask something of the daemon itself."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def act(self, word: Word) -> Answer | None:
        """Do it; None where the engine's part is all there is."""
        if word.name == "resume":
            return await self._resume()
        return None

    async def _resume(self) -> Answer | None:
        refusal = await try_again(self._parts.venue, self._parts.guards)
        if not refusal:
            return None
        return Answer(f"entries stay off: the venue still refuses the API key ({refusal})", 3)
