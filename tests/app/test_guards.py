"""The door for guards found around the engine: each change once."""

from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.core.events import Guard
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING


def test_only_changes_are_posted():
    inbox = LiveInbox()
    guards = Guards(inbox, lambda: 7)
    for level in (ACTIVE, REDUCING, REDUCING, HALTED, ACTIVE, ACTIVE):
        guards.report("disk", level, "d")
    assert inbox.ready() == [Guard("disk", level, 7, "d") for level in (REDUCING, HALTED, ACTIVE)]


def test_what_the_engine_remembers_must_be_ended_by_a_report():
    inbox = LiveInbox()
    guards = Guards(inbox, lambda: 7)
    guards.recall({"disk": (REDUCING, "full")})
    guards.report("disk", REDUCING, "still")
    assert inbox.ready() == []
    guards.report("disk", ACTIVE)
    assert inbox.ready() == [Guard("disk", ACTIVE, 7)]


def test_a_report_before_the_memory_is_there_counts():
    inbox = LiveInbox()
    guards = Guards(inbox, lambda: 7)
    guards.report("disk", ACTIVE)
    guards.recall({"disk": (REDUCING, "full")})
    assert inbox.ready() == [Guard("disk", ACTIVE, 7)]
