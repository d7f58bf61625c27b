"""What stood at the exchange while nobody could act: the daemon was dead, or no request of its reached the venue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_MS, NS_PER_S
from bnml.drill.books import recovered_engine, traded_symbols
from bnml.drill.cover import PROMISE_S, change_e8
from bnml.drill.judging import booked_e8, note_dust, read_history, spells_of
from bnml.venues.binance.numbers import e8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.drill.cover import Spell
    from bnml.drill.judging import History
    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage
    from bnml.trading.engine import Engine

IN_PART: Final = "the market took a part of an order, and nobody could guard the rest"
"""A target that is filled in part ends the stop of its list, and a stop that finds buyers for a part is gone: Binance's rules."""

ONE_MOMENT_NS: Final = 10 * NS_PER_MS
"""Within which the venue tells of a fill, and of the order that it ended."""


async def judge_unattended(stage: Stage, proof: Proof, since_ns: int, when: str) -> None:
    """Since that moment of the market nothing held may have been bare for longer than is promised, and nothing may be now.

    The daemon's excuses do not count here: it is its death, or its silence, that is judged. What is held now follows
    from the daemon's own books and from the fills that it has not heard of, so that foreign coins are nobody's position.
    """
    engine = recovered_engine(stage)
    note_dust(stage, engine)
    has_clock = not stage.exchange.foreign_clock(stage.health())
    now_ns = await stage.exchange.market_ns()
    bare, sold = [], 0
    for symbol in traded_symbols(engine):
        history = await read_history(stage, symbol)
        unheard = unheard_e8(engine, history)
        held_e8 = booked_e8(engine, symbol) + unheard
        sold += unheard < 0
        in_part_ns = moments_in_part(history)
        for one in spells_of(stage, engine, history, held_e8, now_ns):
            seconds = bare_s(one, since_ns, now_ns, stage.speed, has_clock=has_clock)
            if seconds <= PROMISE_S:
                continue
            if any(abs(one.since_ns - at_ns) <= ONE_MOMENT_NS for at_ns in in_part_ns):
                proof.tell(f"{symbol} had no stop for {seconds:.2f} s, because {IN_PART}")
            else:
                bare.append(f"{symbol} for {seconds:.2f} s")
    held = len(engine.portfolio.positions)
    proof.tell(f"{held} positions by the daemon's books, which have not heard of sales in {sold} of them")
    shown = f"bare: {', '.join(bare)}" if bare else f"without a resting stop for at most {PROMISE_S:g} s"
    proof.must(f"while {when}, what is held was {shown}", not bare)


def bare_s(spell: Spell, since_ns: int, now_ns: int, speed: float, *, has_clock: bool) -> float:
    """Of the machine's clock since that moment; with a clock that is not ours, what is bare now is so for ever."""
    if not has_clock:
        return float("inf") if spell.until_ns == now_ns else 0.0
    return max(0, spell.until_ns - max(spell.since_ns, since_ns)) / NS_PER_S / speed


def unheard_e8(engine: Engine, history: History) -> int:
    """What fills that the engine has not been told of have added to what is held, less what they have sold."""
    known = engine.state.orders
    asset = engine.state.symbols[history.symbol].instrument.base
    names = {row["orderId"]: row["clientOrderId"] for row in history.orders}
    # Others are long settled, and forgotten.
    mine = [row for row in history.trades if names[row["orderId"]] in known]
    return sum(
        change_e8(row, asset) for row in mine if row["id"] not in known[names[row["orderId"]]].trade_ids
    )


def moments_in_part(history: History) -> frozenset[int]:
    """When an order was filled in part, in ns of the venue's clock."""
    found = set()
    for row in history.orders:
        fills = [one for one in history.trades if one["orderId"] == row["orderId"]]
        found.update(_in_part(fills, e8(row["origQty"])))
    return frozenset(found)


def _in_part(fills: Sequence[dict[str, Any]], left_e8: int) -> list[int]:
    """One sale may take several fills of one moment: the last of them counts."""
    after: dict[int, int] = {}
    for one in sorted(fills, key=lambda row: int(row["id"])):
        left_e8 -= e8(one["qty"])
        after[int(one["time"]) * NS_PER_MS] = left_e8
    return [at_ns for at_ns, left in after.items() if left > 0]
