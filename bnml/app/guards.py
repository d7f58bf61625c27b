"""Tells the engine what around it is a reason to trade less: once for each change, in the order of the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.core.events import Guard
from bnml.trading.guarding import ACTIVE, HALTED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bnml.app.inbox import Inbox

_SEVERITY = {ACTIVE: 20, HALTED: 50}
_WARNING = 30


class Guards:
    """The one door for guards found around the engine; owners report as often as they like.

    Guards that follow the wall clock are not to be reported in stepped sessions, where a run must not depend on
    the machine.
    """

    def __init__(self, inbox: Inbox, now_ns: Callable[[], int]) -> None:
        self._inbox = inbox
        self._now_ns = now_ns
        self._levels: dict[str, str] = {}

    def level(self, name: str) -> str:
        """What was last reported of `name`."""
        return self._levels.get(name, ACTIVE)

    def standing(self, prefix: str) -> list[str]:
        """Names that begin so and are not ACTIVE."""
        return [name for name, level in self._levels.items() if level != ACTIVE and name.startswith(prefix)]

    def recall(self, known: Mapping[str, tuple[str, str]]) -> None:
        """What the engine remembers of the sessions before; its owner has to report each that is over by now."""
        for name, (level, _) in sorted(known.items()):
            if name not in self._levels:
                self._levels[name] = level
            elif self._levels[name] == ACTIVE:
                self._post(name, ACTIVE, "")

    def report(self, name: str, level: str, detail: str = "") -> None:
        """Post and log `level` (ACTIVE, REDUCING or HALTED) of guard `name` if it is another one than before."""
        before = self.level(name)
        self._levels[name] = level
        if level == before:
            return
        severity = _SEVERITY.get(level, _WARNING)
        logger().log(severity, "guard_changed", guard=name, state=level, before=before, detail=detail)
        self._post(name, level, detail)

    def _post(self, name: str, level: str, detail: str) -> None:
        self._inbox.complete(0, (Guard(name, level, self._now_ns(), detail),))
