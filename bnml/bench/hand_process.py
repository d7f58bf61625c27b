"""The yardstick as a process: import, 1,000 bars, one hand-written backtest with its figures."""

import numpy as np

from bnml.bench.hand import HOLD, STOP, TARGET, TRAIL, hand_backtest, hand_metrics

BARS = 1_000


def main() -> None:
    """Make bars, trade them, measure them."""
    random = np.random.default_rng(7)
    close = 30_000 * np.exp(np.cumsum(0.0008 * random.standard_normal(BARS)))
    opened = np.concatenate(([30_000.0], close[:-1]))
    entry, leave = random.random(BARS) < 0.02, random.random(BARS) < 0.005
    trades, equity = np.zeros((BARS, 6)), np.full(BARS, 1e4)
    high, low = np.maximum(opened, close) * 1.0005, np.minimum(opened, close) * 0.9995
    count = hand_backtest(opened, high, low, close, entry, leave, (STOP, TARGET, TRAIL, HOLD), trades, equity)
    hand_metrics(equity, trades, count, np.zeros(8))


if __name__ == "__main__":
    main()
