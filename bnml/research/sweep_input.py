"""What a sweep takes: the bars of each symbol with what is thought of them, and the records that decide."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bnml.core.errors import Misconfigured
from bnml.kernels.opinions import SCORE_COLUMNS
from bnml.kernels.records import BAR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument
    from bnml.learn.predictors import PolicyChoice


@dataclass(frozen=True, slots=True)
class SweepInput:
    """One symbol. Arrays have one row per bar; bars before `first` are history, not traded.

    `columns` are those of `kernels.opinions.SCORE_COLUMNS`; NaN in one of them is FEATURES_INCOMPLETE.

    `probabilities` is (bars, 3) and NaN where a column that the bundle declares is NaN; None = no model.
    `opinions` (kernels.records.OPINION) are given instead of columns and probabilities: then nothing is
    predicted. `fast` are bars of a shorter frame that exits are looked for in; None = in `bars` themselves.
    """

    instrument: Instrument
    instrument_record: NDArray[np.void]
    bars: NDArray[np.void]
    frame_ns: int
    first: int
    columns: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    probabilities: NDArray[np.float64] | None = None
    policy: NDArray[np.void] | None = None
    bundle_id: str = ""
    opinions: NDArray[np.void] | None = None
    fast: NDArray[np.void] | None = None
    fast_frame_ns: int = 0


@dataclass(frozen=True, slots=True)
class SweepConfig:
    """One-element records of `kernels.records` and what goes with them; see `trading.compile`.

    `limits` has one element, or one for each input. Without `risk` only sizing, `max_positions` and exposure
    are asked. An order of a scan meets the market `latency_bars` bars later, or with a fast frame
    `latency_ns` later. `choice` replaces what the inputs' policies say of the operator's choice; None = as there.
    """

    rules: NDArray[np.void]
    limits: NDArray[np.void]
    costs: NDArray[np.void]
    weights: tuple[float, float, float]
    initial_quote_e8: int
    has_rule_strategy: bool = False
    time_zone: str = "UTC"
    benchmark: str = ""
    latency_bars: int = 0
    latency_ns: int = 0
    risk: bool = True
    keep_equity: bool = True
    choice: PolicyChoice | None = None


def check(data: SweepInput) -> None:
    """Raise Misconfigured if arrays do not fit the bars or there is nothing to trade."""
    name, count = data.instrument.symbol, len(data.bars)
    if not 0 <= data.first < count - 1:
        raise Misconfigured(
            f"{name}: {count} bars with trading from bar {data.first} leave nothing to trade; "
            "choose a longer range or an earlier start"
        )
    if data.fast is not None and not 0 < data.fast_frame_ns < data.frame_ns:
        raise Misconfigured(
            f"{name}: the fast frame ({data.fast_frame_ns} ns) must be shorter than the bars'"
        )
    if data.opinions is not None:
        rows = data.opinions["bar"]
        if len(rows) and not (rows[0] >= 0 and rows[-1] < count and (rows[1:] > rows[:-1]).all()):
            raise Misconfigured(f"{name}: opinions must stand in ascending order of bars, one for a bar")
        return
    for column in SCORE_COLUMNS:
        if column not in data.columns or len(data.columns[column]) != count:
            raise Misconfigured(f"{name}: the sweep needs column {column} for each of {count} bars")
    if data.probabilities is not None and data.probabilities.shape != (count, 3):
        raise Misconfigured(f"{name}: probabilities have shape {data.probabilities.shape}, not ({count}, 3)")
    if (data.probabilities is None) != (data.policy is None):
        raise Misconfigured(f"{name}: probabilities and policy come together, from one bundle")


def in_place(data: SweepInput) -> SweepInput:
    """The same with bars that kernels can read where they are: writable, without gaps; they are never written to."""
    flags = data.bars.flags
    if flags.c_contiguous and flags.writeable and flags.aligned and data.bars.dtype == BAR:
        return data
    return replace(data, bars=np.array(data.bars, dtype=BAR))


def check_together(inputs: Sequence[SweepInput], config: SweepConfig) -> None:
    """Raise Misconfigured if the inputs cannot share a run."""
    if not inputs:
        raise Misconfigured("there is nothing to trade: name at least one symbol")
    names = [data.instrument.symbol for data in inputs]
    if len(set(names)) < len(names):
        raise Misconfigured(f"a symbol stands twice among {', '.join(names)}")
    frames = {(data.frame_ns, data.fast_frame_ns) for data in inputs}
    if len(frames) > 1:
        raise Misconfigured("all symbols must have bars of the same frames")
    if len(config.limits) not in {1, len(inputs)}:
        raise Misconfigured(f"limits are given for {len(config.limits)} of {len(inputs)} symbols")
    if config.latency_ns > 0 and any(data.fast is None for data in inputs):
        raise Misconfigured("a latency in time needs bars of a fast frame; write it in bars instead")
    if config.latency_ns > 0 and config.latency_bars > 0:
        raise Misconfigured("a latency is given in bars or in time, not both")
