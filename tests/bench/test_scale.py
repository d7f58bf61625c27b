"""The scale measurement at a small size: every symbol decides on every bar, each with a model of its own."""

import json

from bnml.journal.reader import JournalReader
from tests.bench.scale import prepare, report, trade

SYMBOLS, SCANS = 30, 3
SMALL = {
    "max_rows": 1500,
    "folds": 2,
    "fold_trees": 10,
    "rf": {"trees": 20},
    "xgb": {"rounds": 20},
}


def test_each_of_many_symbols_decides_every_bar_with_its_own_model(tmp_path):
    symbols, model_bytes = prepare(tmp_path, SYMBOLS, SMALL)
    rows = trade(tmp_path, SCANS, speed=60, timeout_s=120)
    made = report(tmp_path, symbols, model_bytes, 60, rows)
    json.dumps(made)
    with JournalReader(tmp_path / "state" / "journal.db") as journal:
        decisions = [decision for _, decision in journal.decisions()]
    assert {(one.symbol, one.ts_close_ns) for one in decisions} == {
        (symbol, one.ts_close_ns) for symbol in symbols for one in decisions
    }
    assert len(decisions) == SYMBOLS * SCANS
    assert {one.bundle_id.partition("/")[0]: one.bundle_id for one in decisions}.keys() == set(symbols)
    assert len({one.bundle_id.partition("/")[2] for one in decisions}) == SYMBOLS
    for ts_close_ns in {one.ts_close_ns for one in decisions}:
        thoughts = [
            (one.p_sell, one.p_hold, one.p_buy) for one in decisions if one.ts_close_ns == ts_close_ns
        ]
        assert len(set(thoughts)) == len(thoughts) == SYMBOLS
    assert made["bars"] > 0
    assert made["resident_mib"]["trading"] > 0
    assert made["cpu_ms_per_bar"] > 0
