"""All reasons against entries, in one list: operator, channels, guards, and every breaker that has tripped."""

import pytest

from bnml.core.events import Guard, OperatorCommand, VenueStatus
from bnml.trading.engine import Engine
from bnml.trading.guarding import ACTIVE, HALTED, REDUCING
from bnml.trading.risk.breakers import Breakers
from bnml.trading.standing import worst
from tests.trading.kit import config

HOUR_NS = 3600 * 10**9


@pytest.fixture
def engine():
    made = Engine(config(), None)
    made.state.scanned_ns = made.state.now_ns = 100 * HOUR_NS
    made.state.last_equity_e8 = 900 * 10**8
    made.state.breakers["day_start_equity_e8"] = 900 * 10**8
    return made


def names(engine):
    return [one.name for one in engine.standings()]


def test_nothing_speaks_against_entries(engine):
    assert engine.standings() == ()
    assert worst(()) == ACTIVE


def test_operator_channels_and_guards_are_named_with_their_level(engine):
    engine.process(VenueStatus("orders", up=False, ts_ns=1, detail="gone"), 1)
    engine.process(Guard("disk", REDUCING, 2, "900 MiB free"), 2)
    engine.process(OperatorCommand("reduce", 3), 3)
    found = {one.name: (one.level, one.detail) for one in engine.standings()}
    assert found == {
        "operator": (REDUCING, "`bnml reduce`"),
        "channel:orders": (REDUCING, "gone"),
        "disk": (REDUCING, "900 MiB free"),
    }
    assert worst(engine.standings()) == REDUCING
    engine.process(OperatorCommand("halt", 4, "why"), 4)
    assert worst(engine.standings()) == HALTED


def test_after_the_operators_word_the_same_drawdown_does_not_pause_again(engine):
    """It once did, with the next scan and for the whole time anew: nothing but waiting helped."""
    memory, breakers = engine.state.breakers, Breakers(engine.state.breakers, engine.config.limits, "UTC")
    breakers.roll(100 * HOUR_NS, 1_200 * 10**8)
    breakers.roll(101 * HOUR_NS, 900 * 10**8)
    until_ns = memory["drawdown_until_ns"][0]
    assert until_ns > 101 * HOUR_NS
    engine.process(OperatorCommand("resume", 5), 5)
    breakers.roll(102 * HOUR_NS, 899 * 10**8)
    assert memory["drawdown_until_ns"][0] == 0
    assert memory["peak_equity_e8"][0] == 900 * 10**8
    breakers.roll(103 * HOUR_NS, 700 * 10**8)
    assert memory["drawdown_until_ns"][0] > until_ns, "but the next one does"


def test_a_resume_for_something_else_forgets_no_peak(engine):
    memory, breakers = engine.state.breakers, Breakers(engine.state.breakers, engine.config.limits, "UTC")
    breakers.roll(100 * HOUR_NS, 1_000 * 10**8)
    breakers.roll(101 * HOUR_NS, 900 * 10**8)
    engine.process(OperatorCommand("resume", 5), 5)
    assert memory["peak_equity_e8"][0] == 1_000 * 10**8


def test_every_breaker_that_has_tripped_is_named_with_its_figures(engine):
    memory = engine.state.breakers
    memory["day_start_equity_e8"] = 1000 * 10**8
    memory["drawdown_until_ns"], memory["drawdown_ppm"] = 200 * HOUR_NS, 210_000
    memory["losses_in_row"], memory["loss_until_ns"] = 50, 200 * HOUR_NS
    assert names(engine) == ["daily_loss", "drawdown", "loss_streak"]
    assert engine.standings()[0].detail.startswith("loss of the day 10.00 %")
    memory["drawdown_until_ns"] = 0
    assert names(engine) == ["daily_loss", "loss_streak"]
    engine.process(OperatorCommand("resume", 5), 5)
    assert names(engine) == ["daily_loss"]  # ends with the day only
