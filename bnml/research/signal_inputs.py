"""Files to the inputs of the backtest loop: bars in the window, opinions from signals, what was left out in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import format_utc, frame_ns
from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.kernels.records import OPINION, Action
from bnml.options import SignalsOptions
from bnml.research.bar_files import Bars, Market, load_bars
from bnml.research.rules import (
    Rules,
    compile_limits,
    compile_rules,
    needs_atr,
    size_ppm,
)
from bnml.research.signal_files import Placed, Signals, load_signals, place
from bnml.research.sweep import SweepConfig, SweepInput
from bnml.trading.filling import compile_costs
from bnml.trading.instruments import instrument_record
from bnml.venues.bar_tables import describe_missing

NS_PER_MS = 1_000_000
PATH_DECIDES = 0.5
"""A trailing distance below this share of a bar's range lies inside most bars."""
ATR_RULES = {"stop_atr", "trail_atr"}


class Prepared(NamedTuple):
    """Everything that a run takes, and sentences on what the files lack."""

    inputs: tuple[SweepInput, ...]
    config: SweepConfig
    notes: tuple[str, ...]
    buys: int
    exits: int
    has_sizes: bool  # whether signals bring sizes

    @property
    def instruments(self) -> dict[str, Instrument]:
        return {one.instrument.symbol: one.instrument for one in self.inputs}


def prepare(options: SignalsOptions, rules: Rules, varied: Collection[str] = ()) -> Prepared:
    """Read the files and compile the rules; Misconfigured with one sentence where they do not fit together.

    `varied` names rules that will get other values on the same inputs, so that these serve all of them.
    """
    signals = _chosen(load_signals(options.signals), options)
    market = Market(frame_ns(rules.frame) if rules.frame else 0, rules.tick, rules.lot, rules.min_notional)
    bars = load_bars(options.bars, signals.symbols, market, options.fast_bars)
    _check(rules, bars, options)
    placed, stray = place(signals, bars, options.signals, loose=options.loose)
    notes = [describe_missing(name, one.gaps) for name, one in bars.items()]
    notes += [stray, path_decides(rules, bars), *_fast_notes(bars)]
    has_sizes = not np.isnan(signals.size).all()
    _check_varied(rules, varied, options, has_sizes=has_sizes)
    has_atr = needs_atr(rules) or bool(ATR_RULES & set(varied))
    inputs = []
    for name, one in bars.items():
        made, note = _input(one, placed[name], rules, options, has_sizes=has_sizes, has_atr=has_atr)
        inputs.append(made)
        notes.append(note)
    opinions = np.concatenate([one.opinions for one in inputs if one.opinions is not None])
    frame = next(iter(bars.values())).frame_ns
    config = compile_config(rules, frame, has_sizes=has_sizes)
    buys = int(np.count_nonzero(opinions["action"] == Action.BUY))
    return Prepared(tuple(inputs), config, tuple(filter(None, notes)), buys, len(opinions) - buys, has_sizes)


def compile_config(rules: Rules, frame: int, *, has_sizes: bool) -> SweepConfig:
    """The records of these rules on bars of this length in ns."""
    return SweepConfig(
        rules=compile_rules(rules, frame),
        limits=compile_limits(rules, has_sizes=has_sizes),
        costs=compile_costs(rules),
        weights=(0.0, 0.0, 0.0),
        initial_quote_e8=round(rules.initial_quote * 10**8),
        latency_bars=rules.latency_bars,
        latency_ns=rules.latency_ms * NS_PER_MS,
        risk=False,
    )


def atr_ratios(instrument: Instrument, bars: NDArray[np.void]) -> NDArray[np.float64]:
    """ATR 14 over the close of each bar, as the feature row has it."""
    from bnml.kernels import technical  # noqa: PLC0415 - compiled only where a rule asks for it

    tick = float(instrument.tick_e8)
    high, low, close = (bars[name].astype(np.float64) * tick / 1e8 for name in ("high", "low", "close"))
    ratios = np.empty(len(high), dtype=np.float64)
    technical.atr_ratio_batch(np.zeros(technical.BLOCK, dtype=np.float64), high, low, close, ratios)
    return ratios


def _chosen(signals: Signals, options: SignalsOptions) -> Signals:
    """Those of the asked symbols."""
    missing = [name for name in options.symbols if name not in signals.symbols]
    if missing:
        raise Misconfigured(
            f"{options.signals} has no signal for {', '.join(missing)}; it has some for "
            f"{', '.join(signals.symbols[:8])}: choose among them with --symbols"
        )
    if not options.symbols:
        return signals
    keep = np.isin(signals.symbol, options.symbols)
    return signals.only(keep)


def _check(rules: Rules, bars: dict[str, Bars], options: SignalsOptions) -> None:
    if rules.tier == "F1":
        without = [name for name, one in bars.items() if not one.has_volume]
        if without:
            raise Misconfigured(
                f"{options.bars} has no volume of {', '.join(without[:8])}, which tier F1 asks for; "
                "write `tier: F0` into the rules"
            )
    if rules.latency_ms and options.fast_bars is None:
        raise Misconfigured(
            "latency_ms is counted in fast bars; name some with --fast-bars, or write latency_bars"
        )
    frames = {one.frame_ns for one in bars.values()}
    quotes = {one.instrument.quote for one in bars.values()}
    if len(frames) > 1:
        raise Misconfigured(
            f"{options.bars}: all symbols must have bars of one frame; choose some with --symbols"
        )
    if len(quotes) > 1:
        raise Misconfigured(
            f"{options.bars}: the symbols are priced in {', '.join(sorted(quotes))}; one capital is of one asset: "
            "choose symbols of one with --symbols"
        )


def path_decides(rules: Rules, bars: Mapping[str, Bars | SweepInput]) -> str:
    """A sentence when the assumed path of prices inside a bar decides most trailing exits, else nothing."""
    if any(one.fast is not None for one in bars.values()) or not (rules.trail_pct or rules.trail_atr):
        return ""
    ranges = [
        float(np.mean((one.bars["high"] - one.bars["low"]) / one.bars["close"])) for one in bars.values()
    ]
    half_pct = 100 * PATH_DECIDES * max(ranges)
    if rules.trail_atr >= PATH_DECIDES or rules.trail_pct >= half_pct:
        return ""
    return (
        f"the stop follows closer than half a bar ({half_pct:.2g} %): bars are walked open, low, high, close, so it "
        "sells near the high; no real market does that, do not believe the profit without --fast-bars"
    )


def _check_varied(rules: Rules, varied: Collection[str], options: SignalsOptions, *, has_sizes: bool) -> None:
    """Refuse rules whose other values would need other inputs."""
    if "share_pct" in varied and (has_sizes or rules.fixed_quote > 0):
        raise Misconfigured(
            "share_pct is no axis where signals bring sizes or fixed_quote sizes; vary max_exposure_pct or fixed_quote"
        )
    if "fixed_quote" in varied and rules.fixed_quote == 0:
        raise Misconfigured("to vary fixed_quote write one into the rules: without it share_pct sizes")
    if "latency_ms" in varied and options.fast_bars is None:
        raise Misconfigured("latency_ms is counted in fast bars; name some with --fast-bars")


def _fast_notes(bars: dict[str, Bars]) -> list[str]:
    """Bars that the fast ones inside do not add up to: there exits are looked for in the bar itself."""
    notes = []
    for name, one in bars.items():
        if one.fast is None:
            continue
        differs = ~adds_up(one.bars, one.fast, one.frame_ns)
        if differs.any():
            first = format_utc(int(one.bars["ts_open_ns"][np.argmax(differs)]))
            notes.append(
                f"{name}: {int(differs.sum())} of {len(differs)} bars have no fast bars inside that add up to them, "
                f"the first at {first}; there exits are looked for in the bar itself"
            )
    return notes


def adds_up(bars: NDArray[np.void], fast: NDArray[np.void], frame_ns: int) -> NDArray[np.bool_]:
    """Whether the fast bars inside each bar have its open, high, low and close between them."""
    begin, end = (
        np.searchsorted(fast["ts_open_ns"], ts_ns)
        for ts_ns in (bars["ts_open_ns"], bars["ts_open_ns"] + frame_ns)
    )
    equal = begin < end
    begin, end = begin[equal], end[equal]
    if not len(begin):
        return equal
    edges = np.column_stack((begin, end)).ravel()
    padded = np.append(fast, fast[-1:])  # an end may lie behind the last
    high = np.maximum.reduceat(padded["high"], edges)[::2]
    low = np.minimum.reduceat(padded["low"], edges)[::2]
    own = bars[equal]
    same = (fast["open"][begin] == own["open"]) & (fast["close"][end - 1] == own["close"])
    equal[equal] = same & (high == own["high"]) & (low == own["low"])
    return equal


def _input(
    one: Bars, placed: Placed, rules: Rules, options: SignalsOptions, *, has_sizes: bool, has_atr: bool
) -> tuple[SweepInput, str]:
    """One symbol in its window, and a sentence on signals that cannot act."""
    opens = one.bars["ts_open_ns"]
    first = 0 if options.from_ns is None else int(np.searchsorted(opens, options.from_ns))
    end = len(opens) if options.to_ns is None else int(np.searchsorted(opens, options.to_ns))
    atr = atr_ratios(one.instrument, one.bars) if has_atr else np.zeros(len(opens))
    in_window = (placed.bar >= first) & (placed.bar < end)
    is_last = placed.bar == end - 1
    lacks_atr = ~placed.is_exit & np.isnan(atr[placed.bar])
    keep = in_window & ~is_last & ~lacks_atr
    opinions = np.zeros(int(keep.sum()), dtype=OPINION)
    opinions["bar"] = placed.bar[keep]
    opinions["action"] = np.where(placed.is_exit, int(Action.SELL), int(Action.BUY))[keep]
    opinions["score"] = np.nan_to_num(placed.score)[keep]
    opinions["expected_edge_ppm"] = np.nan
    opinions["atr_ratio"] = np.nan_to_num(atr[placed.bar])[keep]
    opinions["size_ppm"] = size_ppm(rules, placed.size, has_sizes=has_sizes)[keep]
    made = SweepInput(
        instrument=one.instrument,
        instrument_record=instrument_record(one.instrument),
        bars=one.bars[:end],
        frame_ns=one.frame_ns,
        first=first,
        opinions=opinions,
        fast=one.fast,
        fast_frame_ns=one.fast_frame_ns,
    )
    return made, _left_out(one.instrument.symbol, in_window, is_last, lacks_atr & in_window)


def _left_out(
    symbol: str, in_window: NDArray[np.bool_], is_last: NDArray[np.bool_], lacks_atr: NDArray[np.bool_]
) -> str:
    parts = [
        f"{count} {words}"
        for count, words in (
            (int((~in_window).sum()), "outside the window"),
            (int((is_last & in_window).sum()), "at the last bar, after which nothing is traded"),
            (int((lacks_atr & ~is_last).sum()), "in the first 14 bars, which have no ATR"),
        )
        if count
    ]
    return f"{symbol}: signals left out: {', '.join(parts)}" if parts else ""
