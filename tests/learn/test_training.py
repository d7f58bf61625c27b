import errno
import os
import subprocess
import sys
from pathlib import Path

import joblib
import msgspec
import numpy as np
import pytest
import xgboost

from bnml.core.errors import Rejected
from bnml.kernels.records import DecisionRule
from bnml.learn import bundle as bundles
from bnml.learn.bundle import current_version
from bnml.learn.dataset import feature_rows
from bnml.learn.predictors import ModelStore, PolicyChoice
from bnml.learn.publish import publish, staging_dir
from bnml.learn.train import publish_trained, train_symbol
from tests.learn.small import LAYOUT, market, quiet, spec_for

CHOICE = PolicyChoice(int(DecisionRule.EXPECTED_EDGE), 0.4, 0.41, 0.07, 0.02)


@pytest.fixture(scope="module")
def history():
    return market()


@pytest.fixture(scope="module")
def trained(history, tmp_path_factory):
    spec = spec_for(tmp_path_factory.mktemp("trained"))
    return spec, train_symbol(history, spec, quiet)


@pytest.fixture
def published(trained, tmp_path):
    """A models folder of its own with one published bundle, and its id."""
    spec, made = trained
    spec = msgspec.structs.replace(spec, learning=spec.learning.model_copy(update={"models_dir": tmp_path}))
    return tmp_path, publish_trained(made, spec)


def store(models_dir, *, gate=False, version=LAYOUT.version):
    return ModelStore(models_dir, version, CHOICE, gate=gate)


def folder(published):
    return published[0] / published[1]


def repoint(models_dir, bundle_folder, **changes):
    """Publish the same arrays again with other metadata: valid checksums, other claims."""
    metadata = msgspec.json.decode((bundle_folder / "metadata.json").read_bytes(), type=bundles.Metadata)
    staging = staging_dir(models_dir, metadata.symbol)
    (staging / "forest.npz").write_bytes((bundle_folder / "forest.npz").read_bytes())
    return publish(models_dir, msgspec.structs.replace(metadata, **changes), staging)


def test_the_planted_edge_is_found_and_priced(trained):
    metrics = trained[1].metadata.metrics
    assert metrics.log_loss < metrics.base_rate_log_loss
    assert metrics.net_expectation_ppm > metrics.net_expectation_all_ppm
    assert metrics.entries > 0


def test_training_twice_gives_equal_bytes(trained, history, tmp_path):
    spec, made = trained
    again = train_symbol(history, spec, quiet)
    names = []
    for number, one in enumerate((made, again)):
        other = spec.learning.model_copy(update={"models_dir": tmp_path / str(number)})
        bundle_id = publish_trained(one, msgspec.structs.replace(spec, learning=other))
        names.append(bundle_id)
        made_file = tmp_path / str(number) / bundle_id / "forest.npz"
        assert made_file.stat().st_size > 0
    first, second = (tmp_path / str(number) / name / "forest.npz" for number, name in enumerate(names))
    assert first.read_bytes() == second.read_bytes()


def test_predictor_equals_the_libraries_on_rows_with_nan(published, history):
    models_dir, bundle_id = published
    models = store(models_dir)
    assert models.load("TESTUSDT") == bundle_id
    predictor = models.predictor(bundle_id)
    rows = feature_rows(history, LAYOUT)[-300:].copy()
    rows[::7, predictor.columns[::5]] = np.nan
    narrow = rows[:, predictor.columns].astype(np.float32)
    shares = joblib.load(folder(published) / "rf.joblib").predict_proba(narrow)
    margins = joblib.load(folder(published) / "xgb.joblib").predict(xgboost.DMatrix(narrow))
    weight = predictor.metadata.ensemble_weights
    out = np.zeros(3)
    for index, row in enumerate(rows):
        predictor.probabilities(row, out)
        assert np.abs(out - (weight[0] * shares[index] + weight[1] * margins[index])).max() <= 2.4e-7
    assert np.abs(out.sum() - 1.0) < 1e-6


def test_policy_joins_what_was_measured_with_what_the_operator_chose(published, trained):
    models = store(published[0])
    policy = models.predictor(models.load("TESTUSDT")).policy
    measured = trained[1].arrays.policy
    assert policy["cut"] == measured["cut"]
    assert policy["rule"][0] == CHOICE.rule
    assert policy["min_sell"][0] == 0.41
    assert np.all(np.diff(policy["bucket_edge_ppm"][0]) >= 0)
    assert np.all(policy["bucket_lower_ppm"] <= policy["bucket_edge_ppm"])


def test_daemon_side_imports_no_training_library():
    code = (
        "import sys, bnml.learn.predictors; "
        "print([n for n in ('sklearn', 'xgboost', 'joblib', 'pandas') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_a_version_can_be_loaded_by_name_after_another_took_its_place(published):
    models_dir, first = published
    second = repoint(models_dir, folder(published), created_ns=5)
    models = store(models_dir)
    assert models.load("TESTUSDT") == second
    assert models.load("TESTUSDT", first.partition("/")[2]) == first
    assert models.predictor(first).bundle_id == first


def test_an_arrays_file_cut_short_is_refused_and_the_previous_stays(published):
    models_dir, first = published
    models = store(models_dir)
    models.load("TESTUSDT")
    second = repoint(models_dir, folder(published), created_ns=6)
    arrays = models_dir / second / "forest.npz"
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(Rejected, match="cut short"):
        models.load("TESTUSDT")
    assert models.predictor(first).bundle_id == first


def test_changed_metadata_is_refused(published):
    path = folder(published) / "metadata.json"
    path.write_bytes(path.read_bytes().replace(b'"rows": ', b'"rows": 1'))
    with pytest.raises(Rejected, match=r"metadata\.json was changed"):
        store(published[0]).load("TESTUSDT")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features_version": "elsewhere"}, "feature version elsewhere"),
        ({"format": 99}, "format 99"),
        ({"columns": ("rsi_14",)}, "a column that the model does not have"),
    ],
)
def test_foreign_bundles_are_refused_with_a_sentence(published, changes, sentence):
    repoint(published[0], folder(published), **changes)
    with pytest.raises(Rejected, match=sentence):
        store(published[0]).load("TESTUSDT")


def test_a_bundle_of_another_symbol_is_refused(published):
    (published[0] / "TESTUSDT").rename(published[0] / "OTHERUSDT")
    with pytest.raises(Rejected, match="trained for TESTUSDT, not for OTHERUSDT"):
        store(published[0]).load("OTHERUSDT")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 1 << 30),  # the children of the first block lie behind everything
        (0, 0),  # it is its own child
        (1, 0),  # its leaves are blocks
        (15, 0xFFFF0000),  # the last slot has leaves that are too far away
    ],
)
def test_links_that_leave_the_arrays_are_refused(published, place, value):
    source = folder(published)
    with np.load(source / "forest.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["rf_words"][place] = value
    with (source / "forest.npz").open("wb") as file:
        np.savez(file, **arrays)
    repoint(published[0], source)
    with pytest.raises(Rejected, match="a link of rf leads outside"):
        store(published[0]).load("TESTUSDT")


def test_pickled_arrays_are_never_opened(published):
    source = folder(published)
    np.savez(source / "forest.npz", rf_words=np.array([object()], dtype=object))
    repoint(published[0], source)
    with pytest.raises(Rejected, match="plain arrays"):
        store(published[0]).load("TESTUSDT")


def test_golden_batch_that_is_not_repeated_is_refused(published):
    source = folder(published)
    with np.load(source / "forest.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays["golden_probabilities"][3, 1] += 1e-5
    with (source / "forest.npz").open("wb") as file:
        np.savez(file, **arrays)
    repoint(published[0], source)
    with pytest.raises(Rejected, match="does not repeat"):
        store(published[0]).load("TESTUSDT")


def test_gate_refuses_a_bundle_that_lost_money_out_of_fold(published):
    metrics = msgspec.structs.replace(
        msgspec.json.decode(
            (folder(published) / "metadata.json").read_bytes(), type=bundles.Metadata
        ).metrics,
        net_expectation_ppm=-900.0,
    )
    repoint(published[0], folder(published), metrics=metrics)
    with pytest.raises(Rejected, match=r"learning\.gate"):
        store(published[0], gate=True).load("TESTUSDT")
    assert store(published[0], gate=False).load("TESTUSDT").startswith("TESTUSDT/")


def test_no_model_says_what_to_do(tmp_path):
    assert current_version(tmp_path, "TESTUSDT") is None
    with pytest.raises(Rejected, match="bnml train makes one"):
        store(tmp_path).load("TESTUSDT")


def test_too_short_a_history_is_refused(tmp_path):
    with pytest.raises(Rejected, match="load more history"):
        train_symbol(market(300), spec_for(tmp_path), quiet)


def test_publishing_leaves_no_staging_folder_behind(published):
    names = {path.name for path in (published[0] / "TESTUSDT").iterdir()}
    assert names == {"current.json", Path(published[1]).name}


@pytest.mark.parametrize("name", ["write_arrays", "fsync", "replace"])
def test_f46_a_disk_that_fills_while_a_model_is_published_leaves_the_one_in_use_whole(
    trained, published, monkeypatch, name
):
    """And nothing of the new one beside it, which would keep the disk full."""
    models_dir, bundle_id = published
    spec, made = trained
    spec = msgspec.structs.replace(spec, learning=spec.learning.model_copy(update={"models_dir": models_dir}))
    made = msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, created_ns=5))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = {"write_arrays": "bnml.learn.train.write_arrays", "fsync": "bnml.learn.publish.os.fsync"}
    monkeypatch.setattr(place.get(name, "pathlib.Path.replace"), full)
    with pytest.raises(OSError, match="No space left"):
        publish_trained(made, spec)
    monkeypatch.undo()
    symbol, version = bundle_id.split("/")
    assert bundles.current_version(models_dir, symbol).version == version
    assert not list((models_dir / symbol).glob(".new-*"))
    assert store(models_dir).load(symbol, None) == bundle_id
