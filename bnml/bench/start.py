"""Fresh processes: processor seconds until a first backtest is done, and to compile everything there is."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bnml.app.hardening import childs_environment
from bnml.bench.case import Effort, Figure, at_most, processor_s
from bnml.bench.market import Walk, walk
from bnml.core.errors import BnmlError

BARS = 1_000
RULES = """\
stop_pct: 0.6
target_pct: 2
trail_pct: 1.2
max_hold_bars: 240
frame: 1m
"""


def first_backtest(effort: Effort) -> list[Figure]:
    """1,000 bars with given signals, from the start of the process; compiled kernels at hand, and none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_inputs(folder, walk(BARS))
        hand_cold_s = _hand(folder)
        hand_warm_s = min(_hand(folder) for _ in range(effort.rounds))
        cold_s = _backtest(folder)
        warm_s = min(_backtest(folder) for _ in range(effort.rounds))
    against = "a process with a hand-written kernel"
    return [
        at_most(
            1.2,
            name="process to a finished backtest, kernels compiled",
            bnml=warm_s,
            yardstick=hand_warm_s,
            unit="s",
            against=against,
        ),
        at_most(
            6,
            name="process to a finished backtest, nothing compiled",
            bnml=cold_s,
            yardstick=hand_cold_s,
            unit="s",
            against=against,
        ),
    ]


def everything(effort: Effort) -> list[Figure]:
    """All kernels of the product, from an empty cache."""
    del effort  # once is enough, and long
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hand_s = _hand(folder)
        bnml_s = _process(folder, "bnml", "compile", "--state-dir", str(folder / "state"))
        bnml_s += _process(folder, "bnml.bench.every_kernel")
    return [
        at_most(
            40,
            name="compiling every entry point",
            bnml=bnml_s,
            yardstick=hand_s,
            unit="s",
            against="a process that compiles a hand-written kernel",
        )
    ]


def _write_inputs(folder: Path, made: Walk) -> None:
    stamps = made.bars["ts_open_ns"] // 1_000_000
    rows = zip(stamps, made.open, made.high, made.low, made.close, made.volume, strict=True)
    lines = [f"{ts},{o:.2f},{h:.2f},{low:.2f},{c:.2f},{v:.4f}\n" for ts, o, h, low, c, v in rows]
    (folder / "WALKUSDT.csv").write_text("open_time,open,high,low,close,volume\n" + "".join(lines))
    chosen = np.flatnonzero(np.random.default_rng(1).random(BARS - 1) < 0.02)
    signals = [f"WALKUSDT,{stamps[at] + 60_000},1\n" for at in chosen]
    (folder / "signals.csv").write_text("symbol,ts_close_ms,score\n" + "".join(signals))
    (folder / "rules.yaml").write_text(RULES)


def _backtest(folder: Path) -> float:
    given = ["--signals", "signals.csv", "--rules", "rules.yaml", "--bars", "WALKUSDT.csv"]
    return _process(folder, "bnml", "backtest", *given, "--state-dir", str(folder / "state"), "--json")


def _hand(folder: Path) -> float:
    return _process(folder, "bnml.bench.hand_process")


def _process(folder: Path, module: str, *arguments: str) -> float:
    """Processor seconds of a Python process with caches of its own in `folder`."""
    before = processor_s(resource.RUSAGE_CHILDREN)
    environment = {
        **childs_environment(),
        "BNML_NUMBA_CACHE": str(folder / "kernels"),
        "NUMBA_CACHE_DIR": str(folder / "hand"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(  # noqa: S603 - this interpreter, these arguments
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BnmlError(f"python -m {module} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return processor_s(resource.RUSAGE_CHILDREN) - before
