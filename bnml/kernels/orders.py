"""What prints and orders do to one symbol's position: stops, targets and trailing; entries and market exits.

A print is a price and whether it was jumped to; `published` is the last bar whose candle came before it,
which prices what takes (see `kernels.fills`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels import lean, part
from bnml.kernels.account import (
    TRANCHES,
    Kit,
    buy_tranche,
    open_lots,
    sell_all,
    sell_tranche,
    settle,
)
from bnml.kernels.exits import initial_stop, stop_reason, target_level, trail_activation, trail_stop
from bnml.kernels.fills import (
    SLOT_CLOSE,
    SLOT_HIGH,
    SLOT_LOW,
    limit_fills,
    notional_e8,
    pending_lots,
    print_ts_ns,
    stop_print,
    stop_triggered,
    taker_fill,
)
from bnml.kernels.records import ExitReason, Taking
from bnml.kernels.sizing import split_lots

if TYPE_CHECKING:
    import numpy as np

_FOK = int(Taking.FOK)
_MARKET = int(Taking.MARKET)
_NONE = int(ExitReason.NONE)
_TARGET1 = int(ExitReason.TARGET1)
_TRAILING = int(ExitReason.TRAILING)


@lean
def is_quiet(slot: np.void, bar: np.void) -> bool:
    """Whether no print of the bar can fill an order or move the stop of a held position."""
    return bar["low"] > slot["stop"] and bar["high"] < slot["ceiling"]


@part
def _stop_out(kit: Kit, k: int, market_ticks: int, ts_ns: int, published: np.void) -> None:
    """Sell tranche `k` at market because its stop was triggered; `market_ticks` is where it met the market."""
    lots, stop = kit.slot["lots"][k], kit.slot["stop"]
    _, price = taker_fill(_MARKET, False, lots, 0, market_ticks, published, kit.costs)
    at_level = price
    if market_ticks != stop:
        _, at_level = taker_fill(_MARKET, False, lots, 0, stop, published, kit.costs)
    reason = stop_reason(kit.slot["stop_kind"], price, at_level)
    sell_tranche(kit, k, price, kit.costs["taker_ppm"], reason, ts_ns)


@part
def on_print(kit: Kit, print_ticks: int, ts_ns: int, is_jump: bool, published: np.void) -> None:
    """A print against a held position: stops, targets in ascending order, then trailing for what follows."""
    slot, costs = kit.slot, kit.costs
    if stop_triggered(slot["stop"], print_ticks):
        market = stop_print(slot["stop"], print_ticks, is_jump)
        for k in range(TRANCHES):
            if slot["lots"][k] > 0:
                _stop_out(kit, k, market, ts_ns, published)
        settle(kit, ts_ns)
        return
    if print_ticks < slot["ceiling"]:
        return
    for k in range(TRANCHES):
        target = slot["target"][k]
        if slot["lots"][k] == 0 or target == 0:
            continue
        if limit_fills(False, target, print_ticks, kit.instrument["symbol_key"], ts_ns, costs):
            sell_tranche(kit, k, target, costs["maker_ppm"], _TARGET1 + k, ts_ns)
    if open_lots(slot) > 0:
        raised = trail_stop(slot["stop"], print_ticks, slot["activation"], slot["atr"], kit.rules)
        if raised > slot["stop"]:
            slot["stop"] = raised
            slot["stop_kind"] = _TRAILING
    settle(kit, ts_ns)


@lean
def is_quiet_print(slot: np.void, print_ticks: int) -> bool:
    """The same of one print."""
    return slot["stop"] < print_ticks < slot["ceiling"]


@part
def walk_bar(kit: Kit, bar: np.void, frame_ns: int, published: np.void) -> None:
    """Low, high and close of a held position's bar, each continuous from the print before."""
    slot, ts_ns = kit.slot, bar["ts_open_ns"]
    for place in range(SLOT_LOW, SLOT_CLOSE + 1):
        ticks = bar["low"] if place == SLOT_LOW else bar["high"] if place == SLOT_HIGH else bar["close"]
        if is_quiet_print(slot, ticks):
            continue
        on_print(kit, ticks, print_ts_ns(ts_ns, frame_ns, place), False, published)
        if slot["is_open"] == 0:
            return


@part
def place_entry(kit: Kit, lots: int, reference: int, stop: int, cap: int, atr: int) -> None:
    """An approved entry is under way: split, its place taken, its money at the cap reserved."""
    slot, book = kit.slot, kit.book
    # Without a stop the filters are asked at the price itself.
    least = stop if stop > 0 else reference
    parts = split_lots(lots, least, kit.costs["taker_ppm"], kit.rules, kit.instrument)
    reserved = 0
    for k in range(TRANCHES):
        slot["parts"][k] = parts[k]
        slot["lots"][k] = 0
        reserved += notional_e8(cap, parts[k], kit.instrument)
    slot["is_open"] = 1
    slot["entering"] = 1
    slot["leaving"] = _NONE
    slot["sold"] = 0
    slot["result_e8"] = 0
    slot["reference"] = reference
    slot["cap"] = cap
    slot["atr"] = atr
    slot["reserved_e8"] = reserved
    book["reserved_e8"] += reserved
    book["positions"] += 1


@lean
def _set_levels(kit: Kit, reference: int) -> None:
    slot, rules = kit.slot, kit.rules
    stop, kind = initial_stop(reference, slot["atr"], rules)
    slot["stop"] = stop
    slot["stop_kind"] = kind
    slot["activation"] = trail_activation(reference, rules)
    slot["target"][0] = target_level(reference, stop, rules["target1_ppm"], rules["target1_r_ppm"], rules)
    slot["target"][1] = target_level(reference, stop, rules["target2_ppm"], rules["target2_r_ppm"], rules)
    slot["target"][2] = 0


@part
def enter(kit: Kit, print_ticks: int, ts_ns: int, published: np.void) -> None:
    """The entry under way meets a print: tranches fill or expire, a stop already passed sells at once.

    A partial fill (IOC) of less than one lot after commission is not taken: it could never be sold.
    """
    slot, costs, cap = kit.slot, kit.costs, kit.slot["cap"]
    taking = kit.rules["entry_taking"] if kit.rules["entry_taking"] > 0 else _FOK
    kit.book["reserved_e8"] -= slot["reserved_e8"]
    slot["entering"] = 0
    reference = slot["reference"]
    if kit.rules["from_fill"] == 1:
        _, reference = taker_fill(taking, True, 1, cap, print_ticks, published, costs)
    _set_levels(kit, reference)
    is_bought = False
    for k in range(TRANCHES):
        part = slot["parts"][k]
        if part == 0:
            continue
        filled, price = taker_fill(taking, True, part, cap, print_ticks, published, costs)
        if pending_lots(filled, costs["taker_ppm"], kit.instrument["lot_e8"]) == 0:
            continue
        is_bought = True
        buy_tranche(kit, k, filled, price, costs["taker_ppm"], ts_ns)
        if stop_triggered(slot["stop"], print_ticks):
            _stop_out(kit, k, print_ticks, ts_ns, published)
    settle(kit, ts_ns)
    if not is_bought:
        slot["closed_ns"] = 0


@part
def leave(kit: Kit, print_ticks: int, ts_ns: int, published: np.void) -> None:
    """The market exit under way meets a print."""
    lots, reason = open_lots(kit.slot), kit.slot["leaving"]
    _, price = taker_fill(_MARKET, False, lots, 0, print_ticks, published, kit.costs)
    sell_all(kit, price, kit.costs["taker_ppm"], reason, ts_ns)
    settle(kit, ts_ns)


@part
def meet(kit: Kit, print_ticks: int, ts_ns: int, published: np.void) -> None:
    """The order under way, if there is one, meets a print."""
    if kit.slot["entering"] == 1:
        enter(kit, print_ticks, ts_ns, published)
    elif kit.slot["leaving"] != _NONE:
        leave(kit, print_ticks, ts_ns, published)
