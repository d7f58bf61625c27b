"""Filters at their very edges: what is just allowed and what is just not, each with its code and text."""

import msgspec
import pytest

from bnml.core.instrument import E8, Instrument
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim import filters
from bnml.venues.sim.desk_state import Held
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.rules import PPM, ExchangeRules, PriceBand, SymbolRules
from tests.venues.sim.bench import LOT, SYMBOL, T0, TICK, limit, market, order, order_list, stop
from tests.venues.sim.traders import asked, exchange_of

NARROW = Instrument(
    SYMBOL,
    "BTC",
    "USDT",
    tick_e8=TICK,
    lot_e8=LOT,
    min_lots=10,
    max_lots=500,
    market_max_lots=300,
    min_ticks=1_000,
    max_ticks=20_000,
    min_notional_e8=E8 // 2,
    max_notional_e8=40 * E8,
    max_orders=4,
    max_algo_orders=2,
)
OPEN = SymbolRules(band_by_side=None, market_min_lots=20)
SECOND = 10**9


def verdict(check, *arguments, **named):
    try:
        check(*arguments, **named)
    except VenueReject as refusal:
        return refusal.reject_code, refusal.text
    return None


def failure(name):
    return -1013, f"Filter failure: {name}"


def amounts(request, rules=OPEN, average=None, instrument=NARROW):
    return verdict(filters.check_amounts, request, instrument, rules, average or {0: 10_000})


@pytest.mark.parametrize(
    ("type_", "lots", "price", "expected"),
    [
        (OrderType.LIMIT, 10, 5_000, None),  # exactly 0.50
        (OrderType.LIMIT, 10, 4_999, "NOTIONAL"),
        (OrderType.LIMIT, 9, 10_000, "LOT_SIZE"),
        (OrderType.LIMIT, 500, 8_000, None),  # exactly 40.00
        (OrderType.LIMIT, 500, 8_001, "NOTIONAL"),
        (OrderType.LIMIT, 501, 5_000, "LOT_SIZE"),
        (OrderType.MARKET, 20, 10_000, None),
        (OrderType.MARKET, 19, 10_000, "MARKET_LOT_SIZE"),
        (OrderType.MARKET, 300, 10_000, None),
        (OrderType.MARKET, 301, 10_000, "MARKET_LOT_SIZE"),
        (OrderType.LIMIT, 301, 10_000, None),
        (OrderType.MARKET, 20, 2_499, "NOTIONAL"),
        (OrderType.MARKET, 300, 20_000, "NOTIONAL"),
    ],
)
def test_quantity(type_, lots, price, expected):
    got = verdict(filters.check_quantity, type_, lots, price, NARROW, OPEN)
    assert got == (failure(expected) if expected else None)


def test_market_orders_are_spared_the_notional_where_the_symbol_says_so():
    free = msgspec.structs.replace(OPEN, min_to_market=False, max_to_market=False)
    for lots, price in ((20, 2_499), (300, 20_000)):
        assert verdict(filters.check_quantity, OrderType.MARKET, lots, price, NARROW, free) is None
        got = verdict(filters.check_quantity, OrderType.LIMIT, lots, price, NARROW, free)
        assert got == failure("NOTIONAL")


@pytest.mark.parametrize(
    ("price_e8", "expected"),
    [
        (1_000 * TICK, "NOTIONAL"),
        (999 * TICK, "PRICE_FILTER"),
        (20_000 * TICK, None),
        (20_001 * TICK, "PRICE_FILTER"),
        (5_000 * TICK + 1, "PRICE_FILTER"),
    ],
)
def test_prices_and_stop_prices_by_the_same_rule(price_e8, expected):
    wanted = failure(expected) if expected else None
    assert amounts(asked(limit(Side.BUY, 20, 1), price_e8=price_e8)) == wanted
    assert amounts(asked(order(OrderType.STOP_LOSS, lots=20), stop_price_e8=price_e8)) == wanted


def test_what_a_quantity_is_valued_at():
    stop_limit = order(OrderType.STOP_LOSS_LIMIT, lots=49, price=1_001, stop=5_000)
    assert amounts(stop_limit, average={0: 10_000}) == failure("NOTIONAL")  # at its limit
    assert (
        amounts(order(OrderType.STOP_LOSS, lots=50, stop=1_001), average={0: 1}) is None
    )  # at its stop price
    assert amounts(asked(order(OrderType.STOP_LOSS, lots=50), trailing_bips=10)) is None  # at the last price
    hour = msgspec.structs.replace(OPEN, notional_minutes=5)
    assert amounts(market(Side.BUY, 50), hour, {0: 1, 5: 10_000}) is None
    assert amounts(market(Side.BUY, 50), hour, {0: 10_000, 5: 1}) == failure("NOTIONAL")


def test_amounts_of_quote():
    def by_quote(quote_e8, rules=OPEN):
        return amounts(asked(market(Side.BUY, 0), quote_quantity_e8=quote_e8), rules)

    assert by_quote(E8 // 2) is None
    assert by_quote(E8 // 2 - 1) == failure("NOTIONAL")
    assert by_quote(40 * E8) is None
    assert by_quote(40 * E8 + 1) == failure("NOTIONAL")
    assert by_quote(1, msgspec.structs.replace(OPEN, min_to_market=False)) is None


def test_bands_have_their_edges_inside():
    band = PriceBand(bid_up_ppm=1_100_000, bid_down_ppm=900_000, ask_up_ppm=1_200_000, ask_down_ppm=800_000)
    by_side = msgspec.structs.replace(OPEN, band_by_side=band)
    either = msgspec.structs.replace(OPEN, band=band)
    late = msgspec.structs.replace(OPEN, band=msgspec.structs.replace(band, minutes=5))
    for side, low, high in ((Side.BUY, 9_000, 11_000), (Side.SELL, 8_000, 12_000)):
        assert amounts(limit(side, 100, low), by_side) is None
        assert amounts(limit(side, 100, high), by_side) is None
        assert amounts(limit(side, 100, low - 1), by_side) == failure("PERCENT_PRICE_BY_SIDE")
        assert amounts(limit(side, 100, high + 1), by_side) == failure("PERCENT_PRICE_BY_SIDE")
        assert amounts(limit(side, 100, 9_000), either) is None
        assert amounts(limit(side, 100, 11_001), either) == failure("PERCENT_PRICE")
        assert amounts(limit(side, 100, 11_001), late, {0: 10_000, 5: 11_000}) is None
    assert PPM == 1_000_000


def test_icebergs():
    def iceberg(lots, part_e8, rules=OPEN):
        return amounts(asked(limit(Side.BUY, lots, 10_000), iceberg_e8=part_e8), rules)

    parts = msgspec.structs.replace(OPEN, iceberg_parts=3)
    assert iceberg(300, 100 * LOT, parts) is None
    assert iceberg(301, 100 * LOT, parts) == failure("ICEBERG_PARTS")
    assert iceberg(300, 99 * LOT, parts) == failure("ICEBERG_PARTS")
    assert iceberg(400, 10 * LOT, msgspec.structs.replace(OPEN, iceberg_parts=0)) is None
    assert iceberg(100, 9 * LOT) == failure("LOT_SIZE")
    assert iceberg(100, 10 * LOT) is None
    assert iceberg(100, 10 * LOT + 1) == failure("LOT_SIZE")
    assert iceberg(400, 501 * LOT) == failure("LOT_SIZE")
    assert iceberg(400, 500 * LOT) is None


def test_trailing_deltas_by_direction():
    rules = msgspec.structs.replace(OPEN, trailing_above=(10, 20), trailing_below=(30, 40))
    above = ((OrderType.STOP_LOSS, Side.BUY), (OrderType.TAKE_PROFIT, Side.SELL))
    below = ((OrderType.STOP_LOSS, Side.SELL), (OrderType.TAKE_PROFIT, Side.BUY))
    for kinds, low, high in ((above, 10, 20), (below, 30, 40)):
        for type_, side in kinds:
            for bips, allowed in ((low, True), (low - 1, False), (high, True), (high + 1, False)):
                request = asked(order(type_, side, lots=100), trailing_bips=bips)
                assert amounts(request, rules) == (None if allowed else failure("TRAILING_DELTA"))


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (order(OrderType.LIMIT, price=1, tif=TimeInForce.IOC), None),
        (asked(limit(Side.BUY, 10, 1), time_in_force=None), (-1102, "timeInForce")),
        (order(OrderType.LIMIT_MAKER, price=1, tif=TimeInForce.GTC), (-1106, "timeInForce")),
        (order(OrderType.LIMIT, price=0), (-1102, "price")),
        (order(OrderType.LIMIT, price=1, stop=1), (-1106, "stopPrice")),
        (asked(limit(Side.BUY, 10, 1), trailing_bips=10), (-1106, "trailingDelta")),
        (asked(order(OrderType.STOP_LOSS), trailing_bips=10), None),
        (asked(limit(Side.BUY, 0, 1), quote_quantity_e8=E8), (-1106, "quoteOrderQty")),
        (asked(market(Side.BUY, 10), quote_quantity_e8=E8), (-1106, "quoteOrderQty")),
        (asked(market(Side.BUY, 0), quote_quantity_e8=E8), None),
        (asked(market(Side.BUY, 10), iceberg_e8=LOT), (-1106, "icebergQty")),
        (asked(limit(Side.BUY, 10, 1), iceberg_e8=10 * LOT), None),
        (asked(limit(Side.BUY, 10, 1), iceberg_e8=11 * LOT), (-2010, "IcebergQty exceeds QTY.")),
        (asked(limit(Side.BUY, 10, 1, TimeInForce.IOC), iceberg_e8=LOT), (-2010, "Unsupported order")),
    ],
)
def test_parameters_of_each_type(request_, expected):
    got = verdict(filters.check_parameters, request_)
    if expected is None:
        assert got is None
    else:
        assert got[0] == expected[0]
        assert expected[1] in got[1]


def test_legs_sized_later_name_no_quantity():
    assert verdict(filters.check_parameters, stop(0), sized_later=True) is None
    assert verdict(filters.check_parameters, stop(1), sized_later=True)[0] == -1106


@pytest.mark.parametrize(
    ("request_", "rule", "text"),
    [
        (asked(limit(Side.BUY, 10, 1), iceberg_e8=LOT), "iceberg_allowed", "Iceberg orders"),
        (asked(order(OrderType.STOP_LOSS), trailing_bips=9), "trailing_allowed", "Trailing stop orders"),
        (asked(market(Side.BUY, 0), quote_quantity_e8=1), "quote_market_allowed", "Quote order qty"),
    ],
)
def test_what_a_symbol_does_not_offer(request_, rule, text):
    forbidden = msgspec.structs.replace(OPEN, **{rule: False})
    assert verdict(filters.check_permissions, request_, NARROW, OPEN) is None
    code, said = verdict(filters.check_permissions, request_, NARROW, forbidden)
    assert code == -2010
    assert said.startswith(text)
    assert verdict(filters.check_permissions, limit(Side.BUY, 10, 1), NARROW, forbidden) is None


def test_market_stops_and_preventions_that_a_symbol_does_not_offer():
    without = msgspec.structs.replace(NARROW, stop_loss_allowed=False)
    for type_, text in ((OrderType.STOP_LOSS, "Stop loss"), (OrderType.TAKE_PROFIT, "Take profit")):
        said = verdict(filters.check_permissions, order(type_, stop=1), without, OPEN)
        assert said == (-2010, f"{text} orders are not supported for this symbol.")
        assert verdict(filters.check_permissions, order(type_, stop=1), NARROW, OPEN) is None
    few = msgspec.structs.replace(OPEN, preventions=("NONE",))
    request = limit(Side.BUY, 10, 1)
    assert verdict(filters.check_permissions, request, without, few) is None
    assert verdict(filters.check_permissions, asked(request, prevention="NONE"), NARROW, few) is None
    assert verdict(filters.check_permissions, asked(request, prevention="DECREMENT"), NARROW, few)[0] == -1013


def test_counts_of_a_symbol():
    def counts(held, *requests, **changed):
        return verdict(filters.check_counts, held, requests, NARROW, msgspec.structs.replace(OPEN, **changed))

    two = Held(orders={1: None, 2: None}, algos=1, icebergs=1)
    plain, iceberg = limit(Side.BUY, 10, 1), asked(limit(Side.BUY, 10, 1), iceberg_e8=LOT)
    assert counts(two, plain, plain) is None
    assert counts(two, plain, plain, plain) == failure("MAX_NUM_ORDERS")
    assert counts(two, plain, plain, market(Side.BUY, 10)) is None
    assert counts(two, stop(10)) is None
    assert counts(two, stop(10), stop(10)) == failure("MAX_NUM_ALGO_ORDERS")
    assert counts(two, iceberg, max_icebergs=2) is None
    assert counts(two, iceberg, iceberg, max_icebergs=2) == failure("MAX_NUM_ICEBERG_ORDERS")
    assert counts(two, iceberg, iceberg, max_icebergs=0) is None


@pytest.mark.parametrize(
    ("name", "rule", "filter_", "last"),
    [
        ("orders", "max_orders", "ORDERS", limit(Side.BUY, 10, 1)),
        ("algos", "max_algo_orders", "ALGO_ORDERS", stop(10)),
        ("icebergs", "max_icebergs", "ICEBERG_ORDERS", asked(limit(Side.BUY, 10, 1), iceberg_e8=LOT)),
        ("lists", "max_lists", "ORDER_LISTS", None),
    ],
)
def test_counts_over_all_symbols(name, rule, filter_, last):
    many = {1: None, 2: None} if name == "orders" else 2
    held = (Held(**{name: many}), Held(**{name: many}))
    requests, lists = ((), 1) if last is None else ((last, market(Side.BUY, 10)), 0)
    for most, expected in ((5, None), (4, failure(f"EXCHANGE_MAX_NUM_{filter_}")), (0, None)):
        rules = ExchangeRules(**{rule: most})
        assert verdict(filters.check_exchange_counts, held, requests, rules, lists) == expected


def test_averages_are_weighted_by_quantity_over_their_minutes():
    exchange = exchange_of("F0")
    for price, lots, after in ((10_000, 100, 0), (11_000, 300, 1), (12_000, 100, 60)):
        exchange.print_trade(SYMBOL, price, lots, T0 + (200 + after) * SECOND, jump=True)
    band = PriceBand(bid_up_ppm=PPM, bid_down_ppm=1, minutes=1)
    exchange.manage.set_rules(SYMBOL, SymbolRules(band_by_side=None, band=band))
    highest = (300 * 11_000 + 100 * 12_000) // 400  # the first is a minute old
    assert verdict(exchange.place, "ann", limit(Side.BUY, 100, highest)) is None
    assert verdict(exchange.place, "ann", limit(Side.BUY, 100, highest + 1)) == failure("PERCENT_PRICE")
    exchange.set_time(T0 + 10_000 * SECOND)  # nothing was traded: the last price
    assert verdict(exchange.place, "ann", limit(Side.SELL, 100, 12_000)) is None
    assert verdict(exchange.place, "ann", limit(Side.SELL, 100, 12_001)) == failure("PERCENT_PRICE")


def test_a_position_counts_what_could_still_be_bought():
    exchange = exchange_of("F0")
    exchange.manage.set_rules(SYMBOL, SymbolRules(max_position_e8=1_002 * E8))  # 1,000 are there
    assert verdict(exchange.place, "ann", limit(Side.BUY, 1_000, 9_000)) is None
    assert verdict(exchange.place, "ann", limit(Side.BUY, 1_001, 9_000)) == failure("MAX_POSITION")
    assert verdict(exchange.place, "ann", limit(Side.SELL, 5_000, 11_000)) is None
    working = limit(Side.BUY, 1_001, 9_000, client_id="w")
    said = verdict(exchange.place_list, "ann", order_list("OTO", (stop(1_001),), working))
    assert said == failure("MAX_POSITION")
    assert verdict(exchange.place, "ann", limit(Side.BUY, 1_000, 9_000)) is None
