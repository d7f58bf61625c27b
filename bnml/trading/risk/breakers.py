"""What stops all entries for a while: losses of the day, drawdown, losses in a row, a market that has changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.core.clock import day_number
from bnml.kernels import breakers, mood, regime
from bnml.kernels.records import BREAKERS, record
from bnml.trading.state import HISTORY, SymbolState


def new_breakers() -> NDArray[np.void]:
    """Memory of an account before its first scan."""
    return record(BREAKERS)


class Breakers:
    """The account's memory, moved by scans, closed positions and flows; every pause ends by itself."""

    def __init__(self, memory: NDArray[np.void], limits: NDArray[np.void], time_zone: str) -> None:
        self._memory = memory
        self._limits = limits
        self._time_zone = time_zone
        self._crowd = np.zeros(mood.SUMS)
        self._scratch = np.zeros(regime.VOLATILITY_BARS)
        self._recent = np.zeros(regime.DRIFT_RECENT)
        self._baseline = np.zeros(regime.DRIFT_BASELINE)

    def roll(self, ts_close_ns: int, equity_e8: int) -> None:
        """Begin days and weeks, follow the peak, trip and release; once per scan, after marking equity."""
        day = day_number(ts_close_ns, self._time_zone)
        breakers.roll_memory(self._memory, ts_close_ns, day, equity_e8, self._limits)

    @property
    def listens(self) -> bool:
        """Whether the mood of the market can stop entries."""
        return bool(self._limits["mood_smoothing"][0] > 0.0)

    def hear(self, voices: NDArray[np.void]) -> None:
        """Move the mood of the market by what all symbols of one scan say: `kernels.mood.VOICE`, by name."""
        mood.hear_voices(voices, self._crowd, self._memory, self._limits)

    def position_closed(self, result_e8: int, ts_ns: int) -> None:
        breakers.note_closed(self._memory[0], result_e8, ts_ns, self._limits[0])

    def flow(self, amount_e8: int, equity_e8: int) -> None:
        """A deposit or withdrawal while equity was `equity_e8`: every base of comparison grows or shrinks with the account.

        In proportion, as a fund counts its units: a withdrawal in a drawdown must not deepen it, nor a deposit
        make it smaller. An account without equity has nothing to be in proportion to: then the bases just move.
        """
        after_e8 = equity_e8 + amount_e8
        for name in ("day_start_equity_e8", "week_start_equity_e8", "peak_equity_e8"):
            base_e8 = int(self._memory[name][0])
            in_proportion = equity_e8 > 0 and after_e8 > 0
            self._memory[name] = base_e8 * after_e8 // equity_e8 if in_proportion else base_e8 + amount_e8

    def release(self, equity_e8: int) -> None:
        """The operator's word: no pause and no streak from here on; a peak that was paused for starts anew, as by itself."""
        if self._memory["drawdown_until_ns"][0]:
            self._memory["peak_equity_e8"] = equity_e8
        for name in ("drawdown_until_ns", "losses_in_row", "loss_until_ns"):
            self._memory[name] = 0

    def write_facts(self, facts: NDArray[np.void]) -> None:
        breakers.copy_to_facts(self._memory[0], facts[0])

    def write_regime(self, facts: NDArray[np.void], benchmark: SymbolState | None) -> None:
        """Volatility and drift of the benchmark's bars; neutral values without one."""
        volatility, ks, ks_p, ratio = 1.0, 0.0, 1.0, 1.0
        if benchmark is not None and benchmark.bars:
            kept = min(benchmark.bars, len(benchmark.atr_ratios))
            volatility = regime.volatility_ratio(benchmark.atr_ratios, kept, self._scratch)
            ks, ks_p, ratio = regime.drift(benchmark.closes, benchmark.seen, self._recent, self._baseline)
        one = facts[0]
        one["volatility_ratio"] = volatility
        one["ks"], one["ks_p"], one["drift_volatility_ratio"] = ks, ks_p, ratio


def correlation(one: SymbolState, other: SymbolState) -> float:
    """Of the last 300 returns that both symbols have at the same time."""
    return float(regime.aligned_correlation(*_last_closes(one), *_last_closes(other)))


def _last_closes(state: SymbolState) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    start, end = max(0, state.seen - HISTORY), state.seen
    return state.close_ts_ns[start:end], state.closes[start:end], end - start
