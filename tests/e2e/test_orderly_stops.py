"""Told to stop in the middle of an order, a chain, a doubt, a replacement: all is covered, and both sides agree afterwards."""

from dataclasses import replace

import pytest
import structlog

from bnml.app.parting import Parting
from bnml.trading import entries, protection
from tests.e2e.matrix import trial
from tests.e2e.matrix.network import Faults
from tests.e2e.matrix.oddities import USUAL
from tests.e2e.matrix.pool import Nowhere
from tests.e2e.matrix.trial import try_seed

SEEDS = 60


@pytest.fixture(autouse=True)
def own_coins_only(monkeypatch):
    """Beside coins of others nothing is asked for beside what is in doubt: a venue that fails three times outlasts a stop.

    So does one that is closed, and an owner brings coins.
    """
    monkeypatch.setattr(trial, "OWNED", 0.0)
    monkeypatch.setattr(trial, "ODDITIES", replace(USUAL, owner=0.0, venue=0.0))


@pytest.fixture(autouse=True)
def quiet():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    yield
    structlog.configure(**before)


def only(**chances):
    found = Faults()
    found.calm()
    for name, chance in chances.items():
        setattr(found, name, chance)
    return found


MIDDLES = {
    "order": ("after_send_order", {}),
    "answer": ("acked_order", {}),
    "report": ("before_report", {}),
    "late reports": ("acked_order", {"event_late": 0.5}),
    "chain": ("after_send_chain", {}),
    "broken chain": ("after_send_chain", {"cut": 0.5}),
    "cancel": ("during_cancel", {}),
    "doubt": ("after_send_order", {"unanswered": 0.5}),
    "absence": ("after_send_order", {"lost": 0.5}),
    "replacement": ("during_cancel", {"half": 1.0}),
}


@pytest.mark.parametrize("middle", MIDDLES)
def test_a_stop_in_the_middle_of_things_leaves_one_story_and_nothing_bare(middle):
    point, chances = MIDDLES[middle]
    reached = 0
    for seed in range(8):
        found = try_seed(seed, at=(point, 1 + seed % 3), faults=only(**chances), stops=True)
        assert (found.faults, found.bare_at_stop) == ([], [])
        reached += point in found.kills
    assert reached > 2


@pytest.mark.parametrize("first", range(0, 3 * SEEDS, SEEDS))
def test_stops_at_any_moment_with_a_faulty_venue(first):
    for seed in range(first, first + SEEDS):
        found = try_seed(seed, stops=True)
        assert (seed, found.faults, found.bare_at_stop) == (seed, [], [])


def test_a_daemon_that_leaves_as_soon_as_nothing_is_under_way_is_seen(monkeypatch):
    monkeypatch.setattr(protection, "spare", lambda *_: None)  # they would hide it
    monkeypatch.setattr(entries, "spare_stop", lambda *_: None)
    monkeypatch.setattr(Parting, "_is_settled", lambda self: self._executor.idle)
    point, chances = MIDDLES["replacement"]
    found = (
        try_seed(seed, at=(point, 1 + seed % 3), faults=only(**chances), stops=True) for seed in range(24)
    )
    assert any(one.bare_at_stop for one in found)
