"""A position of a combination that is walked, from its fill to its last sale, past all bars on which nothing happens.

Nothing happens before a high that is new since the entry, a low at the stop, or a scan that may sell; these
are found without looking at the bars between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bnml.kernels import part
from bnml.kernels.exit_tables import NEVER
from bnml.kernels.fills import notional_e8
from bnml.kernels.grid_held import leave_by_scan, meet, open_lots, trails_through, walk_bar
from bnml.kernels.stretches import first_low

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bnml.kernels.exit_tables import Market
    from bnml.kernels.grid_trade import Account


class Course(NamedTuple):
    """What combinations meet on their way beside the market: where to enter, and what can be passed."""

    entries: NDArray[np.void]
    origins: NDArray[np.void]
    next_entry: NDArray[np.int64]
    stretches: NDArray[np.void]
    span_lows: NDArray[np.int64]


@part
def mark_held(
    held: np.void,
    pieces: NDArray[np.void],
    before: int,
    bars: NDArray[np.void],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    instrument: np.void,
) -> None:
    """Mark the days that end with the scan of a bar before `before`."""
    day, lots = held["day"], open_lots(pieces)
    while day_bars[day] < before:
        marks[day] = held["cash_e8"] + notional_e8(bars[day_bars[day]]["close"], lots, instrument)
        day += 1
    held["day"] = day


@part
def _handle(
    held: np.void,
    pieces: NDArray[np.void],
    may_sell: bool,
    is_sell: bool,
    frame_ns: int,
    bars: NDArray[np.void],
    day_bars: NDArray[np.int64],
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
    costs: np.void,
    instrument: np.void,
) -> None:
    """Everything that a bar and the scan before it do, print by print."""
    bar = held["bar"]
    if bar > held["entered"]:
        opened, ts_ns = bars[bar]["open"], bars[bar]["ts_open_ns"]
        if not held["stop"] < opened < held["ceiling"]:
            mark_held(held, pieces, bar - 1, bars, day_bars, marks, instrument)
            if meet(held, pieces, opened, ts_ns, True, bars[bar - 2], rules, costs, instrument):
                held["settled"] = bar - 1
        if day_bars[held["day"]] < bar:
            mark_held(held, pieces, bar, bars, day_bars, marks, instrument)
        if held["settled"] != NEVER:
            return
        is_asked = may_sell or (rules["dust_ppm"] > 0 and held["sold"] == 1)
        if is_asked and leave_by_scan(held, pieces, bar, is_sell, bars, rules, limits, costs, instrument):
            held["settled"] = bar
            return
    walk_bar(held, pieces, bar, frame_ns, bars, rules, costs, instrument)


@part
def follow(
    held: np.void,
    pieces: NDArray[np.void],
    until: int,
    market: Market,
    account: Account,
    course: Course,
    marks: NDArray[np.int64],
    rules: np.void,
    limits: np.void,
) -> None:
    """From `bar` to the last sale, or to a bar not before `until`."""
    bars, lows, stretches, span_lows = market.bars, market.lows, course.stretches, course.span_lows
    bar, record, sell_scan = held["bar"], held["record"], course.origins[held["entry"]]["sell_scan"]
    has_dust, frame_ns, day_bars = rules["dust_ppm"] > 0, market.frame_ns, account.day_bars
    costs, instrument = market.costs[0], market.instrument[0]
    while bar < until and held["settled"] == NEVER:
        # From this bar on, the scan of the bar before may do something.
        watch = max(bar, min(sell_scan, held["due"]) + 1)
        if has_dust and held["sold"] == 1:
            watch = bar
        stop, ceiling, following = held["stop"], held["ceiling"], bar
        if bar > held["entered"]:
            following, low = stretches[record]["next"], stretches[record]["low"]
            last = min(watch, len(bars))
            while low > stop and following < last and stretches[following]["high"] < ceiling:
                record = following
                following, low = stretches[record]["next"], stretches[record]["low"]
            end = min(following, watch)
            bar = end if low > stop else first_low(stop, bar, end, lows, span_lows)
            if bar >= len(bars):
                break
            may_trail = bar < watch and lows[bar] > stop and stretches[bar]["high"] < held["target"]
            if may_trail and trails_through(held, bars[bar], rules):
                record, bar = bar, bar + 1
                continue
        held["bar"] = bar
        if bar > held["entered"] or lows[bar] <= stop or stretches[bar]["high"] >= ceiling:
            is_sell = sell_scan == bar - 1
            _handle(
                held,
                pieces,
                bar >= watch,
                is_sell,
                frame_ns,
                bars,
                day_bars,
                marks,
                rules,
                limits,
                costs,
                instrument,
            )
        if bar == following:
            record = bar
        bar += 1
    held["bar"], held["record"] = bar, record
