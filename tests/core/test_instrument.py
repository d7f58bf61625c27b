"""The one converter between Decimal, integers and floats loses nothing and rounds as it says."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.errors import Rejected
from bnml.core.instrument import E8, Instrument, decimals_of, money_e8, plain

UNITS = st.sampled_from([1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, E8, 5, 25, 50 * E8])


def instrument(tick_e8: int, lot_e8: int) -> Instrument:
    return Instrument(symbol="BTCUSDT", base="BTC", quote="USDT", tick_e8=tick_e8, lot_e8=lot_e8)


@given(tick=UNITS, ticks=st.integers(0, 10**12))
def test_price_text_and_back_is_the_same_number(tick: int, ticks: int) -> None:
    made = instrument(tick, 1)
    text = made.price_text(ticks)
    assert "e" not in text.lower()
    assert Decimal(text) == Decimal(ticks) * Decimal(tick) / E8
    assert made.price_ticks(text) == ticks


@given(tick=UNITS, lot=UNITS, ticks=st.integers(1, 10**9), lots=st.integers(1, 10**9))
def test_notional_is_the_exact_product_rounded_down(tick: int, lot: int, ticks: int, lots: int) -> None:
    exact = Decimal(ticks) * tick / E8 * lots * lot / E8
    assert instrument(tick, lot).notional_e8(ticks, lots) == int(exact * E8)


@given(tick=st.sampled_from([1, 100, 10_000, 1_000_000]), ticks=st.integers(1, 10**9))
def test_price_float_is_the_double_nearest_to_the_decimal(tick: int, ticks: int) -> None:
    made = instrument(tick, 1)
    assert made.price_float(ticks) == float(made.price_text(ticks))


def test_rounding_goes_the_way_it_is_told_and_exact_refuses() -> None:
    made = instrument(1_000_000, 1_000)
    assert made.price_ticks("100.019", "down") == 10_001
    assert made.price_ticks("100.011", "up") == 10_002
    with pytest.raises(Rejected, match=r"BTCUSDT: price 100.011 is not a multiple of 0.01"):
        made.price_ticks("100.011")
    with pytest.raises(Rejected, match="quantity"):
        made.quantity_lots("0.000001")


@given(amount=st.integers(-(10**24), 10**24), decimals=st.integers(0, 8))
def test_plain_text_is_the_decimal_cut_towards_zero(amount: int, decimals: int) -> None:
    exact = abs(Decimal(amount).scaleb(-8)).quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN)
    assert plain(amount, decimals) == ("-" if amount < 0 else "") + f"{exact:f}"


def test_amounts_as_plain_text() -> None:
    assert plain(-150_000_000, 2) == "-1.50"
    assert plain(5, 8) == "0.00000005"
    assert plain(12 * E8, 0) == "12"
    assert money_e8("0.123456789") == 12_345_678
    assert [decimals_of(unit) for unit in (1, 10, 1_000_000, E8, 50 * E8, 25)] == [8, 7, 2, 0, 0, 8]
