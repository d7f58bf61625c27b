"""Two recorded weeks with a fault in each hour and kills in between: the same ledger on both sides."""

import pytest
import structlog

from bnml.core.clock import parse_utc_ns
from tests.e2e.matrix.hourly import FAULTS, run_hours
from tests.e2e.matrix.pool import Nowhere


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


def test_two_weeks_with_a_fault_each_hour_end_with_the_same_ledger_on_both_sides(data_dir):
    outcome = _run(data_dir, "2023-07-01", "2023-07-15", seed=1)
    assert outcome.hours == 14 * 24
    assert outcome.fills > 200
    assert len([where for where in outcome.kills if where != "end"]) > 3
    assert [name for name in FAULTS if not outcome.struck[name]] == []


@pytest.mark.long
def test_ten_months_with_a_fault_each_hour_end_with_the_same_ledger_on_both_sides(data_dir):
    outcome = _run(data_dir, "2023-07-01", "2024-05-01", seed=2)
    assert outcome.fills > 2_000
