"""The dead-man's watch: a heart that stops is noticed once in a while, a farewell is none."""

import subprocess
import sys

from bnml.app.deadman import Watch
from bnml.app.heartbeat import Heartbeat, beat, last_beat
from bnml.core.clock import NS_PER_S


def alive(ts_ns, state="running"):
    return Heartbeat(1, ts_ns, state, 0)


def test_a_heart_that_stops_is_acted_upon_and_again_later():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    due = [second for second in range(700) if watch.is_due(alive(min(second, 100)), second * NS_PER_S)]
    assert due == [130, 430]


def test_one_that_beats_again_begins_anew():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    beats = [min(second, 10) if second < 60 else 60 for second in range(120)]
    assert [second for second in range(120) if watch.is_due(alive(beats[second]), second * NS_PER_S)] == [
        40,
        90,
    ]


def test_who_said_farewell_or_never_began_is_not_dead():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    assert not any(watch.is_due(alive(1, "stopped"), second * NS_PER_S) for second in range(100))
    assert not any(watch.is_due(None, second * NS_PER_S) for second in range(100, 200))


def test_the_sign_of_life_comes_back_as_written(tmp_path):
    assert last_beat(tmp_path) is None
    beat(tmp_path, 77, "running", 5)
    assert (last_beat(tmp_path).ts_ns, last_beat(tmp_path).state, last_beat(tmp_path).scans) == (
        77,
        "running",
        5,
    )


def test_the_deadman_carries_no_kernels_and_no_models():
    code = "import sys, bnml.app.deadman as _; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numba", "xgboost", "sklearn", "scipy", "duckdb", "bnml.trading.engine"} & set(loaded)
