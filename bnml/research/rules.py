"""The rules that go with given signals: how they are entered, protected, left, sized and charged."""

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bnml.core.instrument import E8
from bnml.kernels.records import LIMITS, RULES, Taking, record
from bnml.trading.filling import Record, filled, from_bps, from_hours, from_percent, ppm

TOP = 2**31 - 1
PPM = 1_000_000
UNCONDITIONAL_PPM = 10**9
"""A band of a thousand times the cost: whatever the result."""


def _key(unit: str, meaning: str, low: float = 0, high: float = TOP) -> Meta:
    return Meta(title=unit, description=meaning, ge=low, le=high)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is decided beside the signals; 0 switches a rule off.

    Percentages of prices are of the reference: the entry's fill (`from_fill`) or the deciding close.
    """

    stop_pct: Annotated[float, _key("% below the reference, 0 = none", "stop", 0, 99)] = 0.0
    stop_atr: Annotated[
        float,
        _key("ATR below the reference, 0 = none", "stop; with stop_pct too, the higher of both", 0, 100),
    ] = 0.0
    target_pct: Annotated[float, _key("% above the reference, 0 = none", "target", 0, 10_000)] = 0.0
    target_r: Annotated[
        float, _key("distances to the stop, 0 = none", "target in multiples of the initial risk", 0, 1000)
    ] = 0.0
    target_share_pct: Annotated[
        float, _key("% of the quantity", "sold at the target; 100 = the position is one piece", 1, 100)
    ] = 100.0
    target2_pct: Annotated[float, _key("% above the reference, 0 = none", "second target", 0, 10_000)] = 0.0
    target2_r: Annotated[
        float, _key("distances to the stop, 0 = none", "second target in multiples of the risk", 0, 1000)
    ] = 0.0
    target2_share_pct: Annotated[
        float, _key("% of the quantity", "sold at the second target; what is left has the stop alone", 0, 99)
    ] = 0.0
    trail_pct: Annotated[
        float, _key("% below the price, 0 = none", "the stop follows each print at this distance", 0, 99)
    ] = 0.0
    trail_atr: Annotated[
        float, _key("ATR below the price, 0 = none", "the stop follows each print at this distance", 0, 100)
    ] = 0.0
    trail_start_pct: Annotated[
        float, _key("% above the reference", "the stop follows from this gain on; 0 = at once", 0, 1000)
    ] = 0.0
    trail_step_bps: Annotated[
        float, _key("bps of the stop", "a stop is raised by at least this", 0, 1000)
    ] = 0.0
    time_stop_h: Annotated[
        float, _key("hours, 0 = none", "sold at the first decision this long after that of the entry", 0, 1e6)
    ] = 0.0
    max_hold_bars: Annotated[int, _key("bars, 0 = none", "the same, in bars of the deciding frame")] = 0
    time_stop_band_pct: Annotated[
        float, _key("% of the cost, 0 = always", "sold for age only while |profit or loss| is below", 0, 1000)
    ] = 0.0
    exit_on_signal: Annotated[bool, Meta(description="a signal with exit = 1 sells what is held")] = True
    from_fill: Annotated[
        bool, Meta(description="true: levels are measured from the fill; false: from the deciding close")
    ] = True

    entry: Annotated[
        Literal["fok", "ioc"],
        Meta(description="fok: all or nothing; ioc: what volume_share_pct leaves of a bar (tier F1)"),
    ] = "ioc"
    price_cap_bps: Annotated[
        float,
        _key(
            "bps above the deciding close",
            "no entry above this price; sizes are counted at it, so that the money is there",
            0,
            10_000,
        ),
    ] = 100.0
    latency_bars: Annotated[
        int, _key("bars", "entries and exits by signal or age meet the open this many bars later", 0, 1000)
    ] = 0
    latency_ms: Annotated[
        int, _key("ms", "the same in time, with fast bars: their first open this long after the close")
    ] = 0

    initial_quote: Annotated[float, _key("quote asset", "money at the start", 1e-2, 1e7)] = 10_000.0
    share_pct: Annotated[
        float, _key("% of equity", "size of a position; also the most where another rule sizes", 0.01, 100)
    ] = 20.0
    fixed_quote: Annotated[
        float, _key("quote asset, 0 = off", "size of a position: an amount, while equity allows", 0, 1e9)
    ] = 0.0
    risk_pct: Annotated[
        float, _key("% of equity, 0 = off", "size of a position: what it may lose at its stop", 0, 100)
    ] = 0.0
    max_positions: Annotated[int, _key("positions", "most open at once, best score first", 1, 10_000)] = 5
    max_exposure_pct: Annotated[
        float,
        _key("% of equity (of fixed_quote x max_positions)", "most money in positions at once", 0.01, 100),
    ] = 100.0

    tier: Annotated[
        Literal["F0", "F1"],
        Meta(description="F0: a touched price fills; F1: part of the volume only, touched limits by chance"),
    ] = "F1"
    maker_bps: Annotated[float, _key("bps", "commission of targets, which rest", 0, 500)] = 10.0
    taker_bps: Annotated[float, _key("bps", "commission of entries, stops, market exits", 0, 500)] = 10.0
    slippage_bps: Annotated[float, _key("bps", "added to each fill that takes", 0, 500)] = 2.0
    spread_floor_bps: Annotated[float, _key("bps", "half spread, at least", 0, 500)] = 1.0
    spread_range_bps_per_pct: Annotated[
        float, _key("bps per % of the bar's range", "half spread, growing with the range", 0, 100)
    ] = 0.5
    spread_cap_bps: Annotated[float, _key("bps", "half spread, at most", 0, 1000)] = 15.0
    volume_share_pct: Annotated[
        float, _key("% of the bar's volume", "F1: most of one order without extra slippage", 0.0001, 100)
    ] = 10.0
    touch_chance_pct: Annotated[
        float, _key("%", "F1: chance that a limit only touched is filled", 0, 100)
    ] = 50.0
    seed: Annotated[int, _key("", "of fills by chance")] = 42

    frame: Annotated[str, Meta(description="bars that decide, such as 5m; empty = as the file has them")] = ""
    tick: Annotated[
        float, _key("quote asset, 0 = from the data", "prices are rounded to it: 0.01, 0.0001, ...", 0, 1)
    ] = 0.0
    lot: Annotated[
        float, _key("base asset, 0 = from the data", "quantities are rounded to it: 1, 0.001, ...", 0, 1)
    ] = 0.0
    min_notional: Annotated[float, _key("quote asset", "smaller orders are refused", 0, 1e9)] = 5.0


def compile_rules(rules: Rules, frame_ns: int) -> Record:
    """Levels and times as kernels read them; `frame_ns` is the deciding frame, which holding times are in."""
    band_ppm = from_percent(rules.time_stop_band_pct)
    return filled(
        RULES,
        price_cap_ppm=from_bps(rules.price_cap_bps),
        stop_atr_ppm=ppm(rules.stop_atr),
        hard_stop_ppm=from_percent(rules.stop_pct),
        trail_start_ppm=from_percent(rules.trail_start_pct),
        trail_atr_ppm=ppm(rules.trail_atr),
        trail_step_ppm=from_bps(rules.trail_step_bps),
        target1_ppm=from_percent(rules.target_pct),
        target2_ppm=from_percent(rules.target2_pct),
        share1_ppm=from_percent(rules.target_share_pct),
        share2_ppm=from_percent(rules.target2_share_pct),
        time_stop_ns=from_hours(rules.time_stop_h) or rules.max_hold_bars * frame_ns,
        time_stop_band_ppm=band_ppm or UNCONDITIONAL_PPM,
        dust_ppm=0,
        exit_on_sell=int(rules.exit_on_signal),
        trail_ppm=from_percent(rules.trail_pct),
        target1_r_ppm=ppm(rules.target_r),
        target2_r_ppm=ppm(rules.target2_r),
        from_fill=int(rules.from_fill),
        entry_taking=int(Taking[rules.entry.upper()]),
    )


def compile_limits(rules: Rules, *, has_sizes: bool = False) -> Record:
    """What sizes are bounded by; where signals bring sizes, those replace `share_pct` (see `size_ppm`)."""
    is_fixed = rules.fixed_quote > 0
    positions = rules.max_positions if is_fixed else 1
    made = record(LIMITS)
    for name, value in {
        "active_ppm": PPM,
        "max_quote_e8": round(rules.fixed_quote * E8),
        "risk_per_trade_ppm": from_percent(rules.risk_pct),
        "max_position_ppm": PPM if is_fixed or has_sizes else from_percent(rules.share_pct),
        "max_exposure_ppm": from_percent(rules.max_exposure_pct) * positions,
        "max_positions": rules.max_positions,
    }.items():
        made[name] = value
    return made


def size_ppm(rules: Rules, sizes: NDArray[np.float64], *, has_sizes: bool) -> NDArray[np.int64]:
    """Most of the equity that each entry may take: its own share, else `share_pct`; 0 = as the limits say."""
    default = from_percent(rules.share_pct) if rules.fixed_quote > 0 or has_sizes else 0
    return np.where(np.isnan(sizes), default, np.rint(np.nan_to_num(sizes) * PPM)).astype(np.int64)


def needs_atr(rules: Rules) -> bool:
    """Whether a rule is measured in ATR."""
    return rules.stop_atr > 0 or rules.trail_atr > 0
