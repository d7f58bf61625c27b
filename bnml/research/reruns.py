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
from bnml.kernels.records import OPINION, Action
from bnml.research.market import Market
from bnml.research.models import Models
from bnml.research.runs import OFFLINE_IDS, feature_rows, initial_quote_e8, sweep_config, sweep_input
from bnml.research.sweep import SweepConfig, SweepInput, SweepResult, sweep
from bnml.trading.compile import compile_engine


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
    """Runs over one market by sweep, on one capital.

    `bare` are the inputs of each symbol without any opinion, with the column `atr_ratio_14` where a rule
    asks for it; `full` makes those with the opinions of the run, when they are first needed.
    """

    def __init__(
        self,
        market: Market,
        config: SweepConfig,
        bare: Mapping[str, SweepInput],
        full: Callable[[], Sequence[SweepInput]],
    ) -> None:
        self.market = market
        self.config = config
        self._bare = bare
        self._full = full

    def initial_risk(self, symbol: str, entry_ns: int) -> int:
        """Ticks between the close that decided an entry and the initial stop; 0 where there is none."""
        bars = self.market.bars[symbol]
        at = int(np.searchsorted(bars["ts_open_ns"], entry_ns)) - 1
        ratio = float(self._ratios[symbol][at]) if at >= 0 else np.nan
        if np.isnan(ratio):
            return 0
        close = int(bars[at]["close"])
        stop, _ = initial_stop(close, atr_ticks(ratio, close), self.config.rules[0])
        return close - int(stop) if stop > 0 else 0

    def again(
        self, costs: NDArray[np.void], ts_ns: NDArray[np.int64], *, spread_factor: float = 1.0
    ) -> Rerun:
        """The same opinions with other costs.

        With a wider spread the limit on it is as much wider, so that the same entries are asked for.
        """
        limits = self.config.limits.copy()
        limits["max_spread_ppm"] = np.rint(limits["max_spread_ppm"] * spread_factor)
        return self._run(self._inputs, replace(self.config, costs=costs, limits=limits), ts_ns)

    def at_random(
        self, entries: Mapping[str, int], draw: np.random.Generator, ts_ns: NDArray[np.int64]
    ) -> Rerun:
        """As many entries in each symbol, at bars drawn without regard to anything; exits and sizes as ever.

        No rule of risk is asked but those of size. An entry drawn while a position is open is not taken, so
        there may be a few less.
        """
        inputs = []
        for name, data in self._bare.items():
            ratios = self._ratios[name]
            places = np.arange(data.first, len(data.bars) - 1)
            places = places[~np.isnan(ratios[places])]
            count = min(entries.get(name, 0), len(places))
            opinions = np.zeros(count, dtype=OPINION)
            opinions["bar"] = np.sort(draw.choice(places, count, replace=False))
            opinions["action"] = int(Action.BUY)
            opinions["score"] = draw.uniform(0.0, 100.0, count)  # who comes first is chance, too
            opinions["atr_ratio"] = ratios[opinions["bar"]]
            inputs.append(replace(data, opinions=opinions))
        return self._run(inputs, replace(self.config, risk=False), ts_ns)

    @cached_property
    def _inputs(self) -> Sequence[SweepInput]:
        return self._full()

    @cached_property
    def _ratios(self) -> dict[str, NDArray[np.float64]]:
        return {
            name: data.columns.get("atr_ratio_14", np.zeros(len(data.bars)))
            for name, data in self._bare.items()
        }

    def _run(self, inputs: Sequence[SweepInput], config: SweepConfig, ts_ns: NDArray[np.int64]) -> Rerun:
        result = sweep(inputs, config)
        initial_e8 = config.initial_quote_e8
        times = np.append(result.equity_ts_ns, self.market.end_ns)
        marks = np.concatenate(([initial_e8], result.equity_e8, [result.final_equity_e8]))
        at = np.searchsorted(times, ts_ns, side="right")
        return Rerun(marks[at] - initial_e8, result.final_equity_e8 - initial_e8, result)


def model_reruns(settings: Settings, market: Market, models: Models) -> Reruns:
    """What the models of a run decide, again."""
    config = compile_engine(settings, OFFLINE_IDS)
    rows = {name: feature_rows(config, market, name) for name in market.symbols}
    return Reruns(
        market,
        sweep_config(config, market.symbols, initial_quote_e8(settings)),
        {name: sweep_input(config, market, name, rows[name], None) for name in market.symbols},
        lambda: [
            sweep_input(config, market, name, rows[name], models.predictor(name)) for name in market.symbols
        ],
    )


def sampled(
    reruns: Reruns, entries: Mapping[str, int], ts_ns: NDArray[np.int64], runs: int, seed: int
) -> list[Rerun]:
    """`runs` runs with random entries, the same for the same seed."""
    draw = np.random.default_rng(seed)
    return [reruns.at_random(entries, draw, ts_ns) for _ in range(runs)]


def quantiles(curves: Sequence[NDArray[np.int64]], shares: Sequence[float]) -> NDArray[np.float64]:
    """At each moment, the values below which these shares of the runs lie; shape (shares, moments)."""
    return np.asarray(np.quantile(np.array(curves, dtype=np.float64), shares, axis=0))
