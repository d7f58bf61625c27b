"""A measured figure, and how processor time is measured: product and yardstick in turns, the least of each."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

ROUNDS = 5
QUICK_ROUNDS = 2
MIN_CALL_S = 0.02
"""A round repeats what is measured until it took this long, so that the clock's step does not count."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the result; `bnml` and `yardstick` in `unit`, `ratio` between them as the goal wants it.

    `yardstick` and `ratio` are None where what is compared with is not installed; `met` is None where
    the goal needs that ratio. `against` says what the yardstick is.
    """

    name: str
    bnml: float
    yardstick: float | None
    ratio: float | None
    goal: str
    met: bool | None
    unit: str
    against: str
    machine: str


class Effort(msgspec.Struct, frozen=True):
    """How hard to measure."""

    quick: bool = False

    @property
    def rounds(self) -> int:
        return QUICK_ROUNDS if self.quick else ROUNDS

    def size(self, full: int, quick: int) -> int:
        """The full size of a work, or the one that keeps a quick run short."""
        return quick if self.quick else full


Work = Callable[[], object]
Case = Callable[[Effort], list[Figure]]


def processor_s(who: int = resource.RUSAGE_SELF) -> float:
    """Processor seconds used so far by this process, or by its ended children."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def cpu_s(effort: Effort, *works: Work) -> list[float]:
    """Least processor seconds of one call of each work; each is called once before, then all in turns."""
    repeats = []
    for work in works:
        work()
        start = processor_s()
        work()
        once_s = processor_s() - start
        repeats.append(1 if once_s >= MIN_CALL_S else min(100_000, int(MIN_CALL_S / max(once_s, 1e-7)) + 1))
    least = [float("inf")] * len(works)
    for _ in range(effort.rounds):
        for index, work in enumerate(works):
            start = processor_s()
            for _ in range(repeats[index]):
                work()
            least[index] = min(least[index], (processor_s() - start) / repeats[index])
    return least


def ratio_at_most(
    limit: float, *, name: str, bnml: float, yardstick: float | None, unit: str, against: str
) -> Figure:
    """The goal is that bnml takes at most `limit` times what the yardstick takes."""
    ratio = None if yardstick is None else bnml / yardstick
    met = None if ratio is None else ratio <= limit
    return _figure(name, bnml, yardstick, ratio, f"bnml / yardstick <= {limit:g}", met, unit, against)


def ratio_at_least(
    limit: float, *, name: str, bnml: float, yardstick: float | None, unit: str, against: str
) -> Figure:
    """The goal is that the yardstick takes at least `limit` times what bnml takes."""
    ratio = None if yardstick is None else yardstick / bnml
    met = None if ratio is None else ratio >= limit
    return _figure(name, bnml, yardstick, ratio, f"yardstick / bnml >= {limit:g}", met, unit, against)


def at_most(
    limit: float, *, name: str, bnml: float, yardstick: float | None, unit: str, against: str
) -> Figure:
    """The goal is a figure of bnml's own; the yardstick tells what the machine is like."""
    ratio = None if yardstick is None else bnml / yardstick
    return _figure(name, bnml, yardstick, ratio, f"bnml <= {limit:g} {unit}", bnml <= limit, unit, against)


def at_least(
    limit: float, *, name: str, bnml: float, yardstick: float | None, unit: str, against: str
) -> Figure:
    """As `at_most`, for rates: the more the better."""
    ratio = None if yardstick is None else bnml / yardstick
    return _figure(name, bnml, yardstick, ratio, f"bnml >= {limit:g} {unit}", bnml >= limit, unit, against)


def _figure(
    name: str,
    bnml: float,
    yardstick: float | None,
    ratio: float | None,
    goal: str,
    met: bool | None,
    unit: str,
    against: str,
) -> Figure:
    return Figure(
        name=name,
        bnml=_rounded(bnml),
        yardstick=None if yardstick is None else _rounded(yardstick),
        ratio=None if ratio is None else _rounded(ratio),
        goal=goal,
        met=met,
        unit=unit,
        against=against,
        machine=machine(),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


@cache
def machine() -> str:
    """Processor, cores and Python, as far as the system tells."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}"
