"""Each filter at its bound and one step beyond, and commissions in base, quote and BNB."""

import pytest

from bnml.core.events import Bar
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import OrderRequest, Step, VenueReject
from bnml.venues.sim.payloads_filters import exchange_filters, symbol_filters
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.rules import ExchangeRules, PriceBand, SymbolRules
from tests.venues.sim.bench import (
    HOUR_NS,
    INSTRUMENT,
    LOT,
    SYMBOL,
    T0,
    TICK,
    costs,
    limit,
    market,
    order,
    order_list,
    stop,
    target,
)
from tests.venues.sim.traders import asked, exchange_of


def with_rules(**rules):
    exchange = exchange_of("F0", 10_000)
    exchange.manage.set_rules(SYMBOL, SymbolRules(**rules))
    return exchange


def failure(exchange, request, owner="ann"):
    try:
        exchange.place(owner, request)
    except VenueReject as refusal:
        return refusal.text
    return ""


def iceberg(lots, shown, **kind):
    return asked(limit(Side.BUY, lots, 9_000, **kind), iceberg_e8=shown * LOT)


def test_iceberg_parts_are_counted_upwards():
    exchange = with_rules(iceberg_parts=3)
    assert failure(exchange, iceberg(300, 100)) == ""
    assert failure(exchange, iceberg(301, 100)) == "Filter failure: ICEBERG_PARTS"


def test_icebergs_are_good_till_canceled_and_not_larger_than_the_order():
    exchange = with_rules()
    assert failure(exchange, iceberg(300, 100, tif=TimeInForce.IOC)) == "Unsupported order combination"
    assert failure(exchange, iceberg(300, 301)) == "IcebergQty exceeds QTY."
    off = asked(limit(Side.BUY, 300, 9_000), iceberg_e8=100 * LOT + 1)
    assert failure(exchange, off) == "Filter failure: LOT_SIZE"
    assert failure(with_rules(iceberg_allowed=False), iceberg(300, 100)) == (
        "Iceberg orders are not supported for this symbol."
    )


def test_number_of_icebergs():
    exchange = with_rules(max_icebergs=1)
    assert failure(exchange, iceberg(300, 100)) == ""
    assert failure(exchange, iceberg(300, 100)) == "Filter failure: MAX_NUM_ICEBERG_ORDERS"
    assert failure(exchange, limit(Side.BUY, 300, 9_000)) == ""
    exchange.cancel_all("ann", SYMBOL)
    assert failure(exchange, iceberg(300, 100)) == ""


def test_number_of_lists_counts_pairs_once():
    exchange = with_rules(max_lists=1)
    exchange.place_list("ann", order_list("OCO", [target(500), stop(500)]))
    other = order_list("OCO", [target(500, client_id="t2"), stop(500, client_id="s2")], client_id="l2")
    with pytest.raises(VenueReject, match="MAX_NUM_ORDER_LISTS"):
        exchange.place_list("ann", other)
    exchange.cancel_all("ann", SYMBOL)
    exchange.place_list("ann", other)


def test_position_is_what_is_held_and_what_may_still_be_bought():
    exchange = with_rules(max_position_e8=1_000 * E8 + 500 * LOT)
    assert failure(exchange, limit(Side.BUY, 300, 9_000)) == ""
    assert failure(exchange, limit(Side.BUY, 201, 9_000)) == "Filter failure: MAX_POSITION"
    assert failure(exchange, limit(Side.BUY, 200, 9_000)) == ""
    assert failure(exchange, limit(Side.SELL, 5_000, 11_000)) == ""


def test_percent_price_by_side_and_for_both_sides():
    exchange = with_rules(
        band_by_side=PriceBand(1_100_000, 900_000, 1_200_000, 800_000),
        band=PriceBand(1_150_000, 850_000),
    )
    refused = "Filter failure: PERCENT_PRICE_BY_SIDE"
    assert failure(exchange, limit(Side.BUY, 100, 9_000)) == ""
    assert failure(exchange, limit(Side.BUY, 100, 8_999)) == refused
    assert failure(exchange, limit(Side.SELL, 100, 11_500)) == ""
    assert failure(exchange, limit(Side.SELL, 100, 11_501)) == "Filter failure: PERCENT_PRICE"
    assert failure(exchange, limit(Side.SELL, 100, 12_001)) == refused


def test_bands_may_stand_about_an_average_of_minutes():
    exchange = with_rules(band_by_side=PriceBand(1_010_000, 990_000, 1_010_000, 990_000, minutes=5))
    exchange.print_trade(SYMBOL, 10_400, 3, exchange.now_ns + 1, jump=True)
    assert failure(exchange, limit(Side.BUY, 100, 10_300 - 103)) == ""  # (10,000 + 3 x 10,400) / 4 = 10,300
    assert failure(exchange, limit(Side.BUY, 100, 10_300 - 104)) == "Filter failure: PERCENT_PRICE_BY_SIDE"


def test_market_lots_and_whether_notional_counts_for_market_orders():
    exchange = with_rules(market_min_lots=60, min_to_market=False)
    assert failure(exchange, market(Side.BUY, 59)) == "Filter failure: MARKET_LOT_SIZE"
    exchange = with_rules(min_to_market=False)
    assert failure(exchange, market(Side.BUY, 10)) == ""
    assert failure(with_rules(), market(Side.BUY, 10)) == "Filter failure: NOTIONAL"


def test_limits_over_all_symbols():
    exchange = with_rules()
    exchange.manage.set_limits(ExchangeRules(max_orders=2, max_algo_orders=1, max_icebergs=1, max_lists=1))
    exchange.place("ann", stop(300))
    assert failure(exchange, stop(300, client_id="s2")) == "Filter failure: EXCHANGE_MAX_NUM_ALGO_ORDERS"
    exchange.place("ann", iceberg(300, 100))
    assert failure(exchange, limit(Side.BUY, 300, 9_000)) == "Filter failure: EXCHANGE_MAX_NUM_ORDERS"
    assert failure(exchange, limit(Side.BUY, 300, 9_000), "bob") == ""


def test_types_that_a_symbol_does_not_offer():
    trailing = asked(order(OrderType.STOP_LOSS, Side.SELL, 100), trailing_bips=100)
    assert failure(with_rules(trailing_allowed=False), trailing) == (
        "Trailing stop orders are not supported for this symbol."
    )
    by_quote = asked(market(Side.BUY, 0), quote_quantity_e8=10 * E8)
    assert failure(with_rules(quote_market_allowed=False), by_quote) == (
        "Quote order qty market orders are not support for this symbol."
    )


def test_filters_are_told_when_they_are_on():
    def names(rules):
        return {row["filterType"] for row in symbol_filters(INSTRUMENT, rules)}

    usual = names(SymbolRules())
    assert "MAX_POSITION" not in usual
    assert {"TRAILING_DELTA", "ICEBERG_PARTS", "MAX_NUM_ORDER_LISTS", "MAX_NUM_ORDER_AMENDS"} <= usual
    more = names(SymbolRules(max_position_e8=E8, max_icebergs=3, band=PriceBand()))
    assert more - usual == {"MAX_POSITION", "MAX_NUM_ICEBERG_ORDERS", "PERCENT_PRICE"}
    assert exchange_filters(ExchangeRules()) == []
    assert exchange_filters(ExchangeRules(max_lists=20)) == [
        {"filterType": "EXCHANGE_MAX_NUM_ORDER_LISTS", "maxNumOrderLists": 20}
    ]


def with_bnb(bnb):
    """BTC at 100, BNB at 50 USDT; commission 0.1 %."""
    bnb_usdt = Instrument("BNBUSDT", "BNB", "USDT", tick_e8=TICK, lot_e8=LOT)
    exchange = Exchange(Market({SYMBOL: INSTRUMENT, "BNBUSDT": bnb_usdt}, HOUR_NS, Pricing(costs())))
    exchange.open_account("ann", {"USDT": 1_000 * E8, "BTC": 10 * E8, "BNB": bnb})
    for name, price in ((SYMBOL, 10_000), ("BNBUSDT", 5_000)):
        exchange.apply(Step(0, T0, closed_bars=(Bar(name, T0 - HOUR_NS, T0, *[price] * 4, 10_000),)))
        exchange.print_trade(name, price, 1, T0, jump=True)
    exchange.manage.set_discount("ann", is_on=True)
    return exchange


@pytest.mark.parametrize("side", Side)
def test_commission_in_bnb_costs_a_quarter_less(side):
    exchange = with_bnb(E8)
    (fill,) = exchange.place("ann", market(side, 1000)).fills
    assert (fill.commission_asset, fill.commission_e8) == ("BNB", 150_000)  # 100 x 0.1 % / 50 x 0.75
    assert exchange.read.account("ann").balances["BNB"] == (E8 - 150_000, 0)
    assert exchange.read.commissions("ann") == {"BNB": 150_000}


def test_commission_falls_back_to_what_the_fill_pays_out():
    exchange = with_bnb(149_999)
    (fill,) = exchange.place("ann", market(Side.SELL, 1000)).fills
    assert (fill.commission_asset, fill.commission_e8) == ("USDT", E8 // 10)
    assert exchange.read.account("ann").balances["BNB"] == (149_999, 0)


def test_bought_bnb_pays_its_own_commission():
    exchange = with_bnb(0)
    request = OrderRequest(symbol="BNBUSDT", side=Side.BUY, type=OrderType.MARKET, quantity_e8=2 * E8)
    (fill,) = exchange.place("ann", request).fills
    assert (fill.commission_asset, fill.commission_e8) == ("BNB", 150_000)


def test_rates_of_a_symbol_by_role():
    exchange = exchange_of("F2")
    exchange.manage.set_commission("ann", SYMBOL, 200, 700)
    exchange.place("ann", limit(Side.BUY, 100, 10_000))
    exchange.place("bob", limit(Side.SELL, 100, 10_000))
    exchange.place("bob", limit(Side.BUY, 100, 10_000))
    exchange.place("ann", limit(Side.SELL, 100, 10_000))
    maker, taker = exchange.read.trades("ann", SYMBOL)
    assert (maker.is_maker, maker.commission_e8) == (True, 100 * LOT * 200 // 10**6)
    assert (taker.is_maker, taker.commission_e8) == (False, 10 * E8 * 700 // 10**6)
    assert [one.commission_asset for one in (maker, taker)] == ["BTC", "USDT"]


def test_new_account_has_the_rates_of_the_exchange_by_role():
    made = costs()
    made[0]["maker_ppm"], made[0]["taker_ppm"] = 100, 900
    exchange = Exchange(Market({SYMBOL: INSTRUMENT}, HOUR_NS, Pricing(made)))
    exchange.open_account("ann", {})
    view = exchange.read.account("ann")
    assert (view.maker_ppm, view.taker_ppm) == (100, 900)
