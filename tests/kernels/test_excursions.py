"""Best and worst price while held: equal to listing every print, and nothing of the move after the sale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.kernels.excursions import HELD, bar_at, excursion_batch
from bnml.kernels.records import BAR
from tests.trading.kit import HOUR_NS, START_NS, random_bars
from tests.twins.excursions import extremes

SLOTS_NS = (0, HOUR_NS // 4, HOUR_NS // 2, HOUR_NS - 1_000_000)


def held(entry_ns, exit_ns, exit_ticks):
    row = np.zeros(1, dtype=HELD)
    row["entry_ns"], row["exit_ns"], row["exit_ticks"] = entry_ns, exit_ns, exit_ticks
    return row


def of(bars, *position):
    row = held(*position)
    excursion_batch(bars, HOUR_NS, row)
    return int(row["high_ticks"][0]), int(row["low_ticks"][0])


@given(
    seed=st.integers(0, 10_000),
    entry=st.integers(0, 39),
    length=st.integers(0, 30),
    slot=st.sampled_from(SLOTS_NS),
    exit_ticks=st.integers(900, 6_000_000),
)
def test_it_equals_the_list_of_all_prints(seed, entry, length, slot, exit_ticks):
    bars = random_bars(40, seed, gaps=3)
    entry_ns = int(bars["ts_open_ns"][entry])
    exit_ns = max(entry_ns, int(bars["ts_open_ns"][min(39, entry + length)]) + slot)
    assert of(bars, entry_ns, exit_ns, exit_ticks) == extremes(bars, HOUR_NS, entry_ns, exit_ns, exit_ticks)


def bars_of(*rows):
    made = np.zeros(len(rows), dtype=BAR)
    for i, prices in enumerate(rows):
        made[i] = (START_NS + i * HOUR_NS, *prices, 1000)
    return made


@pytest.mark.parametrize(
    ("slot", "sold_at", "seen"),
    [
        (0, 98, (120, 90)),  # at the second open: not even that print
        (1, 97, (120, 90)),  # stopped on the way down: open 99, not the low 50
        (2, 130, (130, 50)),  # a target on the way up: the low, not the high 200
        (3, 95, (200, 50)),  # after the high
    ],
)
def test_the_print_it_was_sold_at_counts_up_to_the_price_of_the_sale(slot, sold_at, seen):
    bars = bars_of((100, 120, 90, 110), (99, 200, 50, 95))
    assert of(bars, START_NS, START_NS + HOUR_NS + SLOTS_NS[slot], sold_at) == seen


def test_sold_at_the_print_of_its_entry_it_saw_that_print_and_its_sale():
    bars = bars_of((100, 120, 90, 110), (99, 200, 50, 95))
    assert of(bars, START_NS, START_NS, 97) == (100, 97)


def test_the_bar_of_a_moment_is_the_last_that_opened():
    bars = random_bars(30, 5, gaps=2)
    for ts in [START_NS - 1, *(int(t) + d for t in bars["ts_open_ns"] for d in (0, 1, HOUR_NS - 1))]:
        expected = max(0, int(np.searchsorted(bars["ts_open_ns"], ts, side="right")) - 1)
        assert bar_at(bars, ts) == expected
