import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.kernels import policy, records
from bnml.kernels.records import Action
from tests.twins import backtest_twin as twin
from tests.twins import random_market as market

EDGE = market.policy_values()
ABSOLUTE = market.policy_values(rule=1)


def record(values):
    return market.filled(records.POLICY, values)[0]


probabilities = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda p: np.array(p) / sum(p))


@given(probabilities, st.sampled_from([EDGE, ABSOLUTE]))
def test_a_decision_is_the_twins(p, values):
    action, edge = policy.decide(record(values), p)
    expected_action, expected_edge = twin.opinion_of(values, p.tolist())
    assert (action, edge) == (expected_action, pytest.approx(expected_edge))


def test_a_buy_needs_a_score_above_the_cut_in_a_bucket_that_earns():
    p = np.array([0.1, 0.5, 0.4])
    score = policy.directional_score(p)
    assert policy.decide(record({**EDGE, "cut": score - 1e-9}), p)[0] == Action.BUY
    assert policy.decide(record({**EDGE, "cut": score}), p)[0] == Action.HOLD
    poor = {**EDGE, "cut": score - 1e-9, "bucket_edge_ppm": [0.0] * records.BUCKETS}
    assert policy.decide(record(poor), p)[0] == Action.HOLD
    assert policy.hold_measure(record(poor), p) == (0.0, 0.0)
    assert policy.hold_measure(record({**EDGE, "cut": score}), p) == (score, score)


def test_a_sell_is_ranked_as_low_as_the_cut_is_high():
    # the cut of 0.2 is at rank 66.7 of the even quantiles, so sells lie below rank 33.3: a score of -0.2
    assert policy.decide(record(EDGE), np.array([0.451, 0.299, 0.25]))[0] == Action.SELL
    assert policy.decide(record(EDGE), np.array([0.449, 0.301, 0.25]))[0] == Action.HOLD


@pytest.mark.parametrize(
    ("p", "action"),
    [
        ((0.29, 0.29, 0.42), Action.BUY),
        ((0.29, 0.30, 0.41), Action.HOLD),  # p_buy too low
        ((0.12, 0.43, 0.45), Action.HOLD),  # margin over the second too small
        ((0.42, 0.29, 0.29), Action.SELL),
        ((0.10, 0.80, 0.10), Action.HOLD),
    ],
)
def test_the_absolute_rule_is_the_one_of_fixed_thresholds(p, action):
    assert policy.decide(record(ABSOLUTE), np.array(p))[0] == action


def test_hold_bias_is_a_lead_over_the_opposite():
    values = {**ABSOLUTE, "min_margin": 0.0, "min_buy": 0.3, "hold_bias": 0.05}
    assert policy.decide(record(values), np.array([0.36, 0.24, 0.40]))[0] == Action.HOLD
    assert policy.decide(record(values), np.array([0.34, 0.26, 0.40]))[0] == Action.BUY


@given(st.floats(-1, 1))
def test_confidence_is_the_rank_of_the_score(score):
    expected = np.interp(score, EDGE["score_quantiles"], np.arange(101.0))
    assert policy.confidence(record(EDGE), score) == pytest.approx(expected, abs=1e-9)


def test_equal_quantiles_rank_as_the_highest_of_them():
    quantiles = [0.0] * 60 + [0.1 * k for k in range(1, 42)]
    assert policy.confidence(record({**EDGE, "score_quantiles": quantiles}), 0.0) == 59.0
    assert policy.confidence(record({**EDGE, "score_quantiles": [0.0] * 101}), 0.0) == 100.0
    assert policy.confidence(record(EDGE), np.nan) == 0.0


@given(st.floats(-2, 2))
def test_a_bucket_holds_its_lower_edge_and_the_outer_ones_are_open(score):
    edges = EDGE["bucket_edges"]
    expected = min(max(int(np.searchsorted(edges, score, side="right")) - 1, 0), records.BUCKETS - 1)
    assert policy.bucket(record(EDGE), score) == expected


@pytest.mark.parametrize(
    ("rsi", "macd", "expected"),
    [(34.9, 0.1, (2, 68.0)), (35.0, 0.1, (1, 55.0)), (70.1, -0.1, (0, 66.0)), (34.9, 0.0, (1, 55.0))],
)
def test_the_rule_strategy(rsi, macd, expected):
    assert policy.rule_decision(rsi, macd) == expected


@given(st.floats(0, 100), st.floats(-1, 1), st.floats(-1, 2))
def test_the_technical_score_is_the_table(rsi, macd, b):
    assert policy.technical_score(rsi, macd, b) == twin.technical_of(rsi, macd, b)


def test_momentum_and_global_scores_are_clipped_and_weighted():
    assert policy.momentum_score(1.0, 2.0, 1.5) == pytest.approx(50 + 1.2 + 1.2 + 4.0)
    assert policy.momentum_score(100.0, 0.0, 1.0) == 100.0
    assert policy.momentum_score(-100.0, 0.0, 1.0) == 0.0
    assert policy.global_score(90.0, 60.0, 40.0, 0.5, 0.3, 0.2) == pytest.approx(45 + 18 + 8)
