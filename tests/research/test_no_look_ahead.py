"""Truncating real series changes nothing that came before: rows, decisions and trades stay the same, bit for bit."""

import numpy as np
import pytest

from bnml.venues.history import load_history
from tests.trading.kit import EAGER, HOUR_NS, Bench, settings

FIRST = 500


@pytest.fixture(scope="module")
def real(data_dir):
    history = load_history(data_dir / "binance_spot" / "1h", ("ETHUSDT",))["ETHUSDT"]
    return history.instrument, history.bars[30_000 : 30_000 + FIRST + 700]


def run(real, count):
    one, bars = real
    bench = Bench(settings(**EAGER), one, bars[:count], FIRST, cut=-0.5)
    return bench, bench.replay().run()


@pytest.fixture(scope="module")
def whole(real):
    return run(real, FIRST + 700)


@pytest.mark.parametrize("count", [FIRST + 2, FIRST + 57, FIRST + 211, FIRST + 400, FIRST + 699])
def test_decisions_do_not_know_what_comes_later(real, whole, count):
    _, bars = real
    _, complete = whole
    _, cut = run(real, count)
    last_ns = int(bars["ts_open_ns"][count - 1]) + HOUR_NS
    known = count - FIRST - 1
    assert cut.decisions == complete.decisions[:known]
    assert cut.equity == complete.equity[:known]
    assert cut.trades == [trade for trade in complete.trades if trade.ts_ns < last_ns]


def test_there_was_something_to_know(whole):
    bench, complete = whole
    assert len(complete.trades) > 50
    assert np.isfinite(bench.bars["close"]).all()
