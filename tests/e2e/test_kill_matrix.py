"""Simulated process death at every named point with a faulty venue: both ledgers agree, and planted defects do not pass."""

import sys

import pytest
import structlog

from bnml.trading import freeing, scan
from tests.e2e.matrix.pool import Nowhere
from tests.e2e.matrix.process import POINTS
from tests.e2e.matrix.table import Table
from tests.e2e.matrix.trial import try_seed

SEEDS = 500
AT_ONCE = 50
FIXED = (35, 1080, 1169, 2293, 201034)
"""Seeds that once ended with two ledgers; the first thing that is tried."""


@pytest.fixture(autouse=True)
def quiet():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("first", range(0, SEEDS, AT_ONCE))
def test_both_ledgers_agree_after_deaths(first):
    table = Table()
    for seed in range(first, first + AT_ONCE):
        table.add(try_seed(seed, catches=True))
    assert not table.failed, table.text()
    assert table.fills > 3 * AT_ONCE
    # Longer than two seconds only for causes that no client can avoid; which and how often is printed.
    assert not table.unexplained, table.text()
    sys.stdout.write("".join(f"{count} - {cause}\n" for (cause, _), count in table.causes.items()))


@pytest.mark.parametrize("point", POINTS)
def test_every_named_point_is_reached(point):
    kills = {where for seed in range(3) for where in try_seed(seed, at=(point, 1)).kills}
    assert point in kills


@pytest.mark.parametrize(
    "defect", [pytest.param(False, id="as it is"), pytest.param(True, id="cancels alone")]
)
def test_a_list_that_is_cancelled_before_its_successor_leaves_is_seen(monkeypatch, defect):
    """The measure judges what it is for: without chains the same deaths leave positions bare."""
    if defect:
        monkeypatch.setattr(freeing, "bond", lambda *_: freeing.Bond.NONE)
        monkeypatch.setattr(freeing, "replaceable", lambda *_: None)
        monkeypatch.setattr(freeing, "are_apart", lambda *_: False)
    table = Table()
    for seed in range(60):
        table.add(try_seed(seed, at=("during_cancel", 1 + seed % 4)))
    assert bool(table.unexplained) is defect, table.text()


@pytest.mark.parametrize(
    "defect", [pytest.param(False, id="as it is"), pytest.param(True, id="the stop after the fill")]
)
def test_a_purchase_without_a_list_whose_stop_leaves_later_is_seen(monkeypatch, defect):
    """The same measure of entries: with the stop asked for by the report of the fill, these deaths leave it out."""
    if defect:
        monkeypatch.setattr(scan, "is_alone", lambda *_: False)
    table = Table()
    for seed in range(40):
        table.add(try_seed(seed, at=("after_send_order", 1 + seed % 6)))
    assert bool(table.unexplained) is defect, table.text()


@pytest.mark.parametrize("defect", ["unjournaled", "resend", "no dedupe", "over is settled"])
def test_a_planted_defect_is_caught_within_200_seeds(defect):
    if any(try_seed(seed, defect=defect, catches=True).faults for seed in range(200)):
        return
    pytest.fail(f"{defect} passed 200 seeds")


@pytest.mark.parametrize("seed", FIXED)
def test_what_was_found_once_stays_mended(seed):
    assert try_seed(seed).faults == []


@pytest.mark.long
def test_no_seed_of_ten_thousand_ends_with_two_ledgers():
    table = Table()
    for seed in range(10_000):
        table.add(try_seed(seed, catches=True))
    assert not table.failed, table.text()
    assert not table.unexplained, table.text()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "point", ["before_intent", "before_commit", "after_commit", "after_send_order", "acked_order"]
)
def test_f42_death_between_intent_and_answer_leaves_no_orphan_and_no_double(point, seed):
    """At the n-th visit of each place on the way of an order, n growing with the seed."""
    outcome = try_seed(seed, at=(point, 1 + seed), kills=1)
    assert outcome.faults == []
