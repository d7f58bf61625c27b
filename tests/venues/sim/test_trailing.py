"""Trailing stops: the four scenarios of Binance's description (prices in hundreds), and what they lock."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bnml.core.orders import OrderType, Side
from bnml.venues.sim.messages import OrderKey, VenueReject
from bnml.venues.sim.rules import SymbolRules
from bnml.venues.sim.trailing import trigger_ticks
from tests.venues.sim.bench import SYMBOL, T0, move, order
from tests.venues.sim.traders import asked, exchange_of


def trailing(type_, side, *, price=0, stop=0, bips):
    return asked(order(type_, side, 100, price, stop, client_id="t"), trailing_bips=bips)


def at_forty_thousand():
    exchange = exchange_of("F0")
    exchange.print_trade(SYMBOL, 40_000, 1, T0, jump=True)
    exchange.drain()
    return exchange


def is_triggered(exchange):
    return exchange._desk.orders[1].triggered


SCENARIOS = [
    (
        OrderType.STOP_LOSS_LIMIT,
        Side.BUY,
        45_000,
        44_000,
        500,
        (37_000, 45_000, 46_000, 42_000, 44_099),
        44_100,
    ),
    (OrderType.STOP_LOSS_LIMIT, Side.SELL, 38_000, 39_000, 1000, (41_500, 37_000, 41_000, 36_901), 36_900),
    (
        OrderType.TAKE_PROFIT_LIMIT,
        Side.BUY,
        38_500,
        38_000,
        850,
        (42_000, 37_000, 39_000, 38_000, 40_144),
        40_145,
    ),
    (
        OrderType.TAKE_PROFIT_LIMIT,
        Side.SELL,
        41_000,
        42_000,
        750,
        (41_500, 39_000, 45_000, 43_000, 45_000, 41_626),
        41_625,
    ),
]


@pytest.mark.parametrize(("type_", "side", "price", "stop", "bips", "prints", "last"), SCENARIOS)
def test_scenarios_of_the_description(type_, side, price, stop, bips, prints, last):
    exchange = at_forty_thousand()
    exchange.place("ann", trailing(type_, side, price=price, stop=stop, bips=bips))
    for ticks in prints:
        move(exchange, ticks)
        assert not is_triggered(exchange)
    move(exchange, last)
    assert is_triggered(exchange)


def test_without_a_stop_price_it_follows_from_the_next_trade():
    exchange = at_forty_thousand()
    placed = exchange.place("ann", trailing(OrderType.STOP_LOSS, Side.SELL, bips=100))
    assert placed.order.trailing_ns == exchange.now_ns
    move(exchange, 39_000)  # the first price it sees: nothing to fall from
    assert not is_triggered(exchange)
    move(exchange, 42_000, 41_581)
    assert not is_triggered(exchange)
    move(exchange, 41_580)
    assert str(exchange.read.order("ann", OrderKey(symbol=SYMBOL, client_order_id="t")).status) == "FILLED"


def test_following_begins_with_a_report_that_says_when():
    exchange = at_forty_thousand()
    exchange.place("ann", trailing(OrderType.TAKE_PROFIT, Side.SELL, stop=41_000, bips=100))
    exchange.drain()
    (report,) = move(exchange, 41_000)
    assert (report.order.trailing_ns, report.order.is_working) == (exchange.now_ns, False)


def test_market_stop_to_buy_locks_for_the_highest_price_that_can_trigger_it():
    exchange = at_forty_thousand()
    exchange.place("ann", trailing(OrderType.STOP_LOSS, Side.BUY, bips=250))
    assert exchange.read.account("ann").balances["USDT"][1] == 41_000 * 10**5


@pytest.mark.parametrize(
    ("type_", "side", "bips", "ok"),
    [
        (OrderType.STOP_LOSS, Side.SELL, 20, True),
        (OrderType.STOP_LOSS, Side.SELL, 19, False),
        (OrderType.STOP_LOSS, Side.SELL, 31, False),
        (OrderType.TAKE_PROFIT, Side.BUY, 19, False),
        (OrderType.TAKE_PROFIT, Side.SELL, 10, True),
        (OrderType.STOP_LOSS, Side.BUY, 16, False),
    ],
)
def test_filter_has_bounds_above_and_below_the_market(type_, side, bips, ok):
    exchange = at_forty_thousand()
    exchange.manage.set_rules(SYMBOL, SymbolRules(trailing_above=(10, 15), trailing_below=(20, 30)))
    if ok:
        exchange.place("ann", trailing(type_, side, bips=bips))
        return
    with pytest.raises(VenueReject, match="Filter failure: TRAILING_DELTA"):
        exchange.place("ann", trailing(type_, side, bips=bips))


@given(st.sampled_from(Side), st.integers(1, 10**9), st.integers(1, 2000))
def test_trigger_is_the_first_tick_that_is_far_enough(side, extreme, bips):
    ticks = trigger_ticks(side, extreme, bips)
    if side is Side.BUY:
        assert ticks * 10_000 >= extreme * (10_000 + bips) > (ticks - 1) * 10_000
    elif ticks > 1:
        assert ticks * 10_000 <= extreme * (10_000 - bips) < (ticks + 1) * 10_000
