import msgspec
import pytest

from bnml.app import training
from bnml.config import load
from bnml.core.errors import Misconfigured
from bnml.options import TrainOptions
from bnml.venues.history import write_history
from tests.learn.small import market

SMALL = {
    "features.base_frame": "1h",
    "features.higher_frames": [],
    "learning.folds": 2,
    "learning.fold_trees": 10,
    "learning.rf.trees": 10,
    "learning.xgb.rounds": 10,
}


def settings_for(tmp_path, **given):
    options = (
        SMALL | {"learning.models_dir": str(tmp_path / "models"), "app.state_dir": str(tmp_path)} | given
    )
    return load(None, options={name: (value, "the test") for name, value in options.items()})


@pytest.fixture
def folder(tmp_path):
    for symbol, count in (("AAAUSDT", 1600), ("BBBUSDT", 250)):
        history = market(count, symbol=symbol)
        write_history(tmp_path / "data" / f"{symbol}.parquet", history.instrument, history.bars)
    return tmp_path / "data"


def run(settings, folder, capsys, **options):
    code = training.train(settings, TrainOptions(replay=folder, json=True, **options))
    captured = capsys.readouterr()
    return code, msgspec.json.decode(captured.out, type=training.Report), captured.err


def test_one_symbol_is_published_while_another_is_too_young(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, report, progress = run(settings_for(tmp_path), folder, capsys)
    assert code == 1
    assert [one.symbol for one in report.trained] == ["AAAUSDT"]
    assert [one.symbol for one in report.failed] == ["BBBUSDT"]
    assert "load more history" in report.failed[0].reason
    assert "AAAUSDT: fold 1 of 2" in progress
    assert (tmp_path / "models" / report.trained[0].bundle / "forest.npz").is_file()


def test_missing_only_leaves_young_models_alone_and_replaces_old_ones(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    only = {"universe.symbols": ["AAAUSDT"]}
    run(settings_for(tmp_path, **only), folder, capsys, to_ns=int(market(1500).bars["ts_open_ns"][-1]))
    code, report, _ = run(settings_for(tmp_path, **only), folder, capsys, missing_only=True)
    assert (code, [one.symbol for one in report.trained]) == (0, ["AAAUSDT"])  # 101 hours old
    code, report, _ = run(settings_for(tmp_path, **only), folder, capsys, missing_only=True)
    assert (code, report.trained, report.skipped[0].symbol) == (0, [], "AAAUSDT")
    assert "0.0 h old" in report.skipped[0].reason


def test_a_symbol_without_a_file_is_named(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_for(tmp_path, **{"universe.symbols": ["ZZZUSDT"]})
    with pytest.raises(Misconfigured, match="has no file for ZZZUSDT"):
        training.train(settings, TrainOptions(replay=folder))


def test_result_for_people_names_bundle_and_expectation(tmp_path, folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_for(tmp_path, **{"universe.symbols": ["AAAUSDT"]})
    assert training.train(settings, TrainOptions(replay=folder)) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].startswith("AAAUSDT ")
    assert "net %" in text.splitlines()[0]
    assert "1 trained, 0 skipped, 0 failed" in text
