import numpy as np
import pytest

from bnml.venues.sim.generated import HISTORY_DAYS, START_NS, GeneratedFeed, profiles
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.synthesis import EDGE, FLOW_MEMORY
from tests.venues.sim.bench import costs

STEPS = 5


@pytest.fixture(scope="module")
def feed():
    return GeneratedFeed(42, Pricing(costs()))


def returns(bars):
    return np.diff(np.log(bars["close"].astype(float)))


def test_history_is_long_and_well_formed(feed):
    history = feed.history(0)
    assert len(history) == 8
    for bars in history.values():
        assert len(bars) == HISTORY_DAYS * 96 >= 120 * 96
        assert bars["ts_open_ns"][-1] + feed.frame_ns == START_NS
        assert (np.diff(bars["ts_open_ns"]) == feed.frame_ns).all()
        assert (bars["high"] >= np.maximum(bars["open"], bars["close"])).all()
        assert (bars["low"] <= np.minimum(bars["open"], bars["close"])).all()
        assert (bars["low"] > 0).all()
        assert (bars["volume_lots"] >= 4).all()


def test_same_seed_same_market_however_it_is_read(feed):
    again = GeneratedFeed(42, Pricing(costs()))
    far = again.step(2000 * STEPS)
    assert far is not None
    assert feed.step(10) == again.step(10)
    assert feed.step(2000 * STEPS) == far
    other = GeneratedFeed(43, Pricing(costs()))
    assert other.step(10) != feed.step(10)


def test_symbols_are_correlated_and_volatility_clusters(feed):
    history = feed.history(0)
    matrix = np.corrcoef([returns(bars) for bars in history.values()])
    off_diagonal = matrix[~np.eye(len(matrix), dtype=bool)]
    assert 0.2 < off_diagonal.min() < off_diagonal.max() < 0.85
    for bars in history.values():
        size = np.abs(returns(bars))
        assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.06
        # a drift of EDGE * f with memory m leaves EDGE^2 m / (1 + EDGE^2) = 0.11 between neighbours
        assert abs(np.corrcoef(returns(bars)[1:], returns(bars)[:-1])[0, 1]) < 0.15


def test_there_are_jumps_and_gaps(feed):
    for bars in feed.history(0).values():
        moves = returns(bars)
        assert (np.abs(moves) > 5 * moves.std()).sum() >= 3
        gaps = bars["open"][1:] != bars["close"][:-1]
        assert 0.002 < gaps.mean() < 0.1


def test_balance_of_volume_leads_the_price_weakly(feed):
    correlations = []
    for bars in feed.history(0).values():
        moves = returns(bars)
        volume = bars["volume_lots"][1:].astype(float)
        signed = np.sign(moves) * volume
        window = np.ones(20)
        balance = np.convolve(signed, window, "valid") / np.convolve(volume, window, "valid")
        ahead = np.convolve(moves, np.ones(8), "valid")[20:]
        scale = np.sqrt(np.convolve(moves**2, np.ones(96), "same"))[19:-8][: len(ahead)]
        correlations.append(np.corrcoef(balance[: len(ahead)], ahead / scale)[0, 1])
    assert 0.05 < np.mean(correlations) < 0.35
    assert EDGE < 0.5  # a bar's drift stays below its noise
    assert FLOW_MEMORY < 1


def test_without_looking_at_volume_there_is_little_to_find(feed):
    for bars in feed.history(0).values():
        moves = returns(bars)
        past = np.convolve(moves, np.ones(16), "valid")[:-4]
        ahead = np.convolve(moves, np.ones(4), "valid")[16:]
        assert abs(np.corrcoef(past[: len(ahead)], ahead)[0, 1]) < 0.2


def test_many_symbols_have_names_and_books_of_their_own():
    wide = GeneratedFeed(1, Pricing(costs()), symbols=profiles(30), history_days=2)
    assert len(wide.instruments) == 30
    step = wide.step(STEPS)
    assert len(step.books) == len(step.closed_bars) == 30
    assert all(book.depth_e8 > 0 for book in step.books)
