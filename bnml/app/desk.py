"""What a word of the operator does around the engine, once the journal has it: the key, and what is configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from bnml.app.access import try_again
from bnml.app.keys import rotate
from bnml.app.logs import logger, set_level
from bnml.app.ramping import say
from bnml.app.spool import Answer
from bnml.config import load
from bnml.core.errors import BnmlError

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.app.life import Life
    from bnml.app.spool import Word
    from bnml.config import Settings

LIVE_SECTIONS: Final = ("guards", "alerts")
"""Sections that a reload brings into use; everything else needs a restart."""
LIVE_KEYS: Final = ("app.log_level",)
"""Of other sections. What decides or sizes waits for a restart: a replay of the journal has one set of rules a session."""
EXITS: Final = ("exits.", "risk.", "capital.", "decision.", "costs.")
"""Keys after which it is said that what is held is not touched by them."""


class Desk:
    """Answers those words that ask something of the daemon itself."""

    def __init__(self, parts: Parts, life: Life) -> None:
        self._parts = parts
        self._life = life

    async def act(self, word: Word) -> Answer | None:
        """Do it; None where the engine's part is all there is."""
        try:
            if word.name == "resume":
                return await self._resume()
            if word.name == "rotate_keys":
                return Answer(await rotate(self._parts, Path(word.argument)))
            if word.name == "reload":
                return Answer(self._reload())
            if word.name in {"ramp_release", "ramp_reset"}:
                return say(self._parts.engine)
        except BnmlError as error:
            logger().error("operator_command_failed", name=word.name, error=str(error))
            return Answer(f"nothing was changed: {error}", error.exit_code)
        return self._misspelt(word.argument) if word.name in {"flatten", "panic"} else None

    async def _resume(self) -> Answer | None:
        refusal = await try_again(self._parts.venue, self._parts.guards)
        if not refusal:
            return None
        return Answer(f"entries stay off: the venue still refuses the API key ({refusal})", 3)

    def _misspelt(self, symbol: str) -> Answer | None:
        """A name that nobody knows must not look like one that was sold."""
        engine = self._parts.engine
        if not symbol or symbol in engine.state.symbols:
            return None
        held = ", ".join(sorted(engine.portfolio.positions)) or "nothing"
        return Answer(f"nothing was sold: {symbol} is no symbol that is followed; held: {held}", 2)

    def _reload(self) -> str:
        """Read the configuration again; an invalid one changes nothing, and its fault names the key."""
        old, new = self._parts.settings, load(self._parts.options.config)
        self._life.use(new)
        set_level(new.app.log_level)
        logger().warning("configuration_reloaded", sections=LIVE_SECTIONS)
        later = _changed_elsewhere(old, new)
        rest = f"; only a restart brings: {', '.join(later)}" if later else ""
        if any(key.startswith(EXITS) for key in later):
            rest += "; open positions keep the exit rules that they were opened with even then"
        return f"{', '.join((*LIVE_SECTIONS, *LIVE_KEYS))} are as the configuration says now{rest}"


def _changed_elsewhere(old: Settings, new: Settings) -> list[str]:
    """Keys outside the live sections that differ; those that options of the command line set are not told apart."""
    found = []
    for section in type(old).model_fields:
        if section not in LIVE_SECTIONS:
            before, after = getattr(old, section).model_dump(), getattr(new, section).model_dump()
            found += [f"{section}.{key}" for key in before if before[key] != after[key]]
    return [key for key in found if key not in LIVE_KEYS]
