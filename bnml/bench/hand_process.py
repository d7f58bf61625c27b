"""The yardstick as a process: import, 1,000 bars, one hand-written backtest with its figures."""

import numpy as np

from bnml.bench.hand import FIGURES, HOLD, STOP, TARGET, TRAIL, hand_backtest, hand_metrics

BARS = 1_000


def main() -> None:
    """Make bars, trade them, measure them."""
    random = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(0.0008 * random.standard_normal(BARS)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    entry, leave = random.random(BARS) < 0.02, random.random(BARS) < 0.005
    trades, equity, figures = np.zeros((BARS, 7)), np.full(BARS, 1e4), np.zeros(FIGURES)
    high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
    levels = (STOP, TARGET, TRAIL, HOLD)
    count = hand_backtest(opened, high, low, close, entry, leave, levels, trades, equity, figures)
    hand_metrics(equity, trades, count, figures)


if __name__ == "__main__":
    main()
