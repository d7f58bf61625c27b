"""Prices that may value something: no zero, no jump that nothing bears out."""

import numpy as np
import pytest

from bnml.core.events import Bar, Book
from bnml.trading.state import SymbolState
from bnml.trading.valuation import is_near, is_sane_rise, mark_of
from tests.trading.kit import HOUR_NS, instrument


def symbol(*closes):
    state = SymbolState(instrument(), np.zeros(1), np.zeros(1))
    state.closes[: len(closes)] = closes
    state.bars = len(closes)
    if closes:
        close = closes[-1]
        state.bar = Bar("BTCUSDT", 0, HOUR_NS, close, close, close, close, 1)
    return state


def book(bid):
    return Book("BTCUSDT", bid, bid + 1, 10**12)


@pytest.mark.parametrize(
    ("closes", "seen", "mark"),
    [
        ((1000, 1100), None, 1100),
        ((1000, 100_000), None, 1000),  # a spike without a book
        ((1000, 100_000), book(1010), 1000),
        ((1000, 100_000), book(99_000), 100_000),  # the book bears it out
        ((1000, 400), book(410), 400),  # a crash that happened
        ((1000, 400), book(990), 1000),  # and one that did not
        ((1000, 0), book(990), 1000),  # a price of zero, as before a delisting
        ((1000, 0), None, 1000),
        ((100_000,), None, 100_000),  # nothing else is known
        ((5000, 100), book(1000), 1000),  # only the book is left
        ((), None, 0),
    ],
)
def test_f69_what_values_a_holding(closes, seen, mark):
    assert mark_of(symbol(*closes), seen) == mark


def test_a_fall_may_always_be_believed_by_a_stop_that_only_rises():
    assert is_sane_rise(100, 1000, 1000)
    assert is_sane_rise(1500, 1000, 0)
    assert not is_sane_rise(1501, 1000, 0)
    assert is_sane_rise(1501, 1000, 1501)
    assert not is_sane_rise(0, 1000)
    assert is_sane_rise(77)
    assert not is_near(0, 0)
