"""The fault plan without I/O: what happens goes in, the actions of the rules that fire come out.

Counts and dice depend on the script, its seed and the matching events alone, so the same requests meet the
same faults. Only rules with a wall time in them also depend on the wall.
"""

from __future__ import annotations

import re
from collections import deque
from fnmatch import translate
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_S, format_utc, parse_utc_ns
from bnml.venues.sim.faults.rules import Event, Fired, Seam
from bnml.venues.sim.hub import canonical

if TYPE_CHECKING:
    from bnml.venues.sim.faults.rules import Globs, Moment, Rule, Script

REMEMBERED: Final = 10_000
SHOWN: Final = 1_000
_FOREVER: Final = 2**63


@cache
def _pattern(globs: Globs) -> re.Pattern[str]:
    parts = (globs,) if isinstance(globs, str) else globs
    return re.compile("|".join(translate(part) for part in parts))


class RuleState:
    """One rule with its counts; times in nanoseconds."""

    def __init__(self, rule: Rule, number: int, seed: int) -> None:
        self.rule = rule
        self.name = rule.name or f"rule {number}"
        streams = (rule.match.stream,) if isinstance(rule.match.stream, str) else rule.match.stream
        self._streams = tuple(canonical(glob) for glob in streams if glob)
        self._dice = blake2b(f"{seed}:{self.name}".encode(), digest_size=16)
        self.matched = 0
        self.fired = 0
        self._market = (0, _FOREVER)
        self._wall = (0, _FOREVER)
        self._ends = (_FOREVER, _FOREVER)
        self._due: tuple[int | None, int | None] = (None, None)

    def begin(self, market_ns: int, wall_ns: int) -> None:
        """Count all times from here."""
        when = self.rule.when
        self._market = (
            _moment(when.from_market, market_ns, 0),
            _moment(when.until_market, market_ns, _FOREVER),
        )
        self._wall = (_moment(when.from_wall, wall_ns, 0), _moment(when.until_wall, wall_ns, _FOREVER))
        if self.rule.match.seam is Seam.TIME:
            by_wall = when.from_wall != 0 or when.every_wall_s > 0
            self._due = (None, self._wall[0] or wall_ns) if by_wall else (self._market[0] or market_ns, None)

    def is_live(self, market_ns: int, wall_ns: int) -> bool:
        """Whether its time has come and is not over."""
        return (
            self._market[0] <= market_ns < min(self._market[1], self._ends[0])
            and self._wall[0] <= wall_ns < min(self._wall[1], self._ends[1])
            and (not self.rule.when.times or self.fired < self.rule.when.times)
        )

    def matches(self, event: Event) -> bool:
        """Whether the event is what the rule is about."""
        match = self.rule.match
        globs = {
            Seam.REQUEST: match.request,
            Seam.STREAM: self._streams,
            Seam.USER_EVENT: match.user_event,
            Seam.CONNECT: "*" if match.connect == "any" else match.connect,
        }[event.seam]
        return (
            _meets(globs, event.names)
            and _meets(match.symbol, (event.symbol,))
            and _meets(match.client_order_id, event.client_order_ids)
            and _meets(match.account, (event.account,))
            and match.closed in {None, event.closed}
            and _meets(match.execution, (event.execution,))
            and _meets(match.status, (event.status,))
        )

    def counts(self, market_ns: int, wall_ns: int) -> bool:
        """Count one matching event; whether the rule fires for it."""
        when = self.rule.when
        self.matched += 1
        beyond = self.matched - when.after
        if beyond < 1 or (beyond - 1) % when.every:
            return False
        if when.probability < 1 and self.draw(0) >= when.probability:
            return False
        self.note(market_ns, wall_ns)
        return True

    def note(self, market_ns: int, wall_ns: int) -> None:
        """The rule fires now."""
        self.fired += 1
        when = self.rule.when
        if self.fired == 1:
            self._ends = (
                market_ns + _ns(when.for_market_s) if when.for_market_s else _FOREVER,
                wall_ns + _ns(when.for_wall_s) if when.for_wall_s else _FOREVER,
            )

    def due(self, market_ns: int, wall_ns: int) -> bool:
        """Whether a rule of time fires now; what it missed meanwhile it leaves out."""
        market, wall = self._due
        if market is None and wall is None:
            return False
        if (market is not None and market_ns < market) or (wall is not None and wall_ns < wall):
            return False
        when = self.rule.when
        self._due = (_next(market, market_ns, when.every_market_s), _next(wall, wall_ns, when.every_wall_s))
        if not self.is_live(market_ns, wall_ns):
            return False
        self.matched += 1
        if when.probability < 1 and self.draw(0) >= when.probability:
            return False
        self.note(market_ns, wall_ns)
        return True

    @property
    def wall_due_ns(self) -> int | None:
        """When the wall's clock has to be looked at for this rule."""
        return self._due[1]

    def draw(self, face: int) -> float:
        """A number in [0, 1) that depends on seed, name and count alone."""
        dice = self._dice.copy()
        dice.update(f":{self.matched}:{face}".encode())
        return int.from_bytes(dice.digest()[:7], "big") / 2**56


class FaultPlan:
    """The rules of one script, by seam, and what has fired so far."""

    def __init__(self, script: Script, market_ns: int, wall_ns: int) -> None:
        self.script = script
        self.states = [RuleState(rule, number, script.seed) for number, rule in enumerate(script.rules, 1)]
        self.fired: deque[Fired] = deque(maxlen=REMEMBERED)
        self.count = 0
        self._by_seam: dict[Seam, list[RuleState]] = {seam: [] for seam in Seam}
        for state in self.states:
            state.begin(market_ns, wall_ns)
            self._by_seam[state.rule.match.seam].append(state)

    def watches(self, seam: Seam) -> bool:
        """Whether any rule stands at this seam."""
        return bool(self._by_seam[seam])

    def on(self, event: Event, market_ns: int, wall_ns: int) -> list[Fired]:
        """Everything that is to be done about an event, in the order of the rules."""
        found: list[Fired] = []
        for state in self._by_seam[event.seam]:
            if (
                state.is_live(market_ns, wall_ns)
                and state.matches(event)
                and state.counts(market_ns, wall_ns)
            ):
                about = event.names[0] + (f" {event.client_order_ids[0]}" if event.client_order_ids else "")
                found += self._fire(state, market_ns, wall_ns, about, event.symbol)
        return found

    def on_time(self, market_ns: int, wall_ns: int) -> list[Fired]:
        """Everything that is due by either clock."""
        found: list[Fired] = []
        for state in self._by_seam[Seam.TIME]:
            if state.due(market_ns, wall_ns):
                found += self._fire(state, market_ns, wall_ns, "time", "")
        return found

    def wall_due_ns(self) -> int | None:
        """When the wall's clock has to be looked at next."""
        dues = [due for state in self._by_seam[Seam.TIME] if (due := state.wall_due_ns) is not None]
        return min(dues, default=None)

    def view(self) -> dict[str, Any]:
        """The script's rules with their counts, and the last faults."""
        return {
            "seed": self.script.seed,
            "rules": [
                {
                    "name": one.name,
                    "matched": one.matched,
                    "fired": one.fired,
                    **msgspec.to_builtins(one.rule),
                }
                for one in self.states
            ],
            "count": self.count,
            "fired": [shown(one) for one in list(self.fired)[-SHOWN:]],
        }

    def _fire(self, state: RuleState, market_ns: int, wall_ns: int, about: str, symbol: str) -> list[Fired]:
        found = []
        for face, action in enumerate(state.rule.do, 1):
            self.count += 1
            fired = Fired(
                ordinal=self.count,
                market_ns=market_ns,
                wall_ns=wall_ns,
                rule=state.name,
                at=state.rule.at,
                action=action,
                draw=state.draw(face),
                about=about,
                symbol=symbol,
            )
            self.fired.append(fired)
            found.append(fired)
        return found


def shown(fired: Fired) -> dict[str, Any]:
    """One fault as the record lists it."""
    return {
        "ordinal": fired.ordinal,
        "marketTime": format_utc(fired.market_ns),
        "wallTime": format_utc(fired.wall_ns),
        "rule": fired.rule,
        "about": fired.about,
        "symbol": fired.symbol,
        "at": fired.at,
        **msgspec.to_builtins(fired.action),
    }


def _meets(globs: Globs, names: tuple[str, ...]) -> bool:
    return not globs or any(_pattern(globs).match(name) for name in names)


def _moment(moment: Moment, now_ns: int, default: int) -> int:
    if moment in {"", 0.0}:
        return default
    return parse_utc_ns(moment) if isinstance(moment, str) else now_ns + _ns(moment)


def _next(due_ns: int | None, now_ns: int, every_s: float) -> int | None:
    if due_ns is None or not every_s:
        return None
    every_ns = max(_ns(every_s), 1)
    return due_ns + ((now_ns - due_ns) // every_ns + 1) * every_ns


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
