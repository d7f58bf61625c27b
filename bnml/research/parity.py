"""Do two runs agree, row by row, in integers: decisions and trades joined by symbol and time, counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bnml.core.clock import format_utc
from bnml.core.orders import Side
from bnml.core.outcomes import Decision, Trade
from bnml.kernels.fills import SLOT_CLOSE, SLOT_HIGH, SLOT_LOW, SLOT_OPEN, print_ts_ns
from bnml.kernels.records import ExitReason, Reason

SHOWN = 10
"""Differing rows that a report shows."""
LEAST = 5
"""How often each kind of exit and refusal must occur, for a comparison to mean something."""
LEAST_REFUSALS = 6
REQUIRED_EXITS = (
    ExitReason.TARGET1,
    ExitReason.TARGET2,
    ExitReason.TRAILING,
    ExitReason.STOP,
    ExitReason.GAP,
    ExitReason.HARD_STOP,
    ExitReason.TIME,
)
_MICRO = 1_000_000

Key = tuple[str | int, ...]
Row = dict[str, int]


class Difference(msgspec.Struct, frozen=True):
    """One row that the runs do not share: which fields differ, or on which side it is missing."""

    kind: str  # decision or trade
    symbol: str
    time: str
    what: str


class Comparison(msgspec.Struct, frozen=True):
    """Two runs of the same market; `compared` counts rows that at least one of them has."""

    left: str
    right: str
    compared: int
    differences: int
    first: tuple[Difference, ...]
    trades: int
    exits: dict[str, int]  # fills by reason, of the left run
    refusals: dict[str, int]  # decisions by reason


class Verdict(msgspec.Struct, frozen=True):
    """All comparisons of one call; `missing` names what did not occur often enough to be proven."""

    compared: int
    differences: int
    first: tuple[Difference, ...]
    comparisons: tuple[Comparison, ...]
    missing: tuple[str, ...]

    def is_proven(self, *, allow_few: bool) -> bool:
        """No difference, something compared, and every kind of exit and refusal seen often enough."""
        return self.differences == 0 and self.compared > 0 and (allow_few or not self.missing)


class Rows(msgspec.Struct, frozen=True):
    """What one run concluded."""

    name: str
    decisions: Sequence[Decision]
    trades: Sequence[Trade]

    def until(self, ts_close_ns: int) -> Rows:
        """Cut to what was certainly finished: decisions up to a scan, fills before it."""
        return Rows(
            self.name,
            [one for one in self.decisions if one.ts_close_ns <= ts_close_ns],
            [one for one in self.trades if one.ts_ns < ts_close_ns],
        )


def compare(left: Rows, right: Rows, frame_ns: int) -> Comparison:
    """Join both runs by symbol and time and compare every integer; client order ids are not compared."""
    differences: list[Difference] = []
    compared = _join("decision", _decision_rows(left.decisions), _decision_rows(right.decisions), differences)
    compared += _join(
        "trade",
        _trade_rows(left.trades, frame_ns),
        _trade_rows(right.trades, frame_ns),
        differences,
    )
    exits = Counter(ExitReason(one.reason).name for one in left.trades if one.side is Side.SELL)
    refusals = Counter(Reason(one.reason).name for one in left.decisions)
    return Comparison(
        left=left.name,
        right=right.name,
        compared=compared,
        differences=len(differences),
        first=tuple(sorted(differences, key=lambda one: (one.time, one.symbol, one.kind))[:SHOWN]),
        trades=len(left.trades),
        exits=dict(sorted(exits.items())),
        refusals=dict(sorted(refusals.items())),
    )


def judge(comparisons: Iterable[Comparison]) -> Verdict:
    """Add up comparisons; exits and refusals of all of them count towards what must have occurred."""
    found = tuple(comparisons)
    exits: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    for one in found:
        exits.update(one.exits)
        refusals.update(one.refusals)
    missing = [
        f"exit {reason.name}: {exits[reason.name]} of {LEAST}"
        for reason in REQUIRED_EXITS
        if exits[reason.name] < LEAST
    ]
    rules = [
        name for name, count in refusals.items() if Reason[name] >= Reason.ALREADY_HELD and count >= LEAST
    ]
    if len(rules) < LEAST_REFUSALS:
        missing.append(f"refusing rules seen {LEAST} times: {len(rules)} of {LEAST_REFUSALS}")
    return Verdict(
        compared=sum(one.compared for one in found),
        differences=sum(one.differences for one in found),
        first=tuple(row for one in found for row in one.first)[:SHOWN],
        comparisons=found,
        missing=tuple(missing),
    )


def print_slot(ts_ns: int, frame_ns: int) -> tuple[int, int]:
    """A fill's time as (open time of its bar, print slot): fills between prints belong to the print before."""
    open_ns = ts_ns - ts_ns % frame_ns
    slots = (SLOT_CLOSE, SLOT_HIGH, SLOT_LOW)
    slot = next((slot for slot in slots if ts_ns >= print_ts_ns(open_ns, frame_ns, slot)), SLOT_OPEN)
    return open_ns, slot


def _decision_rows(decisions: Iterable[Decision]) -> dict[Key, Row]:
    return {
        (one.symbol, one.ts_close_ns): {
            "action": one.action,
            "reason": one.reason,
            "quantity_lots": one.quantity_lots,
            # Measured values and limits are floats for people; a millionth of their unit is compared.
            "measured_micro": round(one.measured * _MICRO),
            "limit_micro": round(one.limit * _MICRO),
        }
        for one in decisions
    }


def _trade_rows(trades: Iterable[Trade], frame_ns: int) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for one in trades:
        open_ns, slot = print_slot(one.ts_ns, frame_ns)
        key: Key = (one.symbol, open_ns, slot, one.side.value, one.tranche)
        count = 0
        while (*key, count) in rows:
            count += 1
        rows[*key, count] = {
            "quantity_lots": one.quantity_lots,
            "price_ticks": one.price_ticks,
            "commission_e8": one.commission_e8,
            "reason": one.reason,
            "pnl_e8": one.pnl_e8,
        }
    return rows


def _join(kind: str, left: dict[Key, Row], right: dict[Key, Row], differences: list[Difference]) -> int:
    for key in left.keys() | right.keys():
        what = _difference(left.get(key), right.get(key))
        if what:
            symbol, ts_ns, *place = key
            where = f"slot {place[0]} {place[1]} tranche {place[2]}: " if place else ""
            differences.append(Difference(kind, str(symbol), format_utc(int(ts_ns)), where + what))
    return len(left.keys() | right.keys())


def _difference(left: Row | None, right: Row | None) -> str:
    if left is None or right is None:
        row = left or right or {}
        fields = ", ".join(f"{name} {value}" for name, value in row.items())
        return f"only on the {'right' if left is None else 'left'}: {fields}"
    return ", ".join(
        f"{name} {value} against {right[name]}" for name, value in left.items() if value != right[name]
    )
