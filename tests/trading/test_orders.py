"""A report moves an order once: late, repeated and early words of the venue end in the same place."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.events import OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading import orders
from bnml.trading.orders import KEEP_FINAL, Order, OrderBook, Role


def order(name="a", lots=10):
    return Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, lots, 100)


def report(state, cumulative=0, trade_id=0, last=0):
    return OrderReport("BTCUSDT", "a", 1, state, Side.SELL, cumulative, trade_id, last, 100)


STORY = (
    report(OrderState.OPEN),
    report(OrderState.PARTLY_FILLED, 4, 1, 4),
    report(OrderState.PARTLY_FILLED, 7, 2, 3),
    report(OrderState.FILLED, 10, 3, 3),
)


@pytest.mark.parametrize("told", list(permutations(STORY)))
def test_any_order_of_reports_ends_filled_with_every_lot_counted_once(told):
    book = OrderBook()
    book.register(order())
    fills = sum(book.apply(one) for one in (*told, *told))
    assert fills == 3
    assert book.get("a").state is OrderState.FILLED
    assert book.get("a").applied_lots == 10
    assert book.get("a").is_settled


def test_an_order_is_not_settled_before_its_last_fill_is_counted():
    book = OrderBook()
    book.register(order())
    book.apply(STORY[3])
    assert book.get("a").is_final
    assert not book.get("a").is_settled
    book.apply(STORY[1])
    book.apply(STORY[2])
    assert book.get("a").is_settled


def test_a_cancelled_rest_keeps_what_was_filled():
    book = OrderBook()
    book.register(order())
    book.apply(STORY[1])
    book.apply(report(OrderState.CANCELED, 4))
    assert book.get("a").is_settled
    assert book.get("a").open_lots == 0


def test_the_venue_may_size_a_leg_anew():
    book = OrderBook()
    book.register(order())
    book.apply(OrderReport("BTCUSDT", "a", 1, OrderState.OPEN, Side.SELL, quantity_lots=9))
    assert book.get("a").open_lots == 9


def test_old_settled_orders_are_forgotten_and_open_ones_never():
    book = OrderBook()
    for number in range(2 * KEEP_FINAL):
        book.register(order(str(number)))
        if number % 10:
            book.get(str(number)).state = OrderState.CANCELED
    book.forget()
    assert len(book.orders) == KEEP_FINAL
    assert all(str(number) in book.orders for number in range(0, 2 * KEEP_FINAL, 10))


def test_an_order_whose_fill_has_not_been_told_is_never_forgotten():
    book = OrderBook()
    book.register(order())
    book.apply(report(OrderState.FILLED, 10))
    for number in range(2 * KEEP_FINAL):
        book.register(order(str(number)))
        book.get(str(number)).state = OrderState.CANCELED
    book.forget()
    assert len(book.orders) == KEEP_FINAL
    assert book.apply(report(OrderState.FILLED, 10, 1, 10))


def test_what_was_counted_was_filled_although_the_trades_that_are_read_lack_an_older_one():
    book = OrderBook()
    book.register(order())
    book.apply(report(OrderState.PARTLY_FILLED, 4, 1, 4))
    book.apply(report(OrderState.PARTLY_FILLED, 3, 2, 3))
    assert book.get("a").cumulative_lots == 7


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.UNKNOWN, OrderState.SLEEPING])
def test_an_order_of_which_the_venue_has_said_nothing_is_not_heard_of(state):
    """A leg sleeps from the moment its list is sent: that must not pass for a word of the venue about the list."""
    book = OrderBook()
    book.register(order())
    book.get("a").state = state
    assert not book.is_heard_of("a")
    book.apply(report(OrderState.OPEN))
    assert book.is_heard_of("a")


NAMES, LISTS = st.integers(0, 30).map(str), st.sampled_from(["", "one", "two", "three"])
STATES = st.sampled_from([OrderState.OPEN, OrderState.CANCELED])
STEPS = st.lists(st.one_of(st.sampled_from(["forget", "restore"]), st.tuples(NAMES, LISTS, STATES)))


@given(STEPS)
def test_the_orders_of_a_list_are_those_that_a_walk_over_all_finds(steps):
    """Whatever was registered, also a second time and in another list, forgotten, or read from a snapshot."""
    book = OrderBook()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, "KEEP_FINAL", 2)
        for step in steps:
            if step == "forget":
                book.forget()
            elif step == "restore":
                book = OrderBook(dict(book.orders))
            else:
                name, list_id, state = step
                book.register(
                    Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1, 1, list_id=list_id, state=state)
                )
            for wanted in ("one", "two", "three", "none"):
                walked = [order for order in book.orders.values() if order.list_id == wanted]
                assert [id(order) for order in book.of_list(wanted)] == [id(order) for order in walked]


def test_what_is_done_with_the_orders_of_a_list_leaves_the_book_alone():
    book = OrderBook()
    book.register(Order("a", "BTCUSDT", Side.SELL, Role.STOP, 1, 1, 1, list_id="one"))
    book.of_list("one").clear()
    assert [order.client_order_id for order in book.of_list("one")] == ["a"]
