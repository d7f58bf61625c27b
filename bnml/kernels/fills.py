"""What a print does to an order: path of a bar, spread, depth, fill price and commission, in integers.

The exchange's matcher, the backtest kernel and the labels call these functions; nothing else decides
a price. Prices are ticks, quantities lots, money 1e-8, rates ppm, times ns. `bar`, `costs` and
`instrument` are records of `kernels.records` (`array[i]`).

Which bar prices a fill: the last bar whose kline has been PUBLISHED before the print is matched. A
resting order hit by the open of bar t+1 is priced with spread and volume of bar t-1, because the
book of bar t comes after that print; orders of the scan that follows, and the prints L, H, C of
bar t+1, are priced with bar t. The first bar of a market prices itself. So the receiver of a fill
can recompute its price from what it had already seen.

Ranges (int64 does not wrap within them): notionals below 9e10 quote units, base amounts below
9e10 units, prices below 9e10 ticks; tests drive them with BTC, DOGE and SHIB at their extremes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import lean, njit
from bnml.kernels.bootstrap import mix
from bnml.kernels.records import FillTier, Taking

PPM = 1_000_000
E8 = 100_000_000
DEPTH_SHARE_PPM = 100_000
"""Depth within 0.5 % of the mid, as a share of the last bar's quote volume: the feed has no book, and a
tenth of a bar is about what one order may take without moving the price (the default of F1)."""
MAX_SLIPPAGE_FACTOR = 20
SLOT_OPEN, SLOT_LOW, SLOT_HIGH, SLOT_CLOSE = 0, 1, 2, 3
_NS_PER_MS = 1_000_000
_F1 = int(FillTier.F1)
_FOK = int(Taking.FOK)
_MARKET = int(Taking.MARKET)
_LIFT = 1 << 44
_ABOVE_0 = 15_625 * _LIFT
_POSITIVE = (1 << 63) - 1
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3


def symbol_key(name: str) -> int:
    """FNV-1a of the symbol's name, cut to a positive int64: what seeded draws know a symbol by."""
    digest = _FNV_OFFSET
    for byte in name.encode():
        digest = ((digest ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return digest & 0x7FFFFFFFFFFFFFFF


@lean
def _millionth(amount: int) -> int:
    """floor(amount / 1e6) of any int64.

    1e6 is 15,625 * 2 ** 6: after the shift there is room to make the amount positive, and to divide what
    surely is takes a third of the steps.
    """
    return (((amount >> 6) + _ABOVE_0) & _POSITIVE) // 15_625 - _LIFT


@lean
def mul_ppm(amount: int, ppm: int) -> int:
    """floor(amount * ppm / 1e6) without the wide product."""
    whole = _millionth(amount)
    return whole * ppm + _millionth((amount - whole * PPM) * ppm)


@lean
def ceil_ppm(amount: int, ppm: int) -> int:
    """ceil(amount * ppm / 1e6) without the wide product."""
    whole = _millionth(amount)
    return whole * ppm + _millionth((amount - whole * PPM) * ppm + PPM - 1)


@lean
def notional_e8(price_ticks: int, quantity_lots: int, instrument: np.void) -> int:
    """Quote value in 1e-8, rounded down; equals `Instrument.notional_e8`.

    With quantity = q * den + r the product splits exactly, so only the result must fit.
    """
    den = instrument["notional_den"]
    unit = price_ticks * instrument["notional_num"]
    if den == 1:  # most instruments; divisions are dear
        return unit * quantity_lots
    return unit * (quantity_lots // den) + unit * (quantity_lots % den) // den


@lean
def lots_for(amount_e8: int, price_ticks: int, instrument: np.void) -> int:
    """The most lots whose notional at this price does not exceed the amount; 0 for amounts below zero."""
    if amount_e8 <= 0 or price_ticks <= 0:
        return 0
    unit = price_ticks * instrument["notional_num"]
    den = instrument["notional_den"]
    if den == 1:
        return amount_e8 // unit
    return (amount_e8 // unit) * den + (amount_e8 % unit) * den // unit


@lean
def commission_base_e8(quantity_lots: int, ppm: int, lot_e8: int) -> int:
    """Commission of a buy, in 1e-8 of the base asset, rounded down."""
    return mul_ppm(quantity_lots * lot_e8, ppm)


@lean
def commission_quote_e8(amount_e8: int, ppm: int) -> int:
    """Commission of a sell whose notional is `amount_e8`, in 1e-8 of the quote asset, rounded down."""
    return mul_ppm(amount_e8, ppm)


@lean
def pending_lots(bought_lots: int, commission_ppm: int, lot_e8: int) -> int:
    """Whole lots left of a buy after its commission in base: what the pending legs of a list may sell."""
    bought_e8 = bought_lots * lot_e8
    commission_e8 = mul_ppm(bought_e8, commission_ppm)
    if 0 <= commission_e8 <= lot_e8:  # of small orders; divisions are dear
        return bought_lots - min(commission_e8, 1)
    return (bought_e8 - commission_e8) // lot_e8


@njit
def bar_path(bar: np.void) -> tuple[int, int, int, int]:
    """Prints of a bar in their order, by slot: open, low, high, close (adverse first for a long)."""
    return bar["open"], bar["low"], bar["high"], bar["close"]


@lean
def print_ts_ns(ts_open_ns: int, frame_ns: int, slot: int) -> int:
    """Market time of the print in `slot` of a bar: its open, a quarter, a half, 1 ms before the end."""
    if slot == SLOT_OPEN:
        return ts_open_ns
    if slot == SLOT_LOW:
        return ts_open_ns + frame_ns // 4
    if slot == SLOT_HIGH:
        return ts_open_ns + frame_ns // 2
    return ts_open_ns + frame_ns - _NS_PER_MS


@njit
def print_lots(volume_lots: int, slot: int) -> int:
    """Quantity of the print in `slot`: a quarter each, rounded down, the close takes the rest; at least 1."""
    quarter = volume_lots // 4
    lots = volume_lots - 3 * quarter if slot == SLOT_CLOSE else quarter
    return max(lots, 1)


@lean
def half_spread_ppm(bar: np.void, costs: np.void) -> int:
    """Half spread after `bar`: a floor plus a share of the bar's relative range, up to a cap."""
    if costs["spread_range_ppm"] == 0:  # divisions are dear
        return min(costs["spread_cap_ppm"], costs["spread_floor_ppm"])
    range_ppm = (bar["high"] - bar["low"]) * PPM // bar["close"]
    return min(
        costs["spread_cap_ppm"], costs["spread_floor_ppm"] + mul_ppm(range_ppm, costs["spread_range_ppm"])
    )


@lean
def depth_e8(bar: np.void, instrument: np.void) -> int:
    """Quote depth of both sides together within 0.5 % of the mid after `bar`; the aim of `book_of_bar`."""
    return mul_ppm(notional_e8(bar["close"], bar["volume_lots"], instrument), DEPTH_SHARE_PPM)


@njit
def book_of_bar(
    print_ticks: int, bar: np.void, instrument: np.void, costs: np.void
) -> tuple[int, int, int, int, int]:
    """Book around a print: (bid, ask, bid lots, ask lots, depth_e8), one level a side, half the depth each.

    `depth_e8` is the sum of both levels' notionals as a receiver computes it, so it may be a little less
    than the function `depth_e8`. A side has at least 1 lot.
    """
    half = half_spread_ppm(bar, costs)
    bid = max(1, print_ticks - ceil_ppm(print_ticks, half))
    ask = max(bid + 1, print_ticks + ceil_ppm(print_ticks, half))
    side_e8 = depth_e8(bar, instrument) // 2
    bid_lots = max(1, lots_for(side_e8, bid, instrument))
    ask_lots = max(1, lots_for(side_e8, ask, instrument))
    depth = notional_e8(bid, bid_lots, instrument) + notional_e8(ask, ask_lots, instrument)
    return bid, ask, bid_lots, ask_lots, depth


@njit
def books_of_bars(
    prints: NDArray[np.int64],
    bars: NDArray[np.void],
    instrument: np.void,
    costs: np.void,
    out: NDArray[np.int64],
) -> None:
    """`book_of_bar` of each print and the bar that prices it, as rows of `out`[prints, 5]."""
    for i in range(len(prints)):
        out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4] = book_of_bar(
            prints[i], bars[i], instrument, costs
        )


@lean
def spread_ppm(bid: int, ask: int) -> int:
    """Full spread relative to the mid, rounded down."""
    return (ask - bid) * (2 * PPM) // (ask + bid)


@lean
def taker_price(print_ticks: int, cost_ppm: int, is_buy: bool) -> int:
    """Price of a fill that takes: the print moved against the taker by half spread + slippage, at least 1 tick."""
    if is_buy:
        return print_ticks + ceil_ppm(print_ticks, cost_ppm)
    return max(1, print_ticks - ceil_ppm(print_ticks, cost_ppm))


@lean
def volume_cap_lots(volume_lots: int, costs: np.void) -> int:
    """F1: the most that one order takes of a bar's volume without extra slippage."""
    return mul_ppm(volume_lots, costs["volume_share_ppm"])


@lean
def slippage_ppm(quantity_lots: int, volume_lots: int, costs: np.void) -> int:
    """Slippage of a market order: F1 lets it grow in proportion beyond the volume share, 20 times at most."""
    base = costs["slippage_ppm"]
    if costs["tier"] != _F1:
        return base
    cap = volume_cap_lots(volume_lots, costs)
    if quantity_lots <= cap:
        return base
    worst = MAX_SLIPPAGE_FACTOR * base
    return worst if cap == 0 else min(worst, base * quantity_lots // cap)


@njit
def taker_fill(
    taking: int,
    is_buy: bool,
    quantity_lots: int,
    limit_ticks: int,
    print_ticks: int,
    bar: np.void,
    costs: np.void,
) -> tuple[int, int]:
    """(lots filled, price) of an order that takes at a print; (0, price) when nothing fills.

    `taking` is `records.Taking`: MARKET (also triggered stops; `limit_ticks` unused) fills wholly at any
    price; FOK wholly or not at all; IOC what the limit and, in F1, the volume share allow. `bar` is the
    last published bar of the symbol (see the head of this file).
    """
    half = half_spread_ppm(bar, costs)
    if taking == _MARKET:
        cost = half + slippage_ppm(quantity_lots, bar["volume_lots"], costs)
        return quantity_lots, taker_price(print_ticks, cost, is_buy)
    price = taker_price(print_ticks, half + costs["slippage_ppm"], is_buy)
    if (is_buy and price > limit_ticks) or (not is_buy and price < limit_ticks):
        return 0, price
    lots = quantity_lots
    if costs["tier"] == _F1:
        lots = min(lots, volume_cap_lots(bar["volume_lots"], costs))
    if taking == _FOK and lots < quantity_lots:
        return 0, price
    return lots, price


@lean
def stop_triggered(stop_ticks: int, print_ticks: int) -> bool:
    """A sell stop is triggered by a last price at or below it."""
    return print_ticks <= stop_ticks


@lean
def stop_print(stop_ticks: int, print_ticks: int, is_jump: bool) -> int:
    """The price at which a triggered sell stop meets the market: the print if jumped over, else its level."""
    return print_ticks if is_jump else max(stop_ticks, print_ticks)


@njit
def draw_ppm(seed: int, key: int, ts_ns: int, ordinal: int) -> int:
    """A number of 0..999,999 that depends on nothing but its four arguments (a counter hash)."""
    step = np.uint64(0x9E3779B97F4A7C15)
    state = mix(np.uint64(seed) + step)
    state = mix((state ^ np.uint64(key)) + step)
    state = mix((state ^ np.uint64(ts_ns)) + step)
    state = mix((state ^ np.uint64(ordinal)) + step)
    return int((state >> np.uint64(11)) % np.uint64(PPM))


@njit
def limit_fills(
    is_buy: bool, limit_ticks: int, print_ticks: int, symbol_key: int, ts_ns: int, costs: np.void
) -> bool:
    """Whether a resting limit order fills, at its own level, on a print at market time `ts_ns`.

    F0: touched is filled. F1: crossed is filled; touched, by a chance drawn from (seed, symbol, time of
    the print, level).
    """
    beyond = limit_ticks - print_ticks if is_buy else print_ticks - limit_ticks
    if beyond < 0:
        return False
    if beyond > 0 or costs["tier"] != _F1:
        return True
    return draw_ppm(costs["seed"], symbol_key, ts_ns, limit_ticks) < costs["touch_ppm"]
