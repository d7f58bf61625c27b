"""Nothing is left behind by connections that break: memory, files, tasks."""

import pytest

from tests.e2e.soak import SPOKEN, soak


def judge(found, slope):
    assert found["exit_code"] == 0
    assert found["suspect_lines"] == []
    assert found["resident_slope_mb_per_market_hour"] < slope, found
    before, after = found["files_without_sockets"]
    assert after - before <= 2, found
    assert found["reconnects"] > found["drops"]


def test_f56_market_hours_with_drops_leave_no_memory_and_no_file(tmp_path):
    found = soak(tmp_path / "state", market_hours=1.5, speed=300, every_s=0.25)
    assert found["drops"] >= 6
    # So short a run says little of slopes: a leak of each drop would still be seen.
    judge(found, slope=15)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """What the soak tells its processes by environment variables is forgotten after it."""
    for name in SPOKEN:
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)


@pytest.mark.long
def test_f56_a_market_day_with_drops(tmp_path):
    found = soak(tmp_path / "state", market_hours=24, speed=180)
    assert found["drops"] >= 140
    judge(found, slope=1)
