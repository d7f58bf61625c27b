from itertools import pairwise

import numpy as np
import pytest

from bnml.core.orders import Side
from bnml.core.outcomes import Trade
from bnml.kernels.account import EQUITY_ROW
from bnml.kernels.edge import edge_floor as kernel_floor
from bnml.kernels.records import BAR
from bnml.research.edge import EdgeFloor, Traded, edge_floor, mean_exposure
from bnml.research.metrics import daily_returns
from tests.twins import random_market as market

HOUR_NS = market.HOUR_NS
DAY = 24
E8 = 10**8
ADA, BTC = market.ADA, market.BTC  # lots of 0.1, ticks of 0.0001


def bars(instrument, hours, seed):
    random = np.random.default_rng(seed)
    made = np.zeros(hours, dtype=BAR)
    made["ts_open_ns"] = np.arange(hours) * HOUR_NS
    made["close"] = (4_000 * np.exp(np.cumsum(random.normal(0, 0.01, hours)))).astype(np.int64)
    return Traded(instrument, made, HOUR_NS)


def points(hours, equity):
    return np.array([(h * HOUR_NS, e, e, 0) for h, e in zip(hours, equity, strict=True)], dtype=EQUITY_ROW)


def trade(hour, side, lots):
    commission = lots * ADA.lot_e8 // 1_000 if side is Side.BUY else 0
    return Trade("ADAUSDT", hour * HOUR_NS, side, 1, lots, 4_000, commission, "ADA", 0, 0, "")


def test_the_exposure_is_what_is_held_after_earlier_fills_at_the_last_close():
    traded = bars(ADA, 100, 1)
    rows = points(range(50, 90), [1_000 * E8] * 40)
    fills = [trade(60, Side.BUY, 5_000), trade(70, Side.SELL, 2_000), trade(80, Side.SELL, 2_995)]
    expected = 0.0
    for hour in range(50, 90):
        held = 499.5 * (hour > 60) - 200 * (hour > 70) - 299.5 * (hour > 80)
        expected += held * traded.bars["close"][hour - 1] / 10_000 / 1_000 / 40
    assert mean_exposure(fills, traded, rows) == pytest.approx(expected)
    assert mean_exposure([], traded, rows) == 0


def test_the_market_is_marked_when_the_run_is():
    """Days of the run against a plain calendar: last close of each UTC day, the end of the bars for the last."""
    ada, btc = bars(ADA, 60 * DAY, 2), bars(BTC, 60 * DAY, 3)
    first, last = 5 * DAY + 7, 58 * DAY + 3
    random = np.random.default_rng(4)
    equity = (1_000 * E8 * np.exp(np.cumsum(random.normal(0, 0.002, last - first)))).astype(np.int64)
    rows = points(range(first, last), equity.tolist())
    trades = [trade(first + 10, Side.BUY, 3_000)]
    returns = daily_returns(rows, 1_000 * E8, int(equity[-1]))
    table = []
    for traded in (ada, btc):
        closes = traded.bars["close"]
        marks = [first - 1, *(day * DAY - 2 for day in range(6, 59)), len(closes) - 1]
        table.append([closes[b] / closes[a] - 1 for a, b in pairwise(marks)])
    exposures = np.array([mean_exposure(trades, ada, rows), 0.0])
    expected = kernel_floor(returns, np.array(table).T, exposures, 7)
    found = edge_floor(
        trades,
        rows,
        {"BTCUSDT": btc, "ADAUSDT": ada},
        initial_e8=1_000 * E8,
        final_e8=int(equity[-1]),
        trials=7,
    )
    assert found.days == len(returns) == 54
    assert (found.trials, found.percent) == (7, pytest.approx(100 * expected.floor))
    assert found.benchmark == pytest.approx(100 * expected.benchmark)
    assert found.excess == pytest.approx(found.net - found.benchmark)
    assert found.deflation == pytest.approx(100 * expected.shift)


def test_it_reads_as_it_is():
    assert EdgeFloor(3.24, 9.0, 1.0, 8.0, 0.0, 1, 300).text == "+3.2 % of equity a year"
    assert EdgeFloor(0.0, 9.0, 1.0, 8.0, 8.0, 99, 300).text == "no edge shown"
    empty = edge_floor(
        [], points([], []), {"ADAUSDT": bars(ADA, 10, 1)}, initial_e8=E8, final_e8=E8, trials=1
    )
    assert (empty.percent, empty.days, empty.is_shown) == (0, 0, False)
