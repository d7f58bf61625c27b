"""What a drill found: each thing that had to hold, whether it did, and what was measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from bnml.drill.stage import Stage


class Finding(msgspec.Struct, frozen=True):
    """One sentence of evidence; `holds` is None for what is only told."""

    text: str
    holds: bool | None


class Proof:
    """Collects findings; a drill has passed when it must have shown something and all of it holds."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def must(self, text: str, holds: bool) -> None:
        """Something that has to be so."""
        self.findings.append(Finding(text, bool(holds)))

    def tell(self, text: str) -> None:
        """Something measured."""
        self.findings.append(Finding(text, None))

    @property
    def passed(self) -> bool:
        judged = [one.holds for one in self.findings if one.holds is not None]
        return bool(judged) and all(judged)


Play = Callable[["Stage", Proof], Awaitable[None]]


SIM_ONLY: Final = ("sim",)
"""The fault is one of the exchange itself: its market, its rules, its order of events."""
ANYWHERE: Final = ("sim", "paper", "testnet")
"""The fault is made on this machine: of the process, its disk, or on the way to the venue."""


class Drill(msgspec.Struct, frozen=True):
    """A fault with what is promised under it, and the venues on which it can be made."""

    name: str
    promise: str
    faults: tuple[str, ...]
    play: Play
    venues: tuple[str, ...] = SIM_ONLY


class Verdict(msgspec.Struct, frozen=True):
    """What is printed of one drill."""

    drill: str
    passed: bool
    promise: str
    faults: tuple[str, ...]
    evidence: tuple[Finding, ...]
    seconds: float
