"""Inputs of a sweep cut to a stretch of time, and named by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import format_utc
from bnml.core.errors import Misconfigured
from bnml.research.ledger import DataRange
from bnml.research.sweep import SweepConfig, SweepInput

FEWEST_BARS = 2


def data_range(inputs: Sequence[SweepInput]) -> DataRange:
    """Symbols, frame and traded time of inputs that share a frame."""
    return DataRange(
        tuple(sorted(one.instrument.symbol for one in inputs)),
        inputs[0].frame_ns,
        min(int(one.bars["ts_open_ns"][one.first]) for one in inputs),
        max(int(one.bars["ts_open_ns"][-1]) for one in inputs) + inputs[0].frame_ns,
    )


def cut(inputs: Iterable[SweepInput], from_ns: int, to_ns: int) -> tuple[SweepInput, ...]:
    """The inputs as they were at `to_ns`, traded from `from_ns` on; symbols without bars to trade are left out.

    A signal of the last bar is dropped with what comes after it: nothing can act on it any more.
    """
    made = []
    for one in inputs:
        opens = one.bars["ts_open_ns"]
        first = max(one.first, int(np.searchsorted(opens, from_ns)))
        end = int(np.searchsorted(opens, to_ns))
        if end - first >= FEWEST_BARS:
            made.append(_cut(one, first, end))
    if not made:
        raise Misconfigured(
            f"there are no two bars to trade from {format_utc(from_ns)} to {format_utc(to_ns)}; "
            "take more data, or another --sealed"
        )
    return tuple(made)


def _cut(one: SweepInput, first: int, end: int) -> SweepInput:
    close_ns = int(one.bars["ts_open_ns"][end - 1]) + one.frame_ns
    opinions, fast = one.opinions, one.fast
    if opinions is not None:
        opinions = opinions[(opinions["bar"] >= first) & (opinions["bar"] < end - 1)]
    if fast is not None:
        fast = fast[: int(np.searchsorted(fast["ts_open_ns"], close_ns))]
    return replace(
        one,
        bars=one.bars[:end],
        first=first,
        columns={name: values[:end] for name, values in one.columns.items()},
        probabilities=None if one.probabilities is None else one.probabilities[:end],
        opinions=opinions,
        fast=fast,
    )


def hash_inputs(inputs: Iterable[SweepInput]) -> str:
    """Equal for equal bars, fast bars, opinions, probabilities, columns and filters."""
    digest = hashlib.sha256()
    for one in inputs:
        digest.update(f"{one.instrument.symbol} {one.frame_ns} {one.first} {one.fast_frame_ns}".encode())
        digest.update(one.bundle_id.encode())
        arrays = [one.instrument_record, one.bars, one.fast, one.opinions, one.probabilities, one.policy]
        for array in (*arrays, *(one.columns[name] for name in sorted(one.columns))):
            _add(digest, array)
    return digest.hexdigest()[:16]


def hash_config(config: SweepConfig, *more: str) -> str:
    """Equal for equal rules, limits, costs and what goes with them; `more` are words that decide beside them."""
    digest = hashlib.sha256()
    for record in (config.rules, config.limits, config.costs):
        _add(digest, record)
    rest = (
        config.weights,
        config.initial_quote_e8,
        config.has_rule_strategy,
        config.time_zone,
        config.benchmark,
        config.latency_bars,
        config.latency_ns,
        config.risk,
        *more,
    )
    digest.update(repr(rest).encode())
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, array: NDArray[np.generic] | NDArray[np.void] | None) -> None:
    if array is None:
        digest.update(b"-")
    else:
        digest.update(f"{array.dtype.descr} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
