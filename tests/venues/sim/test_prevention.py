"""Self-trade prevention: the scenarios of Binance's own description, and groups of accounts."""

import pytest

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import OrderKey, VenueReject
from bnml.venues.sim.rules import SymbolRules
from tests.venues.sim.bench import SYMBOL, limit, market, order, order_list, stop, target
from tests.venues.sim.traders import asked, exchange_of, fills, told_of


def placed(exchange, side, lots, price, mode="NONE", owner="ann", client_id=""):
    return exchange.place(owner, asked(limit(side, lots, price, client_id=client_id), prevention=mode))


def view(exchange, one, owner="ann"):
    found = exchange.read.order(owner, OrderKey(symbol=SYMBOL, order_id=one.order.order_id))
    return str(found.status), found.executed_lots, found.prevented_lots


def three_bids(exchange):
    return [
        placed(exchange, Side.BUY, lots, price)
        for lots, price in ((120, 10_200), (130, 10_100), (810, 10_000))
    ]


def test_without_prevention_an_account_trades_with_itself():
    exchange = exchange_of()
    maker = placed(exchange, Side.BUY, 100, 10_000)
    taker = placed(exchange, Side.SELL, 100, 10_000)
    assert fills(taker) == [(10_000, 100)]
    assert view(exchange, maker) == view(exchange, taker) == ("FILLED", 100, 0)


def test_expire_maker_clears_the_way_and_the_taker_rests():
    exchange = exchange_of()
    makers = three_bids(exchange)
    taker = placed(exchange, Side.SELL, 300, 10_000, "EXPIRE_MAKER")
    assert [view(exchange, one) for one in makers] == [
        ("EXPIRED_IN_MATCH", 0, 120),
        ("EXPIRED_IN_MATCH", 0, 130),
        ("EXPIRED_IN_MATCH", 0, 810),
    ]
    assert view(exchange, taker) == ("NEW", 0, 0)
    assert [(one.price_ticks, one.maker_lots, one.taker_lots) for one in taker.prevented] == [
        (10_200, 120, 0),
        (10_100, 130, 0),
        (10_000, 810, 0),
    ]


def test_expire_taker_leaves_the_makers():
    exchange = exchange_of()
    makers = three_bids(exchange)
    taker = placed(exchange, Side.SELL, 300, 10_000, "EXPIRE_TAKER")
    assert [view(exchange, one)[0] for one in makers] == ["NEW"] * 3
    assert view(exchange, taker) == ("EXPIRED_IN_MATCH", 0, 300)


def test_expire_both_ends_the_taker_and_the_first_maker():
    exchange = exchange_of()
    makers = three_bids(exchange)
    taker = placed(exchange, Side.SELL, 300, 10_000, "EXPIRE_BOTH")
    assert [view(exchange, one) for one in makers] == [
        ("EXPIRED_IN_MATCH", 0, 120),
        ("NEW", 0, 0),
        ("NEW", 0, 0),
    ]
    assert view(exchange, taker) == ("EXPIRED_IN_MATCH", 0, 300)


def test_market_order_that_expires_its_makers_finds_no_liquidity():
    exchange = exchange_of()
    maker = placed(exchange, Side.BUY, 100, 10_000)
    taker = exchange.place("ann", asked(market(Side.SELL, 100), prevention="EXPIRE_MAKER"))
    assert view(exchange, maker) == ("EXPIRED_IN_MATCH", 0, 100)
    assert (str(taker.order.status), taker.order.expiry_reason) == ("EXPIRED", "INSUFFICIENT_LIQUIDITY")


def test_decrement_takes_the_smaller_quantity_from_both():
    exchange = exchange_of()
    maker = placed(exchange, Side.BUY, 600, 10_000)
    taker = placed(exchange, Side.SELL, 200, 10_000, "DECREMENT")
    assert view(exchange, maker) == ("NEW", 0, 200)
    assert view(exchange, taker) == ("EXPIRED_IN_MATCH", 0, 200)
    other = placed(exchange, Side.SELL, 500, 10_000, owner="bob")
    assert fills(other) == [(10_000, 400)]
    assert view(exchange, maker) == ("FILLED", 400, 200)


def test_transfer_moves_the_quantity_within_a_group_without_commission():
    exchange = exchange_of()
    for name in ("ann", "bob"):
        exchange.manage.set_group(name, 5)
    placed(exchange, Side.BUY, 600, 10_000, "TRANSFER")
    before = exchange.read.account("bob").balances
    taker = placed(exchange, Side.SELL, 200, 10_000, "TRANSFER", "bob")
    after = exchange.read.account("bob").balances
    assert (after["BTC"][0] - before["BTC"][0], after["USDT"][0] - before["USDT"][0]) == (
        -20_000_000,
        20 * 10**8,
    )
    assert str(taker.order.status) == "EXPIRED_IN_MATCH"
    assert exchange.read.commissions("bob") == {}
    assert exchange.read.trades("bob", SYMBOL) == []


def test_mode_of_the_taker_decides_and_other_accounts_trade():
    exchange = exchange_of()
    maker = placed(exchange, Side.BUY, 100, 10_000, "EXPIRE_BOTH")
    assert fills(placed(exchange, Side.SELL, 60, 10_000, "EXPIRE_MAKER", "bob")) == [(10_000, 60)]
    placed(exchange, Side.SELL, 100, 10_000, "EXPIRE_TAKER")
    assert view(exchange, maker) == ("PARTIALLY_FILLED", 60, 0)


def test_reports_say_trade_prevention_for_each_order_that_loses():
    exchange = exchange_of()
    placed(exchange, Side.BUY, 600, 10_000, client_id="maker")
    exchange.drain()
    placed(exchange, Side.SELL, 200, 10_000, "DECREMENT", client_id="taker")
    assert told_of(exchange) == [
        ("ann", "NEW", "taker", "NEW"),
        ("ann", "TRADE_PREVENTION", "maker", "NEW"),
        ("ann", "TRADE_PREVENTION", "taker", "EXPIRED_IN_MATCH"),
    ]


def test_prevented_leg_of_an_oco_ends_its_sibling():
    exchange = exchange_of()
    exchange.place_list("ann", order_list("OCO", [target(500), stop(500)]))
    placed(exchange, Side.BUY, 200, 10_200, "DECREMENT")
    assert exchange.read.open_orders("ann")[0].client_order_id == "t"
    assert len(exchange.read.open_orders("ann")) == 1
    placed(exchange, Side.BUY, 400, 10_200, "EXPIRE_MAKER")
    assert exchange.read.lists("ann", open_only=True) == []


def test_symbol_has_a_mode_of_its_own_and_refuses_others():
    exchange = exchange_of()
    exchange.manage.set_rules(SYMBOL, SymbolRules(prevention="EXPIRE_TAKER", preventions=("EXPIRE_TAKER",)))
    assert exchange.place("ann", limit(Side.BUY, 100, 9_000)).order.prevention == "EXPIRE_TAKER"
    with pytest.raises(VenueReject) as refusal:
        placed(exchange, Side.BUY, 100, 9_000, "NONE")
    assert refusal.value.reject_code == -1013
    assert refusal.value.text == "This symbol does not allow the specified self-trade prevention mode."


def test_post_only_order_is_refused_by_an_order_of_its_own_account():
    exchange = exchange_of()
    placed(exchange, Side.BUY, 100, 10_000)
    with pytest.raises(VenueReject, match="immediately match"):
        exchange.place("ann", order(OrderType.LIMIT_MAKER, Side.SELL, 100, 10_000))


def test_matches_are_found_by_number_and_by_order():
    exchange = exchange_of()
    maker = placed(exchange, Side.BUY, 600, 10_000)
    taker = placed(exchange, Side.SELL, 200, 10_000, "DECREMENT")
    (match,) = exchange.read.prevented_matches("ann", SYMBOL, order_id=maker.order.order_id)
    assert (match.mode, match.taker_order_id, match.lots) == ("DECREMENT", taker.order.order_id, 200)
    assert exchange.read.prevented_matches("ann", SYMBOL, prevented_id=match.prevented_id) == [match]
    assert exchange.read.prevented_matches("bob", SYMBOL, prevented_id=match.prevented_id) == []


@pytest.mark.parametrize(
    ("mode", "status", "executed"),
    [("EXPIRE_MAKER", "FILLED", 300), ("EXPIRE_TAKER", "EXPIRED", 0), ("DECREMENT", "EXPIRED", 0)],
)
def test_fill_or_kill_is_not_begun_when_its_own_order_would_end_it(mode, status, executed):
    exchange = exchange_of()
    placed(exchange, Side.SELL, 100, 10_000, owner="bob")
    placed(exchange, Side.SELL, 100, 10_010)
    placed(exchange, Side.SELL, 200, 10_020, owner="bob")
    request = limit(Side.BUY, 300, 10_020, TimeInForce.FOK)
    view_ = exchange.place("ann", asked(request, prevention=mode)).order
    assert (str(view_.status), view_.executed_lots) == (status, executed)
