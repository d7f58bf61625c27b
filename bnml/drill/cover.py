"""How long what was held was without a resting stop, as the venue's own history of orders and trades has it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.venues.binance.numbers import e8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PROMISE_S: Final = 2.0
STOPS: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
_RESTS: Final = frozenset({"NEW", "PARTIALLY_FILLED"})
_ASLEEP: Final = "PENDING_NEW"
_ORDERS: Final = ("order", "POST ", "DELETE ")
"""How the requests of orders begin, on either wire."""


class Spell(msgspec.Struct, frozen=True):
    """A time, by the market's clock, in which some of a holding had no stop."""

    symbol: str
    since_ns: int
    until_ns: int


class Window(msgspec.Struct):
    """A time in which the promise could not be kept: the daemon was dead, or the fault kept the venue from answering."""

    since_ns: int
    until_ns: int
    reason: str
    symbol: str = ""  # empty: of all


class Judged(msgspec.Struct, frozen=True):
    """The part of a spell that the daemon answers for, and why the rest is not its own."""

    spell: Spell
    seconds: float  # of the machine's clock
    reasons: tuple[str, ...] = ()


def spells(
    symbol: str,
    orders: Sequence[Mapping[str, Any]],
    trades: Sequence[Mapping[str, Any]],
    *,
    asset: str,
    held_e8: int,
    least_e8: int,
    now_ns: int,
) -> list[Spell]:
    """Of one symbol, as far back as its trades are shown; `held_e8` of `asset` is held now, and `least_e8` needs a stop.

    An order of a list counts from its placing on: its working order is filled in that moment, or never.
    """
    changes: defaultdict[int, list[int]] = defaultdict(
        lambda: [0, 0]
    )  # of what is held, and of what stops sell
    sold: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    held = held_e8
    for row in trades:
        at_ns, e8_held = int(row["time"]) * NS_PER_MS, change_e8(row, asset)
        changes[at_ns][0] += e8_held
        held -= e8_held
        sold[int(row["orderId"])].append((at_ns, e8(row["qty"])))
    for row in orders:
        if row["type"] in STOPS and row["side"] == "SELL" and row["status"] != _ASLEEP:
            _add_stop(row, sold[int(row["orderId"])], changes)
    found: list[Spell] = []
    stopped = since_ns = 0
    for at_ns in sorted(changes):
        held, stopped = held + changes[at_ns][0], stopped + changes[at_ns][1]
        is_bare = held - stopped >= least_e8
        if is_bare and not since_ns:
            since_ns = at_ns
        elif since_ns and not is_bare:
            found.append(Spell(symbol, since_ns, at_ns))
            since_ns = 0
    return [*found, Spell(symbol, since_ns, now_ns)] if since_ns else found


def change_e8(trade: Mapping[str, Any], asset: str) -> int:
    """What a trade adds to what is held of `asset`, net of commission; negative for a sale."""
    paid_e8 = e8(trade["commission"]) if trade["commissionAsset"] == asset else 0
    return (e8(trade["qty"]) if trade["isBuyer"] else -e8(trade["qty"])) - paid_e8


def _add_stop(
    row: Mapping[str, Any], sold: Sequence[tuple[int, int]], changes: defaultdict[int, list[int]]
) -> None:
    changes[int(row["time"]) * NS_PER_MS][1] += e8(row["origQty"])
    left_e8 = e8(row["origQty"])
    for at_ns, e8_sold in sold:
        changes[at_ns][1] -= e8_sold
        left_e8 -= e8_sold
    if row["status"] not in _RESTS:
        changes[int(row["updateTime"]) * NS_PER_MS][1] -= left_e8


def window_of(at_ns: int, fired: Mapping[str, Any], when: Mapping[str, Any], speed: float) -> Window | None:
    """What a fault that struck takes from the promise: the moment of an order's request, or as long as it lasts."""
    action, about = fired["action"], fired["about"]
    reason = f"the fault {fired['rule']} "
    if action == "ban":
        return Window(at_ns, at_ns + _ns(fired["seconds"] * speed), reason + "banned the address")
    if action == "symbol_status":
        lasts_s = fired.get("lasts_market_s") or fired.get("lasts_s", 0.0) * speed
        return Window(at_ns, at_ns + _ns(lasts_s), reason + "stopped the symbol", fired["symbol"])
    if about == "time":
        return Window(at_ns, at_ns, reason + "broke the sockets off") if action == "reset" else None
    if not about.startswith(_ORDERS):
        return None
    # A rule for a time lets nothing through in it.
    lasts_s = when.get("for_wall_s", 0.0) * speed
    return Window(at_ns, at_ns + _ns(lasts_s), reason + "struck the request", fired["symbol"])


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def judge(spell: Spell, windows: Iterable[Window], speed: float) -> Judged:
    """What counts is the longest part of the spell outside of windows: each time the venue answers again it begins anew."""
    touched = [
        one
        for one in windows
        if one.symbol in {"", spell.symbol}
        and one.since_ns <= spell.until_ns
        and one.until_ns >= spell.since_ns
    ]
    longest_ns, from_ns = 0, spell.since_ns
    for one in sorted(touched, key=lambda window: window.since_ns):
        longest_ns = max(longest_ns, one.since_ns - from_ns)
        from_ns = max(from_ns, one.until_ns)
    longest_ns = max(longest_ns, spell.until_ns - from_ns)
    return Judged(spell, longest_ns / NS_PER_S / speed, tuple(dict.fromkeys(one.reason for one in touched)))
