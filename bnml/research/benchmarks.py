"""What the same money would have done without skill: held in all symbols, or in part as the run was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.kernels import fills
from bnml.research.market import Market

Floats = NDArray[np.float64]


def closes_at(market: Market, ts_ns: NDArray[np.int64]) -> Floats:
    """Last known close of each symbol at each moment, shape (moments, symbols), in ticks.

    Before the first close it is the open of the first traded bar.
    """
    table = np.empty((len(ts_ns), len(market.symbols)))
    for k, symbol in enumerate(market.symbols):
        first = market.first_row(symbol)
        bars = market.bars[symbol][first:]
        at = np.searchsorted(bars["ts_open_ns"] + market.frame_ns, ts_ns, side="right") - 1
        table[:, k] = np.where(at < 0, bars["open"][0], bars["close"][np.maximum(at, 0)])
    return table


def buy_and_hold(market: Market, ts_ns: NDArray[np.int64], initial: float, costs: NDArray[np.void]) -> Floats:
    """Equal parts bought at the first traded open, at the taker's price and commission, and never sold."""
    worth = np.zeros(len(ts_ns))
    table = closes_at(market, ts_ns)
    for k, symbol in enumerate(market.symbols):
        first = market.first_row(symbol)
        bars = market.bars[symbol]
        cost_ppm = int(fills.half_spread_ppm(bars[max(0, first - 1)], costs[0])) + int(
            costs["slippage_ppm"][0]
        )
        paid = fills.taker_price(int(bars[first]["open"]), cost_ppm, True)
        kept = 1.0 - int(costs["taker_ppm"][0]) / fills.PPM
        worth += initial / len(market.symbols) * kept * table[:, k] / paid
    return worth


def exposure_matched(market: Market, ts_ns: NDArray[np.int64], initial: float, exposures: Floats) -> Floats:
    """Each symbol always at the run's mean exposure to it, without costs; the rest in the quote asset."""
    if not len(ts_ns):
        return np.zeros(0)
    opens = np.array([[market.bars[name]["open"][market.first_row(name)] for name in market.symbols]])
    table = np.concatenate((opens, closes_at(market, ts_ns)))
    steps = (table[1:] / table[:-1] - 1.0) @ exposures
    return np.asarray(initial * np.cumprod(1.0 + steps))
