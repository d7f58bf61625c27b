"""Scales: round ticks, calendar ticks, and curves thinned without losing an extreme."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.clock import NS_PER_DAY, format_utc, parse_utc_ns
from bnml.research.page import axes
from bnml.research.page.words import number, percent


@given(st.floats(-1e6, 1e6), st.floats(1e-4, 1e6))
def test_ticks_are_round_and_inside(low, span):
    ticks = axes.round_ticks(low, low + span, 5)
    step = axes.round_step(span, 5)
    assert f"{step:.1e}"[:3] in {"1.0", "2.0", "2.5", "5.0"}
    assert 1 <= len(ticks) <= 6
    room = 1e-6 * (span + abs(low))
    assert all(low - room <= tick <= low + span + room for tick in ticks)


@pytest.mark.parametrize(
    ("start", "end", "labels"),
    [
        ("2023-07-01", "2024-05-01", ["Jul 2023", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan 2024", "Feb", "Mar", "Apr", "May"]),
        ("2018-01-01", "2024-01-01", [f"Jan {year}" for year in range(2018, 2025)]),
        ("2023-07-01", "2023-07-02", ["1 Jul", *(f"{hour:02d}:00" for hour in range(2, 24, 2))]),
        ("2023-07-01T05:00", "2023-07-09", ["2 Jul", "3 Jul", "4 Jul", "5 Jul", "6 Jul", "7 Jul", "8 Jul", "9 Jul"]),
    ],
)  # fmt: skip
def test_time_ticks_stand_at_starts_of_units(start, end, labels):
    ticks = axes.time_ticks(parse_utc_ns(start), parse_utc_ns(end), 12)
    assert [tick.label for tick in ticks][:12] == labels
    assert all(format_utc(int(tick.at)).endswith(":00:00Z") for tick in ticks)
    assert 1 <= sum(tick.major for tick in ticks) <= 5


def test_a_thinned_curve_reaches_as_high_and_low_in_every_column():
    draw = np.random.default_rng(3)
    x = np.sort(draw.random(50_000))
    y = np.cumsum(draw.standard_t(2, 50_000))
    thin_x, thin_y = axes.thinned(x, y, 500)
    assert len(thin_x) <= 2 * 500 + 2
    assert (np.diff(thin_x) >= 0).all()
    for k in range(500):
        whole, kept = ((one * 500).astype(int) == k for one in (x, thin_x))
        assert (y[whole].min(), y[whole].max()) == (thin_y[kept].min(), thin_y[kept].max())
    assert (thin_y[0], thin_y[-1]) == (y[0], y[-1])


def test_a_short_curve_keeps_every_point():
    x = np.linspace(0, 1, 100)
    assert axes.thinned(x, x)[0] is x


def test_months_are_counted_over_the_turn_of_a_year():
    found = axes.month_starts(parse_utc_ns("2023-11-15"), parse_utc_ns("2024-02-01"))
    assert [format_utc(ts)[:10] for _, ts in found] == ["2023-12-01", "2024-01-01", "2024-02-01"]


def test_log_ticks_are_inside():
    assert axes.log_ticks(900, 30_000) == [1000, 2000, 5000, 10000, 20000]
    assert all(1.0 <= tick <= 1.9 for tick in axes.log_ticks(1.0, 1.9))


def test_days_are_written_out():
    assert axes.day_text(parse_utc_ns("2023-07-01") + NS_PER_DAY - 1) == "1 Jul 2023"


def test_figures_have_a_true_minus_and_no_signed_zero():
    assert number(-1234.5) == "\u22121,234.50"
    assert number(-0.001, signed=True) == "0.00"
    assert percent(0.0123, signed=True) == "+1.23\u00a0%"
