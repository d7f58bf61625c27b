"""One symbol through time: prints, scans, entries and exits in the order in which the exchange has them.

For each bar k: its open is printed as a jump (resting orders priced with bar k - 2, the last one
published), then bar k - 1 is published and scanned, orders of that scan meet the same print priced
with bar k - 1, then low, high and close are printed continuously. A missing bar is simply absent:
the scan of the bar before it happens at the next open that exists. The last bar is never scanned.
All decisions are made by the functions that the live engine and the exchange call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.kernels import njit
from bnml.kernels.account import (
    TRANCHES,
    Kit,
    begin_position,
    buy_tranche,
    open_cost_e8,
    open_lots,
    sell_all,
    sell_tranche,
    settle,
)
from bnml.kernels.breakers import roll
from bnml.kernels.candidates import Tape, judge, measure, predict
from bnml.kernels.exits import (
    atr_ticks,
    entry_cap,
    initial_stop,
    scan_exit,
    stop_reason,
    target_level,
    trail_activation,
    trail_stop,
)
from bnml.kernels.fills import (
    SLOT_CLOSE,
    SLOT_HIGH,
    SLOT_LOW,
    limit_fills,
    notional_e8,
    print_ts_ns,
    stop_print,
    stop_triggered,
    taker_fill,
)
from bnml.kernels.records import Action, ExitReason, Reason, Taking
from bnml.kernels.sizing import active_capital_e8, split_lots

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS_PER_SCAN = 2 * TRANCHES
"""Most trade rows that one scan can lead to: an entry of three tranches, each sold once."""
_FOK = int(Taking.FOK)
_MARKET = int(Taking.MARKET)
_SELL = int(Action.SELL)
_BUY = int(Action.BUY)
_NO_REFUSAL = int(Reason.NONE)
_NONE = int(ExitReason.NONE)
_TARGET1 = int(ExitReason.TARGET1)
_TRAILING = int(ExitReason.TRAILING)


class Rows(NamedTuple):
    """Output, large enough by construction: `ROWS_PER_SCAN` trades per scan, one decision and one equity point."""

    trades: NDArray[np.void]
    decisions: NDArray[np.void]
    equity: NDArray[np.void]


class Settings(NamedTuple):
    """One-element records of `kernels.records` and plain numbers; what a run is configured with."""

    instrument: NDArray[np.void]
    costs: NDArray[np.void]
    rules: NDArray[np.void]
    limits: NDArray[np.void]
    policy: NDArray[np.void]
    weight_ml: float
    weight_technical: float
    weight_momentum: float
    frame_ns: int
    model: int  # candidates.MODEL_*


@njit
def _stop_out(
    kit: Kit, trades: NDArray[np.void], k: int, market_ticks: int, ts_ns: int, published: np.void
) -> None:
    """Sell tranche `k` at market because its stop was triggered; `market_ticks` is where it met the market."""
    lots, stop = kit.state["lots"][k], kit.state["stop"]
    _, price = taker_fill(_MARKET, False, lots, 0, market_ticks, published, kit.costs)
    _, at_level = taker_fill(_MARKET, False, lots, 0, stop, published, kit.costs)
    reason = stop_reason(kit.state["stop_kind"], price, at_level)
    sell_tranche(kit, trades, k, price, kit.costs["taker_ppm"], reason, ts_ns)


@njit
def on_print(
    kit: Kit, trades: NDArray[np.void], print_ticks: int, ts_ns: int, is_jump: bool, published: np.void
) -> None:
    """A print against an open position: stops, targets in ascending order, then trailing for what follows."""
    state, costs = kit.state, kit.costs
    if stop_triggered(state["stop"], print_ticks):
        market = stop_print(state["stop"], print_ticks, is_jump)
        for k in range(TRANCHES):
            if state["lots"][k] > 0:
                _stop_out(kit, trades, k, market, ts_ns, published)
        settle(kit, ts_ns)
        return
    for k in range(TRANCHES):
        target = state["target"][k]
        if state["lots"][k] == 0 or target == 0:
            continue
        if limit_fills(False, target, print_ticks, kit.instrument["symbol_key"], ts_ns, costs):
            sell_tranche(kit, trades, k, target, costs["maker_ppm"], _TARGET1 + k, ts_ns)
    settle(kit, ts_ns)
    if state["is_open"] == 1:
        raised = trail_stop(state["stop"], print_ticks, state["activation"], state["atr"], kit.rules)
        if raised > state["stop"]:
            state["stop"] = raised
            state["stop_kind"] = _TRAILING


@njit
def _enter(
    kit: Kit, trades: NDArray[np.void], bar: np.void, next_bar: np.void, signal: np.void, lots: int
) -> None:
    """Buy the tranches of an approved entry at the next open; a stop already passed sells at once."""
    state, rules, costs = kit.state, kit.rules, kit.costs
    close, print_ticks, ts_ns = bar["close"], next_bar["open"], next_bar["ts_open_ns"]
    atr, cap = atr_ticks(signal["atr_ratio_14"], close), entry_cap(close, rules)
    taking = rules["entry_taking"] if rules["entry_taking"] > 0 else _FOK
    if rules["from_fill"] == 1:
        _, close = taker_fill(taking, True, 1, cap, print_ticks, bar, costs)
    stop, kind = initial_stop(close, atr, rules)
    begin_position(kit, stop, kind, trail_activation(close, rules), atr, bar["ts_open_ns"] + kit.frame_ns)
    state["target"][0] = target_level(close, stop, rules["target1_ppm"], rules["target1_r_ppm"], rules)
    state["target"][1] = target_level(close, stop, rules["target2_ppm"], rules["target2_r_ppm"], rules)
    filled_any = False
    parts = split_lots(lots, stop, costs["taker_ppm"], rules, kit.instrument)
    for k in range(TRANCHES):
        if parts[k] == 0:
            continue
        filled, price = taker_fill(taking, True, parts[k], cap, print_ticks, bar, costs)
        if filled == 0:
            continue
        filled_any = True
        buy_tranche(kit, trades, k, filled, price, costs["taker_ppm"], ts_ns)
        if stop_triggered(stop, print_ticks):
            _stop_out(kit, trades, k, print_ticks, ts_ns, bar)
    if filled_any:
        settle(kit, ts_ns)
    else:
        state["is_open"] = 0


@njit
def _exit(
    kit: Kit,
    trades: NDArray[np.void],
    bar: np.void,
    next_bar: np.void,
    value_e8: int,
    equity_e8: int,
    action: int,
) -> None:
    """Close the open position at market, at the next open, if the scan of `bar` has a reason to."""
    state = kit.state
    age_ns = bar["ts_open_ns"] + kit.frame_ns - state["decided_ns"]
    active = active_capital_e8(equity_e8, kit.limits)
    cost, partly = open_cost_e8(kit), state["sold"] == 1
    reason = scan_exit(age_ns, value_e8, cost, active, partly, action == _SELL, kit.rules)
    if reason == _NONE:
        return
    ts_ns = next_bar["ts_open_ns"]
    _, price = taker_fill(_MARKET, False, open_lots(kit), 0, next_bar["open"], bar, kit.costs)
    sell_all(kit, trades, price, kit.costs["taker_ppm"], reason, ts_ns)
    settle(kit, ts_ns)


@njit
def _mark(kit: Kit, bar: np.void, day: int, value_e8: int, point: np.void) -> int:
    """Write the equity point of a scan and move the account's memory; returns the equity."""
    state, ts_close_ns = kit.state, bar["ts_open_ns"] + kit.frame_ns
    equity = state["cash_e8"] + value_e8
    point["ts_ns"], point["equity_e8"] = ts_close_ns, equity
    point["free_quote_e8"], point["positions"] = state["cash_e8"], state["is_open"]
    roll(kit.breakers, ts_close_ns, day, equity, kit.limits)
    return equity


@njit
def scan(kit: Kit, tape: Tape, trades: NDArray[np.void], t: int, row: np.void, point: np.void) -> None:
    """Decide on the close of bar `t`, execute at the open of bar `t + 1`; a held symbol is never entered."""
    bar, signal, was_open = tape.bars[t], tape.signals[t], kit.state["is_open"] == 1
    value = notional_e8(bar["close"], open_lots(kit), kit.instrument)
    equity = _mark(kit, bar, signal["day"], value, point)
    row["bar"], row["quantity_lots"] = t, 0
    edge = predict(kit, signal, row)
    lots = 0
    if row["action"] == _BUY:
        lots = measure(kit, tape, t, value, equity, edge, row)
        judge(kit, tape, t, row)
    if was_open:
        _exit(kit, trades, bar, tape.bars[t + 1], value, equity, row["action"])
    elif row["action"] == _BUY and row["reason"] == _NO_REFUSAL:
        row["quantity_lots"] = lots
        _enter(kit, trades, bar, tape.bars[t + 1], signal, lots)


@njit
def run_symbol(
    state: NDArray[np.void],
    breakers: NDArray[np.void],
    facts: NDArray[np.void],
    settings: Settings,
    tape: Tape,
    rows: Rows,
    first: int,
) -> int:
    """Trade bars `first` to the end; returns the final equity, an open position marked at the last close.

    Earlier bars are history. `state`, `breakers` and `facts` are the caller's one-element records; rows
    written are counted in `state` (`trades`, `scans`).
    """
    s = settings
    records = (s.instrument[0], s.costs[0], s.rules[0], s.limits[0], s.policy[0])
    numbers = (s.weight_ml, s.weight_technical, s.weight_momentum, s.frame_ns, s.model)
    kit = Kit(state[0], breakers[0], facts[0], *records, *numbers)
    bars, count = tape.bars, len(tape.bars)
    for k in range(first, count):
        bar, ts_ns = bars[k], bars[k]["ts_open_ns"]
        if kit.state["is_open"] == 1:
            on_print(kit, rows.trades, bar["open"], ts_ns, True, bars[k - 2])
        if k > first:
            at = kit.state["scans"]
            scan(kit, tape, rows.trades, k - 1, rows.decisions[at], rows.equity[at])
            kit.state["scans"] = at + 1
        for slot in range(SLOT_LOW, SLOT_CLOSE + 1):
            if kit.state["is_open"] == 0:
                break
            ticks = bar["low"] if slot == SLOT_LOW else bar["high"] if slot == SLOT_HIGH else bar["close"]
            on_print(kit, rows.trades, ticks, print_ts_ns(ts_ns, kit.frame_ns, slot), False, bars[k - 1])
    return kit.state["cash_e8"] + notional_e8(bars[count - 1]["close"], open_lots(kit), kit.instrument)
