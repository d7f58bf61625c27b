"""A daemon on the live ramp against the embedded exchange: the books of both sides release its steps."""

import json

import pytest

from bnml.core.events import OperatorCommand, Timer
from bnml.journal.reader import JournalReader
from bnml.trading.ramp import AGREED
from tests.e2e.live import Live

SMALLEST_MOST = 12.0  # quote: the venue's 5 at the stop, with whole lots of dear symbols


@pytest.fixture
def live(tmp_path, monkeypatch):
    for name, text in (("RAMP", "always"), ("RAMP_ROUND_TRIPS", "1"), ("RAMP_SLACK_BPS", "100")):
        monkeypatch.setenv(f"BNML_LIVE__{name}", text)
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def test_entries_are_the_smallest_until_round_trips_and_the_operator_release_them(live):
    shown = live.wait_protected()
    assert shown.ramp.startswith("step 1 of 3, smallest orders")
    assert all(0 < float(one.cost) < SMALLEST_MOST for one in shown.positions)
    assert live.bnml("flatten", "--symbol", shown.positions[0].symbol).returncode == 0
    live.wait_until(lambda one: one.ramp.startswith("step 2 of 3"), 120, "the second step")
    released = live.bnml("ramp", "release", "--reason", "seen enough", "--json")
    assert released.returncode == 0, released.stderr
    assert json.loads(released.stdout)["answer"].startswith("step 3 of 3, full size")
    live.wait_until(lambda one: one.ramp.startswith("step 3"), 20, "the third step")
    assert "ramp          step 3 of 3, full size" in live.bnml("status").stdout
    live.wait_until(
        lambda one: any(float(p.cost) > 2 * SMALLEST_MOST for p in one.positions), 120, "a whole entry"
    )
    again = live.bnml("ramp", "reset")
    assert again.stdout.startswith("step 1 of 3")
    assert live.stop() == 0
    with JournalReader(live.state / "journal.db") as journal:
        events = [event for _, event in journal.events()]
    words = [event.name for event in events if isinstance(event, OperatorCommand)]
    assert [word for word in words if word.startswith("ramp")] == ["ramp_begin", "ramp_release", "ramp_reset"]
    assert any(isinstance(event, Timer) and event.name == AGREED for event in events)


def test_without_a_ramp_the_operator_is_told_so(tmp_path):
    session = Live(tmp_path / "state", seed=1)
    session.start()
    try:
        health, _ = session.wait_until(lambda one: one.state == "running", 120, "trading")
        refused = session.bnml("ramp", "release")
    finally:
        session.end()
    assert (health.ramp, refused.returncode) == ("", 3)
    assert "no ramp is in use" in refused.stdout
