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
    Account,
    begin_position,
    buy_tranche,
    open_cost_e8,
    open_lots,
    sell_all,
    sell_tranche,
    settle,
)
from bnml.kernels.breakers import roll
from bnml.kernels.candidates import Setup, Tape, measure, predict
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
from bnml.kernels.limits import first_refusal
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
_NONE = int(Reason.NONE)
_TARGET1 = int(ExitReason.TARGET1)
_TRAILING = int(ExitReason.TRAILING)


class Rows(NamedTuple):
    """Output, large enough by construction: `ROWS_PER_SCAN` trades per scan, one decision and one equity point."""

    trades: NDArray[np.void]
    decisions: NDArray[np.void]
    equity: NDArray[np.void]


@njit
def _stop_out(
    account: Account, rows: Rows, setup: Setup, k: int, market_ticks: int, ts_ns: int, published: np.void
) -> None:
    """Sell tranche `k` at market because its stop was triggered; `market_ticks` is where it met the market."""
    state, costs = account.state[0], setup.costs[0]
    lots = account.lots[k]
    _, price = taker_fill(_MARKET, False, lots, 0, market_ticks, published, costs)
    _, at_level = taker_fill(_MARKET, False, lots, 0, state["stop"], published, costs)
    reason = stop_reason(state["stop_kind"], price, at_level)
    sell_tranche(account, rows.trades, k, price, costs["taker_ppm"], reason, ts_ns, setup.instrument[0])


@njit
def on_print(
    account: Account,
    rows: Rows,
    setup: Setup,
    print_ticks: int,
    ts_ns: int,
    is_jump: bool,
    published: np.void,
) -> None:
    """A print against an open position: stops, targets in ascending order, then trailing for what follows."""
    state, costs, instrument = account.state[0], setup.costs[0], setup.instrument[0]
    if stop_triggered(state["stop"], print_ticks):
        market = stop_print(state["stop"], print_ticks, is_jump)
        for k in range(TRANCHES):
            if account.lots[k] > 0:
                _stop_out(account, rows, setup, k, market, ts_ns, published)
        settle(account, ts_ns, setup.limits[0])
        return
    for k in range(TRANCHES):
        target = account.target[k]
        if account.lots[k] == 0 or target == 0:
            continue
        if limit_fills(False, target, print_ticks, instrument["symbol_key"], ts_ns, costs):
            sell_tranche(account, rows.trades, k, target, costs["maker_ppm"], _TARGET1 + k, ts_ns, instrument)
    settle(account, ts_ns, setup.limits[0])
    if state["is_open"] == 1:
        raised = trail_stop(state["stop"], print_ticks, state["activation"], state["atr"], setup.rules[0])
        if raised > state["stop"]:
            state["stop"] = raised
            state["stop_kind"] = _TRAILING


@njit
def _enter(account: Account, tape: Tape, rows: Rows, setup: Setup, t: int, lots: int) -> None:
    """Buy the tranches of an approved entry at the open after bar `t`; a stop already passed sells at once."""
    bar, rules, costs, instrument = tape.bars[t], setup.rules[0], setup.costs[0], setup.instrument[0]
    close, print_ticks, ts_ns = bar["close"], tape.bars[t + 1]["open"], tape.bars[t + 1]["ts_open_ns"]
    atr = atr_ticks(tape.atr_ratio_14[t], close)
    stop, kind = initial_stop(close, atr, rules)
    decided_ns = bar["ts_open_ns"] + setup.frame_ns
    begin_position(account, stop, kind, trail_activation(close, rules), atr, decided_ns)
    account.target[0] = target_level(close, rules["target1_ppm"], rules)
    account.target[1] = target_level(close, rules["target2_ppm"], rules)
    account.target[2] = 0
    filled_any = False
    parts = split_lots(lots, stop, costs["taker_ppm"], rules, instrument)
    for k in range(TRANCHES):
        if parts[k] == 0:
            continue
        filled, price = taker_fill(_FOK, True, parts[k], entry_cap(close, rules), print_ticks, bar, costs)
        if filled == 0:
            continue
        filled_any = True
        buy_tranche(account, rows.trades, k, filled, price, costs["taker_ppm"], ts_ns, instrument)
        if stop_triggered(stop, print_ticks):
            _stop_out(account, rows, setup, k, print_ticks, ts_ns, bar)
    if filled_any:
        settle(account, ts_ns, setup.limits[0])
    else:
        account.state[0]["is_open"] = 0


@njit
def _exit_reason(
    account: Account, setup: Setup, bar: np.void, value_e8: int, equity_e8: int, action: int
) -> int:
    """ExitReason with which the scan of `bar` closes the open position, or NONE."""
    state = account.state[0]
    if state["is_open"] == 0:
        return _NONE
    age_ns = bar["ts_open_ns"] + setup.frame_ns - state["decided_ns"]
    active = active_capital_e8(equity_e8, setup.limits[0])
    cost = open_cost_e8(account)
    return scan_exit(age_ns, value_e8, cost, active, state["sold"] == 1, action == _SELL, setup.rules[0])


@njit
def scan(account: Account, tape: Tape, rows: Rows, setup: Setup, t: int) -> None:
    """Decide on the close of bar `t`, execute at the open of bar `t + 1`."""
    state, limits, instrument = account.state[0], setup.limits[0], setup.instrument[0]
    bar, next_bar = tape.bars[t], tape.bars[t + 1]
    ts_close_ns = bar["ts_open_ns"] + setup.frame_ns
    value = notional_e8(bar["close"], open_lots(account), instrument)
    equity = state["cash_e8"] + value
    point = rows.equity[state["scans"]]
    point["ts_ns"], point["equity_e8"] = ts_close_ns, equity
    point["free_quote_e8"], point["positions"] = state["cash_e8"], state["is_open"]
    roll(account.breakers[0], ts_close_ns, tape.days[t], equity, limits)
    row = rows.decisions[state["scans"]]
    state["scans"] += 1
    row["bar"], row["quantity_lots"] = t, 0
    edge = predict(tape, setup, t, row)
    lots = 0
    if row["action"] == _BUY:
        lots = measure(account, tape, setup, t, next_bar["open"], equity, edge, row)
        row["reason"], row["measured"], row["limit"] = first_refusal(setup.facts[0], limits)
    reason = _exit_reason(account, setup, bar, value, equity, row["action"])
    if reason != _NONE:
        costs, ts_ns = setup.costs[0], next_bar["ts_open_ns"]
        _, price = taker_fill(_MARKET, False, open_lots(account), 0, next_bar["open"], bar, costs)
        sell_all(account, rows.trades, price, costs["taker_ppm"], reason, ts_ns, instrument)
        settle(account, ts_ns, limits)
    elif row["action"] == _BUY and row["reason"] == _NONE:
        row["quantity_lots"] = lots
        _enter(account, tape, rows, setup, t, lots)


@njit
def run_symbol(account: Account, tape: Tape, rows: Rows, setup: Setup, first: int) -> int:
    """Trade bars `first` to the end; returns the final equity, an open position marked at the last close.

    Earlier bars are history. Rows written are counted in `account.state` (`trades`, `scans`).
    """
    state, bars = account.state[0], tape.bars
    count = len(bars)
    for k in range(first, count):
        bar, ts_ns = bars[k], bars[k]["ts_open_ns"]
        if state["is_open"] == 1:
            on_print(account, rows, setup, bar["open"], ts_ns, True, bars[k - 2])
        if k > first:
            scan(account, tape, rows, setup, k - 1)
        for slot in range(SLOT_LOW, SLOT_CLOSE + 1):
            if state["is_open"] == 0:
                break
            ticks = bar["low"] if slot == SLOT_LOW else bar["high"] if slot == SLOT_HIGH else bar["close"]
            on_print(
                account, rows, setup, ticks, print_ts_ns(ts_ns, setup.frame_ns, slot), False, bars[k - 1]
            )
    return state["cash_e8"] + notional_e8(bars[count - 1]["close"], open_lots(account), setup.instrument[0])
