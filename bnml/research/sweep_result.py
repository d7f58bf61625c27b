"""What a sweep leaves: arrays as the loop wrote them, and the engine's own outcome types made from them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bnml.core.orders import Side
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.kernels.account import EQUITY_ROW, UNASKED
from bnml.kernels.metrics import Curve
from bnml.kernels.opining import explain
from bnml.kernels.opinions import VIEW
from bnml.kernels.records import Action, ExitReason, Reason
from bnml.kernels.world import World
from bnml.research.sweep_world import mind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnml.research.sweep_input import SweepConfig, SweepInput


class SweepResult:
    """What the engine would have said of the same bars; lists of objects are made when they are asked for."""

    def __init__(
        self, inputs: Sequence[SweepInput], config: SweepConfig, world: World, parts: Sequence[slice]
    ) -> None:
        self._inputs = inputs
        self._config = config
        self._world = world
        self._parts = parts

    @cached_property
    def trade_rows(self) -> NDArray[np.void]:
        """TRADE_ROW, by time and symbol."""
        return _in_order(self._world.trades[: self._world.book["trades"]], len(self._inputs))

    @cached_property
    def final_equity_e8(self) -> int:
        """Open positions are marked at the last closes."""
        return _final_equity_e8(self._world, self._inputs)

    @property
    def walked(self) -> int:
        """Bars whose prints were looked at one by one."""
        return int(self._world.book["walked"])

    @property
    def fallbacks(self) -> int:
        """Of these, bars that lacked a stretch of the fast frame."""
        return int(self._world.book["fallbacks"])

    @property
    def curve(self) -> Curve:
        """Equity, times and what is free at each scan, as the figures are read from."""
        changes = self._world.changes[: self._world.book["changes"]]
        if len(self._inputs) > 1:
            return Curve(self._world.scan_ns[: self._world.book["scans"]], 0, self.equity_e8, changes)
        (data,) = self._inputs
        return Curve(data.bars["ts_open_ns"][data.first : -1], data.frame_ns, self.equity_e8, changes)

    @property
    def equity_e8(self) -> NDArray[np.int64]:
        """Equity at each scan; empty where it was not kept."""
        return self._world.equity_e8[: self._world.book["scans"]]

    @cached_property
    def equity_ts_ns(self) -> NDArray[np.int64]:
        """Closing time of each scan."""
        curve = self.curve
        return curve.ts_ns + curve.lag_ns

    @cached_property
    def equity_rows(self) -> NDArray[np.void]:
        """EQUITY_ROW for each scan."""
        rows = np.empty(len(self.equity_e8), dtype=EQUITY_ROW)
        changes = self._world.changes[: self._world.book["changes"]]
        counts = np.diff(np.append(changes["scan"], len(rows)))
        rows["ts_ns"], rows["equity_e8"] = self.equity_ts_ns, self.equity_e8
        for name in ("free_quote_e8", "positions"):
            rows[name] = np.repeat(changes[name], counts)
        return rows

    @cached_property
    def trades(self) -> list[Trade]:
        return _trades(self.trade_rows, self._inputs)

    @cached_property
    def decisions(self) -> list[Decision]:
        found = [one for number in range(len(self._inputs)) for one in self._decisions_of(number)]
        return sorted(found, key=lambda one: (one.ts_close_ns, one.symbol))

    @cached_property
    def equity(self) -> list[EquityPoint]:
        return [EquityPoint(*point) for point in self.equity_rows.tolist()]

    @cached_property
    def open_at_end(self) -> list[Trade]:
        """What is still held, marked at the last close, as rows that no fill made."""
        return [
            _marked(slot, data)
            for slot, data in zip(self._world.slots, self._inputs, strict=True)
            if slot["is_open"] and slot["lots"].any()
        ]

    def _decisions_of(self, number: int) -> list[Decision]:
        data, world, lane = self._inputs[number], self._world, self._world.lanes[number]
        part = self._parts[number]
        opinions, answers = world.opinions[part], world.answers[part]
        if data.opinions is None:
            views, bars = _explained(data, self._config), np.arange(data.first, len(data.bars) - 1)
            at = opinions["bar"] - data.first
        else:
            views, bars, at = _given(opinions), opinions["bar"], np.arange(len(opinions))
        lots = np.zeros(len(bars), dtype=np.int64)
        asked = (opinions["action"] == Action.BUY) & (answers["reason"] != UNASKED)
        for name in ("reason", "measured", "limit"):
            views[name][at[asked]] = answers[name][asked]
        lots[at[asked]] = answers["quantity_lots"][asked]
        decided = (bars >= data.first) & (bars < len(data.bars) - 1)
        if len(world.late):
            decided &= world.late[lane["start"] + bars] == 0
        return _decisions(views[decided], bars[decided], lots[decided], data)


def _final_equity_e8(world: World, inputs: Sequence[SweepInput]) -> int:
    held = zip(world.slots, inputs, strict=True)
    return int(world.book["cash_e8"]) + sum(
        data.instrument.notional_e8(int(data.bars[-1]["close"]), sum(slot["lots"].tolist()))
        for slot, data in held
        if slot["is_open"]
    )


def _in_order(rows: NDArray[np.void], symbols: int) -> NDArray[np.void]:
    if symbols == 1:
        return rows
    return rows[np.lexsort((rows["symbol"], rows["ts_ns"]))]


def _explained(data: SweepInput, config: SweepConfig) -> NDArray[np.void]:
    """VIEW of each bar that may be scanned."""
    views = np.empty(len(data.bars) - 1 - data.first, dtype=VIEW)
    explain(mind_of(data, config), data.first, len(data.bars) - 1, views)
    return views


def _given(opinions: NDArray[np.void]) -> NDArray[np.void]:
    """VIEW of bars on which an opinion was given."""
    views = np.zeros(len(opinions), dtype=VIEW)
    for name in ("action", "score", "confidence", "expected_edge_ppm"):
        views[name] = opinions[name]
    views["reason"] = np.where(opinions["action"] == Action.BUY, Reason.NONE, Reason.POLICY)
    return views


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


def _decisions(
    views: NDArray[np.void], bars: NDArray[np.int64], lots: NDArray[np.int64], data: SweepInput
) -> list[Decision]:
    symbol, closes = data.instrument.symbol, (data.bars["ts_open_ns"][bars] + data.frame_ns).tolist()
    shown = ["action", "reason", "measured", "limit", "score", "confidence", "p_sell", "p_hold", "p_buy"]
    rows = views[shown].tolist()
    made = []
    for close, row, quantity in zip(closes, rows, lots.tolist(), strict=True):
        action, reason, measured, limit, score, confident, p_sell, p_hold, p_buy = row
        made.append(
            Decision(
                symbol,
                close,
                action,
                reason,
                measured,
                limit,
                quantity,
                score,
                confident,
                p_sell,
                p_hold,
                p_buy,
                data.bundle_id,
            )
        )
    return made


def _marked(slot: np.void, data: SweepInput) -> Trade:
    """What is still held, valued at the last close, as a row that no fill made."""
    lots, close = int(slot["lots"].sum()), int(data.bars[-1]["close"])
    value_e8 = data.instrument.notional_e8(close, lots)
    return Trade(
        data.instrument.symbol,
        int(data.bars[-1]["ts_open_ns"]) + data.frame_ns,
        Side.SELL,
        0,
        lots,
        close,
        0,
        data.instrument.quote,
        int(ExitReason.END_OF_DATA),
        value_e8 - int(slot["cost_e8"][slot["lots"] > 0].sum()),
        "",
    )
