"""The parts of the book by themselves: levels either way, what a move reaches, when the book counts as changed."""

from types import SimpleNamespace

import pytest

from bnml.core.orders import OrderType, Side
from bnml.venues.sim.book import NO_HIGH, NO_LOW, RESTING, TRACKING, TRIGGER, Book, Levels
from bnml.venues.sim.messages import OrderKey
from bnml.venues.sim.orders import SimOrder, TimeInForce
from tests.venues.sim.bench import ME, SYMBOL, TICK, limit, order
from tests.venues.sim.traders import asked, exchange_of


def levels_of(*prices, rising):
    levels = Levels(rising=rising)
    for number, price in enumerate(prices):
        levels.add(price, SimpleNamespace(order_id=number))
    return levels


def ids(orders):
    return [one.order_id for one in orders]


@pytest.mark.parametrize("rising", [True, False])
def test_levels_are_met_from_the_nearest_price_on(rising):
    prices = (12, 10, 14, 10, 11)
    levels = levels_of(*prices, rising=rising)
    wanted = sorted(set(prices), reverse=not rising)
    assert (len(levels), levels.nearest(), list(levels.prices())) == (4, wanted[0], wanted)
    assert ids(levels.orders()) == ([1, 3, 4, 0, 2] if rising else [2, 0, 4, 1, 3])
    assert ids(levels.orders(11)) == ([1, 3, 4] if rising else [2, 0, 4])
    assert ids(levels.orders(12)) == ([1, 3, 4, 0] if rising else [2, 0])
    assert ids(levels.orders(13)) == ([1, 3, 4, 0] if rising else [2])
    assert ids(levels.orders(9 if rising else 15)) == []
    assert (ids(levels.at(10)), levels.at(13)) == ([1, 3], [])


@pytest.mark.parametrize("rising", [True, False])
def test_levels_forget_who_leaves(rising):
    levels = levels_of(12, 10, 14, 11, rising=rising)
    for price, number in ((12, 0), (10, 1), (14, 2), (11, 3)):
        levels.remove(price, SimpleNamespace(order_id=number))
        left = [one for one in (10, 14, 11) if (12, 10, 14, 11).index(one) > number]
        assert list(levels.prices()) == sorted(left, reverse=not rising)
    assert (levels.nearest(), len(levels)) == (None, 0)


def test_first_is_who_came_first_and_lowest_is_by_number():
    levels = Levels(rising=True)
    for number in (5, 2, 9):
        levels.add(10, SimpleNamespace(order_id=number))
    assert (levels.first(10).order_id, levels.lowest_id(10).order_id) == (5, 2)
    levels.remove(10, SimpleNamespace(order_id=2))
    assert (levels.first(10).order_id, levels.lowest_id(10).order_id) == (5, 5)
    levels.remove(10, SimpleNamespace(order_id=5))
    assert (levels.first(10).order_id, levels.lowest_id(10).order_id) == (9, 9)


def test_reached_prices():
    bids, asks = levels_of(10, 12, 14, rising=False), levels_of(10, 12, 14, rising=True)
    for bound, first_down, first_up in (
        (15, None, None),
        (14, 14, 14),
        (13, 14, 14),
        (12, 14, 12),
        (9, 14, 10),
    ):
        assert bids.reached(bound, falling=True) == first_down
        assert bids.reached(bound, falling=False) == first_up
    for bound, first_down, first_up in (
        (9, None, None),
        (10, 10, 10),
        (11, 10, 10),
        (12, 12, 10),
        (15, 14, 10),
    ):
        assert asks.reached(bound, falling=True) == first_down
        assert asks.reached(bound, falling=False) == first_up
    assert Levels(rising=True).reached(10, falling=True) is None


def made(number, side=Side.BUY, type_=OrderType.LIMIT, price=0, stop=0, **kind):
    return SimOrder(
        account=ME,
        symbol=SYMBOL,
        order_id=number,
        client_order_id=str(number),
        side=side,
        type=type_,
        time_in_force=TimeInForce.GTC,
        quantity_lots=100,
        created_ns=0,
        price_ticks=price,
        stop_price_ticks=stop,
        **kind,
    )


def entered(*orders):
    book = Book()
    for one in orders:
        book.enter(one, TRIGGER if one.waits_for_trigger else RESTING, one.level_ticks)
    return book


def test_only_what_rests_counts_as_a_change():
    bid, up = made(1, price=10), made(2, type_=OrderType.STOP_LOSS, stop=20)
    book = entered(bid, up)
    assert (book.version, book.is_stale) == (1, True)
    book.refresh()
    book.requeue(bid)
    assert (book.version, book.is_stale) == (2, False)
    book.leave(up)
    assert (book.version, book.is_stale, len(book.ups)) == (2, True, 0)
    book.leave(bid)
    book.leave(bid)
    assert (book.version, len(book.bids), bid.seat) == (3, 0, 0)


def test_bounds_are_the_nearest_of_what_rests_and_what_waits():
    book = Book()
    book.refresh()
    assert (book.low, book.high) == (NO_LOW, NO_HIGH)
    for bid, down, ask, up in ((10, 12, 20, 18), (12, 10, 18, 20)):
        book = entered(
            made(1, price=bid),
            made(2, Side.SELL, OrderType.STOP_LOSS, stop=down),
            made(3, Side.SELL, price=ask),
            made(4, type_=OrderType.STOP_LOSS, stop=up),
        )
        book.refresh()
        assert (book.low, book.high) == (12, 18)
    book.enter(made(5, Side.SELL, OrderType.STOP_LOSS, trailing_bips=10), TRACKING)
    book.refresh()
    assert (book.low, book.high) == (NO_HIGH, NO_LOW)


def test_what_a_move_meets_next():
    bid, down = made(4, price=14), made(3, Side.SELL, OrderType.STOP_LOSS, stop=14)
    ask, up = made(2, Side.SELL, price=16), made(1, type_=OrderType.STOP_LOSS, stop=17)
    book = entered(bid, down, ask, up)
    assert book.next_reached(15, 16, 14, falling=True) is None
    assert book.next_reached(14, 15, 13, falling=True) is down  # the bid is only touched
    assert book.next_reached(14, 14, 14, falling=True) is down  # of the two the lower number
    assert book.next_reached(16, 17, 15, falling=False) is None
    assert book.next_reached(16, 16, 16, falling=False) is ask
    assert book.next_reached(17, 18, 16, falling=False) is ask
    assert book.next_reached(18, 19, 17, falling=True) is up  # from above, the higher comes first
    book.leave(down)
    assert book.next_reached(13, 14, 12, falling=True) is bid


def test_which_stop_the_last_price_triggers():
    up, down = made(1, type_=OrderType.STOP_LOSS, stop=17), made(2, Side.SELL, OrderType.STOP_LOSS, stop=13)
    book = entered(up, down)
    assert [book.next_triggered(price) for price in (12, 13, 14, 16, 17, 18)] == [
        down,
        down,
        None,
        None,
        up,
        up,
    ]


def test_trailing_ones_are_kept_apart_until_they_are_triggered():
    tracking = made(1, Side.SELL, OrderType.STOP_LOSS, trailing_bips=10)
    following = made(
        2, Side.SELL, OrderType.STOP_LOSS_LIMIT, price=9, trailing_bips=10, trailing_ns=0, trail_ticks=9
    )
    book = Book()
    book.enter(tracking, TRACKING)
    book.enter(following, TRIGGER, 9)
    assert set(book.trailing) == {1, 2}
    book.leave(tracking)
    book.leave(following)
    following.triggered = True
    book.enter(following, RESTING, 9)
    assert book.trailing == {}
    assert following.level_ticks == 9


def test_a_stop_that_began_to_follow_at_time_zero_follows():
    one = made(1, Side.SELL, OrderType.STOP_LOSS, stop=5, trailing_bips=10, trail_ticks=8, trailing_ns=0)
    assert (one.level_ticks, one.acts_from_below) == (8, False)
    one.trailing_ns = -1
    assert one.level_ticks == 5


def test_the_displayed_book_has_a_new_number_after_every_change_of_it():
    exchange = exchange_of("F2")

    def number():
        exchange.market.overlay.book(SYMBOL, exchange.now_ns)
        return exchange.market[SYMBOL].state.own_updates

    first = number()
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="a"))
    assert number() == first + 1
    assert number() == first + 1
    exchange.place("ann", order(OrderType.STOP_LOSS, Side.SELL, 300, stop=9_000))  # nobody sees it
    assert number() == first + 1
    exchange.place("bob", limit(Side.SELL, 100, 9_990))  # a part of it is traded
    assert number() == first + 2
    prevented = asked(limit(Side.SELL, 100, 9_990, client_id="b"), prevention="DECREMENT")
    exchange.place("ann", prevented)
    assert number() == first + 3
    exchange.amend("ann", OrderKey(symbol=SYMBOL, client_order_id="a"), (300 - 50) * 100_000)
    assert number() == first + 4
    exchange.cancel_all("ann", SYMBOL)
    assert number() == first + 5
    assert TICK == 10**6


def test_two_changes_between_looks_never_cancel_each_other():
    exchange = exchange_of("F2")

    def number():
        exchange.market.overlay.book(SYMBOL, exchange.now_ns)
        return exchange.market[SYMBOL].state.own_updates

    first = number()
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="a"))
    exchange.place("ann", asked(limit(Side.SELL, 100, 9_990), prevention="DECREMENT"))
    assert number() == first + 1
    exchange.place("ann", asked(limit(Side.SELL, 60, 9_990), prevention="DECREMENT"))
    exchange.place("bob", limit(Side.SELL, 60, 9_990))
    exchange.place("ann", limit(Side.BUY, 300, 9_980))
    assert number() == first + 2


def test_the_whole_displayed_book():
    exchange = exchange_of("F2")
    for side, prices in ((Side.BUY, (9_950, 9_940, 9_990)), (Side.SELL, (10_050, 10_051, 10_010))):
        for price in prices:
            exchange.place("ann", limit(side, 100, price))
    exchange.place("bob", limit(Side.BUY, 70, 9_950))
    book = exchange.market.overlay.book(SYMBOL, exchange.now_ns)
    assert book.bids == ((9_990, 100), (9_950, 170), (9_940, 100))
    assert book.asks == ((10_010, 100), (10_050, 100), (10_051, 100))
    near = 9_990 * 100 + 9_950 * 170 + 10_010 * 100 + 10_050 * 100  # 0.5 % of 100.00 each way
    assert book.depth_e8 == near * 1_000
