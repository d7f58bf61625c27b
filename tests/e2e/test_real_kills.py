"""Real daemons, real sockets, a faulty venue, SIGKILL at named points and at any moment: nothing lost, nothing doubled."""

from bnml.drill.cover import PROMISE_S
from tests.e2e.litter import rehearse
from tests.e2e.nursery import POINTS


def test_forty_kills_leave_one_story(tmp_path):
    found = rehearse(tmp_path / "state", 40, 1)
    assert found["executed"] > 10
    assert sum(found["killed"].values()) == 40
    assert set(POINTS) <= set(found["killed"])
    # By the excuses of the drills: faults strike one order in seven, and daemons die meanwhile.
    assert [one for one in found["uncovered"]["long"] if one["unexcused"] > PROMISE_S] == []
    assert sum(found["faults"].values()) > 10
