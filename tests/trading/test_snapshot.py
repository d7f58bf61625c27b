"""A restored engine goes on as if nothing had happened; bytes that cannot be trusted are refused."""

import msgspec
import numpy as np
import pytest

from bnml.core.errors import RecoveryNeeded
from bnml.core.events import InstrumentUpdate
from bnml.kernels import KERNEL_HASH
from bnml.kernels.records import BREAKERS
from bnml.trading import snapshot
from bnml.trading.engine import Engine
from bnml.venues.sim.klines import bar_event
from tests.trading.kit import HOUR_NS, Predictors, config, instrument, lively_bench, random_bars


def outcome_of(bench, restarts):
    """Run to the end; at each step number in `restarts` the engine is replaced by its own snapshot."""
    replay = bench.replay()
    replay.start()
    number = 0
    while (advance := replay._venue.advance()) is not None:
        if number in restarts:
            content = replay._engine.snapshot()
            fresh = Engine.restore(config(bench.settings), Predictors(bench.predictor()), content)
            assert fresh.snapshot() == content
            replay.restart(fresh)
        replay.step(advance)
        number += 1
    return replay.result, replay._engine.snapshot()


def test_splitting_a_run_anywhere_changes_nothing():
    bench = lively_bench(400, 4, gaps=4)
    whole, last = outcome_of(bench, set())
    assert len(whole.trades) > 50
    for seed in range(3):
        draw = np.random.default_rng(seed)
        points = {int(point) for point in draw.integers(0, 2000, 40)}
        split, split_last = outcome_of(bench, points)
        assert split.trades == whole.trades
        assert split.decisions == whole.decisions
        assert split.equity == whole.equity
        assert split_last == last


def test_a_snapshot_from_before_the_account_remembered_more_is_filled_up_with_nothing():
    engine = Engine(config(), None)
    engine.state.breakers["day"], engine.state.breakers["mood_score"] = 19_000, 0.5
    known = BREAKERS.names.index("mood_scans")
    older = np.zeros(1, dtype=[(name, BREAKERS[name]) for name in BREAKERS.names[:known]])
    older["day"] = 19_000
    content = msgspec.msgpack.decode(engine.snapshot())
    content[2]["breakers"] = ["BREAKERS", older.tobytes()]
    restored, _ = snapshot.decode(msgspec.msgpack.encode(content))
    assert (restored.breakers["day"][0], restored.breakers["mood_score"][0]) == (19_000, 0.0)


@pytest.mark.parametrize("bars", [5, 120, 400])
def test_a_snapshot_whose_memories_were_kept_at_their_end_is_read(bars):
    engine = Engine(config(), None)
    engine.process(InstrumentUpdate(instrument(), 0), 1)
    for number, row in enumerate(random_bars(bars, 3), start=2):
        engine.process(bar_event("BTCUSDT", row, HOUR_NS), number)
    state, content = engine.state.symbols["BTCUSDT"], engine.snapshot()
    for memory in (state.close_ts_ns, state.closes, state.atr_ratios):
        memory[:] = np.roll(memory, max(0, len(memory) - bars))
    assert state.closes[-1] > 0
    restored, _ = snapshot.decode(engine.snapshot())
    assert snapshot.encode(restored, KERNEL_HASH) == content


def test_a_damaged_snapshot_asks_for_recovery():
    content = Engine(config(), None).snapshot()
    with pytest.raises(RecoveryNeeded, match="damaged"):
        snapshot.decode(content[:-3])


def test_a_snapshot_of_another_schema_asks_for_recovery():
    content = msgspec.msgpack.decode(Engine(config(), None).snapshot())
    content[0] += 1
    with pytest.raises(RecoveryNeeded, match="schema"):
        snapshot.decode(msgspec.msgpack.encode(content))
