"""What a scan asks for one symbol: is its position left, may it be entered; and what the account remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, part
from bnml.kernels.account import Kit, is_held, open_cost_e8, open_lots
from bnml.kernels.breakers import note_closed, roll
from bnml.kernels.candidates import (
    Money,
    Risk,
    judge,
    judge_alone,
    looks_at_size,
    size_entry,
    write_scan,
    write_sizes,
)
from bnml.kernels.exits import NEVER, scan_exit
from bnml.kernels.fills import notional_e8
from bnml.kernels.limits import first_refusal, first_refusal_of_rules
from bnml.kernels.orders import place_entry
from bnml.kernels.records import ExitReason, Reason
from bnml.kernels.sizing import active_capital_e8

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NO_REFUSAL = int(Reason.NONE)
_NONE = int(ExitReason.NONE)


@part
def ask_to_leave(kit: Kit, close: int, ts_close_ns: int, active_e8: int, is_sell: bool) -> bool:
    """Whether a scan sells a held position at market, which is then marked so; not if that is under way."""
    slot = kit.slot
    if not is_held(slot) or slot["leaving"] != _NONE:
        return False
    value, cost = notional_e8(close, open_lots(slot), kit.instrument), open_cost_e8(slot)
    age_ns, is_part = ts_close_ns - slot["decided_ns"], slot["sold"] == 1
    slot["leaving"] = scan_exit(age_ns, value, cost, active_e8, is_part, is_sell, kit.rules)
    return slot["leaving"] != _NONE


@part
def is_refused_alone(
    kit: Kit,
    limits: np.void,
    facts: np.void,
    opinion: np.void,
    answer: np.void,
    bars: NDArray[np.void],
    t: int,
) -> bool:
    """Ask the limits that come before those of the market for a BUY on bar `t`: most are refused by one of them."""
    facts["held"] = kit.slot["is_open"]
    facts["open_positions"] = kit.book["positions"]
    reason, measured, limit = judge_alone(facts, limits, kit, opinion, bars, t)
    if reason != _NO_REFUSAL:
        answer["reason"], answer["measured"], answer["limit"] = reason, measured, limit
    return reason != _NO_REFUSAL


@part
def ask(
    kit: Kit,
    risk: Risk | None,
    limits: np.void,
    facts: np.void,
    opinion: np.void,
    answer: np.void,
    bars: NDArray[np.void],
    t: int,
    money: Money,
) -> bool:
    """Ask the limits for a BUY on bar `t`, under risk after `is_refused_alone`; an approved entry takes its place.

    Its money is reserved. What the candidates of a scan share stands in `facts` already.
    """
    if risk is not None:
        reason, measured, limit = judge(facts, limits, risk, kit.symbol, bars)
        if not looks_at_size(reason):
            answer["reason"], answer["measured"], answer["limit"] = reason, measured, limit
            return False
    else:
        facts["held"] = kit.slot["is_open"]
        facts["open_positions"] = kit.book["positions"]
    wish = size_entry(kit, limits, opinion, bars[t]["close"], money)
    write_sizes(facts, kit, wish, money)
    if risk is None:
        answer["reason"], answer["measured"], answer["limit"] = first_refusal_of_rules(facts, limits)
    else:
        answer["reason"], answer["measured"], answer["limit"] = first_refusal(facts, limits)
    if answer["reason"] != _NO_REFUSAL:
        return False
    answer["quantity_lots"] = wish.lots
    place_entry(kit, wish.lots, wish.reference, wish.stop, wish.cap, wish.atr)
    return True


@lean
def send(slot: np.void, due_bar: int, due_ns: int) -> None:
    """An order leaves: it meets the market at the open of that bar, not before that time."""
    slot["due_bar"] = due_bar
    slot["due_ns"] = due_ns


@part
def begin_scan(
    risk: Risk | None, book: np.void, facts: np.void, limits: np.void, ts_close_ns: int, equity_e8: int
) -> None:
    """Move the breakers at a scan; write the facts that its candidates share."""
    facts["ts_ns"] = ts_close_ns
    facts["equity_e8"] = equity_e8
    facts["active_e8"] = active_capital_e8(equity_e8, limits)
    if risk is not None:
        at = book["day_at"]
        while at + 1 < len(risk.day_from_ns) and risk.day_from_ns[at + 1] <= ts_close_ns:
            at += 1
        book["day_at"] = at
        roll(risk.breakers, ts_close_ns, risk.day_numbers[at], equity_e8, limits)
        write_scan(facts, risk.breakers)


@part
def count_closed(risk: Risk, book: np.void, limits: np.void) -> None:
    """Losses in a row follow the positions closed since the last call, by time and symbol."""
    slots = risk.slots
    while book["closed"] > 0:
        book["closed"] -= 1
        first, first_ns = -1, NEVER
        for symbol in range(len(slots)):
            closed_ns = slots[symbol]["closed_ns"]
            if 0 < closed_ns < first_ns:
                first, first_ns = symbol, closed_ns
        if first < 0:
            return
        slots[first]["closed_ns"] = 0
        note_closed(risk.breakers, slots[first]["result_e8"], first_ns, limits)
