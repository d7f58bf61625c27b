"""Guards: raised, ended, latched until cause and operator both allow."""

from hypothesis import given
from hypothesis import strategies as st

from bnml.core.commands import Alert
from bnml.core.events import Guard
from bnml.core.ids import IdSource
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING, GuardDesk
from bnml.trading.outbox import Outbox
from bnml.trading.state import Activity


class Desk:
    def __init__(self):
        self.activity = Activity()
        self.out = Outbox(IdSource("test", 1), 1)
        self.desk = GuardDesk(self.activity)

    def say(self, level, name="disk", detail="x"):
        self.desk.take(Guard(name, level, 0, detail), self.out)

    def resume(self):
        self.desk.resume(self.out)


def test_reducing_ends_by_itself():
    one = Desk()
    one.say(REDUCING)
    assert not one.activity.allows_entries
    assert one.activity.guards == {"disk": (REDUCING, "x")}
    one.say(ACTIVE)
    assert one.activity.allows_entries


def test_a_halt_waits_for_its_cause_and_for_the_operator():
    one = Desk()
    one.say(HALTED)
    one.say(ACTIVE)
    assert one.activity.guards == {"disk": (HALTED, "x")}
    one.resume()
    assert one.activity.allows_entries


def test_a_resume_before_the_cause_is_over_is_remembered_and_told():
    one = Desk()
    one.say(HALTED)
    one.resume()
    assert not one.activity.allows_entries
    assert [type(command) for command in one.out.take_commands()] == [Alert]
    one.say(ACTIVE)
    assert one.activity.allows_entries


def test_a_halt_whose_cause_returns_is_not_over_for_having_been_over_before():
    one = Desk()
    one.say(HALTED)
    one.say(ACTIVE)
    one.say(HALTED, detail="again")
    one.resume()
    assert one.activity.guards == {"disk": (HALTED, "again")}


def test_a_cause_that_returns_needs_the_operator_again():
    one = Desk()
    one.say(HALTED)
    one.resume()
    one.say(HALTED, detail="again")
    one.say(ACTIVE)
    assert one.activity.guards == {"disk": (HALTED, "again")}


def test_a_halt_that_became_reducing_stays_a_halt_and_then_reduces():
    one = Desk()
    one.say(HALTED)
    one.say(REDUCING, detail="less")
    assert one.activity.guards == {"disk": (HALTED, "x")}
    one.resume()
    assert one.activity.guards == {"disk": (REDUCING, "less")}
    one.say(ACTIVE)
    assert one.activity.allows_entries


def test_an_unknown_level_counts_as_halted():
    one = Desk()
    one.say("maybe")
    assert one.activity.guards["disk"][0] == HALTED


LEVELS = st.sampled_from([ACTIVE, REDUCING, HALTED])


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), LEVELS | st.just("resume")), max_size=30))
def test_entries_come_exactly_when_no_cause_stands_and_each_halt_was_resumed(story):
    one, level, owed = Desk(), {}, {}
    for name, word in story:
        if word == "resume":
            one.resume()
            owed = dict.fromkeys(owed, False)
            continue
        one.say(word, name)
        level[name] = word
        if word == HALTED:
            owed[name] = True
    stopped = any(word != ACTIVE for word in level.values()) or any(owed.values())
    assert one.activity.allows_entries is not stopped
