"""Two recorded weeks with a fault in each hour and kills in between: the same ledger on both sides."""

import pytest
import structlog

from bnml.core.clock import NS_PER_S, parse_utc_ns
from bnml.trading import protection
from bnml.trading.protection import Protection
from tests.e2e.matrix.hourly import FAULTS, run_hours
from tests.e2e.matrix.pool import Nowhere
from tests.e2e.matrix.recorded import SPEED
from tests.e2e.matrix.table import Table


@pytest.fixture(autouse=True)
def quiet():
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    yield
    structlog.configure(**before)


def _run(data_dir, begin, end, seed):
    folder = data_dir / "binance_spot" / "1h"
    outcome = run_hours(folder, parse_utc_ns(begin), parse_utc_ns(end), seed)
    assert outcome.faults == [], outcome.text()
    return outcome


def _unexplained(outcome):
    table = Table()
    table.add(outcome)
    return [seed_and_span[1] for seed_and_span in table.unexplained]


def test_two_weeks_with_a_fault_each_hour_end_with_the_same_ledger_on_both_sides(data_dir):
    outcome = _run(data_dir, "2023-07-01", "2023-07-15", seed=1)
    assert outcome.hours == 14 * 24
    assert outcome.fills > 200
    assert len([where for where in outcome.kills if where != "end"]) > 3
    assert [name for name in FAULTS if not outcome.struck[name]] == []
    # Longer than two seconds without a stop only for causes that no client can avoid.
    assert _unexplained(outcome) == [], outcome.text()


def test_a_daemon_that_puts_stops_back_too_late_is_seen(data_dir, monkeypatch):
    """The measure judges what it is for: three seconds until what has lost its stop is looked at again."""
    guard = Protection._guard

    def late(self, position, tranche, instrument, out, *, patient):
        since_ns = position.bare_since_ns
        if tranche.legs or 0 < since_ns < self._state.now_ns - 3 * SPEED * NS_PER_S:
            guard(self, position, tranche, instrument, out, patient=patient)

    monkeypatch.setattr(Protection, "_guard", late)
    monkeypatch.setattr(protection, "spare", lambda *_: None)  # they would hide most of it
    assert _unexplained(_run(data_dir, "2023-07-01", "2023-07-05", seed=3))


@pytest.mark.long
def test_ten_months_with_a_fault_each_hour_end_with_the_same_ledger_on_both_sides(data_dir):
    outcome = _run(data_dir, "2023-07-01", "2024-05-01", seed=2)
    assert outcome.fills > 2_000
    assert _unexplained(outcome) == [], outcome.text()
