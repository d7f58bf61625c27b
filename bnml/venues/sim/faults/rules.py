"""The script language: rules that say when, what they match and what they do; and what happens, as they see it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bnml.venues.sim.faults.actions import AnyAction

Moment = float | str
"""Seconds since the script was loaded, or a UTC time."""
Globs = str | tuple[str, ...]
"""One pattern or several, with `*` and `?`."""
Count = Annotated[int, Meta(ge=0, le=10**9)]
Span = Annotated[float, Meta(ge=0, le=1e9)]


class Seam(StrEnum):
    """Where something happens that a rule can match."""

    REQUEST = "request"
    CONNECT = "connect"
    STREAM = "stream"
    USER_EVENT = "user_event"
    TIME = "time"


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which of the matching events fire; `from`, `until` and `for` count by market or by wall time."""

    after: Count = 0
    every: Annotated[int, Meta(ge=1, le=10**9)] = 1
    times: Count = 0
    probability: Annotated[float, Meta(ge=0, le=1)] = 1.0
    from_market: Moment = 0.0
    until_market: Moment = ""
    from_wall: Moment = 0.0
    until_wall: Moment = ""
    for_market_s: Span = 0.0
    for_wall_s: Span = 0.0
    every_market_s: Span = 0.0
    every_wall_s: Span = 0.0


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of `request`, `connect`, `stream` and `user_event`, and what else must be so; without any: time."""

    request: Globs = ()
    connect: Literal["", "api", "stream", "any"] = ""
    stream: Globs = ()
    user_event: Globs = ()
    symbol: Globs = ()
    client_order_id: Globs = ()
    account: Globs = ()
    closed: bool | None = None
    execution: Globs = ()
    status: Globs = ()

    @property
    def seam(self) -> Seam:
        """Where the rule stands."""
        for seam in (Seam.REQUEST, Seam.CONNECT, Seam.STREAM, Seam.USER_EVENT):
            if getattr(self, seam.value):
                return seam
        return Seam.TIME


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One fault; `at` says whether it strikes before or after the request was carried out."""

    name: str = ""
    when: When = When()
    match: Match = Match()
    at: Literal["before", "after"] = "before"
    do: tuple[AnyAction, ...]


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All rules, and the seed of their dice."""

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    rules: tuple[Rule, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that happened at a seam; `names` are all spellings that a pattern may meet."""

    seam: Seam
    names: tuple[str, ...]
    symbol: str = ""
    client_order_ids: tuple[str, ...] = ()
    account: str = ""
    closed: bool = False
    execution: str = ""
    status: str = ""


class Fired(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One action of a rule that fired; `draw` in [0, 1) is its own dice."""

    ordinal: int
    market_ns: int
    wall_ns: int
    rule: str
    at: str
    action: AnyAction
    draw: float
    about: str
    symbol: str
