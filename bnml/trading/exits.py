"""When a position leaves: the stop that trails, the exits of a scan, and what a fill of ours is called."""

from __future__ import annotations

import numpy as np

from bnml.core.events import Bar, OrderReport
from bnml.core.instrument import Instrument
from bnml.kernels import exits, fills
from bnml.kernels.records import BAR, RULES, ExitReason, Taking, record
from bnml.trading.orders import Order, Role
from bnml.trading.portfolio import value_e8
from bnml.trading.positions import Position


def rules_of(position: Position) -> np.void:
    """The rules that the position was opened with; what an older version did not know yet is off."""
    whole = position.rules.ljust(RULES.itemsize, b"\0")
    rules: np.void = np.frombuffer(whole, dtype=RULES)[0]
    return rules


def bar_record(bar: Bar) -> np.void:
    """A bar as kernels see it."""
    made = record(BAR)
    made[0] = (bar.ts_open_ns, bar.open, bar.high, bar.low, bar.close, bar.volume_lots)
    row: np.void = made[0]
    return row


def trail(position: Position, print_ticks: int, instrument: Instrument) -> bool:
    """Raise the stops of held tranches as a print at `print_ticks` demands; whether any was raised."""
    if position.exit_reason or print_ticks < position.activation_ticks:
        return False
    rules, raised, step = rules_of(position), False, instrument.price_step
    for tranche in position.tranches:
        if tranche.exit_reason or tranche.lots(instrument.lot_e8) == 0:
            continue
        stop_ticks = exits.trail_stop(
            tranche.stop_ticks, print_ticks, position.activation_ticks, position.atr_ticks, rules
        )
        stop_ticks -= stop_ticks % step
        if stop_ticks > tranche.stop_ticks:
            tranche.stop_ticks, tranche.stop_reason = int(stop_ticks), int(ExitReason.TRAILING)
            raised = True
    return raised


def scan_exit(
    position: Position,
    close_ticks: int,
    ts_close_ns: int,
    active_e8: int,
    instrument: Instrument,
    *,
    is_sell: bool,
) -> int:
    """The reason for which this scan sells the position at market, or NONE."""
    lots = position.lots(instrument.lot_e8)
    if lots == 0 or position.exit_reason:
        return int(ExitReason.NONE)
    return int(
        exits.scan_exit(
            ts_close_ns - position.opened_ns,
            value_e8(position, close_ticks, instrument),
            position.cost_e8,
            active_e8,
            any(tranche.bought_lots and not tranche.lots(instrument.lot_e8) for tranche in position.tranches),
            is_sell,
            rules_of(position),
        )
    )


def fill_reason(order: Order, report: OrderReport, bar: Bar | None, costs: np.void) -> int:
    """What a sale of ours is called; a stop that got less than its level gives is a gap.

    `bar` is the last closed bar that the engine has seen: the one whose spread prices the fill.
    """
    if order.role is not Role.STOP or bar is None:
        return order.reason
    _, level_fill_ticks = fills.taker_fill(
        int(Taking.MARKET), False, order.quantity_lots, 0, order.ticks, bar_record(bar), costs
    )
    return int(exits.stop_reason(order.reason, report.last_ticks, level_fill_ticks))
