"""The same bars traded again: with other costs, by another fill tier, or entered at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.config import Settings
from bnml.core.outcomes import Trade
from bnml.kernels.exits import atr_ticks, initial_stop
from bnml.kernels.records import LIMITS, POLICY, DecisionRule, record
from bnml.research.market import Market
from bnml.research.models import Models
from bnml.research.runs import OFFLINE_IDS, feature_rows, initial_quote_e8, sweep_config, sweep_input
from bnml.research.sweep import SweepInput, SweepResult, sweep
from bnml.trading.compile import compile_engine

SIZING = (
    "active_ppm",
    "max_quote_e8",
    "risk_per_trade_ppm",
    "max_position_ppm",
    "max_exposure_ppm",
    "max_positions",
)
"""Limits that random entries keep: how much is bought, not when."""
_UNBOUND = 10**9


class Rerun(msgspec.Struct, frozen=True):
    """One run: profit or loss (1e-8 quote) of the account at each moment asked for, and what was run."""

    pnl_e8: NDArray[np.int64]
    final_pnl_e8: int
    result: SweepResult

    @property
    def trades(self) -> list[Trade]:
        """Fills, by time and symbol."""
        return self.result.trades


class Reruns:
    """Runs over one market by sweep, on one capital; features are computed once."""

    def __init__(self, settings: Settings, market: Market, models: Models) -> None:
        self.config = compile_engine(settings, OFFLINE_IDS)
        self.market = market
        self._models = models
        self._quote_e8 = initial_quote_e8(settings)
        self._rows = {name: feature_rows(self.config, market, name) for name in market.symbols}

    def initial_risk(self, symbol: str, entry_ns: int) -> int:
        """Ticks between the close that decided an entry and the initial stop; 0 where it is not known."""
        bars = self.market.bars[symbol]
        at = int(np.searchsorted(bars["ts_open_ns"], entry_ns)) - 1
        ratio = (
            float(self._rows[symbol][at, self.config.layout.column("atr_ratio_14")]) if at >= 0 else np.nan
        )
        if np.isnan(ratio):
            return 0
        close = int(bars[at]["close"])
        stop, _ = initial_stop(close, atr_ticks(ratio, close), self.config.rules[0])
        return close - int(stop)

    def again(
        self, costs: NDArray[np.void], ts_ns: NDArray[np.int64], *, spread_factor: float = 1.0
    ) -> Rerun:
        """The models' own decisions with other costs.

        With a wider spread the limit on it is as much wider, so that the same entries are asked for.
        """
        return self._run(self._inputs, costs, ts_ns, lambda limits: _widened(limits, spread_factor))

    def at_random(
        self, entries: Mapping[str, int], draw: np.random.Generator, ts_ns: NDArray[np.int64]
    ) -> Rerun:
        """As many entries in each symbol, at bars drawn without regard to anything; exits and sizes as ever.

        An entry drawn while a position is open is not taken, so there may be a few less.
        """
        inputs = {}
        for name, data in self._bare.items():
            last = len(data.bars) - 1
            probabilities = np.tile([0.0, 1.0, 0.0], (len(data.bars), 1))
            count = min(entries.get(name, 0), last - data.first)
            probabilities[draw.choice(np.arange(data.first, last), count, replace=False)] = (0.0, 0.0, 1.0)
            inputs[name] = replace(data, probabilities=probabilities, policy=_heeding())
        return self._run(inputs, self.config.costs, ts_ns, _freed)

    @cached_property
    def _inputs(self) -> dict[str, SweepInput]:
        return {
            name: sweep_input(self.config, self.market, name, rows, self._models.predictor(name))
            for name, rows in self._rows.items()
        }

    @cached_property
    def _bare(self) -> dict[str, SweepInput]:
        return {
            name: sweep_input(self.config, self.market, name, rows, None) for name, rows in self._rows.items()
        }

    def _run(
        self,
        inputs: Mapping[str, SweepInput],
        costs: NDArray[np.void],
        ts_ns: NDArray[np.int64],
        limited: Callable[[NDArray[np.void]], NDArray[np.void]],
    ) -> Rerun:
        chosen = sweep_config(self.config, tuple(inputs), self._quote_e8)
        result = sweep(tuple(inputs.values()), replace(chosen, costs=costs, limits=limited(chosen.limits)))
        times = np.append(result.equity_ts_ns, self.market.end_ns)
        marks = np.concatenate(([self._quote_e8], result.equity_e8, [result.final_equity_e8]))
        at = np.searchsorted(times, ts_ns, side="right")
        return Rerun(marks[at] - self._quote_e8, result.final_equity_e8 - self._quote_e8, result)


def _heeding() -> NDArray[np.void]:
    """A policy that does what the largest probability says."""
    policy = record(POLICY)
    policy["rule"] = int(DecisionRule.ABSOLUTE)
    policy["min_buy"] = policy["min_sell"] = 0.5
    return policy


def _widened(limits: NDArray[np.void], factor: float) -> NDArray[np.void]:
    wide = limits.copy()
    wide["max_spread_ppm"] = np.rint(limits["max_spread_ppm"] * factor)
    return wide


def _freed(limits: NDArray[np.void]) -> NDArray[np.void]:
    """Limits without opinions, breakers and filters; sizes and shares of capital stay."""
    freed = np.zeros(len(limits), dtype=LIMITS)
    for name in ("top_n", "max_spread_ppm", "max_correlation", "max_daily_loss_ppm", "max_drawdown_ppm"):
        freed[name] = _UNBOUND
    for name in ("max_losses_in_row", "max_volatility_ratio", "drift_ks", "drift_volatility_ratio"):
        freed[name] = _UNBOUND
    for name in ("daily_budget_ppm", "weekly_budget_ppm"):
        freed[name] = _UNBOUND
    freed["min_expected_edge_ppm"] = -_UNBOUND
    for name in SIZING:
        freed[name] = limits[name]
    return freed


def sampled(
    reruns: Reruns, entries: Mapping[str, int], ts_ns: NDArray[np.int64], runs: int, seed: int
) -> list[Rerun]:
    """`runs` runs with random entries, the same for the same seed."""
    draw = np.random.default_rng(seed)
    return [reruns.at_random(entries, draw, ts_ns) for _ in range(runs)]


def quantiles(curves: Sequence[NDArray[np.int64]], shares: Sequence[float]) -> NDArray[np.float64]:
    """At each moment, the values below which these shares of the runs lie; shape (shares, moments)."""
    return np.asarray(np.quantile(np.array(curves, dtype=np.float64), shares, axis=0))
