"""One bar as many trades that make exactly its prices, its volume and its number of trades, in the order of its path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnml.core.clock import NS_PER_MS
from bnml.kernels import fills
from bnml.venues.sim.feed import BEAT_NS
from bnml.venues.sim.messages import Print
from bnml.venues.sim.pricing import bar_record

if TYPE_CHECKING:
    from bnml.core.events import Bar

SLOTS = (fills.SLOT_OPEN, fills.SLOT_LOW, fills.SLOT_HIGH, fills.SLOT_CLOSE)
_LEG_SHARES = (0.25, 0.25, 0.5)  # of the bar's time, from each slot to the next
_WITH_THE_MOVE = 0.65  # chance that the taker of a trade pushes the price where it goes
_SPREAD = 0.6  # of the logarithm of a bar's number of trades, where it is not recorded


class Detail(NamedTuple):
    """Prints of a bar: those at the usual times by slot, and those between them in their order."""

    main: tuple[tuple[Print, ...], ...]
    between: tuple[Print, ...]
    trades: int


class Counted(NamedTuple):
    """What a recording tells of a bar: how many trades, and what takers bought; -1 where it does not."""

    trades: int = -1
    taker_lots: int = -1


def trades_of(bar: Bar, counted: Counted, mean: int, key: tuple[int, int]) -> int:
    """How many trades a bar has: as recorded, else drawn from (seed, symbol, open time); no more than it has lots."""
    count = counted.trades
    if count < 0:
        drawn = int(fills.draw_ppm(key[0], key[1], bar.ts_open_ns, 1)) / fills.PPM
        count = max(len(SLOTS), round(mean * math.exp(_SPREAD * (2.0 * drawn - 1.0))))
    return min(max(count, len(_needed(bar))), bar.volume_lots)


def detail_of(bar: Bar, trades: int, taker_lots: int, key: tuple[int, int]) -> Detail:
    """The prints of a bar of so many trades (`trades_of`); `taker_lots` -1: not known.

    A price of the path at which there is no trade is passed by a print of no lots.
    """
    random = np.random.default_rng((*key, bar.ts_open_ns))
    path = [int(price) for price in fills.bar_path(bar_record(bar))]
    length_ns = bar.ts_close_ns - bar.ts_open_ns
    times = [int(fills.print_ts_ns(bar.ts_open_ns, length_ns, slot)) for slot in SLOTS]
    points = _points(path, times, _needed(bar), trades, random)
    sizes = _sizes([point.price for point in points], bar.volume_lots, taker_lots, random)
    main: list[list[Print]] = [[] for _ in SLOTS]
    between: list[Print] = []
    for point, (lots, maker) in zip(points, sizes, strict=True):
        jump = point.slot == fills.SLOT_OPEN and not main[point.slot]
        made = Print(bar.symbol, point.price, lots, point.ts_ns, jump, 0, maker, is_side_known=True)
        (between if point.slot < 0 else main[point.slot]).append(made)
    for slot in SLOTS:
        if not main[slot]:
            jump = slot == fills.SLOT_OPEN
            main[slot].append(Print(bar.symbol, path[slot], 0, times[slot], jump))
    return Detail(tuple(tuple(prints) for prints in main), tuple(between), trades)


class _Point(NamedTuple):
    ts_ns: int
    price: int
    slot: int  # -1: between two slots


def _needed(bar: Bar) -> list[int]:
    """Slots whose print must be a trade, so that the trades have the bar's prices; the dearest to miss last."""
    needed = [fills.SLOT_OPEN]
    if bar.low != bar.high:
        needed.append(fills.SLOT_CLOSE)
    if bar.low not in {bar.open, bar.close}:
        needed.append(fills.SLOT_LOW)
    if bar.high not in {bar.open, bar.close}:
        needed.append(fills.SLOT_HIGH)
    return needed


def _points(
    path: list[int], times: list[int], needed: list[int], trades: int, random: np.random.Generator
) -> list[_Point]:
    """Where and when the trades are, in their order."""
    carriers = [*needed, *(slot for slot in SLOTS if slot not in needed)][:trades]
    shares = random.multinomial(trades - len(carriers), _LEG_SHARES).tolist()
    points: list[_Point] = []
    for slot in SLOTS:
        joined = 0
        if slot:
            before, price = path[slot - 1], path[slot]
            inside = abs(price - before) - 1
            count = shares[slot - 1]
            if inside > 0:
                begin_ns = times[slot - 1] + (min(BEAT_NS, (times[slot] - times[0]) // 2) if slot == 1 else 0)
                moves = np.sort(random.integers(1, inside + 1, count)).tolist()
                room_ms = max((times[slot] - begin_ns) // NS_PER_MS - 1, 1)
                offsets = np.sort(random.integers(1, room_ms + 1, count)).tolist()
                sign = 1 if price > before else -1
                points += [
                    _Point(begin_ns + offset * NS_PER_MS, before + sign * move, -1)
                    for offset, move in zip(offsets, moves, strict=True)
                ]
            else:
                joined = count
        points += [_Point(times[slot], path[slot], slot)] * ((slot in carriers) + joined)
    return points


def _sizes(
    prices: list[int], volume_lots: int, taker_lots: int, random: np.random.Generator
) -> list[tuple[int, bool]]:
    """Lots of each trade, and whether its buyer is the maker; the takers' lots are exact where they are known."""
    count = len(prices)
    if not count:
        return []
    moves = np.sign(np.diff(prices, prepend=prices[0]))
    chance = 0.5 + (_WITH_THE_MOVE - 0.5) * moves  # that the taker buys
    if taker_lots < 0:
        bought = random.random(count) < chance
        return list(zip(_split(volume_lots, count, random), (~bought).tolist(), strict=True))
    taker_lots = min(taker_lots, volume_lots)
    left_lots = volume_lots - taker_lots
    fewest = max(int(taker_lots > 0), count - left_lots)
    most = min(taker_lots, count - int(left_lots > 0))
    buyers = min(max(round(count * taker_lots / volume_lots), fewest), most)
    order = np.argsort(random.random(count) - chance, kind="stable")
    bought = np.zeros(count, dtype=np.bool_)
    bought[order[:buyers]] = True
    taken, rest = iter(_split(taker_lots, buyers, random)), iter(_split(left_lots, count - buyers, random))
    return [(next(taken) if one else next(rest), not one) for one in bought.tolist()]


def _split(lots: int, count: int, random: np.random.Generator) -> list[int]:
    """Lots in `count` random parts of at least one."""
    if not count:
        return []
    weights = np.cumsum(random.exponential(size=count))
    bounds = np.floor(weights / weights[-1] * (lots - count)).astype(np.int64)
    bounds[-1] = lots - count
    parts: list[int] = (1 + np.diff(bounds, prepend=0)).tolist()
    return parts
