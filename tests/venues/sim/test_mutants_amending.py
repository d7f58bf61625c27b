"""Amendments to the lot: each refusal, what stays locked, what is shown, what the list says."""

import msgspec
import pytest

from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side
from bnml.venues.sim.messages import OrderKey, VenueReject
from bnml.venues.sim.rules import SymbolRules
from tests.venues.sim.bench import (
    INSTRUMENT,
    LOT,
    ME,
    SYMBOL,
    bench,
    limit,
    move,
    order,
    order_list,
    stop,
    target,
    told,
)
from tests.venues.sim.traders import asked, exchange_of

POSITION = ("AccountPosition",)


def key(client_id):
    return OrderKey(symbol=SYMBOL, client_order_id=client_id)


def amended(exchange, client_id, lots, new_id="", account=ME):
    return exchange.amend(account, key(client_id), lots * LOT, new_id or client_id)


def refusal(exchange, client_id, quantity_e8, new_id=""):
    before = exchange.read.open_orders(ME), exchange.read.account(ME).balances
    with pytest.raises(VenueReject) as refused:
        exchange.amend(ME, key(client_id), quantity_e8, new_id)
    assert exchange.drain() == []
    assert (exchange.read.open_orders(ME), exchange.read.account(ME).balances) == before
    return refused.value.reject_code, refused.value.text


def test_refusals():
    instrument = msgspec.structs.replace(INSTRUMENT, min_lots=60)
    exchange = bench(instrument=instrument, base=10)
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="a"))
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="b"))
    exchange.drain()
    assert refusal(exchange, "none", 900 * LOT) == (-2038, "Unknown order sent.")
    assert refusal(exchange, "a", 900 * LOT, "b") == (-2038, "Duplicate order sent.")
    assert refusal(exchange, "a", 900 * LOT + 1) == (-1013, "Filter failure: LOT_SIZE")
    assert refusal(exchange, "a", 59 * LOT) == (-1013, "Filter failure: LOT_SIZE")
    assert refusal(exchange, "a", 1_000 * LOT) == (
        -2038,
        "The requested action would change no state; rejecting",
    )
    assert refusal(exchange, "a", 1_001 * LOT) == (
        -2038,
        "Order amend (quantity increase) is not supported.",
    )
    exchange.manage.set_rules(SYMBOL, SymbolRules(amend_allowed=False))
    assert refusal(exchange, "a", 900 * LOT) == (-2038, "Order amend is not supported for this symbol.")
    exchange.manage.set_rules(SYMBOL, SymbolRules())
    assert amended(exchange, "a", 60).order.quantity_lots == 60
    exchange.cancel(ME, key("a"))
    exchange.drain()
    assert refusal(exchange, "a", 60 * LOT) == (-2038, "Unknown order sent.")


def test_notional_is_looked_at_by_the_price_that_counts():
    exchange = bench(base=10)
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="limit"))
    exchange.place(ME, stop(1_000, 5_000, "stop"))
    exchange.place(ME, asked(stop(1_000, 0, "trailing"), stop_price_e8=0, trailing_bips=1_000))
    exchange.drain()
    for client_id, price in (("limit", 9_900), ("stop", 5_000), ("trailing", 11_000)):
        least = -(-500_000 // price)
        assert refusal(exchange, client_id, (least - 1) * LOT) == (-1013, "Filter failure: NOTIONAL")
        assert amended(exchange, client_id, least).order.quantity_lots == least
        exchange.drain()


def test_amendments_are_counted_where_they_are_limited():
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="a"))
    exchange.manage.set_rules(SYMBOL, SymbolRules(max_amends=2))
    for lots in (900, 800):
        amended(exchange, "a", lots, "a")
    exchange.drain()
    assert refusal(exchange, "a", 700 * LOT) == (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")
    exchange.manage.set_rules(SYMBOL, SymbolRules(max_amends=0))
    for lots in range(700, 400, -10):
        amended(exchange, "a", lots, "a")


def test_an_amendment_says_what_was_and_what_is():
    exchange = bench()
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="a"))
    exchange.drain()
    answer = amended(exchange, "a", 400, "b")
    (report, position) = exchange.drain()
    made = answer.amendment
    assert msgspec.structs.astuple(made)[4:8] == ("a", "b", 1_000, 400)
    assert told([report, position]) == [("REPLACED", "b", "NEW"), POSITION]
    assert (report.client_order_id, report.original_client_order_id) == ("b", "a")
    assert made.execution_id == report.execution_id
    assert exchange.read.account(ME).balances["USDT"] == (100_000 * E8 - 3_960 * E8 // 100, 3_960 * E8 // 100)
    assert exchange.read.order(ME, key("b")).quantity_lots == 400
    with pytest.raises(VenueReject):
        exchange.read.order(ME, key("a"))
    exchange.place(ME, limit(Side.BUY, 1_000, 9_900, client_id="a"))  # the old id is free


def test_an_order_that_has_executed_as_much_expires():
    exchange = exchange_of("F2")
    exchange.place("ann", limit(Side.BUY, 1_000, 9_990, client_id="a"))
    exchange.place("bob", limit(Side.SELL, 600, 9_990))
    exchange.drain()
    answer = amended(exchange, "a", 601, account="ann")
    assert (str(answer.order.status), answer.order.quantity_lots) == ("PARTIALLY_FILLED", 601)
    assert exchange.read.account("ann").balances["USDT"][1] == 9_990 * TICK_LOT
    answer = amended(exchange, "a", 500, account="ann")
    assert (str(answer.order.status), answer.order.quantity_lots) == ("EXPIRED", 600)
    assert answer.order.expiry_reason == "EXCHANGE_CANCELED"
    assert exchange.read.account("ann").balances["USDT"][1] == 0


TICK_LOT = E8 // 100_000
"""One lot at one tick, in 1e-8 of the quote asset."""


def test_what_an_iceberg_shows_never_exceeds_what_is_left():
    exchange = exchange_of("F2")
    exchange.place("ann", asked(limit(Side.BUY, 1_000, 9_990, client_id="a"), iceberg_e8=400 * LOT))

    def shown():
        return exchange.market.overlay.displayed(SYMBOL)[0]

    def depth():
        return exchange.market.overlay.book(SYMBOL, exchange.now_ns)

    first = depth()
    assert (shown(), first.bids) == ({9_990: 400}, ((9_990, 400),))
    amended(exchange, "a", 700, "a", account="ann")
    assert shown() == {9_990: 400}
    amended(exchange, "a", 300, "a", account="ann")
    assert exchange.read.order("ann", key("a")).iceberg_lots == 300
    assert depth().bids == ((9_990, 300),)
    assert depth().update_id == first.update_id + 1


def test_both_legs_shrink_and_so_does_what_they_share():
    exchange = bench(base=1)
    exchange.place_list(ME, order_list("OCO", (target(1_000), stop(1_000))))
    exchange.drain()
    answer = amended(exchange, "s", 600, "s2")
    assert told(exchange.drain()) == [
        ("REPLACED", "s2", "NEW"),
        ("REPLACED", "t", "NEW"),
        ("LIST", "l", "EXEC_STARTED"),
        POSITION,
    ]
    assert [leg.quantity_lots for leg in answer.order_list.orders] == [600, 600]
    assert exchange.read.account(ME).balances["BTC"] == (400 * LOT, 600 * LOT)
    amended(exchange, "t", 500, "t")
    assert told(exchange.drain())[2:] == [POSITION]  # no id has changed
    assert exchange.read.account(ME).balances["BTC"] == (500 * LOT, 500 * LOT)
    move(exchange, 9_800)
    assert exchange.read.account(ME).balances["BTC"] == (500 * LOT, 0)


def test_a_buying_pair_keeps_the_dearer_leg_locked():
    exchange = bench()
    above = order(OrderType.STOP_LOSS_LIMIT, Side.BUY, 1_000, price=10_300, stop=10_250, client_id="up")
    below = order(OrderType.LIMIT_MAKER, Side.BUY, 1_000, 9_900, client_id="down")
    for legs in ((above, below), (below, above)):
        exchange.place_list(ME, order_list("OCO", legs))
        amended(exchange, "down", 500, "down")
        assert exchange.read.account(ME).balances["USDT"][1] == 10_300 * 500 * TICK_LOT
        exchange.cancel(ME, key("up"))
        assert exchange.read.account(ME).balances["USDT"] == (100_000 * E8, 0)


def test_waiting_legs_shrink_without_a_lock_and_those_sized_by_proceeds_do_not():
    exchange = bench()
    working = limit(Side.BUY, 1_000, 9_900, client_id="w")
    exchange.place_list(ME, order_list("OTOCO", (target(900), stop(900)), working))
    exchange.drain()
    answer = amended(exchange, "t", 800, "t")
    assert [leg.quantity_lots for leg in answer.order_list.orders] == [1_000, 800, 800]
    assert exchange.read.account(ME).balances["USDT"][1] == 99 * E8
    amended(exchange, "w", 950, "w")
    assert exchange.read.account(ME).balances["USDT"][1] == 9_900 * 950 * TICK_LOT
    exchange.cancel(ME, key("w"))
    exchange.place_list(ME, order_list("OPO", (stop(0),), working))
    exchange.drain()
    assert refusal(exchange, "s", 100 * LOT) == (
        -2038,
        "Order amend (pending OPO order) is not supported.",
    )
    assert amended(exchange, "w", 900, "w").order.quantity_lots == 900
    move(exchange, 9_850)
    assert amended(exchange, "s", 800, "s").order.quantity_lots == 800  # it is not waiting any more
