"""Amend keep priority: smaller, in its place, with both legs of a pair; and what is refused."""

import pytest

from bnml.core.orders import Side
from bnml.venues.sim.messages import Execution, ListStatus, OrderKey, VenueReject
from bnml.venues.sim.rules import SymbolRules
from tests.venues.sim.bench import LOT, SYMBOL, fill_or_kill, limit, order_list, stop, target
from tests.venues.sim.traders import asked, exchange_of, fills


def key(client_id):
    return OrderKey(symbol=SYMBOL, client_order_id=client_id)


def amend(exchange, client_id, lots, new_id="", owner="ann"):
    return exchange.amend(owner, key(client_id), lots * LOT, new_id)


def refusal_of(exchange, *arguments):
    with pytest.raises(VenueReject) as refusal:
        amend(exchange, *arguments)
    return refusal.value.reject_code, refusal.value.text


def test_amended_order_keeps_its_place_and_gives_back_what_it_locked():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.place("bob", limit(Side.BUY, 300, 10_000, client_id="b"))
    answer = amend(exchange, "a", 200, "a2")
    assert (answer.order.quantity_lots, answer.order.client_order_id) == (200, "a2")
    assert exchange.read.account("ann").balances["USDT"][1] == 20 * 10**8
    exchange.place("cy", limit(Side.SELL, 250, 10_000))
    assert [one.quantity_lots for one in exchange.read.trades("ann", SYMBOL)] == [200]
    assert [one.quantity_lots for one in exchange.read.trades("bob", SYMBOL)] == [50]


def test_report_is_replaced_and_names_both_ids():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.drain()
    answer = amend(exchange, "a", 200)
    report = exchange.drain()[0]
    assert report.execution is Execution.REPLACED
    assert (report.original_client_order_id, report.client_order_id) == ("a", answer.order.client_order_id)
    assert report.execution_id == answer.amendment.execution_id
    assert exchange.read.order("ann", key(answer.order.client_order_id)).quantity_lots == 200
    with pytest.raises(VenueReject):
        amend(exchange, "a", 100)


def test_amendments_are_listed_and_the_id_may_stay():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    amend(exchange, "a", 250, "a")
    amend(exchange, "a", 200, "b")
    listed = exchange.read.amendments("ann", SYMBOL, 1, 0, 500)
    assert [
        (one.old_client_order_id, one.new_client_order_id, one.old_lots, one.new_lots) for one in listed
    ] == [
        ("a", "a", 300, 250),
        ("a", "b", 250, 200),
    ]
    assert exchange.read.amendments("ann", SYMBOL, 1, listed[1].execution_id, 500) == listed[1:]
    assert exchange.read.amendments("bob", SYMBOL, 1, 0, 500) == []


def test_refusals():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.place("ann", limit(Side.BUY, 300, 9_000, client_id="b"))
    assert refusal_of(exchange, "c", 100) == (-2038, "Unknown order sent.")
    assert refusal_of(exchange, "a", 300) == (-2038, "The requested action would change no state; rejecting")
    assert refusal_of(exchange, "a", 301) == (-2038, "Order amend (quantity increase) is not supported.")
    assert refusal_of(exchange, "a", 200, "b") == (-2038, "Duplicate order sent.")
    assert refusal_of(exchange, "a", 10) == (-1013, "Filter failure: NOTIONAL")
    exchange.manage.set_rules(SYMBOL, SymbolRules(max_amends=1))
    amend(exchange, "a", 200, "a")
    assert refusal_of(exchange, "a", 100) == (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")
    exchange.manage.set_rules(SYMBOL, SymbolRules(amend_allowed=False))
    assert refusal_of(exchange, "b", 100) == (-2038, "Order amend is not supported for this symbol.")


def test_order_that_has_executed_as_much_expires():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.place("bob", limit(Side.SELL, 200, 10_000))
    answer = amend(exchange, "a", 150, "a")
    assert (str(answer.order.status), answer.order.executed_lots, answer.order.quantity_lots) == (
        "EXPIRED",
        200,
        200,
    )
    assert exchange.read.account("ann").balances["USDT"][1] == 0


def test_both_legs_of_a_pair_change_and_a_new_id_is_told():
    exchange = exchange_of()
    exchange.place_list("ann", order_list("OCO", [target(500), stop(500)]))
    exchange.drain()
    answer = amend(exchange, "t", 300, "t2")
    assert [one.quantity_lots for one in answer.order_list.orders] == [300, 300]
    assert exchange.read.account("ann").balances["BTC"][1] == 300 * LOT
    assert [event.updated for event in exchange.drain() if isinstance(event, ListStatus)] == [True]


def test_waiting_legs_of_an_opo_may_not_be_amended_those_of_an_oto_may():
    exchange = exchange_of("F0", 10_000)
    resting = limit(Side.BUY, 500, 9_000, client_id="w")
    exchange.place_list("ann", order_list("OPO", [stop(0)], resting))
    assert refusal_of(exchange, "s", 300) == (-2038, "Order amend (pending OPO order) is not supported.")
    again = asked(resting, client_order_id="w2")
    pending = stop(500, client_id="s2")
    exchange.place_list("ann", order_list("OTO", [pending], again, client_id="l2"))
    assert amend(exchange, "s2", 300).order.quantity_lots == 300
    assert str(exchange.read.order("ann", key("w2")).status) == "NEW"


def test_visible_part_of_an_iceberg_shrinks_only_below_it():
    exchange = exchange_of()
    exchange.place("ann", asked(limit(Side.BUY, 300, 10_000, client_id="a"), iceberg_e8=100 * LOT))
    amend(exchange, "a", 200, "a")
    assert exchange.market.overlay.displayed(SYMBOL)[0] == {10_000: 100}
    amend(exchange, "a", 60, "a")
    assert exchange.market.overlay.displayed(SYMBOL)[0] == {10_000: 60}
    assert fills(exchange.place("bob", limit(Side.SELL, 60, 10_000))) == [(10_000, 60)]


def test_fill_or_kill_working_order_has_nothing_left_to_amend():
    exchange = exchange_of("F0", 10_000)
    exchange.place("ann", fill_or_kill(100))
    assert refusal_of(exchange, "w", 50)[0] == -2038


def test_prevented_quantity_counts_like_executed_one():
    exchange = exchange_of()
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.place("bob", limit(Side.SELL, 100, 10_000))
    exchange.place("ann", asked(limit(Side.SELL, 100, 10_000), prevention="DECREMENT"))
    answer = amend(exchange, "a", 150, "a")
    assert (str(answer.order.status), answer.order.quantity_lots) == ("EXPIRED", 200)
