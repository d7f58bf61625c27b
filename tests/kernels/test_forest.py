import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from bnml.kernels import forest
from bnml.learn.flatten import flatten_boosting, flatten_random_forest
from tests.twins import forest as twin

ROWS, COLUMNS = 900, 7


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(ROWS, COLUMNS)) * np.array([1e-4, 1.0, 50.0, 1.0, 1.0, 1e4, 1.0])
    rows[:, 3] = np.round(rows[:, 3], 1)  # equal values, so that thresholds are hit exactly
    noise = generator.normal(size=ROWS)
    labels = np.digitize(rows[:, 0] * 1e4 + rows[:, 1] + 0.5 * rows[:, 3] + noise, [-1.0, 1.0])
    rows[generator.random(rows.shape) < 0.1] = np.nan
    return rows, labels


@pytest.fixture(scope="module")
def models(data):
    rows, labels = data
    random_forest = RandomForestClassifier(25, max_depth=7, min_samples_leaf=3, random_state=1, n_jobs=1)
    random_forest.fit(rows[:600], labels[:600])
    parameters = {"objective": "multi:softprob", "num_class": 3, "max_depth": 5, "seed": 1, "nthread": 1}
    boosting = xgboost.train(parameters, xgboost.DMatrix(rows[:600], label=labels[:600]), 30)
    return random_forest, boosting


def flat_model(models, weights, columns=None):
    first = flatten_random_forest(models[0], COLUMNS)
    second, base = flatten_boosting(models[1], COLUMNS)
    return forest.Model(
        rf_nodes=first.nodes,
        rf_roots=first.roots,
        rf_depth=first.depth,
        rf_values=first.values,
        xgb_nodes=second.nodes,
        xgb_roots=second.roots,
        xgb_depth=second.depth,
        xgb_values=second.values,
        xgb_base=base,
        weights=np.array(weights),
        columns=np.arange(COLUMNS) if columns is None else columns,
    )


def run_batch(models, rows, weights):
    model = flat_model(models, weights)
    out = np.full((len(rows), 3), -1.0)
    forest.forest_batch(model, forest.work_for(model), rows, out)
    return out


def test_random_forest_equals_the_library_in_every_bit(data, models):
    rows = data[0]
    assert np.isnan(rows[600:]).any()
    assert np.array_equal(run_batch(models, rows, [1.0, 0.0]), models[0].predict_proba(rows))


def test_boosting_equals_the_library_to_the_rounding_of_exp(data, models):
    rows = data[0]
    expected = models[1].predict(xgboost.DMatrix(rows))
    measured = run_batch(models, rows, [0.0, 1.0])
    assert np.abs(measured - expected).max() <= 2.4e-7
    assert np.array_equal(measured.argmax(axis=1), expected.argmax(axis=1))


def test_a_row_of_nothing_but_nan_still_follows_the_library(models):
    rows = np.full((1, COLUMNS), np.nan)
    assert np.array_equal(run_batch(models, rows, [1.0, 0.0]), models[0].predict_proba(rows))


def test_values_between_float32_and_the_threshold_go_the_library_way(data, models):
    """Rows placed exactly on thresholds, and one float64 step to either side of them."""
    tree = models[0].estimators_[0].tree_
    inner = np.flatnonzero((tree.children_left != -1) & np.isfinite(tree.threshold))
    rows = np.repeat(np.nan_to_num(data[0][:1]), 3 * len(inner), axis=0)
    for place, node in enumerate(inner):
        at = tree.threshold[node]
        rows[3 * place : 3 * place + 3, tree.feature[node]] = [
            at,
            np.nextafter(at, -9e9),
            np.nextafter(at, 9e9),
        ]
    assert np.array_equal(run_batch(models, rows, [1.0, 0.0]), models[0].predict_proba(rows))


def test_twin_agrees(data, models):
    rows = data[0][:60]
    first = flatten_random_forest(models[0], COLUMNS)
    second, base = flatten_boosting(models[1], COLUMNS)
    assert np.array_equal(
        run_batch(models, rows, [1.0, 0.0]), [twin.random_forest(first, row) for row in rows]
    )
    by_hand = np.array([twin.boosting(second, base, row) for row in rows])
    assert np.abs(run_batch(models, rows, [0.0, 1.0]) - by_hand).max() <= 1.2e-7


def test_one_row_equals_the_batch_and_reads_only_its_columns(data, models):
    rows = data[0][:40]
    batch = run_batch(models, rows, [0.25, 0.75])
    columns = np.arange(COLUMNS)[::-1] + 2  # the full row is longer, and in another order
    model = flat_model(models, [0.25, 0.75], columns)
    work, out = forest.work_for(model), np.zeros(3)
    for index, row in enumerate(rows):
        wide = np.full(COLUMNS + 4, 7e7)
        wide[columns] = row
        forest.forest_row(model, work, wide, out)
        assert np.array_equal(out, batch[index])


def test_a_class_that_never_occurred_has_probability_zero(data):
    rows, labels = data
    kept = labels != 1
    model = RandomForestClassifier(10, max_depth=4, random_state=1, n_jobs=1).fit(rows[kept], labels[kept])
    flat = flatten_random_forest(model, COLUMNS)
    shares = np.array([twin.random_forest(flat, row) for row in rows[:20]])
    assert np.all(shares[:, 1] == 0.0)
    assert np.array_equal(shares[:, [0, 2]], model.predict_proba(rows[:20]))
