"""Real daemons, real sockets, a faulty venue, SIGKILL at named points and at any moment: nothing lost, nothing doubled."""

from tests.e2e.litter import rehearse


def test_forty_kills_leave_one_story(tmp_path):
    found = rehearse(tmp_path / "state", 40, 1)
    assert found["executed"] > 10
    assert sum(found["killed"].values()) == 40
    assert len(found["killed"]) >= 5
    assert sum(found["faults"].values()) > 10
