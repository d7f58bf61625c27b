import math

import numpy as np
import pytest

from bnml.kernels import opinions, records
from bnml.kernels.opinions import VIEW, Model
from bnml.kernels.records import Action, Reason
from tests.twins import backtest_twin as twin
from tests.twins import random_market as market

COLUMNS = np.array([9, 1, 2, 7, 4, 5, 6])
MODEL = np.array([0, 3, 9])
WEIGHTS = (0.5, 0.3, 0.2)


def rows_of(count, seed):
    """Rows of ten columns whose score columns look like what they are; some values missing."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(count, 10))
    rows[:, COLUMNS[0]] = draw.uniform(10, 90, count)
    rows[:, COLUMNS[2]] = draw.uniform(-0.3, 1.3, count)
    rows[:, COLUMNS[5]] = draw.uniform(0, 4, count)
    rows[draw.random((count, 10)) < 0.02] = np.nan
    return rows, draw.dirichlet([2, 2, 3], count)


def made(model, rows, p, values):
    out = np.zeros(len(rows), VIEW)
    policies = market.filled(records.POLICY, values)
    opinions.opinion_batch(int(model), rows, COLUMNS, MODEL, policies, p, WEIGHTS, out)
    return out


def expected(row, p, values):
    """The twin of an opinion by a bundle, as (action, reason, edge, confidence, score)."""
    if any(math.isnan(row[column]) for column in [*COLUMNS, *MODEL]):
        return Action.HOLD, Reason.FEATURES_INCOMPLETE, 0.0, 0.0, 0.0
    rsi, macd, band, roc_4, roc_16, volume = (row[column] for column in COLUMNS[:6])
    action, edge = twin.opinion_of(values, p.tolist())
    confident = twin.confidence_of(values, p[2] - p[0])
    momentum = twin.clip(50 + 1.2 * roc_4 + 0.6 * roc_16 + 8 * (volume - 1))
    score = 0.5 * confident + 0.3 * twin.technical_of(rsi, macd, band) + 0.2 * momentum
    return action, Reason.NONE if action == Action.BUY else Reason.POLICY, edge, confident, score


@pytest.mark.parametrize("values", [market.policy_values(cut=0.05), market.policy_values(rule=1)])
def test_an_opinion_is_the_twins(values):
    rows, p = rows_of(400, 1)
    found = made(Model.BUNDLE, rows, p, values)
    for one, row, chances in zip(found, rows, p, strict=True):
        action, reason, *numbers = expected(row, chances, values)
        assert (one["action"], one["reason"]) == (action, reason)
        seen = [one[name] for name in ("expected_edge_ppm", "confidence", "score")]
        assert seen == pytest.approx(numbers)
        spoken = reason != Reason.FEATURES_INCOMPLETE
        assert [one["p_sell"], one["p_hold"], one["p_buy"]] == (list(chances) if spoken else [0, 0, 0])
    assert len(set(found["reason"])) == 3


def test_the_batch_is_the_row_in_every_bit():
    rows, p = rows_of(100, 2)
    values = market.policy_values(cut=0.05)
    policies = market.filled(records.POLICY, values)
    batch = made(Model.BUNDLE, rows, p, values)
    single = np.ones(1, VIEW)
    for index in range(len(rows)):
        opinions.opinion_row(
            int(Model.BUNDLE), rows[index], COLUMNS, MODEL, policies, p[index], WEIGHTS, single[0]
        )
        assert single[0].tobytes() == batch[index].tobytes()


def test_without_a_bundle_the_rule_speaks_or_nothing_does():
    rows, p = rows_of(200, 3)
    rows[:2] = 0.0
    rows[:2, COLUMNS[0]], rows[:2, COLUMNS[1]] = (30, 75), (1, -1)
    values = market.policy_values()
    ruled = made(Model.RULE, rows, p, values)
    assert ruled["action"][:2].tolist() == [Action.BUY, Action.SELL]
    assert ruled["confidence"][:2].tolist() == [68, 66]
    complete = ~np.isnan(rows[:, COLUMNS]).any(axis=1)
    assert np.isnan(ruled["expected_edge_ppm"][complete]).all()
    assert (ruled["reason"][~complete] == Reason.FEATURES_INCOMPLETE).all()
    assert not ruled["measured"].any()
    assert not ruled["p_buy"].any()
    assert (made(Model.NONE, rows, p, values)["reason"] == Reason.NO_MODEL).all()
