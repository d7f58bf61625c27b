import pytest

from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.kernels.records import FillTier
from bnml.venues.sim.messages import OrderKey, OrderRequest, ReplaceFailed, VenueReject
from tests.venues.sim.bench import (
    LOT,
    ME,
    SYMBOL,
    TICK,
    bench,
    limit,
    market,
    move,
    order,
    stop,
    target,
    told,
)

POSITION = ("AccountPosition",)


def refused(exchange, request):
    with pytest.raises(VenueReject) as refusal:
        exchange.place(ME, request)
    return refusal.value.reject_code, refusal.value.text


def test_market_buy_pays_spread_and_slippage_and_commission_in_base():
    exchange = bench(slippage_ppm=200, spread_ppm=300)
    placed = exchange.place(ME, market(Side.BUY, 1000, "a"))
    (fill,) = placed.fills
    assert fill.price_ticks == 10_005  # 0.05 % above 100.00
    assert (fill.commission_asset, fill.commission_e8) == ("BTC", LOT)
    assert exchange.read.account(ME).balances == {
        "USDT": (100_000 * E8 - 10_005 * TICK, 0),
        "BTC": (999 * LOT, 0),
    }
    assert told(exchange.drain()) == [("NEW", "a", "NEW"), ("TRADE", "a", "FILLED"), POSITION]


def test_market_sell_pays_commission_in_quote():
    exchange = bench(base=1)
    (fill,) = exchange.place(ME, market(Side.SELL, 1000)).fills
    assert (fill.commission_asset, fill.commission_e8) == ("USDT", E8 // 10)


def test_market_by_quote_buys_what_the_amount_allows():
    exchange = bench(slippage_ppm=1000)
    request = OrderRequest(symbol=SYMBOL, side=Side.BUY, type=OrderType.MARKET, quote_quantity_e8=50 * E8)
    placed = exchange.place(ME, request)
    assert placed.order.executed_lots == 499  # 50 / 100.10
    assert placed.order.executed_quote_e8 <= 50 * E8


def test_limit_rests_locks_and_fills_at_its_level():
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1000, 9_900, client_id="a"))
    assert exchange.read.account(ME).balances["USDT"] == ((100_000 - 99) * E8, 99 * E8)
    exchange.drain()
    (report, _) = move(exchange, 9_850)
    assert (report.trade.price_ticks, report.trade.is_maker) == (9_900, True)
    assert exchange.read.account(ME).balances["USDT"] == ((100_000 - 99) * E8, 0)


def test_crossing_limit_takes_at_the_market_not_at_its_limit():
    exchange = bench(slippage_ppm=100)
    (fill,) = exchange.place(ME, limit(Side.BUY, 1000, 10_500)).fills
    assert (fill.price_ticks, fill.is_maker) == (10_001, False)


def test_volume_share_splits_a_crossing_limit_in_f1():
    exchange = bench(tier=FillTier.F1)
    placed = exchange.place(ME, limit(Side.BUY, 1000, 10_500, TimeInForce.IOC, "a"))
    assert placed.order.executed_lots == 0  # no bar yet: no volume to take
    assert str(placed.order.status) == "EXPIRED"


def test_stop_is_triggered_by_the_last_price_only():
    exchange = bench(base=1)
    exchange.place(ME, stop(1000))
    assert not exchange.read.order(ME, OrderKey(symbol=SYMBOL, client_order_id="s")).is_working
    move(exchange, 9_801)
    assert len(exchange.read.open_orders(ME)) == 1
    move(exchange, 9_800)
    assert exchange.read.open_orders(ME) == []


def test_stop_limit_rests_when_the_market_ran_away():
    exchange = bench(base=1)
    request = order(OrderType.STOP_LOSS_LIMIT, Side.SELL, 1000, price=9_790, stop=9_800, client_id="a")
    exchange.place(ME, request)
    exchange.drain()
    assert told(move(exchange, 9_500, jump=True)) == [("NEW", "a", "NEW")]
    assert [e.trade.price_ticks for e in move(exchange, 9_795) if hasattr(e, "trade")] == [9_790]


def test_stops_of_a_fall_fill_in_descending_order_of_their_levels():
    exchange = bench(base=3)
    for name, level in (("low", 9_600), ("high", 9_900), ("middle", 9_700)):
        exchange.place(ME, stop(1000, level, name))
    exchange.drain()
    fills = [event for event in move(exchange, 9_500) if getattr(event, "trade", None)]
    assert [(e.order.client_order_id, e.trade.price_ticks) for e in fills] == [
        ("high", 9_900),
        ("middle", 9_700),
        ("low", 9_600),
    ]


def test_buy_stop_above_the_lock_pays_from_free_money_and_expires_the_rest():
    exchange = bench(quote=105)
    exchange.place(ME, order(OrderType.STOP_LOSS, Side.BUY, 1000, stop=10_500, client_id="a"))
    assert exchange.read.account(ME).balances["USDT"] == (0, 105 * E8)
    exchange.drain()
    assert told(move(exchange, 11_000, jump=True)) == [
        ("TRADE", "a", "PARTIALLY_FILLED"),
        ("EXPIRED", "a", "EXPIRED"),
        POSITION,
    ]
    assert exchange.read.account(ME).balances["USDT"][1] == 0


def test_cancel_reports_both_ids_and_gives_back():
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1000, 9_900, client_id="a"))
    exchange.drain()
    answer = exchange.cancel(ME, OrderKey(symbol=SYMBOL, client_order_id="a"), "c1")
    assert (answer.client_order_id, answer.order.client_order_id) == ("c1", "a")
    (report, _) = exchange.drain()
    assert (report.client_order_id, report.original_client_order_id) == ("c1", "a")
    assert exchange.read.account(ME).balances["USDT"] == (100_000 * E8, 0)


def test_execution_ids_only_grow():
    exchange = bench(base=1)
    exchange.place(ME, limit(Side.BUY, 1000, 9_900))
    exchange.place(ME, target(1000))
    ids = [
        e.execution_id for e in exchange.drain() + move(exchange, 9_800, 10_300) if hasattr(e, "execution_id")
    ]
    assert len(ids) == 4
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (market(Side.BUY, 2_000_000), -2010, "Account has insufficient balance for requested action."),
        (market(Side.SELL, 1000), -2010, "Account has insufficient balance for requested action."),
        (limit(Side.BUY, 1000, 9_900, client_id="open"), -2010, "Duplicate order sent."),
        (
            order(OrderType.LIMIT_MAKER, Side.BUY, 1000, 10_000),
            -2010,
            "Order would immediately match and take.",
        ),
        (
            order(OrderType.STOP_LOSS, Side.BUY, 1000, stop=10_000),
            -2010,
            "Stop price would trigger immediately.",
        ),
        (
            order(OrderType.TAKE_PROFIT, Side.BUY, 1000, stop=10_001),
            -2010,
            "Stop price would trigger immediately.",
        ),
        (limit(Side.BUY, 1000, 1_999), -1013, "Filter failure: PERCENT_PRICE_BY_SIDE"),
        (limit(Side.BUY, 49, 10_000), -1013, "Filter failure: NOTIONAL"),
        (
            limit(Side.BUY, 0, 10_000),
            -1102,
            "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed.",
        ),
        (
            order(OrderType.STOP_LOSS, Side.BUY, 1000),
            -1102,
            "Mandatory parameter 'stopPrice' was not sent, was empty/null, or malformed.",
        ),
        (order(OrderType.MARKET, price=10_000), -1106, "Parameter 'price' sent when not required."),
    ],
)
def test_refusals_carry_binance_codes_and_texts(request_, code, text):
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1000, 9_900, client_id="open"))
    exchange.drain()
    before = exchange.read.account(ME).balances
    assert refused(exchange, request_) == (code, text)
    assert exchange.drain() == []
    assert exchange.read.account(ME).balances == before


def test_amounts_off_tick_and_lot_are_refused():
    exchange = bench()
    good = limit(Side.BUY, 1000, 9_900)
    fields = {"symbol": SYMBOL, "side": Side.BUY, "type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
    off_tick = OrderRequest(**fields, quantity_e8=good.quantity_e8, price_e8=good.price_e8 + 1)
    off_lot = OrderRequest(**fields, quantity_e8=good.quantity_e8 + 1, price_e8=good.price_e8)
    assert refused(exchange, off_tick) == (-1013, "Filter failure: PRICE_FILTER")
    assert refused(exchange, off_lot) == (-1013, "Filter failure: LOT_SIZE")


def test_stops_are_counted_per_symbol():
    exchange = bench(base=100)
    for number in range(5):
        exchange.place(ME, stop(1000, 9_000 + number, f"s{number}"))
    assert refused(exchange, stop(1000, 9_500, "one more")) == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")


def test_queries_by_either_id_and_unknown_ones():
    exchange = bench()
    placed = exchange.place(ME, limit(Side.BUY, 1000, 9_900, client_id="a")).order
    assert exchange.read.order(ME, OrderKey(symbol=SYMBOL, order_id=placed.order_id)) == placed
    for key, code in (
        (OrderKey(symbol=SYMBOL, order_id=99), -2013),
        (OrderKey(symbol=SYMBOL, order_id=placed.order_id, client_order_id="b"), -2039),
        (OrderKey(symbol=SYMBOL), -1102),
        (OrderKey(symbol="NOPE", order_id=1), -1121),
    ):
        with pytest.raises(VenueReject) as refusal:
            exchange.read.order(ME, key)
        assert refusal.value.reject_code == code
    with pytest.raises(VenueReject, match="Unknown order sent"):
        exchange.cancel(ME, OrderKey(symbol=SYMBOL, order_id=99))


def test_replace_moves_a_stop_in_one_request():
    exchange = bench(base=1)
    exchange.place(ME, stop(1000))
    exchange.drain()
    key = OrderKey(symbol=SYMBOL, client_order_id="s")
    exchange.cancel_replace(ME, key, stop(1000, 9_900, "s2"), "STOP_ON_FAILURE", "c")
    assert told(exchange.drain()) == [("CANCELED", "s", "CANCELED"), ("NEW", "s2", "NEW"), POSITION]


def test_replace_stops_when_there_is_nothing_to_cancel():
    exchange = bench(base=1)
    key = OrderKey(symbol=SYMBOL, client_order_id="gone")
    with pytest.raises(ReplaceFailed) as failure:
        exchange.cancel_replace(ME, key, stop(1000), "STOP_ON_FAILURE")
    assert failure.value.reject_code == -2022
    assert failure.value.replaced.new_result is None
    with pytest.raises(ReplaceFailed) as failure:
        exchange.cancel_replace(ME, key, stop(1000), "ALLOW_FAILURE")
    assert failure.value.reject_code == -2021
    assert [view.client_order_id for view in exchange.read.open_orders(ME)] == ["s"]


def test_replace_of_an_order_in_another_state_than_asked_for_changes_nothing():
    exchange = bench(base=1)
    exchange.place(ME, stop(1000))
    key = OrderKey(symbol=SYMBOL, client_order_id="s")
    with pytest.raises(ReplaceFailed) as failure:
        exchange.cancel_replace(ME, key, stop(1000, 9_900, "s2"), "STOP_ON_FAILURE", only="PARTIALLY_FILLED")
    assert failure.value.reject_code == -2022
    assert [view.client_order_id for view in exchange.read.open_orders(ME)] == ["s"]
    exchange.cancel_replace(ME, key, stop(1000, 9_900, "s2"), "STOP_ON_FAILURE", only="NEW")
    assert [view.client_order_id for view in exchange.read.open_orders(ME)] == ["s2"]


def test_replace_that_cancels_but_cannot_place_says_so():
    exchange = bench(base=1)
    exchange.place(ME, stop(1000))
    key = OrderKey(symbol=SYMBOL, client_order_id="s")
    with pytest.raises(ReplaceFailed) as failure:
        exchange.cancel_replace(ME, key, stop(1000, 10_000, "s2"), "STOP_ON_FAILURE")
    assert failure.value.reject_code == -2021
    assert failure.value.replaced.new_result.text == "Stop price would trigger immediately."
    assert exchange.read.open_orders(ME) == []


def test_halted_symbol_takes_no_orders_but_cancels():
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1000, 9_900, client_id="a"))
    exchange.set_status(SYMBOL, "HALT")
    assert refused(exchange, market(Side.BUY, 1000)) == (-2010, "Market is closed.")
    exchange.cancel(ME, OrderKey(symbol=SYMBOL, client_order_id="a"))


def test_cancel_all_ends_orders_and_says_when_there_is_none():
    exchange = bench(base=1)
    exchange.place(ME, limit(Side.BUY, 1000, 9_900))
    exchange.place(ME, target(1000))
    assert len(exchange.cancel_all(ME, SYMBOL)) == 2
    with pytest.raises(VenueReject, match="Unknown order sent") as refused:
        exchange.cancel_all(ME, SYMBOL)
    assert refused.value.code == -2011


def test_deposit_is_an_event_of_its_own():
    exchange = bench()
    exchange.deposit(ME, "USDT", 5 * E8)
    assert told(exchange.drain()) == [("BalanceUpdate",), POSITION]
    with pytest.raises(VenueReject, match="insufficient"):
        exchange.deposit(ME, "USDT", -200_000 * E8)
