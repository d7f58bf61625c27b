import numpy as np
import pytest

from bnml.kernels.labels import UNKNOWN
from bnml.learn.dataset import feature_rows, make_dataset, usable_columns, walk_forward
from bnml.learn.estimators import best_weight, log_loss
from bnml.learn.labels import label_bars
from bnml.learn.scores import fit_policy, pool, separate_entries
from tests.learn.small import LAYOUT, market, spec_for


@pytest.fixture(scope="module")
def history():
    return market(1800)


def dataset_of(history, models_dir, max_rows=20_000):
    spec = spec_for(models_dir)
    features = feature_rows(history, LAYOUT)
    atr_ratio = np.ascontiguousarray(features[:, LAYOUT.column("atr_ratio_14")])
    return make_dataset(history, features, atr_ratio, spec.labelling, history_bars=1000, max_rows=max_rows)


def test_rows_are_complete_and_each_label_has_its_whole_horizon(history, tmp_path):
    dataset = dataset_of(history, tmp_path)
    assert np.isfinite(dataset.rows).all()
    assert dataset.bar[-1] == len(history.bars) - 1 - dataset.horizon
    assert UNKNOWN not in dataset.labels


def test_max_rows_keeps_the_newest(history, tmp_path):
    whole, cut = dataset_of(history, tmp_path), dataset_of(history, tmp_path, max_rows=500)
    assert np.array_equal(cut.bar, whole.bar[-500:])
    assert np.array_equal(cut.labels, whole.labels[-500:])


def test_features_and_labels_do_not_change_when_the_future_is_cut_off(history, tmp_path):
    spec = spec_for(tmp_path)
    features = feature_rows(history, LAYOUT)
    close = history.bars["close"] / 100.0
    labels = label_bars(close, features[:, LAYOUT.column("atr_ratio_14")], spec.labelling)
    for end in (700, 1111, 1500):
        cut = history.__class__(history.instrument, history.record, history.bars[:end])
        earlier = feature_rows(cut, LAYOUT)
        assert np.array_equal(earlier, features[:end], equal_nan=True)
        seen = label_bars(close[:end], earlier[:, LAYOUT.column("atr_ratio_14")], spec.labelling)
        assert np.array_equal(seen[:-4], labels[: end - 4])
        assert np.all(seen[-4:] == UNKNOWN)


def test_no_label_of_a_fit_reaches_into_the_block_that_judges_it(history, tmp_path):
    dataset = dataset_of(history, tmp_path)
    folds = walk_forward(dataset, 3)
    assert len(folds) == 3
    for fold in folds:
        last_seen = dataset.bar[fold.fit_end - 1] + dataset.horizon
        assert last_seen < dataset.bar[fold.judge_start] - dataset.horizon + 1
        assert fold.fit_end < fold.judge_start < fold.judge_end
    assert [fold.judge_start for fold in folds[1:]] == [fold.judge_end for fold in folds[:-1]]
    assert folds[-1].judge_end == len(dataset.bar)


def test_late_and_patchy_columns_are_not_declared():
    features = np.zeros((1000, 3))
    features[:600, 1] = np.nan  # warm too late
    features[::10, 2] = np.nan  # missing again and again
    assert usable_columns(features, 300).tolist() == [0]


def test_pooling_makes_means_monotone_and_keeps_the_weighted_total():
    means, counts = np.array([3.0, 1.0, 2.0, 5.0, 4.0]), np.array([1.0, 3.0, 2.0, 1.0, 1.0])
    pooled, errors = pool(means, np.ones(5), counts)
    assert pooled.tolist() == pytest.approx([1.5, 1.5, 2.0, 4.5, 4.5])
    assert pooled @ counts == pytest.approx(means @ counts)
    assert errors[3] == pytest.approx(np.sqrt(0.5))


def test_overlapping_entries_count_once():
    assert separate_entries(np.array([0, 1, 5, 9]), np.array([5.0, 50.0, 4.0, 1.0])) == 3


def test_policy_of_scores_that_pay_above_a_level():
    random = np.random.default_rng(1)
    scores = random.normal(size=4000)
    outcomes = np.column_stack([np.where(scores > 1.0, 4000.0, -2000.0), np.full(4000, 2.0)])
    outcomes[::50, 0] = np.nan
    policy = fit_policy(scores, outcomes, 0.98)[0]
    assert policy["cut"] == pytest.approx(np.quantile(scores, 0.98))
    assert policy["bucket_edge_ppm"][-1] == pytest.approx(4000.0)
    assert policy["bucket_edge_ppm"][0] == pytest.approx(-2000.0)
    assert policy["score_quantiles"][50] == pytest.approx(np.median(scores))


def test_the_better_model_gets_the_weight():
    labels = np.array([0, 1, 2] * 50)
    good = np.full((150, 3), 0.1)
    good[np.arange(150), labels] = 0.8
    blind = np.full((150, 3), 1 / 3)
    assert best_weight(good, blind, labels) == pytest.approx(0.95)
    assert best_weight(blind, good, labels) == pytest.approx(0.05)
    assert log_loss(blind, labels) == pytest.approx(np.log(3))
