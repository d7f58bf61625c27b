"""Stretches against a plain search, and levels found among lows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bnml.kernels.stretches import SPAN, STRETCH, find_stretches, first_low
from bnml.research.grid_tables import span_lows

prices = st.lists(st.integers(1, 9), min_size=1, max_size=80)


@given(prices, st.integers(0, 2**32))
def test_a_stretch_ends_at_the_first_high_not_below_its_own(highs, seed):
    random = np.random.default_rng(seed)
    lows = np.array([random.integers(0, high + 1) for high in highs])
    made = np.empty(len(highs), STRETCH)
    find_stretches(np.array(highs), lows, made)
    for bar, high in enumerate(highs):
        later = range(bar + 1, len(highs))
        end = next((one for one in later if highs[one] >= high), len(highs))
        assert made["next"][bar] == end
        assert made["high"][bar] == high
        if bar + 1 < len(highs):
            assert made["low"][bar] == lows[bar + 1 : end + 1].min()


@given(prices, st.data())
def test_the_first_low_at_a_level_is_found_over_spans(lows, draw):
    lows = np.array(lows * (1 + SPAN // 4))
    level = draw.draw(st.integers(0, 9))
    bar = draw.draw(st.integers(0, len(lows)))
    end = draw.draw(st.integers(bar, len(lows)))
    found = first_low(level, bar, end, lows, span_lows(lows))
    assert found == next((one for one in range(bar, end) if lows[one] <= level), end)
