"""Fault rules that strike on the way to a venue: the same words as the embedded exchange's scripts, as far as they are used."""

from __future__ import annotations

from fnmatch import fnmatchcase
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Rule:
    """One rule with its counts; `action` has its name under `action`."""

    def __init__(self, given: Mapping[str, Any], seed: int) -> None:
        do = given["do"]
        self.name = str(given["name"])
        self.action: dict[str, Any] = {"action": do} if isinstance(do, str) else dict(do)
        self.is_after = given.get("at") == "after"
        self.matched = self.fired = 0
        self._match: dict[str, Any] = dict(given.get("match", {}))
        self._when: dict[str, Any] = dict(given.get("when", {}))
        self._dice = Random(seed)  # noqa: S311 - repeats a fault, keeps no secret

    @property
    def is_timed(self) -> bool:
        """Strikes by itself, at nothing that passes."""
        return not self._match

    @property
    def every_s(self) -> float:
        """Seconds between two strokes of a timed rule."""
        return float(self._when.get("every_wall_s", 0.0))

    @property
    def times(self) -> int:
        """How often it may strike; 0 = without end."""
        return int(self._when.get("times", 0))

    def strikes(self, kind: str, name: str, *, is_closed: bool = False) -> bool:
        """Whether it is about what passes here, and its turn has come."""
        wanted = self._match.get(kind)
        if wanted is None or not any(fnmatchcase(name, one) for one in _list(wanted)):
            return False
        if self._match.get("closed", is_closed) != is_closed:
            return False
        self.matched += 1
        if self.times and self.fired >= self.times:
            return False
        if self.matched % int(self._when.get("every", 1)):
            return False
        if self._dice.random() >= float(self._when.get("probability", 1.0)):
            return False
        self.fired += 1
        return True


class Stroke(NamedTuple):
    """When a rule struck, and at what."""

    at_ns: int
    rule: Rule
    about: str


class Rules:
    """The rules in force, and when they struck."""

    def __init__(self, now_ns: Callable[[], int] = lambda: 0) -> None:
        self.all: list[Rule] = []
        self.log: list[Stroke] = []
        self._now_ns = now_ns

    def load(self, given: Iterable[Mapping[str, Any]], seed: int = 7) -> None:
        """Put these in, in place of those before."""
        self.all = [Rule(one, seed) for one in given]
        self.log = []

    @property
    def fired(self) -> int:
        """How often they struck in all."""
        return sum(one.fired for one in self.all)

    def matched(self, name: str) -> int:
        """How much the rule of this name was about, struck or not."""
        return sum(one.matched for one in self.all if one.name == name)

    def struck(self, kind: str, name: str, *, is_closed: bool = False) -> list[Rule]:
        """Those that strike at what passes."""
        found = [one for one in self.all if one.strikes(kind, name, is_closed=is_closed)]
        for one in found:
            self.note(one, name)
        return found

    def note(self, rule: Rule, about: str) -> None:
        """A rule strikes now; `about` is the request, or `time`."""
        self.log.append(Stroke(self._now_ns(), rule, about))


def _list(wanted: Any) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)
