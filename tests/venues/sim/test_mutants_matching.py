"""Matching by hand: who trades first, who needs what, and which trades with oneself are prevented how."""

import pytest

from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import (
    OrderKey,
    ReplaceFailed,
    VenueReject,
)
from tests.venues.sim.bench import (
    LOT,
    ME,
    SYMBOL,
    bench,
    limit,
    market,
    order,
    order_list,
    stop,
    target,
)
from tests.venues.sim.traders import asked, display, exchange_of, fills, tape, told_of, view

UNIT = E8 // 100_000
"""One lot at one tick, in 1e-8 of the quote asset."""


@pytest.mark.parametrize(("taker", "maker"), [(Side.BUY, Side.SELL), (Side.SELL, Side.BUY)])
def test_the_better_price_first_and_at_one_price_our_accounts_before_the_market(taker, maker):
    sign = 1 if taker is Side.BUY else -1
    exchange = exchange_of("F2")
    levels = ((10_000 + 20 * sign, 70), (10_000 + 30 * sign, 100))
    far = ((10_000 - 20 * sign, 100),)
    display(exchange, far if sign > 0 else levels, levels if sign > 0 else far)
    for price in (30, 10, 20):
        exchange.place("ann", limit(maker, 100, 10_000 + price * sign))
    placed = exchange.place("bob", limit(taker, 450, 10_000 + 30 * sign))
    met = ((10, 100), (20, 100), (20, 70), (30, 100), (30, 80))
    assert fills(placed) == [(10_000 + at * sign, lots) for at, lots in met]
    assert [one[0] for one in tape(exchange)][-5:] == [10_000 + at * sign for at in (10, 20, 20, 30, 30)]
    assert {one[2] for one in tape(exchange)[-5:]} == {taker is Side.SELL}


def test_fill_or_kill_counts_accounts_and_market_within_its_limit():
    for lots, executed in ((300, 300), (301, 0)):
        exchange = exchange_of("F2")
        display(exchange, ((9_980, 100),), ((10_010, 100), (10_050, 900)))
        exchange.place("ann", limit(Side.SELL, 100, 10_020))
        exchange.place("ann", limit(Side.SELL, 100, 10_030))
        exchange.place("ann", limit(Side.SELL, 900, 10_031))
        placed = exchange.place("bob", limit(Side.BUY, lots, 10_030, TimeInForce.FOK))
        assert placed.order.executed_lots == executed


def test_fill_or_kill_does_not_count_what_it_would_prevent():
    exchange = exchange_of("F2")
    exchange.place("ann", limit(Side.SELL, 200, 10_010))
    exchange.place("bob", limit(Side.SELL, 200, 10_010))
    for lots, executed in ((201, 0), (200, 200)):
        request = asked(limit(Side.BUY, lots, 10_010, TimeInForce.FOK), prevention="EXPIRE_MAKER")
        assert exchange.place("ann", request).order.executed_lots == executed


def test_market_orders_by_quote_walk_the_book():
    exchange = exchange_of("F2")
    display(exchange, ((9_980, 100),), ((10_010, 100), (10_020, 1_000)))
    exchange.place("ann", limit(Side.SELL, 100, 10_000))
    money = (10_000 * 100 + 10_010 * 100 + 10_020 * 50) * UNIT
    request = asked(market(Side.BUY, 0), quote_quantity_e8=money)
    assert fills(exchange.place("bob", request)) == [(10_000, 100), (10_010, 100), (10_020, 50)]
    request = asked(market(Side.SELL, 0), quote_quantity_e8=9_980 * 70 * UNIT + 1)
    assert fills(exchange.place("bob", request)) == [(9_980, 70)]
    assert fills(exchange.place("bob", market(Side.SELL, 60))) == [(9_980, 30)]


def test_a_market_buy_needs_what_the_levels_cost_and_not_more():
    for lots in (1_001, 1_000):
        exchange = exchange_of("F2")
        display(exchange, ((9_980, 100),), ((10_000, 500), (10_100, 5_000)))
        exchange.deposit("ann", "USDT", -1_000_000 * E8 + (10_000 * 500 + 10_100 * 500) * UNIT)
        if lots == 1_000:
            assert exchange.place("ann", market(Side.BUY, lots)).order.executed_lots == 1_000
        else:
            with pytest.raises(VenueReject, match="insufficient balance"):
                exchange.place("ann", market(Side.BUY, lots))


@pytest.mark.parametrize(("side", "price", "other"), [(Side.BUY, 10_010, 9_990), (Side.SELL, 9_990, 10_010)])
def test_a_maker_order_is_refused_exactly_when_it_would_take(side, price, other):
    exchange = exchange_of("F2")
    exchange.place("bob", limit(Side.SELL if side is Side.BUY else Side.BUY, 100, price))
    inner = price - 1 if side is Side.BUY else price + 1
    exchange.place("ann", order(OrderType.LIMIT_MAKER, side, 100, inner))
    with pytest.raises(VenueReject, match="immediately match"):
        exchange.place("ann", order(OrderType.LIMIT_MAKER, side, 100, price))
    exchange = exchange_of("F2")
    display(exchange, ((9_990, 100),), ((10_010, 100),))
    exchange.place("ann", order(OrderType.LIMIT_MAKER, side, 100, other))
    with pytest.raises(VenueReject, match="immediately match"):
        exchange.place("ann", order(OrderType.LIMIT_MAKER, side, 100, price))


@pytest.mark.parametrize(
    ("mode", "taker", "maker"),
    [
        ("EXPIRE_TAKER", ("EXPIRED_IN_MATCH", 300), ("NEW", 0)),
        ("EXPIRE_MAKER", ("NEW", 0), ("EXPIRED_IN_MATCH", 200)),
        ("EXPIRE_BOTH", ("EXPIRED_IN_MATCH", 300), ("EXPIRED_IN_MATCH", 200)),
        ("DECREMENT", ("NEW", 200), ("EXPIRED_IN_MATCH", 200)),
        ("TRANSFER", ("NEW", 200), ("EXPIRED_IN_MATCH", 200)),
        ("NONE", ("PARTIALLY_FILLED", 0), ("FILLED", 0)),
    ],
)
def test_each_way_to_prevent_a_trade_with_oneself(mode, taker, maker):
    exchange = exchange_of("F2")
    exchange.place("ann", asked(limit(Side.SELL, 200, 10_010, client_id="m"), prevention="TRANSFER"))
    placed = exchange.place("ann", asked(limit(Side.BUY, 300, 10_010, client_id="t"), prevention=mode))
    for client_id, expected in (("t", taker), ("m", maker)):
        one = view(exchange, client_id)
        assert (str(one.status), one.prevented_lots) == expected
    left = {"NEW": 300 - taker[1], "PARTIALLY_FILLED": 100}.get(taker[0], 0)
    balances = exchange.read.account("ann").balances
    assert balances["USDT"][1] == left * 10_010 * UNIT
    assert balances["BTC"][1] == (200 if maker[0] == "NEW" else 0) * LOT
    assert len(placed.prevented) == (mode != "NONE")
    for match in placed.prevented:
        assert (match.mode, match.price_ticks, match.lots) == (mode, 10_010, 200)
        assert (match.taker_lots, match.maker_lots) == (taker[1], maker[1])


def test_groups_prevent_and_transfer_between_their_accounts():
    exchange = exchange_of("F2")
    for name, group in (("ann", 1), ("bob", 1), ("cy", 2)):
        exchange.manage.set_group(name, group)
    for mine, yours, mode in (("NONE", "TRANSFER", "DECREMENT"), ("TRANSFER", "TRANSFER", "TRANSFER")):
        exchange.place("bob", asked(limit(Side.SELL, 200, 10_010), prevention=mine))
        exchange.drain()
        placed = exchange.place("ann", asked(limit(Side.BUY, 200, 10_010), prevention=yours))
        assert [one.mode for one in placed.prevented] == [mode]
        assert (placed.fills, str(placed.order.status)) == ((), "EXPIRED_IN_MATCH")
    moved = {event.account: event.assets for event in exchange.drain() if hasattr(event, "assets")}
    assert moved["ann"]["BTC"] == (1_000 * E8 + 200 * LOT, 0)
    assert moved["bob"]["USDT"] == (1_000_000 * E8 + 200 * 10_010 * UNIT, 0)
    assert set(moved["bob"]) == {"BTC", "USDT"}
    exchange.place("cy", limit(Side.SELL, 200, 10_010))
    placed = exchange.place("ann", asked(limit(Side.BUY, 200, 10_010), prevention="EXPIRE_BOTH"))
    assert str(placed.order.status) == "FILLED"


def test_accounts_without_a_group_are_strangers():
    exchange = exchange_of("F2")
    exchange.place("bob", limit(Side.SELL, 200, 10_010))
    placed = exchange.place("ann", asked(limit(Side.BUY, 200, 10_010), prevention="EXPIRE_BOTH"))
    assert (str(placed.order.status), placed.prevented) == ("FILLED", ())


def test_a_prevented_order_in_a_list_ends_the_list():
    exchange = exchange_of("F2")
    exchange.place_list("ann", order_list("OCO", (target(200, 10_100), stop(200, 9_000))))
    exchange.drain()
    exchange.place("ann", asked(limit(Side.BUY, 100, 10_100, client_id="b"), prevention="DECREMENT"))
    assert told_of(exchange)[1:] == [
        ("ann", "EXPIRED", "s", "EXPIRED"),
        ("ann", "TRADE_PREVENTION", "t", "NEW"),
        ("ann", "TRADE_PREVENTION", "b", "EXPIRED_IN_MATCH"),
    ]
    assert exchange.read.account("ann").balances["BTC"][1] == 100 * LOT


def test_icebergs_show_their_next_part_behind_the_others():
    exchange = exchange_of("F2")
    exchange.place("ann", asked(limit(Side.SELL, 500, 10_010, client_id="a"), iceberg_e8=200 * LOT))
    exchange.place("bob", limit(Side.SELL, 100, 10_010, client_id="b"))
    placed = exchange.place("cy", limit(Side.BUY, 450, 10_010))
    assert fills(placed) == [(10_010, 200), (10_010, 100), (10_010, 150)]
    assert exchange.market.overlay.displayed(SYMBOL)[1] == {10_010: 50}
    exchange.place("cy", limit(Side.BUY, 50, 10_010))
    assert exchange.market.overlay.displayed(SYMBOL)[1] == {10_010: 100}
    exchange.place("cy", limit(Side.BUY, 100, 10_010))
    assert exchange.market.overlay.displayed(SYMBOL)[1] == {}


def test_trade_numbers_of_fills_that_nobody_sees_are_all_different():
    exchange = bench(base=10)
    numbers = [exchange.place(ME, market(side, 100)).fills[0].trade_id for side in (Side.BUY, Side.SELL) * 2]
    assert numbers == [numbers[0] + at for at in range(4)]


def test_a_replacement_that_works_in_one_half_says_so():
    exchange = bench(base=10)
    exchange.place(ME, limit(Side.BUY, 100, 9_900, client_id="a"))
    key = OrderKey(symbol=SYMBOL, client_order_id="a")
    replaced = exchange.cancel_replace(ME, key, limit(Side.BUY, 100, 9_800, client_id="b"), "ALLOW_FAILURE")
    assert replaced.new_result.order.client_order_id == "b"
    with pytest.raises(ReplaceFailed) as failed:
        exchange.cancel_replace(ME, key, limit(Side.BUY, 100, 9_700, client_id="c"), "ALLOW_FAILURE")
    assert failed.value.reject_code == -2021
    assert [one.client_order_id for one in exchange.read.open_orders(ME)] == ["b", "c"]
