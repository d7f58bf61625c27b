"""Joins the arrays of all symbols and the books of a run into what the backtest loop takes."""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from bnml.core.clock import NS_PER_DAY, day_number
from bnml.kernels.account import ANSWER, BOOK, CHANGE, LANE, SLOT, TRADE_ROW, UNASKED
from bnml.kernels.alone import Alone, run_alone
from bnml.kernels.borrowed import address_of
from bnml.kernels.candidates import Risk
from bnml.kernels.chorus import new_chorus
from bnml.kernels.exits import NEVER
from bnml.kernels.looking_back import REGIME, Past
from bnml.kernels.mood import BLOCK, MIN_VOICES, SUMS, VOICE
from bnml.kernels.opining import Mind, Terms, opine, speak
from bnml.kernels.opinions import SCORE_COLUMNS, Model
from bnml.kernels.portfolio import run
from bnml.kernels.records import (
    BAR,
    BREAKERS,
    COSTS,
    FACTS,
    INSTRUMENT,
    LIMITS,
    OPINION,
    POLICY,
    RULES,
    record,
)
from bnml.kernels.regime import DRIFT_BASELINE, DRIFT_RECENT, VOLATILITY_BARS
from bnml.kernels.world import DONE, ROWS_PER_SYMBOL, World

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from bnml.research.sweep_input import SweepConfig, SweepInput
    from bnml.research.thoughts import Thoughts

Scalar = TypeVar("Scalar", bound=np.generic)

OPINIONS_AT_FIRST, BARS_PER_OPINION = 1024, 16
BOUNDARIES_AT_FIRST = 64
"""Room for the rows of so many boundaries at which everything happens; outputs grow from there."""
SCANS_PER_ROW = 8
"""Room for one row in so many scans, and for one of each opinion: what is never written takes no memory, while
to enlarge the outputs takes time, and so does fresh memory for equity that is not the smaller block of the two."""
CALENDAR_STEP_NS = NS_PER_DAY // 96
"""Zones change their offset at multiples of a quarter of an hour."""
_LANE_FIELDS = LANE.names or ()
_NO_PROBABILITIES = np.zeros((0, 3))


def make_world(
    inputs: Sequence[SweepInput], limits: NDArray[np.void], config: SweepConfig, thoughts: Thoughts
) -> tuple[World, list[slice]]:
    """A world before its first bar, and where each symbol's opinions stand in it."""
    made = [_opinions(data, config, thoughts) for data in inputs]
    opinions = _joined(made, OPINION)
    ends = list(accumulate(map(len, made)))
    parts = [slice(end - len(one), end) for one, end in zip(made, ends, strict=True)]
    is_one = len(inputs) == 1
    scans = max(len(data.bars) - data.first - 1 for data in inputs)
    answers = np.zeros(len(opinions), dtype=ANSWER)
    answers["reason"] = UNASKED
    bars = sum(len(data.bars) for data in inputs)
    book = record(BOOK)
    book["cash_e8"] = config.initial_quote_e8
    rows = max(BOUNDARIES_AT_FIRST * ROWS_PER_SYMBOL * len(inputs), len(opinions), scans // SCANS_PER_ROW)
    book["next_ns"] = min(int(data.bars["ts_open_ns"][data.first]) for data in inputs)
    world = World(
        bars=inputs[0].bars,
        fast=_joined([data.fast for data in inputs if data.fast is not None], BAR),
        opinions=opinions,
        lanes=_lanes(inputs, opinions, parts),
        slots=np.zeros(len(inputs), dtype=SLOT),
        instruments=_joined([data.instrument_record for data in inputs], INSTRUMENT),
        limits=_joined([limits], LIMITS),
        book=book[0],
        facts=record(FACTS)[0],
        costs=_joined([config.costs], COSTS)[0],
        rules=_joined([config.rules], RULES)[0],
        order=np.zeros(len(inputs), dtype=np.int64),
        held=np.zeros(len(inputs), dtype=np.int64),
        queue=np.zeros(len(inputs), dtype=np.int64),
        answers=answers,
        trades=np.empty(rows, dtype=TRADE_ROW),
        equity_e8=np.empty(scans if config.keep_equity else 0, dtype=np.int64),
        scan_ns=_times(np.empty(0, dtype=np.int64), 0 if is_one else scans),
        changes=np.empty(rows, dtype=CHANGE),
        origin=np.zeros(len(inputs), dtype=np.int64),
        wake=np.zeros(len(inputs), dtype=np.int64),
        late=np.zeros(0 if is_one else bars, dtype=np.uint8),
        frame_ns=inputs[0].frame_ns,
        fast_frame_ns=inputs[0].fast_frame_ns,
        latency_bars=config.latency_bars,
        latency_ns=config.latency_ns,
    )
    return world, parts


def with_more_room(world: World) -> World:
    """The same world with outputs of twice the length."""
    is_one = len(world.lanes) == 1
    return world._replace(
        trades=_twice(world.trades),
        changes=_twice(world.changes),
        equity_e8=world.equity_e8 if is_one else _twice(world.equity_e8),
        scan_ns=_times(world.scan_ns, 2 * len(world.scan_ns)),
    )


def run_world(world: World, risk: Risk | None) -> World:
    """Go through all bars; returns the world, whose outputs may have grown on the way."""
    is_one = len(world.lanes) == 1
    while (_run_one(world, risk) if is_one else run(world, risk)) != DONE:
        world = with_more_room(world)
    return world


def _run_one(world: World, risk: Risk | None) -> int:
    one = Alone(
        world.slots,
        _array_of(world.book),
        world.instruments,
        _array_of(world.costs),
        _array_of(world.rules),
        world.limits,
        _array_of(world.facts),
        world.lanes,
        world.trades,
        world.bars,
        world.fast,
        world.opinions,
        world.answers,
        world.equity_e8,
        world.changes,
        world.frame_ns,
        world.fast_frame_ns,
        world.latency_bars,
        world.latency_ns,
    )
    return run_alone(one, risk)


def _array_of(record: np.void) -> NDArray[np.void]:
    """The array of one that a record was taken from."""
    array = cast("NDArray[np.void]", record.base)  # None, say the types of numpy, which think of numbers
    if len(array) != 1:
        raise ValueError(f"a record of an array of {len(array)} stands for no array of one")
    return array


def make_risk(inputs: Sequence[SweepInput], world: World, config: SweepConfig, thoughts: Thoughts) -> Risk:
    """Memory of the account, market of the benchmark and calendar of the day roll, before the first scan."""
    names = [data.instrument.symbol for data in inputs]
    benchmark = names.index(config.benchmark) if config.benchmark in names else 0
    data = inputs[benchmark]
    first_ns = min(int(one.bars["ts_open_ns"][one.first]) for one in inputs)
    last_ns = max(int(one.bars["ts_open_ns"][-1]) for one in inputs) + world.frame_ns
    days_from_ns, days = _calendar(first_ns, last_ns, config.time_zone)
    atr_ratios = data.columns.get("atr_ratio_14", np.zeros(0))
    base_ns = first_ns + world.frame_ns
    listens = float(world.limits["mood_smoothing"][0]) > 0.0
    key = ("crowds", listens, *_mind_key(config), config.costs.tobytes())
    crowds, late_bars, late_voices = thoughts.of(
        key, lambda: _crowds(inputs, world, config, base_ns, last_ns)
    )
    past = Past(
        returns=np.zeros(int(world.lanes["end"][-1])),
        atr_ratios=np.ascontiguousarray(atr_ratios),
        regime=record(REGIME)[0],
        recent=np.empty(DRIFT_RECENT),
        baseline=np.empty(DRIFT_BASELINE),
        atr_sorted=np.empty(VOLATILITY_BARS),
        frame_ns=world.frame_ns,
    )
    return Risk(
        breakers=record(BREAKERS)[0],
        lanes=world.lanes,
        slots=world.slots,
        benchmark=benchmark,
        past=past,
        crowds=crowds,
        base_ns=base_ns,
        late_bars=late_bars,
        late_voices=late_voices,
        crowd=np.empty(SUMS),
        day_from_ns=days_from_ns,
        day_numbers=days,
    )


def _crowds(
    inputs: Sequence[SweepInput], world: World, config: SweepConfig, base_ns: int, last_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.void]]:
    """What is thought in each scan, added up by name; bars and voices of those that may be scanned later.

    Nothing where nobody listens or too few can speak.
    """
    listens = float(world.limits["mood_smoothing"][0]) > 0.0
    if not listens or len(inputs) < MIN_VOICES or any(data.opinions is not None for data in inputs):
        return np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=VOICE)
    scans = (last_ns - base_ns) // world.frame_ns + 2
    crowds = np.zeros(-(-scans // BLOCK) * SUMS * BLOCK)
    bars, voices, chorus = [], [], new_chorus()
    for number, (data, lane) in enumerate(zip(inputs, world.lanes, strict=True)):
        count = _late_count(data, base_ns)
        late_bars, late_voices = np.empty(count, dtype=np.int64), np.empty(count, dtype=VOICE)
        terms = Terms(world.instruments[number], world.costs, base_ns, world.frame_ns)
        mind = mind_of(data, config)
        speak(
            mind,
            data.bars,
            terms,
            data.first,
            len(data.bars) - 1,
            crowds,
            chorus,
            late_bars,
            late_voices,
        )
        bars.append(late_bars + int(lane["start"]))
        voices.append(late_voices)
    return crowds, np.concatenate(bars), np.concatenate(voices)


def _late_count(data: SweepInput, base_ns: int) -> int:
    """How many traded bars are not followed at once by the next, or are off the frames."""
    opens_ns = data.bars["ts_open_ns"][data.first :]
    span_ns, off_ns = int(opens_ns[-1] - opens_ns[0]), int(opens_ns[0] - base_ns) % data.frame_ns
    if span_ns == (len(opens_ns) - 1) * data.frame_ns and off_ns == 0:
        return 0
    late = (np.diff(opens_ns) != data.frame_ns) | ((opens_ns[:-1] - base_ns) % data.frame_ns != 0)
    return int(np.count_nonzero(late))


def mind_of(data: SweepInput, config: SweepConfig) -> Mind:
    """What opinions on one symbol are made of."""
    has_bundle = data.probabilities is not None
    without = Model.RULE if config.has_rule_strategy else Model.NONE
    policy = record(POLICY) if data.policy is None else data.policy.copy()
    if config.choice is not None:
        for name in config.choice.__struct_fields__:
            policy[name] = getattr(config.choice, name)
    return Mind(
        int(Model.BUNDLE if has_bundle else without),
        policy[0],
        config.weights,
        np.ascontiguousarray(_NO_PROBABILITIES if data.probabilities is None else data.probabilities),
        *(np.ascontiguousarray(data.columns[name]) for name in SCORE_COLUMNS),
    )


def _mind_key(config: SweepConfig) -> tuple[Hashable, ...]:
    """All of a configuration that `mind_of` heeds."""
    return config.choice, config.weights, config.has_rule_strategy


def _opinions(data: SweepInput, config: SweepConfig, thoughts: Thoughts) -> NDArray[np.void]:
    if data.opinions is not None:
        return opinions_of(data, config)
    key = ("opinions", data.instrument.symbol, *_mind_key(config), bool(config.rules["exit_on_sell"][0]))
    return thoughts.of(key, lambda: (opinions_of(data, config),))[0]


def opinions_of(data: SweepInput, config: SweepConfig) -> NDArray[np.void]:
    """OPINIONs on one symbol's bars: as given, or those of model and policy."""
    if data.opinions is not None:
        return np.ascontiguousarray(data.opinions)
    mind, with_sells = mind_of(data, config), bool(config.rules["exit_on_sell"][0])
    count, at, end = 0, data.first, len(data.bars) - 1
    out = np.empty(max(OPINIONS_AT_FIRST, (end - at) // BARS_PER_OPINION), dtype=OPINION)
    while True:
        written, at = opine(mind, at, end, with_sells, out[count:])
        count += written
        if at == end:
            return out[:count]
        out = _twice(out)


def _lanes(
    inputs: Sequence[SweepInput], opinions: NDArray[np.void], parts: Sequence[slice]
) -> NDArray[np.void]:
    lanes, end, fast_end = np.zeros(len(inputs), dtype=LANE), 0, 0
    for number, (data, part) in enumerate(zip(inputs, parts, strict=True)):
        times_ns = data.bars["ts_open_ns"]
        start, end = end, end + len(data.bars)
        fast, fast_end = fast_end, fast_end + (0 if data.fast is None else len(data.fast))
        first, next_ns = start + data.first, int(times_ns[data.first])
        span_ns = int(times_ns[-1]) - next_ns
        has_opinions = part.start < part.stop
        lane = {
            "start": start,
            "first": first,
            "end": end,
            "bar": first - 1,
            "next_ns": next_ns,
            "is_regular": int(span_ns == (end - 1 - first) * data.frame_ns),
            "opinion": part.start,
            "sell": part.start,
            "opinions_start": part.start,
            "opinions_end": part.stop,
            "opinion_bar": start + int(opinions["bar"][part.start]) if has_opinions else NEVER,
            "fast": fast,
            "fast_end": fast_end,
            "bars_at": address_of(data.bars, start),
        }
        lanes[number] = tuple(map(lane.get, _LANE_FIELDS, repeat(0)))
    return lanes


@lru_cache(maxsize=8)
def _calendar(first_ns: int, last_ns: int, zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From when on each calendar day holds in the zone, and its number."""
    step_ns = NS_PER_DAY if zone == "UTC" else CALENDAR_STEP_NS
    starts = np.arange(first_ns // step_ns * step_ns, last_ns + step_ns, step_ns)
    days = np.array([day_number(int(ts_ns), zone) for ts_ns in starts], dtype=np.int64)
    changed = np.flatnonzero(np.diff(days, prepend=days[0] - 1))
    return starts[changed], days[changed]


def _joined(arrays: Sequence[NDArray[np.void]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """One contiguous, writable array: kernels are compiled for no other; a copy only where it is needed."""
    if len(arrays) == 1:
        one = arrays[0]
        if one.dtype is not dtype:
            return np.require(one, dtype, ["C", "W", "A"])
        return one if one.flags.carray else one.copy()
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)


def _times(known: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Room for so many times, in steps like those of bars: kernels are compiled for no other layout."""
    made = np.empty((length, 2), dtype=np.int64)[:, 0]
    made[: len(known)] = known
    return made


def _twice(rows: NDArray[Scalar]) -> NDArray[Scalar]:
    return np.concatenate([rows, np.empty_like(rows)])
