"""The backtest loop: one symbol beside a hand-written kernel, its memory, and many symbols on one capital."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnml.app.hardening import childs_environment
from bnml.bench import hand
from bnml.bench.case import Effort, Figure, at_most, cpu_s, ratio_at_most
from bnml.bench.inputs import given, one_capital, rules_world
from bnml.bench.market import Walk, walk
from bnml.core.errors import BnmlError
from bnml.research.metrics import measure_rows
from bnml.research.sweep import SweepInput, SweepResult, sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bnml.research.metrics import Figures
    from bnml.research.sweep import SweepConfig

ENTRIES, EXITS = 0.02, 0.005
LEVELS = (hand.STOP, hand.TARGET, hand.TRAIL, hand.HOLD)
AGAINST = "a hand-written kernel of the same work"
SHORT, LONG = 100_000, 1_000_000
SYMBOLS, SYMBOL_BARS = 50, 50_000


def one_symbol(effort: Effort) -> list[Figure]:
    """Stop, target, trailing and time stop within the bar; trades, equity at each bar, all figures."""
    per_bar, figures = [], []
    for bars, name in ((SHORT, "100k"), (effort.size(LONG, 300_000), "1M")):
        made = walk(bars)
        entry, leave = signals(bars)
        data, config = given(made, entry, leave), rules_world()
        product_s, hand_s = cpu_s(
            effort, partial(_backtest, data, config), partial(_hand, made, entry, leave)
        )
        per_bar.append(product_s / bars)
        figures.append(
            ratio_at_most(
                2.0,
                name=f"backtest of one symbol, {name} bars",
                bnml=product_s / bars * 1e9,
                yardstick=hand_s / bars * 1e9,
                unit="ns a bar",
                against=AGAINST,
            )
        )
    figures.append(
        ratio_at_most(
            1.2,
            name="backtest, a bar of 1M beside one of 100k",
            bnml=per_bar[1] * 1e9,
            yardstick=per_bar[0] * 1e9,
            unit="ns a bar",
            against="100k bars",
        )
    )
    return figures


def memory(effort: Effort) -> list[Figure]:
    """Largest resident size of a process that runs the backtest of 1M bars."""
    del effort
    script = "from bnml.bench.backtests import run_long; run_long()"
    done = subprocess.run(  # noqa: S603 - this interpreter, this script
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=childs_environment(),
    )
    if done.returncode != 0:
        raise BnmlError(f"the backtest of 1M bars ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    used, inputs = (float(text) for text in done.stdout.split())
    return [
        at_most(
            0.45,
            name="memory of a backtest of 1M bars",
            bnml=used,
            yardstick=inputs,
            unit="GB",
            against="the process before it, with its inputs",
        )
    ]


def run_long() -> None:
    """Run the backtest of 1M bars; print this process's largest resident size and that before, in GB."""
    entry, leave = signals(LONG)
    data, config = given(walk(LONG), entry, leave), rules_world()
    before = _peak_gb()
    _backtest(data, config)
    sys.stdout.write(f"{_peak_gb()} {before}\n")


def _peak_gb() -> float:
    """Largest resident size of this process; `getrusage` would begin with that of the process it was forked from."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024 / 1e9


def portfolio(effort: Effort) -> list[Figure]:
    """Many symbols on one capital, every rule of the risk table, probabilities given."""
    bars = effort.size(SYMBOL_BARS, 5_000)
    inputs, config = one_capital(SYMBOLS, bars)
    made = walk(bars)
    entry, leave = signals(bars)
    product_s, hand_s = cpu_s(effort, partial(sweep, inputs, config), partial(_hand, made, entry, leave))
    return [
        at_most(
            60,
            name=f"backtest of {SYMBOLS} symbols on one capital",
            bnml=product_s / (SYMBOLS * bars) * 1e9,
            yardstick=hand_s / bars * 1e9,
            unit="ns a symbol and bar",
            against="a hand-written kernel of one symbol without any risk rule",
        )
    ]


def signals(bars: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Entries and exits by chance, known at the close of a bar."""
    random = np.random.default_rng(11)
    return random.random(bars) < ENTRIES, random.random(bars) < EXITS


def _backtest(data: SweepInput, config: SweepConfig) -> Figures:
    result: SweepResult = sweep([data], config)
    return measure_rows(
        result.trade_rows,
        result.curve,
        data.instrument_record,
        initial_e8=config.initial_quote_e8,
        final_e8=result.final_equity_e8,
    )


def _hand(made: Walk, entry: NDArray[np.bool_], leave: NDArray[np.bool_]) -> None:
    trades, equity, figures = np.empty((len(entry) // 4, 7)), np.empty(len(entry)), np.empty(hand.FIGURES)
    equity[0] = 1e4
    count = hand.hand_backtest(
        made.open, made.high, made.low, made.close, entry, leave, LEVELS, trades, equity, figures
    )
    hand.hand_metrics(equity, trades, count, figures)
