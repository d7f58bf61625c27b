import numpy as np
import pytest

from bnml.kernels.labels import LABELLING, UNKNOWN, edge_labels
from tests.kernels.features_kit import HOURLY, invented, recorded, rows_of
from tests.twins import labels as twin

DEFAULTS = {
    "horizon_bars": 4,
    "volatility_window": 96,
    "volatility_multiplier": 0.6,
    "atr_multiplier": 0.35,
    "min_move": 0.0015,
    "max_move": 0.02,
    "side_cost": 0.0015,
    "round_trip_cost_multiplier": 2.0,
    "cost_safety_multiplier": 1.35,
}


def rule(**changes):
    record = np.zeros(1, dtype=LABELLING)
    for name, value in (DEFAULTS | changes).items():
        record[name] = value
    return record


@pytest.fixture(scope="module")
def series(data_dir):
    bars = recorded(data_dir, rows=slice(0, 3000))
    return bars[4], rows_of(HOURLY, bars)[:, HOURLY.column("atr_ratio_14")]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"horizon_bars": 1, "volatility_window": 20},
        {"max_move": 1.0},
        {"min_move": 0.01, "side_cost": 0.0},
    ],
)
def test_equals_the_naive_twin(series, changes):
    close, atr_ratio = series
    labels, edges = edge_labels(close, atr_ratio, rule(**changes))
    naive_labels, naive_edges = twin.edge_labels(close.tolist(), atr_ratio.tolist(), DEFAULTS | changes)
    assert edges == pytest.approx(naive_edges, rel=1e-9)
    assert labels.tolist() == naive_labels
    assert set(naive_labels) == {-1, 0, 1, 2}


def test_rows_without_a_full_horizon_are_unknown(series):
    labels, _ = edge_labels(*series, rule(horizon_bars=7))
    assert (labels[-7:] == UNKNOWN).all()
    assert (labels[:-7] != UNKNOWN).all()


def test_fewer_bars_than_the_horizon_have_no_label():
    labels, edges = edge_labels(np.array([1.0, 2.0]), np.array([np.nan, 0.1]), rule())
    assert labels.tolist() == [UNKNOWN, UNKNOWN]
    assert edges.tolist() == pytest.approx([0.00405, 0.02])


def test_a_label_sees_its_horizon_and_nothing_beyond(series):
    close, atr_ratio = series
    labels, edges = edge_labels(close, atr_ratio, rule())
    for cut in range(1000, 1040):
        other, other_atr = close.copy(), atr_ratio.copy()
        other[cut:] *= 2.0
        other_atr[cut:] = 5.0
        new_labels, new_edges = edge_labels(other, other_atr, rule())
        assert new_labels[: cut - 4].tobytes() == labels[: cut - 4].tobytes()
        assert new_edges[:cut].tobytes() == edges[:cut].tobytes()
        assert new_labels[cut - 4] != labels[cut - 4] or labels[cut - 4] == 2
        short, short_edges = edge_labels(close[:cut], atr_ratio[:cut], rule())
        assert short[: cut - 4].tobytes() == labels[: cut - 4].tobytes()
        assert short_edges.tobytes() == edges[:cut].tobytes()


def test_the_edge_never_leaves_floor_and_ceiling():
    bars = invented(600)
    _, edges = edge_labels(bars[4], np.full(600, np.nan), rule(volatility_multiplier=0.0))
    assert edges == pytest.approx(np.full(600, 0.0015 * 2 * 1.35))
    _, edges = edge_labels(bars[4], np.full(600, 9.0), rule())
    assert edges == pytest.approx(np.full(600, 0.02))


def test_a_move_of_exactly_the_edge_is_hold():
    close = np.array([1.0, 1.0, 1.0, 1.0, 1.5])
    exact = rule(side_cost=0.0, min_move=0.5, max_move=0.5)
    assert edge_labels(close, np.zeros(5), exact)[0][0] == 1
    assert edge_labels(close * [1, 1, 1, 1, 1.001], np.zeros(5), exact)[0][0] == 2
    assert edge_labels(close * [1, 1, 1, 1, 0.3], np.zeros(5), exact)[0][0] == 0
