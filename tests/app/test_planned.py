"""Announced maintenance: entries end before it begins, and come back when it is over."""

import pytest

from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.app.planned import PlannedMaintenance
from bnml.app.settings import GuardSettings
from bnml.core.clock import parse_utc_ns
from bnml.core.events import Guard


def test_entries_end_before_a_planned_maintenance_and_come_back_after_it():
    inbox, now = LiveInbox(), []
    settings = GuardSettings(
        maintenance=("2026-12-09T00:00/2026-12-09T01:00", "2026-12-01T02:00/2026-12-01T04:00"),
        maintenance_lead_min=30,
    )
    planned = PlannedMaintenance(settings, Guards(inbox, lambda: 0), lambda: now[-1])
    told = {}
    for moment in ("01:29:59", "01:30", "02:00", "03:59:59", "04:00"):
        now.append(parse_utc_ns(f"2026-12-01T{moment}"))
        planned.look()
        told[moment] = [(one.name, one.level) for one in inbox.ready() if isinstance(one, Guard)]
    assert told == {
        "01:29:59": [],
        "01:30": [("planned", "REDUCING")],
        "02:00": [],
        "03:59:59": [],
        "04:00": [("planned", "ACTIVE")],
    }
    now.append(parse_utc_ns("2026-12-09T00:30"))
    planned.use(GuardSettings())
    planned.look()
    assert not inbox.ready()


@pytest.mark.parametrize("text", ["tomorrow", "2026-12-01T04:00/2026-12-01T02:00", "2026-12-01T04:00", "a/b"])
def test_a_window_that_cannot_be_read_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"must be START/END|ends before it begins"):
        GuardSettings(maintenance=(text,))
