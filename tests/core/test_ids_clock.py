"""Client order ids can be recomputed and never collide; times parse and print as UTC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.clock import (
    NS_PER_DAY,
    NS_PER_HOUR,
    ManualClock,
    day_number,
    format_utc,
    frame_ns,
    parse_utc_ns,
    week_number,
)
from bnml.core.errors import Fatal, Misconfigured
from bnml.core.ids import MAX_LENGTH, IdSource, base36, is_ours


@given(number=st.integers(0, 2**63))
def test_base36_is_what_python_reads_back(number: int) -> None:
    assert int(base36(number), 36) == number


@given(
    first=st.tuples(
        st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 99), st.sampled_from("wtsxlc")
    ),
    second=st.tuples(
        st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 99), st.sampled_from("wtsxlc")
    ),
)
def test_two_ids_are_equal_only_for_the_same_command(first, second) -> None:
    made = [IdSource("A1b2", epoch).client_order_id(seq, n, leg) for epoch, seq, n, leg in (first, second)]
    assert (made[0] == made[1]) == (first == second)
    assert all(len(name) <= MAX_LENGTH and is_ours(name, "A1b2") for name in made)
    assert not is_ours(made[0], "zzzz")


def test_an_impossible_id_is_refused() -> None:
    with pytest.raises(Fatal, match="longer than the 36"):
        IdSource("A1b2", 36**12).client_order_id(36**12, 36**6, "w")
    with pytest.raises(Fatal, match="non-negative"):
        base36(-1)


def test_frames_and_dates() -> None:
    assert frame_ns("15m") * 4 == frame_ns("1h") == NS_PER_HOUR
    assert frame_ns("1w") == 7 * NS_PER_DAY
    for wrong in ("15", "m", "0m", "1x", ""):
        with pytest.raises(Misconfigured, match="write a number and"):
            frame_ns(wrong)
    assert format_utc(parse_utc_ns("2023-07-01")) == "2023-07-01T00:00:00Z"
    assert parse_utc_ns("2023-07-01T02:00+02:00") == parse_utc_ns("2023-07-01")
    assert format_utc(parse_utc_ns("2023-07-01T00:00:00.250Z")) == "2023-07-01T00:00:00.250Z"
    with pytest.raises(Misconfigured, match="write 2023-07-01"):
        parse_utc_ns("yesterday")


def test_days_roll_in_the_operators_zone() -> None:
    evening = parse_utc_ns("2023-06-30T22:30Z")
    assert (
        day_number(evening) + 1
        == day_number(evening, "Europe/Berlin")
        == day_number(parse_utc_ns("2023-07-01"))
    )
    monday = day_number(parse_utc_ns("2023-07-03"))
    assert week_number(monday) == week_number(monday - 1) + 1 == week_number(monday + 6)


def test_a_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(5)
    clock.advance(10)
    assert clock.now_ns() == clock.monotonic_ns() == 15
