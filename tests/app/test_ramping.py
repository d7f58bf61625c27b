"""Which sessions ramp, and what the engine is told of it at their start."""

import pytest

from bnml.app.ramping import begin, say
from bnml.config import Settings
from bnml.core.events import OperatorCommand
from bnml.trading.engine import Engine
from tests.trading.kit import config


def fed(engine, *, ramp="live", kind="sim", is_stepped=False, **live):
    """What a start with these settings feeds; the engine has taken it."""
    settings = Settings.model_validate({"live": {"ramp": ramp, **live}, "venue": {"kind": kind}})
    words = []
    begin(settings, engine, words.append, 7, is_stepped=is_stepped)
    for number, word in enumerate(words, 1):
        engine.process(word, number)
    return words


@pytest.fixture
def engine():
    return Engine(config(), None)


@pytest.mark.parametrize(
    ("ramp", "kind", "is_stepped", "ramps"),
    [
        ("live", "live", False, True),
        ("live", "sim", False, False),
        ("live", "testnet", False, False),
        ("always", "sim", False, True),
        ("always", "sim", True, False),
        ("never", "live", False, False),
    ],
)
def test_only_real_money_ramps_unless_told_otherwise(engine, ramp, kind, is_stepped, ramps):
    words = fed(engine, ramp=ramp, kind=kind, is_stepped=is_stepped)
    assert words == ([OperatorCommand("ramp_begin", 7, "10 500")] if ramps else [])
    assert bool(engine.state.ramp.round_trips) == ramps


def test_what_the_engine_knows_already_is_not_told_again_and_a_ramp_ends_with_its_setting(engine):
    fed(engine, kind="live")
    engine.state.ramp.step = 1
    assert fed(engine, kind="live") == []
    changed = fed(engine, kind="live", ramp_round_trips=3, ramp_slack_bps=0)
    assert changed == [OperatorCommand("ramp_begin", 7, "3 0")]
    assert say(engine).text == "step 2 of 3, 10 % of each order; 0 of 3 round trips until full size"
    assert fed(engine, kind="live", ramp="never") == [OperatorCommand("ramp_end", 7)]
    assert say(engine).exit_code == 3
    assert engine.state.ramp.step == 1
