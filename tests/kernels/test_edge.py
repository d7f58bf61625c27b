import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.kernels.edge import edge_floor
from tests.twins import metrics as twin

DAYS, SYMBOLS = 300, 3


def drawn(seed, edge=0.0, exposure=0.5):
    """A market that falls and rises as one, and a run that is half in it and has a daily edge."""
    random = np.random.default_rng(seed)
    market = random.normal(0.0, 0.02, (DAYS, 1)) + random.normal(0.0, 0.01, (DAYS, SYMBOLS))
    exposures = np.full(SYMBOLS, exposure / SYMBOLS)
    return market @ exposures + random.normal(edge, 0.004, DAYS), market, exposures


days = st.lists(
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)), min_size=1, max_size=30
)


@settings(max_examples=15)
@given(days, st.floats(0, 1), st.integers(1, 10**6), st.integers(0, 2**60))
def test_the_floor_is_that_of_the_twin(rows, share, trials, seed):
    returns, market = [row[0] for row in rows], [row[1:] for row in rows]
    exposures = [share, 1 - share]
    found = edge_floor(np.array(returns), np.array(market), np.array(exposures), trials, seed)
    expected = twin.edge_floor(returns, market, exposures, trials, seed)
    assert (found.floor, found.excess, found.shift) == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert found.excess == pytest.approx(found.net - found.benchmark, abs=1e-12)


def test_being_in_the_market_is_no_edge():
    returns, market, exposures = drawn(1)
    rising = market + 0.01
    found = edge_floor(rising @ exposures, rising, exposures, 1)
    assert found.net == pytest.approx(found.benchmark)
    assert found.net > 1
    assert found.floor <= 0
    assert edge_floor(returns + 0.005, rising, exposures, 1).floor <= 0.1


def test_an_edge_is_found_and_a_search_takes_it_back():
    found = [edge_floor(*drawn(2, edge=0.001), trials) for trials in (1, 10, 1_000, 10**9)]
    floors = [one.floor for one in found]
    assert floors == sorted(floors, reverse=True)
    assert floors[0] > 0.05
    assert floors[-1] < 0
    assert floors[0] < found[0].excess == pytest.approx(0.365, abs=0.25)


def test_the_bound_holds_back_runs_without_an_edge():
    shown = sum(edge_floor(*drawn(seed), 1).floor > 0 for seed in range(200))
    assert 2 <= shown <= 20  # 5 % in the mean


def test_few_days_and_no_days_show_nothing():
    returns, market, exposures = drawn(3, edge=0.05)
    assert edge_floor(returns[:19], market[:19], exposures, 1).floor <= 0
    assert edge_floor(returns[:20], market[:20], exposures, 1).floor > 0
    assert edge_floor(returns[:0], market[:0], exposures, 1) == (0, 0, 0, 0, 0, 0, 0)
    flat = edge_floor(np.full(50, 0.01), np.zeros((50, 1)), np.zeros(1), 1)
    assert (flat.floor, flat.excess) == (0, pytest.approx(3.65))
