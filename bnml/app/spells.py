"""How long each reason for which entries are off has stood: a person is told once for each spell of it, and of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.logs import logger
from bnml.app.words import few
from bnml.core.clock import NS_PER_S, format_utc
from bnml.trading.guarding import ACTIVE, HALTED, LEVELS, REDUCING
from bnml.trading.state import OF_SYMBOL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bnml.core.clock import Clock

SOON_S: Final = 5
"""A reason that a session before left may be over as soon as its owner has looked."""
LASTING_S: Final = 60
"""What usually goes away by itself within seconds is told when it has stood for so long in all."""
OVER_S: Final = 300
"""A reason that comes back before that goes on with its spell."""
LONGEST_LOOK_NS: Final = 5 * NS_PER_S
"""So much of the time between two looks counts at most: a machine that slept knows nothing of the rest."""
SHOWN: Final = 10
PASSING: Final = frozenset({"channel", "stale", "status", "clock", "loop", "journal", "maintenance"})
TOGETHER: Final = frozenset({"channel", "stale"})
"""One spell for all symbols or connections: they come and go with the line."""
USUAL: Final = frozenset({"planned", "volatility", "drift", "market_sell", "market_risk_off", "market_score"})
"""What the operator wrote down himself, and how the strategy sees the market."""


class Spell(msgspec.Struct):
    """From the first time that a reason stood until it has been away for long enough; times of the steady clock."""

    since_ns: int  # by the wall
    seen_ns: int
    seen_wall_ns: int
    stood_ns: int = 0
    told: str = ACTIVE  # the worst level that was told


class Spells:
    """`look` is called each second with all reasons of that moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spells: dict[str, Spell] = {}
        self._looked_ns = clock.monotonic_ns()

    def look(self, reasons: Sequence[str]) -> None:
        """Tell what has stood for long enough, and what is over; a reason is `NAME LEVEL: detail`."""
        now_ns = self._clock.monotonic_ns()
        before_ns, self._looked_ns = self._looked_ns, now_ns
        standing: dict[str, list[str]] = {}
        for reason in reasons:
            if not _is_usual(reason):
                standing.setdefault(_key(reason), []).append(reason)
        due: list[str] = []
        for key, texts in standing.items():
            spell = self._standing(key, before_ns, now_ns)
            level = max((_level(text) for text in texts), key=LEVELS.index)
            is_passing = key.partition(OF_SYMBOL)[0] in PASSING and level != HALTED
            if spell.told == HALTED != level:
                spell.told = REDUCING  # only the operator ends a halt: another one is news
            is_told = LEVELS.index(level) <= LEVELS.index(spell.told)
            if not is_told and spell.stood_ns >= (LASTING_S if is_passing else SOON_S) * NS_PER_S:
                spell.told = level
                due += texts
        self._tell(due)
        self._let_go([key for key in self._spells if key not in standing], now_ns, reasons)

    def _standing(self, key: str, before_ns: int, now_ns: int) -> Spell:
        wall_ns = self._clock.now_ns()
        spell = self._spells.setdefault(key, Spell(wall_ns, now_ns, wall_ns))
        if spell.seen_ns == before_ns:
            spell.stood_ns += min(now_ns - before_ns, LONGEST_LOOK_NS)
        spell.seen_ns, spell.seen_wall_ns = now_ns, wall_ns
        return spell

    def _tell(self, due: Sequence[str]) -> None:
        if not due:
            return
        severity = "critical" if any(_level(text) == HALTED for text in due) else "warning"
        getattr(logger(), severity)(
            "entries_off",
            text="; ".join(few(due, SHOWN)),
            note="what protects positions rests at the exchange",
        )

    def _let_go(self, gone: Iterable[str], now_ns: int, reasons: Sequence[str]) -> None:
        """Tell in one line what is over: the symbols of a whole exchange come back in one moment."""
        over: list[str] = []
        for key in gone:
            spell = self._spells[key]
            if spell.told == HALTED:
                spell.told = REDUCING
            if now_ns - spell.seen_ns >= OVER_S * NS_PER_S:
                del self._spells[key]
                if spell.told != ACTIVE:
                    began, ended = format_utc(spell.since_ns), format_utc(spell.seen_wall_ns)
                    over.append(f"{key}, from {began} until {ended}")
        if over:
            still = [one.partition(": ")[0].rpartition(" ")[0] for one in reasons[:SHOWN]]
            logger().warning("entries_off_over", text="; ".join(few(over, SHOWN)), still=still)


def _key(reason: str) -> str:
    """Its name, or that of its kind where all of a kind are told together."""
    name = reason.partition(": ")[0].rpartition(" ")[0]
    kind = name.partition(OF_SYMBOL)[0]
    return kind if kind in TOGETHER else name


def _level(reason: str) -> str:
    level = reason.partition(": ")[0].rpartition(" ")[2]
    return level if level in LEVELS else HALTED


def _is_usual(reason: str) -> bool:
    return _key(reason) in USUAL or reason.startswith("operator REDUCING")
