"""Reasons to trade less that were found around the engine: raised, ended, and latched until the operator resumes."""

from __future__ import annotations

from typing import Final

from bnml.core.events import Guard
from bnml.trading.outbox import Outbox
from bnml.trading.state import OF_SYMBOL, Activity

ACTIVE: Final = "ACTIVE"
REDUCING: Final = "REDUCING"
HALTED: Final = "HALTED"
LEVELS: Final = (ACTIVE, REDUCING, HALTED)
"""From the least to the worst."""
PANIC: Final = f"panic{OF_SYMBOL}"
"""Guards of single symbols that the operator wanted out of; only the operator ends them."""
BOOK_GUARDS: Final = frozenset({"account", "capital", "recovery"})
"""While one of these stands, the books are not borne out."""


class GuardDesk:
    """Keeps the guards of `Activity`; a halt ends when its cause is over and the operator has resumed, in any order."""

    def __init__(self, activity: Activity) -> None:
        self._activity = activity

    def take(self, event: Guard, out: Outbox) -> None:
        """What a guard says now replaces what it said before, unless that was a halt."""
        activity, name = self._activity, event.name
        if event.level not in LEVELS:
            out.alert(
                "warning", "guard_unknown", f"guard {name} has level {event.level!r}; it counts as HALTED"
            )
        if event.level not in {ACTIVE, REDUCING}:
            activity.guards[name] = HALTED, event.detail
            activity.guards_over.pop(name, None)
            self._forget_resumed(name)
        elif activity.guards.get(name, (ACTIVE,))[0] == HALTED and name not in activity.guards_resumed:
            activity.guards_over[name] = event.level, event.detail
        else:
            self._forget_resumed(name)
            self._set(name, event.level, event.detail)

    def resume(self, out: Outbox) -> None:
        """The operator's word: halts whose cause is over end now, the others end with their cause."""
        activity = self._activity
        for name in [name for name in activity.guards if name.startswith(PANIC)]:
            self._set(name, ACTIVE, "")
        halts = [name for name, (level, _) in activity.guards.items() if level == HALTED]
        standing = [name for name in halts if name not in activity.guards_over]
        for name in halts:
            if name in activity.guards_over:
                self._set(name, *activity.guards_over.pop(name))
            elif name not in activity.guards_resumed:
                activity.guards_resumed.append(name)
        if standing:
            causes = "; ".join(f"{name}: {activity.guards[name][1]}" for name in standing)
            out.alert("warning", "resume_waits", f"entries come again when this is over: {causes}")

    def stay_out(self, symbol: str, reason: str) -> None:
        """The operator's word about one symbol: it is not entered until resumed."""
        self._set(f"{PANIC}{symbol}", REDUCING, reason)

    def come_back(self, symbol: str, out: Outbox) -> None:
        """End what `stay_out` began."""
        if f"{PANIC}{symbol}" not in self._activity.guards:
            out.alert("warning", "resume_without_cause", f"{symbol} is under no panic; nothing was changed")
        self._set(f"{PANIC}{symbol}", ACTIVE, "")

    def _set(self, name: str, level: str, detail: str) -> None:
        if level == ACTIVE:
            self._activity.guards.pop(name, None)
        else:
            self._activity.guards[name] = level, detail

    def _forget_resumed(self, name: str) -> None:
        if name in self._activity.guards_resumed:
            self._activity.guards_resumed.remove(name)
