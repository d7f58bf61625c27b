import numpy as np
import pytest

from bnml.research.overfit import BLOCKS, block_days, neighbourhood, neighbours_of, overfitting
from tests.twins import overfit


def by_block(returns):
    """Sums and sums of squares of (strategies, days) daily returns."""
    days = returns.shape[1]
    block = np.arange(days) * BLOCKS // days
    sums = np.stack([np.bincount(block, row, BLOCKS) for row in returns])
    squares = np.stack([np.bincount(block, row**2, BLOCKS) for row in returns])
    return sums, squares, block_days(days)


def test_the_definition_gives_the_same():
    returns = np.random.default_rng(3).normal(0.0005, 0.01, (4, 50))
    over = overfitting(*by_block(returns))
    assert over.splits == 12_870
    assert (over.pbo, over.loss) == overfit.pbo(returns.tolist())


def test_noise_is_overfitted_half_of_the_time():
    values = [
        overfitting(*by_block(np.random.default_rng(seed).normal(0, 0.01, (60, 320)))).pbo
        for seed in range(6)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=0.15)


def test_one_that_is_truly_better_is_not_overfitted():
    returns = np.random.default_rng(5).normal(0.0, 0.01, (60, 320))
    returns[17] += 0.006
    over = overfitting(*by_block(returns))
    assert over.pbo < 0.01
    assert over.loss < 0.01
    assert over.judged_sharpe > 0.3


def test_equal_strategies_cannot_be_told_apart():
    one = np.random.default_rng(7).normal(0.0, 0.01, 100)
    over = overfitting(*by_block(np.stack([one] * 9)))
    assert over.pbo == 1.0  # the mean rank is the median: none is above it


def test_too_little_is_refused():
    returns = np.random.default_rng(1).normal(0.0, 0.01, (3, 40))
    sums, squares, days = by_block(returns)
    with pytest.raises(ValueError, match="two or more"):
        overfitting(sums[:1], squares[:1], days)
    with pytest.raises(ValueError, match="two days"):
        overfitting(sums, squares, block_days(8))


def test_all_days_are_in_a_block_of_about_equal_length():
    for days in (16, 17, 100, 1_000):
        lengths = block_days(days)
        assert lengths.sum() == days
        assert lengths.max() - lengths.min() <= 1


def test_neighbours_are_one_step_away_on_one_axis():
    # (3, 4): number = 4 * row + column
    assert sorted(neighbours_of(5, (3, 4))) == [1, 4, 6, 9]
    assert sorted(neighbours_of(0, (3, 4))) == [1, 4]
    assert neighbours_of(0, (1,)) == []


def test_a_plateau_and_a_needle():
    flat = neighbourhood(0.10, np.array([0.09, 0.08, 0.11]), np.array([0.2, 0.1, 0.3]))
    assert flat.is_plateau
    assert flat.profitable == 1.0
    assert flat.median_degradation == pytest.approx(0.1)
    assert flat.worst_degradation == pytest.approx(0.2)
    needle = neighbourhood(0.10, np.array([0.01, -0.05, 0.04, 0.09]), np.array([0.01, -0.2, -0.1, 0.1]))
    assert not needle.is_plateau
    assert needle.profitable == 0.5
    assert needle.worst_degradation == pytest.approx(1.5)
    assert not neighbourhood(0.1, np.array([]), np.array([])).is_plateau
