"""F2 and F3: levels that are used up, own orders in the public book and on the tape, queues and latency."""

import math
from contextlib import closing

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.book_prints import queue_after
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.messages import BookLevels, OrderKey, Print, Step, VenueReject
from bnml.venues.sim.tiers import BookModel
from tests.venues.sim.bench import SYMBOL, limit, market, move, order, order_list, stop, target
from tests.venues.sim.traders import exchange_of, fills, tape, told_of

BIDS = ((9_990, 200), (9_980, 300), (9_970, 5_000))
ASKS = ((10_010, 200), (10_020, 300), (10_030, 5_000))
MS = 10**6


def recorded(tier="F2", **kind):
    exchange = exchange_of(tier, **kind)
    exchange.market.pricing.takes_recorded_books = True
    show(exchange, BIDS, ASKS, 100)
    return exchange


def show(exchange, bids, asks, update_id):
    book = BookLevels(SYMBOL, exchange.now_ns + 1, bids, asks, 0, update_id)
    exchange.apply(Step(exchange.ordinal, exchange.now_ns + 1, books=(book,)))


def book_of(exchange):
    book = exchange.market.book(SYMBOL, exchange.now_ns)
    return book.bids, book.asks


def test_market_order_walks_the_levels_and_a_snapshot_restores_them():
    exchange = recorded()
    placed = exchange.place("ann", market(Side.BUY, 600))
    assert fills(placed) == [(10_010, 200), (10_020, 300), (10_030, 100)]
    assert book_of(exchange)[1] == ((10_030, 4_900),)
    assert fills(exchange.place("bob", market(Side.BUY, 100))) == [(10_030, 100)]
    show(exchange, BIDS, ASKS, 101)
    assert book_of(exchange)[1] == ASKS


@pytest.mark.parametrize(
    ("tif", "status", "executed", "reason"),
    [
        (TimeInForce.GTC, "PARTIALLY_FILLED", 500, ""),
        (TimeInForce.IOC, "EXPIRED", 500, "UNFILLED_IOC_QUANTITY_EXPIRED"),
        (TimeInForce.FOK, "EXPIRED", 0, "UNFILLED_FOK_ORDER_EXPIRED"),
    ],
)
def test_limit_takes_what_lies_within_it(tif, status, executed, reason):
    exchange = recorded()
    view = exchange.place("ann", limit(Side.BUY, 600, 10_020, tif)).order
    assert (str(view.status), view.executed_lots, view.expiry_reason) == (status, executed, reason)


def test_fok_is_filled_when_levels_and_other_accounts_together_suffice():
    exchange = recorded()
    exchange.place("bob", limit(Side.SELL, 100, 10_015))
    placed = exchange.place("ann", limit(Side.BUY, 600, 10_020, TimeInForce.FOK))
    assert fills(placed) == [(10_010, 200), (10_015, 100), (10_020, 300)]


def test_market_order_larger_than_the_book_expires_for_lack_of_liquidity():
    exchange = recorded()
    view = exchange.place("ann", market(Side.SELL, 6_000)).order
    assert (str(view.status), view.executed_lots, view.expiry_reason) == (
        "EXPIRED",
        5_500,
        "INSUFFICIENT_LIQUIDITY",
    )


def test_post_only_may_rest_within_the_spread_but_not_touch():
    exchange = recorded()
    exchange.place("ann", order(OrderType.LIMIT_MAKER, Side.BUY, 100, 10_009))
    with pytest.raises(VenueReject, match="immediately match"):
        exchange.place("ann", order(OrderType.LIMIT_MAKER, Side.BUY, 100, 10_010))


def test_market_order_by_quote_buys_level_by_level():
    exchange = recorded()
    request = market(Side.BUY, 0)
    by_quote = type(request)(symbol=SYMBOL, side=Side.BUY, type=request.type, quote_quantity_e8=30 * 10**8)
    placed = exchange.place("ann", by_quote)
    assert fills(placed) == [(10_010, 200), (10_020, 99)]
    assert 29 * 10**8 < placed.order.executed_quote_e8 <= 30 * 10**8


def test_own_orders_are_part_of_the_public_book_and_raise_its_number():
    exchange = recorded()
    before = exchange.market.book(SYMBOL, exchange.now_ns).update_id
    exchange.place("ann", limit(Side.BUY, 70, 9_990))
    exchange.place("ann", limit(Side.BUY, 100, 9_995))
    bids, _ = book_of(exchange)
    assert bids[:2] == ((9_995, 100), (9_990, 270))
    assert exchange.market.book(SYMBOL, exchange.now_ns).update_id > before


def test_own_fills_print_move_the_last_price_and_trigger_stops():
    exchange = recorded()
    exchange.place("cy", stop(100, 9_980))
    exchange.drain()
    exchange.place("ann", market(Side.SELL, 400))
    assert tape(exchange)[1:] == [(9_990, 200, True), (9_980, 200, True), (9_980, 100, True)]
    assert exchange.market[SYMBOL].state.last_ticks == 9_980
    assert ("cy", "TRADE", "s", "FILLED") in told_of(exchange)


def test_fill_and_public_trade_have_one_number():
    exchange = recorded()
    (fill,) = exchange.place("ann", market(Side.SELL, 100)).fills
    assert exchange.market[SYMBOL].trades[-1].trade_id == fill.trade_id


def test_trade_through_an_order_fills_it_wholly_at_its_price():
    exchange = recorded()
    exchange.place("ann", limit(Side.BUY, 300, 9_995, client_id="a"))
    exchange.drain()
    move(exchange, 9_994)
    (one,) = exchange.read.trades("ann", SYMBOL)
    assert (one.price_ticks, one.quantity_lots, one.is_maker) == (9_995, 300, True)
    assert tape(exchange)[-2:] == [(9_995, 300, True), (9_994, 1, True)]


def test_trade_at_its_price_is_shared_by_time_and_the_tape_adds_up():
    exchange = recorded()
    exchange.place("ann", limit(Side.BUY, 100, 9_995))
    exchange.place("bob", limit(Side.BUY, 100, 9_995))
    exchange.print_trade(SYMBOL, 9_995, 150, exchange.now_ns + 1, jump=True)
    assert [one.quantity_lots for one in exchange.read.trades("ann", SYMBOL)] == [100]
    assert [one.quantity_lots for one in exchange.read.trades("bob", SYMBOL)] == [50]
    assert sum(lots for price, lots, _ in tape(exchange) if price == 9_995) == 150


def test_recorded_trade_on_the_other_side_does_not_fill():
    exchange = recorded()
    exchange.place("ann", limit(Side.BUY, 100, 9_995))
    bought = Print(SYMBOL, 9_995, 500, exchange.now_ns + 1, jump=True, trade_id=77, buyer_is_maker=False)
    exchange.apply(Step(exchange.ordinal, exchange.now_ns + 1, prints=(bought,)))
    assert exchange.read.trades("ann", SYMBOL) == []


def test_numbers_of_recorded_trades_make_room_for_own_ones():
    exchange = recorded()

    def sold(trade_id):
        one = Print(SYMBOL, 9_995, 60, exchange.now_ns + 1, jump=True, trade_id=trade_id, buyer_is_maker=True)
        exchange.apply(Step(exchange.ordinal, exchange.now_ns + 1, prints=(one,)))

    sold(500)
    exchange.place("ann", market(Side.SELL, 100))  # own: 501
    sold(501)
    exchange.place("ann", limit(Side.BUY, 60, 9_995))
    sold(502)  # ours altogether
    exchange.place("ann", limit(Side.BUY, 80, 9_995))
    sold(503)
    sold(504)  # 20 of it are ours
    assert [one.trade_id for one in exchange.market[SYMBOL].trades][1:] == list(range(500, 507))


def test_snapshot_that_reaches_an_order_fills_it_at_its_own_price():
    exchange = recorded()
    exchange.place("ann", limit(Side.BUY, 300, 10_000))
    show(exchange, ((9_980, 100),), ((9_999, 200), (10_010, 100)), 101)
    (one,) = exchange.read.trades("ann", SYMBOL)
    assert (one.price_ticks, one.quantity_lots) == (10_000, 200)
    bids, asks = book_of(exchange)
    assert (bids[0], asks[0]) == ((10_000, 100), (10_010, 100))


def test_iceberg_shows_a_part_and_goes_behind_the_others_when_it_shows_the_next():
    exchange = recorded()
    hidden = limit(Side.BUY, 300, 10_000)
    exchange.place("ann", type(hidden)(**{**_fields(hidden), "iceberg_e8": 100 * 10**5}))
    exchange.place("bob", limit(Side.BUY, 100, 10_000))
    assert book_of(exchange)[0][0] == (10_000, 200)
    exchange.place("cy", limit(Side.SELL, 250, 10_000, TimeInForce.IOC))
    got = {name: [one.quantity_lots for one in exchange.read.trades(name, SYMBOL)] for name in ("ann", "bob")}
    assert got == {"ann": [100, 50], "bob": [100]}
    assert book_of(exchange)[0][0] == (10_000, 50)


def _fields(request):
    return {name: getattr(request, name) for name in request.__struct_fields__}


def test_generated_ladder_repeats_itself_and_holds_half_the_depth_a_side():
    first, again = (exchange_of("F2", 100_000, spread_ppm=100) for _ in range(2))
    book = first.market.book(SYMBOL, first.now_ns)
    assert book_of(first) == book_of(again)
    assert len(book.bids) == len(book.asks) == 10
    assert 0.9 < sum(lots for _, lots in book.bids) / 5_000 < 1.02
    assert book.bids[-1][0] > 10_000 * 0.994
    move(first, 10_050)
    assert book_of(first)[0][0] == (10_048, book_of(first)[0][0][1])


# --- F3


def queued(**kind):
    return recorded("F3", model=BookModel(submit_median_ns=0, cancel_median_ns=0, sigma=0.0, **kind))


def arrive(exchange):
    exchange.set_time(exchange.now_ns + 1)


def test_order_waits_behind_the_size_that_was_there_before():
    exchange = queued()
    exchange.place("ann", limit(Side.BUY, 100, 9_990))
    arrive(exchange)
    assert exchange._desk.orders[1].queue_lots == 200
    exchange.print_trade(SYMBOL, 9_990, 150, exchange.now_ns + 1, jump=True)
    assert exchange.read.trades("ann", SYMBOL) == []
    exchange.print_trade(SYMBOL, 9_990, 90, exchange.now_ns + 1, jump=True)
    assert [one.quantity_lots for one in exchange.read.trades("ann", SYMBOL)] == [40]


def test_cancellations_advance_by_a_power_of_the_queue():
    exchange = queued(queue_power=2)
    exchange.place("ann", limit(Side.BUY, 100, 9_980))
    arrive(exchange)
    order_ = exchange._desk.orders[1]
    assert order_.queue_lots == 300
    show(exchange, ((9_990, 200), (9_980, 500)), ASKS, 101)  # joined behind
    show(exchange, ((9_990, 200), (9_980, 400)), ASKS, 102)
    assert order_.queue_lots == 300 - 100 * 9 // 13
    show(exchange, ((9_990, 200), (9_980, 50)), ASKS, 103)
    assert order_.queue_lots <= 50


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 2000), st.integers(1, 5))
def test_queue_never_grows_nor_loses_more_than_was_canceled(front, back, gone, power):
    size = front + back
    left = queue_after(front, size, min(gone, size), power)
    assert max(0, front - min(gone, size)) <= left <= front


def test_taker_meets_the_market_before_an_order_that_queues_behind_it():
    exchange = queued()
    exchange.place("ann", limit(Side.BUY, 100, 9_990))
    arrive(exchange)
    exchange.place("bob", limit(Side.SELL, 250, 9_990, TimeInForce.IOC))
    arrive(exchange)
    assert [one.quantity_lots for one in exchange.read.trades("bob", SYMBOL)] == [200, 50]
    assert [one.quantity_lots for one in exchange.read.trades("ann", SYMBOL)] == [50]


def slow(**kind):
    return recorded("F3", model=BookModel(submit_median_ns=10 * MS, cancel_median_ns=10 * MS, **kind))


def test_order_reaches_the_book_after_its_latency():
    exchange = slow(sigma=0.0)
    view = exchange.place("ann", market(Side.BUY, 100, client_id="a")).order
    assert (str(view.status), view.executed_lots) == ("NEW", 0)
    exchange.set_time(exchange.now_ns + 10 * MS - 1)
    assert exchange.read.trades("ann", SYMBOL) == []
    exchange.set_time(exchange.now_ns + 1)
    (one,) = exchange.read.trades("ann", SYMBOL)
    assert (one.price_ticks, one.ts_ns) == (10_010, view.created_ns + 10 * MS)


def test_post_only_order_that_comes_too_late_expires():
    exchange = slow(sigma=0.0)
    exchange.place("ann", order(OrderType.LIMIT_MAKER, Side.BUY, 100, 10_005, client_id="a"))
    show(exchange, BIDS, ((10_003, 50), *ASKS), 101)
    exchange.set_time(exchange.now_ns + 20 * MS)
    view = exchange.read.order("ann", OrderKey(symbol=SYMBOL, client_order_id="a"))
    assert (str(view.status), view.expiry_reason) == ("EXPIRED", "REJECTED")


@pytest.mark.parametrize(("wait_ns", "ended"), [(5 * MS, "FILLED"), (15 * MS, "CANCELED")])
def test_cancel_races_with_a_trade(wait_ns, ended):
    exchange = slow(sigma=0.0)
    exchange.place("ann", limit(Side.BUY, 100, 9_995, client_id="a"))
    exchange.set_time(exchange.now_ns + 20 * MS)
    answer = exchange.cancel("ann", OrderKey(symbol=SYMBOL, client_order_id="a"))
    assert str(answer.order.status) == "PENDING_CANCEL"
    exchange.print_trade(SYMBOL, 9_990, 1, exchange.now_ns + wait_ns, jump=True)
    view = exchange.read.order("ann", OrderKey(symbol=SYMBOL, client_order_id="a"))
    assert str(view.status) == ended


def test_latencies_are_log_normal_and_repeat_themselves():
    def ways():
        exchange = slow(sigma=0.5)
        for _ in range(60):
            exchange.place("ann", limit(Side.BUY, 60, 9_000))
        return [one.enters_ns - one.created_ns for one in exchange._desk.orders.values()]

    drawn = ways()
    assert drawn == ways()
    logs = [math.log(one / (10 * MS)) for one in drawn]
    mean = sum(logs) / len(logs)
    assert abs(mean) < 0.25
    assert 0.3 < math.sqrt(sum((one - mean) ** 2 for one in logs) / len(logs)) < 0.7


def test_canceling_everything_answers_once_for_a_list():
    exchange = slow(sigma=0.0)
    exchange.place_list("ann", order_list("OCO", [target(100), stop(100)]))
    exchange.place("ann", limit(Side.BUY, 100, 9_000))
    exchange.set_time(exchange.now_ns + 20 * MS)
    answers = exchange.cancel_all("ann", SYMBOL)
    assert [one.order_list is not None for one in answers] == [True, False]
    exchange.set_time(exchange.now_ns + 20 * MS)
    assert exchange.read.open_orders("ann") == []


def test_ledger_of_an_exchange_that_knew_no_places_seats_its_orders_by_number(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db", "test")
    exchange = exchange_of("F0", 10_000, ledger=ledger)
    exchange.place("ann", limit(Side.BUY, 100, 9_500))
    exchange.place("ann", stop(100, 9_600))
    for one in exchange._desk.orders.values():
        one.seat = one.priority = 0
        exchange._desk.changes.orders.add(one.order_id)
    exchange.deposit("ann", "USDT", 1)
    ledger.close()
    with closing(Ledger(tmp_path / "ledger.db", "test")) as ledger:
        again = exchange_of("F0", 10_000, ledger=ledger)
        move(again, 9_400)
        assert again.read.open_orders("ann") == []


def test_what_is_on_its_way_survives_a_restart(tmp_path):
    model = BookModel(submit_median_ns=10 * MS, cancel_median_ns=10 * MS, sigma=0.0)
    ledger = Ledger(tmp_path / "ledger.db", "test")
    exchange = exchange_of("F3", 50_000, model=model, ledger=ledger)
    exchange.place("ann", limit(Side.BUY, 100, 9_000, client_id="a"))
    exchange.set_time(exchange.now_ns + 20 * MS)
    exchange.place("ann", limit(Side.BUY, 100, 9_100, client_id="b"))
    exchange.cancel("ann", OrderKey(symbol=SYMBOL, client_order_id="a"))
    ledger.close()
    with closing(Ledger(tmp_path / "ledger.db", "test")) as ledger:
        again = exchange_of("F3", 50_000, model=model, ledger=ledger)
        again.set_time(again.now_ns + 30 * MS)
        assert [one.client_order_id for one in again.read.open_orders("ann")] == ["b"]
        assert again._desk.books[SYMBOL].bids.nearest() == 9_100
