import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from bnml.core.errors import Rejected
from bnml.kernels import forest
from bnml.learn.arrays import together
from bnml.learn.flatten import flatten_boosting, flatten_random_forest, ordered
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


def flat_model(models, weights, columns=None, width=COLUMNS):
    first = flatten_random_forest(models[0], width)
    second, base = flatten_boosting(models[1], width)
    return together(
        forest.Model(
            rf_words=first.words,
            rf_shape=first.shape,
            xgb_words=second.words,
            xgb_shape=second.shape,
            xgb_base=base,
            weights=np.array(weights),
            columns=np.arange(width) if columns is None else columns,
        )
    )


def run_batch(models, rows, weights):
    model = flat_model(models, weights, width=rows.shape[1])
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


def fitted(rows, labels, depth, **kept):
    """Both libraries on `rows`, trees of at most `depth` levels."""
    random_forest = RandomForestClassifier(5, max_depth=depth, random_state=2, n_jobs=1, **kept)
    random_forest.fit(rows, labels)
    parameters = {"objective": "multi:softprob", "num_class": 3, "max_depth": depth, "seed": 2, "nthread": 1}
    parameters |= {"min_child_weight": 0.0, "learning_rate": 1.0}
    return random_forest, xgboost.train(parameters, xgboost.DMatrix(rows, label=labels), 4)


def assert_both_follow_the_libraries(models, rows):
    """In the kernel all rows; in the twin the first ones."""
    width = rows.shape[1]
    expected = models[1].predict(xgboost.DMatrix(rows))
    assert np.array_equal(run_batch(models, rows, [1.0, 0.0]), models[0].predict_proba(rows))
    assert np.abs(run_batch(models, rows, [0.0, 1.0]) - expected).max() <= 2.4e-7
    first = flatten_random_forest(models[0], width)
    second, base = flatten_boosting(models[1], width)
    for row, said in zip(rows[:5], expected[:5], strict=True):
        assert np.array_equal(twin.random_forest(first, row), models[0].predict_proba(row[None])[0])
        assert np.abs(np.array(twin.boosting(second, base, row)) - said).max() <= 2.4e-7
    return first, second


@pytest.mark.parametrize("depth", range(1, 13))
def test_every_depth_fills_its_blocks_as_the_libraries_walk(data, depth):
    rows, labels = data
    models = fitted(rows[:600], labels[:600], depth)
    reached = max(one.tree_.max_depth for one in models[0].estimators_)
    assert reached == depth
    first, _ = assert_both_follow_the_libraries(models, rows)
    asked = [twin.leaf_of(first, tree, row)[1] for tree in range(5) for row in np.nan_to_num(rows[:20])]
    assert max(asked) <= depth
    assert first.shape[1] == {1: 4, 2: 2, 0: 1}[depth % 3]


def test_trees_of_a_single_leaf(data):
    rows = data[0][:50]
    labels = np.repeat([0, 1, 2], [20, 20, 10])
    models = fitted(rows, labels, 3, min_samples_leaf=50)
    boosting = xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "min_child_weight": 1e9},
        xgboost.DMatrix(rows, label=labels),
        2,
    )
    first, second = assert_both_follow_the_libraries((models[0], boosting), rows)
    assert first.shape[2] == 5  # no block but the top ones
    assert second.shape[2] == 6


def test_a_long_thin_tree_takes_no_room_for_what_it_lacks():
    """A staircase: each node cuts one row off, so the tree is as deep as it has nodes."""
    rows = np.arange(40.0)[:, None].repeat(COLUMNS, axis=1) ** 3
    labels = np.arange(40) % 3
    random_forest = RandomForestClassifier(3, bootstrap=False, max_features=1, random_state=1, n_jobs=1)
    random_forest.fit(rows, labels)
    boosting = fitted(rows, labels, 12)[1]
    first, _ = assert_both_follow_the_libraries((random_forest, boosting), np.concatenate([rows, rows + 0.5]))
    nodes = sum(one.tree_.node_count for one in random_forest.estimators_)
    assert max(one.tree_.max_depth for one in random_forest.estimators_) > 6
    assert first.shape[2] <= nodes // 2


def test_trees_of_different_depths_in_one_ensemble(data):
    rows, labels = data
    parts = [fitted(rows[:600], labels[:600], depth) for depth in (1, 4, 11)]
    mixed = parts[0][0]
    mixed.estimators_ = [tree for part in parts for tree in part[0].estimators_]
    mixed.n_estimators = len(mixed.estimators_)
    assert_both_follow_the_libraries((mixed, parts[2][1]), rows)


def test_nan_in_any_column_and_thresholds_that_separate_nothing_but_nan(data):
    rows, labels = data[0].copy(), data[1].copy()
    rows[:, 4] = np.where(labels == 2, np.nan, 1.0)
    rows[:, 5] = np.where(labels == 0, np.nan, -1.0)
    models = fitted(rows, labels, 6, max_features=None)
    thresholds = np.concatenate([one.tree_.threshold for one in models[0].estimators_])
    assert np.isinf(thresholds).any()
    for column in range(COLUMNS):
        holed = rows[:200].copy()
        holed[:, column] = np.nan
        assert_both_follow_the_libraries(models, holed)


def test_more_columns_than_a_byte_can_name():
    generator = np.random.default_rng(8)
    rows = generator.normal(size=(400, 700))
    rows[generator.random(rows.shape) < 0.05] = np.nan
    labels = np.digitize(np.nan_to_num(rows[:, 650] + rows[:, 3] + rows[:, 300]), [-0.7, 0.7])
    models = fitted(rows, labels, 7, max_features=None)
    used = np.concatenate([one.tree_.feature for one in models[0].estimators_])
    assert (used > 600).any()
    assert_both_follow_the_libraries(models, rows)


def test_a_model_of_too_many_columns_is_refused(models):
    with pytest.raises(Rejected, match="32768 columns cannot be laid out, 32767 is the most"):
        flatten_random_forest(models[0], 32_768)


def test_integers_order_as_their_floats_do():
    tiny = np.finfo(np.float32).smallest_subnormal
    values = np.array([-np.inf, -1e30, -1.5, -1.0, -tiny, 0.0, tiny, 1e-30, 1.0, 2.5, np.inf], np.float32)
    numbers = ordered(values)
    assert np.all(np.diff(numbers.astype(np.int64)) > 0)
    assert ordered(np.array([-0.0], np.float32))[0] == ordered(np.array([0.0], np.float32))[0]
    buffer = np.zeros(2 * len(values) + 1, np.uint32)
    forest.load_row(values.astype(np.float64), np.arange(len(values)), buffer)
    assert np.array_equal(buffer[:-1:2], numbers)
    assert np.array_equal(buffer[1::2], numbers)


def test_a_model_of_its_own_lies_on_cache_lines(models):
    model = flat_model(models, [0.5, 0.5])
    copied = together(model)
    for first, second in zip(model, copied, strict=True):
        assert np.array_equal(first, second)
        assert not np.shares_memory(first, second)
        assert second.ctypes.data % 64 == 0
