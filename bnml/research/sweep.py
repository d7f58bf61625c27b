"""The kernel loop for one symbol as a Python call: arrays in, the engine's own outcome types out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bnml.core.clock import NS_PER_DAY, day_number
from bnml.core.errors import Misconfigured
from bnml.core.orders import Side
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.kernels.account import DECISION_ROW, EQUITY_ROW, TRADE_ROW, new_state
from bnml.kernels.backtest import ROWS_PER_SCAN, Rows, Settings, run_symbol
from bnml.kernels.candidates import MODEL_BUNDLE, MODEL_NONE, MODEL_RULE, SIGNAL, new_tape
from bnml.kernels.records import BREAKERS, FACTS, POLICY, ExitReason, Reason, record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bnml.core.instrument import Instrument

SWEEP_COLUMNS = (
    "rsi_14",
    "macd_histogram",
    "bollinger_b",
    "roc_4",
    "roc_16",
    "volume_ratio_20",
    "atr_ratio_14",
)
"""Feature columns that scores, stops and breakers read; NaN in one of them is FEATURES_INCOMPLETE."""

_NO_OPINION = (int(Reason.NO_MODEL), int(Reason.FEATURES_INCOMPLETE))


@dataclass(frozen=True, slots=True)
class SweepInput:
    """One symbol. Arrays have one row per bar; bars before `first` are history, not traded.

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
    `latency_ns` later.
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


class SweepResult:
    """What the engine would have said of the same bars; lists of objects are made when they are asked for."""

    def __init__(
        self,
        inputs: Sequence[SweepInput],
        trade_rows: NDArray[np.void],
        decision_rows: NDArray[np.void],
        equity_rows: NDArray[np.void],
        final_equity_e8: int,
        open_at_end: list[Trade],
    ) -> None:
        self._inputs = tuple(inputs)
        self.trade_rows = trade_rows
        self._decision_rows = decision_rows
        self.equity_rows = equity_rows
        self.final_equity_e8 = final_equity_e8
        self.open_at_end = open_at_end
        """Marked to market at the last close, not sold."""

    @cached_property
    def trades(self) -> list[Trade]:
        return _trades(self.trade_rows, self._inputs)

    @cached_property
    def decisions(self) -> list[Decision]:
        return _decisions(self._decision_rows, self._inputs[0])

    @cached_property
    def equity(self) -> list[EquityPoint]:
        return [EquityPoint(*point) for point in self.equity_rows.tolist()]


def sweep(inputs: Sequence[SweepInput], config: SweepConfig) -> SweepResult:
    """Trade the inputs on one capital, each from its bar `first` to the end.

    Raises Misconfigured if arrays do not fit the bars or there is nothing to trade.
    """
    (data,) = inputs
    _check(data)
    state = new_state(config.initial_quote_e8)
    scans = len(data.bars) - data.first - 1
    rows = Rows(
        np.empty(scans * ROWS_PER_SCAN, dtype=TRADE_ROW),
        np.empty(scans, dtype=DECISION_ROW),
        np.empty(scans, dtype=EQUITY_ROW),
    )
    tape = new_tape(data.bars, _signals(data, config))
    final_e8 = run_symbol(
        state, record(BREAKERS), record(FACTS), _settings(data, config), tape, rows, data.first
    )
    return SweepResult(
        inputs,
        rows.trades[: state["trades"][0]].copy(),
        rows.decisions,
        rows.equity,
        int(final_e8),
        _open_at_end(state, data),
    )


def _check(data: SweepInput) -> None:
    count = len(data.bars)
    if not 0 <= data.first < count - 1:
        raise Misconfigured(
            f"{data.instrument.symbol}: {count} bars with trading from bar {data.first} leave nothing to trade; "
            "choose a longer range or an earlier start"
        )
    for name in SWEEP_COLUMNS:
        if name not in data.columns or len(data.columns[name]) != count:
            raise Misconfigured(
                f"{data.instrument.symbol}: the sweep needs column {name} for each of {count} bars"
            )
    if data.probabilities is not None and data.probabilities.shape != (count, 3):
        raise Misconfigured(
            f"{data.instrument.symbol}: probabilities have shape {data.probabilities.shape}, not ({count}, 3)"
        )
    if (data.probabilities is None) != (data.policy is None):
        raise Misconfigured(
            f"{data.instrument.symbol}: probabilities and policy come together, from one bundle"
        )


def _days(data: SweepInput, config: SweepConfig) -> NDArray[np.int64]:
    """Calendar day number of each closing time, in the zone in which days roll."""
    ts_close_ns = data.bars["ts_open_ns"] + data.frame_ns
    if config.time_zone == "UTC":
        return ts_close_ns // NS_PER_DAY
    return np.array([day_number(int(ts), config.time_zone) for ts in ts_close_ns], dtype=np.int64)


def _signals(data: SweepInput, config: SweepConfig) -> NDArray[np.void]:
    signals = np.empty(len(data.bars), dtype=SIGNAL)
    signals["day"] = _days(data, config)
    signals["probabilities"] = np.nan if data.probabilities is None else data.probabilities
    for name in SWEEP_COLUMNS:
        signals[name] = data.columns[name]
    return signals


def _settings(data: SweepInput, config: SweepConfig) -> Settings:
    model = (
        MODEL_BUNDLE
        if data.probabilities is not None
        else MODEL_RULE
        if config.has_rule_strategy
        else MODEL_NONE
    )
    return Settings(
        data.instrument_record.copy(),  # kernels compile once, for writable arrays
        config.costs.copy(),
        config.rules.copy(),
        config.limits.copy(),
        record(POLICY) if data.policy is None else data.policy.copy(),
        *config.weights,
        data.frame_ns,
        model,
    )


def _trades(rows: NDArray[np.void], inputs: Sequence[SweepInput]) -> list[Trade]:
    made = []
    for ts_ns, is_buy, tranche, lots, price, commission_e8, reason, pnl_e8, symbol in rows.tolist():
        instrument = inputs[symbol].instrument
        side, asset = (Side.BUY, instrument.base) if is_buy else (Side.SELL, instrument.quote)
        made.append(
            Trade(
                instrument.symbol, ts_ns, side, tranche, lots, price, commission_e8, asset, reason, pnl_e8, ""
            )
        )
    return made


def _decisions(rows: NDArray[np.void], data: SweepInput) -> list[Decision]:
    symbol, closes = data.instrument.symbol, data.bars["ts_open_ns"] + data.frame_ns
    decisions = []
    for bar, action, reason, measured, limit, lots, score, confidence in rows.tolist():
        p_sell, p_hold, p_buy = 0.0, 0.0, 0.0
        if data.probabilities is not None and reason not in _NO_OPINION:
            p_sell, p_hold, p_buy = data.probabilities[bar].tolist()
        decisions.append(
            Decision(
                symbol,
                int(closes[bar]),
                action,
                reason,
                measured,
                limit,
                lots,
                score,
                confidence,
                p_sell,
                p_hold,
                p_buy,
                data.bundle_id,
            )
        )
    return decisions


def _open_at_end(state: NDArray[np.void], data: SweepInput) -> list[Trade]:
    """What is still held, valued at the last close, as a row that no fill made."""
    lots = int(state["lots"].sum())
    if lots == 0:
        return []
    close = int(data.bars[-1]["close"])
    value_e8 = data.instrument.notional_e8(close, lots)
    return [
        Trade(
            data.instrument.symbol,
            int(data.bars[-1]["ts_open_ns"]) + data.frame_ns,
            Side.SELL,
            0,
            lots,
            close,
            0,
            data.instrument.quote,
            int(ExitReason.END_OF_DATA),
            value_e8 - int(state["cost_e8"][state["lots"] > 0].sum()),
            "",
        )
    ]
