"""What prints and new books of the market do, by hand: trailing stops, queues, and who gets how much at which price."""

import math

import pytest

from bnml.core.orders import OrderType, Side
from bnml.kernels import fills
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.messages import ExecutionReport, OrderKey, Print, Step
from bnml.venues.sim.tiers import BookModel
from tests.venues.sim.bench import INSTRUMENT, ME, SYMBOL, T0, bench, limit, move, order, order_list, stop
from tests.venues.sim.traders import asked, display, exchange_of, tape, view

SECOND = 10**9
AT_ONCE = BookModel(submit_median_ns=0, cancel_median_ns=0)


def printed(exchange, price, lots, *, buyer_is_maker=False, jump=False):
    """A numbered trade of the market; returns the fills that came of it."""
    now_ns = exchange.now_ns + SECOND
    trade = Print(SYMBOL, price, lots, now_ns, jump, now_ns, buyer_is_maker, is_side_known=True)
    exchange.apply(Step(exchange.ordinal, now_ns, prints=(trade,)))
    return [
        (event.order.client_order_id, event.trade.price_ticks, event.trade.quantity_lots)
        for event in exchange.drain()
        if isinstance(event, ExecutionReport) and event.trade
    ]


@pytest.mark.parametrize(
    ("side", "limit_", "prices", "trigger"),
    [
        (Side.SELL, 10_500, (10_050, 10_100, 10_080), 9_999),  # 1 % below 101.00
        (Side.BUY, 9_000, (9_950, 9_900, 9_920), 9_999),  # 1 % above 99.00
    ],
)
def test_a_trailing_stop_follows_the_best_print(side, limit_, prices, trigger):
    for tier in ("F0", "F2"):
        exchange = exchange_of(tier)
        request = order(OrderType.STOP_LOSS_LIMIT, side, 100, price=limit_, client_id="a")
        exchange.place("ann", asked(request, trailing_bips=100))
        for price in prices:
            exchange.print_trade(SYMBOL, price, 1, exchange.now_ns + SECOND, jump=False)
        off = 1 if side is Side.SELL else -1
        exchange.print_trade(SYMBOL, trigger + off, 1, exchange.now_ns + SECOND, jump=True)
        assert not view(exchange, "a").is_working
        exchange.print_trade(SYMBOL, trigger, 1, exchange.now_ns + SECOND, jump=True)
        assert view(exchange, "a").is_working


def test_our_own_trades_move_trailing_stops_and_trigger_stops():
    exchange = exchange_of("F2")
    trailing = order(OrderType.STOP_LOSS_LIMIT, Side.SELL, 100, price=9_000, client_id="a")
    exchange.place("ann", asked(trailing, trailing_bips=100))
    exchange.place("ann", order(OrderType.STOP_LOSS_LIMIT, Side.BUY, 100, 9_500, 10_100, client_id="up"))
    exchange.place("bob", limit(Side.SELL, 100, 10_100))
    exchange.place("cy", limit(Side.BUY, 100, 10_100))
    assert view(exchange, "up").is_working
    assert not view(exchange, "a").is_working
    exchange.place("bob", limit(Side.SELL, 100, 10_000))
    exchange.place("cy", limit(Side.BUY, 100, 10_000))
    assert not view(exchange, "a").is_working  # 99.99 is the price
    exchange.place("bob", limit(Side.SELL, 100, 9_999))
    exchange.place("cy", limit(Side.BUY, 100, 9_999))
    assert view(exchange, "a").is_working


def test_a_trailing_stop_with_a_stop_price_begins_when_it_is_reached():
    exchange = bench(base=1)
    exchange.place(ME, asked(stop(1_000, 10_100), type=OrderType.TAKE_PROFIT, trailing_bips=100))
    exchange.drain()
    assert move(exchange, 9_000, 10_099) == []
    (report,) = [one for one in move(exchange, 10_100) if isinstance(one, ExecutionReport)]
    assert (str(report.execution), report.order.trailing_ns) == ("NEW", exchange.now_ns)
    assert move(exchange, 10_300, 10_198) == []
    assert exchange.read.open_orders(ME) != []
    move(exchange, 10_197)  # 1 % below 103.00
    assert exchange.read.open_orders(ME) == []


def test_a_waiting_leg_that_trails_begins_to_follow_when_it_wakes():
    exchange = bench()
    leg = asked(stop(900, 0), stop_price_e8=0, trailing_bips=100)
    exchange.place_list(ME, order_list("OTO", (leg,), limit(Side.BUY, 1_000, 9_900, client_id="w")))
    move(exchange, 10_500, 9_890)
    assert view(exchange, "s", ME).trailing_ns == exchange.now_ns
    move(exchange, 9_950, 9_851)
    assert exchange.read.open_orders(ME) != []
    move(exchange, 9_850)
    assert exchange.read.open_orders(ME) == []


def test_a_print_gives_what_is_left_in_the_order_of_arrival():
    exchange = exchange_of("F2")
    for name, client_id, lots in (("ann", "a", 300), ("bob", "b", 200), ("cy", "c", 100)):
        exchange.place(name, limit(Side.BUY, lots, 9_990, client_id=client_id))
    exchange.place("ann", limit(Side.SELL, 100, 10_010, client_id="other"))
    exchange.drain()
    assert printed(exchange, 9_990, 700, buyer_is_maker=False) == []  # the buyer took: no bid was there
    assert printed(exchange, 9_990, 350, buyer_is_maker=True) == [("a", 9_990, 300), ("b", 9_990, 50)]
    assert printed(exchange, 9_990, 1_000, buyer_is_maker=True) == [("b", 9_990, 150), ("c", 9_990, 100)]
    assert tape(exchange)[-3:] == [(9_990, 150, True), (9_990, 100, True), (9_990, 750, True)]


def test_a_print_beyond_a_level_fills_it_wholly_at_its_price():
    exchange = exchange_of("F2")
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="a"))
    exchange.place("ann", limit(Side.BUY, 300, 9_980, client_id="b"))
    exchange.drain()
    assert printed(exchange, 9_980, 10, buyer_is_maker=True) == [("a", 9_990, 300), ("b", 9_980, 10)]


def test_stops_on_the_way_of_a_print_see_the_price_of_their_level():
    exchange = exchange_of("F2", 20_000)
    exchange.place("ann", stop(100, 9_900, "s"))
    exchange.drain()
    assert printed(exchange, 9_800, 10)[0][:2] == ("s", 9_900)
    exchange = exchange_of("F2", 20_000)
    exchange.place("ann", stop(100, 9_900, "s"))
    exchange.drain()
    assert printed(exchange, 9_800, 10, jump=True)[0][:2] == ("s", 9_800)


def test_a_queue_of_the_market_is_served_first():
    exchange = exchange_of("F3", model=AT_ONCE)
    display(exchange, ((9_990, 400),), ((10_010, 400),))
    for client_id in ("a", "b"):
        exchange.place("ann", limit(Side.BUY, 200, 9_990, client_id=client_id))
    exchange.set_time(exchange.now_ns + SECOND)
    exchange.drain()
    assert printed(exchange, 9_990, 300, buyer_is_maker=True) == []  # 100 are left before a
    assert printed(exchange, 9_990, 150, buyer_is_maker=True) == [("a", 9_990, 50)]
    assert printed(exchange, 9_990, 200, buyer_is_maker=True) == [("a", 9_990, 150), ("b", 9_990, 50)]


def test_an_account_that_takes_from_the_market_shortens_the_queue_of_others():
    exchange = exchange_of("F3", model=AT_ONCE)
    display(exchange, ((9_990, 400),), ((10_010, 400),))
    exchange.place("ann", limit(Side.BUY, 200, 9_990, client_id="a"))
    exchange.set_time(exchange.now_ns + SECOND)
    exchange.place("bob", limit(Side.SELL, 450, 9_990, client_id="b"))
    exchange.set_time(exchange.now_ns + SECOND)
    assert view(exchange, "b", "bob").executed_lots == 450
    assert view(exchange, "a").executed_lots == 50


def test_a_new_book_fills_what_it_crosses_as_far_as_it_reaches():
    exchange = exchange_of("F2")
    display(exchange, ((9_980, 100),), ((10_020, 100),))
    exchange.place("ann", limit(Side.BUY, 300, 10_000, client_id="a"))
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="b"))
    display(exchange, ((9_970, 100),), ((9_990, 400), (10_020, 50)))
    assert (view(exchange, "a").executed_lots, view(exchange, "b").executed_lots) == (300, 100)
    assert [one.price_ticks for one in exchange.read.trades("ann", SYMBOL)] == [10_000, 9_990]


def test_on_which_side_the_tape_shows_a_print_that_met_an_order():
    for tier in ("F0", "F2"):
        exchange = exchange_of(tier)
        exchange.place("ann", limit(Side.BUY, 300, 9_990))
        exchange.place("ann", limit(Side.SELL, 300, 10_020))
        for price in (9_995, 9_985, 10_005, 10_030, 10_025):
            exchange.print_trade(SYMBOL, price, 7, exchange.now_ns + SECOND, jump=False)
        shown = [one for one in tape(exchange) if one[1] == 7]
        assert [one[:2] for one in shown] == [(price, 7) for price in (9_995, 9_985, 10_005, 10_030, 10_025)]
        assert [one[2] for one in shown] == [True, True, False, False, True], tier


def drawn_ns(seed, median_ns, sigma, ordinal):
    """A latency by the definition of the log-normal, out of two even draws (Box-Muller)."""
    first, second = (int(fills.draw_ppm(seed, at, ordinal, 0)) for at in (1, 2))
    normal = math.sqrt(-2 * math.log((first + 1) / 10**6)) * math.cos(2 * math.pi * second / 10**6)
    return round(median_ns * math.exp(sigma * normal) / 1_000) * 1_000


def test_latencies_are_those_of_their_definition():
    model = BookModel(submit_median_ns=30_000_000, cancel_median_ns=70_000_000, sigma=0.4)
    exchange = exchange_of("F3", model=model)
    for _ in range(5):
        placed_ns = exchange.now_ns
        number = exchange.place("ann", limit(Side.BUY, 300, 9_990)).order.order_id
        arrives_ns = placed_ns + drawn_ns(7, 30_000_000, 0.4, 2 * number)
        assert exchange.market.overlay.displayed(SYMBOL)[0] == {}
        exchange.set_time(arrives_ns - 1)
        assert exchange.market.overlay.displayed(SYMBOL)[0] == {}
        exchange.set_time(arrives_ns)
        assert exchange.market.overlay.displayed(SYMBOL)[0] == {9_990: 300}
        exchange.cancel("ann", OrderKey(symbol=SYMBOL, order_id=number))
        leaves_ns = arrives_ns + drawn_ns(7, 70_000_000, 0.4, 2 * number + 1)
        exchange.set_time(leaves_ns - 1)
        assert len(exchange.read.open_orders("ann")) == 1
        exchange.set_time(leaves_ns)
        assert exchange.read.open_orders("ann") == []


def test_a_cancel_on_its_way_survives_a_restart(tmp_path):
    ledger = Ledger(tmp_path / "ledger", "test")
    exchange = exchange_of("F3", ledger=ledger)
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="a"))
    exchange.set_time(exchange.now_ns + SECOND)
    exchange.cancel("ann", OrderKey(symbol=SYMBOL, client_order_id="a"), "c")
    ledger.close()
    ledger = Ledger(tmp_path / "ledger", "test")
    again = exchange_of("F3", ledger=ledger)
    again.set_time(again.now_ns + 2 * SECOND)
    assert str(view(again, "a").status) == "CANCELED"
    ledger.close()


def test_a_generated_ladder_is_that_of_its_draws():
    exchange = exchange_of("F2", 20_000, spread_ppm=1_000)
    exchange.print_trade(SYMBOL, 10_000, 1, T0 + SECOND, jump=True)
    pricing = exchange.market.pricing
    touch = pricing.book(INSTRUMENT, 10_000, exchange.market[SYMBOL].state.basis, T0 + SECOND)
    assert (touch.bids[0][0], touch.asks[0][0]) == (9_990, 10_010)
    book = exchange.market.overlay.book(SYMBOL, exchange.now_ns)
    key = int(fills.symbol_key(SYMBOL))
    for side, levels, ((best, lots),), step in (
        (0, book.bids, touch.bids, -5),
        (1, book.asks, touch.asks, 5),
    ):
        shares = [
            250_000 + int(fills.draw_ppm(pricing.seed, key, T0 + SECOND, 2 * at + side)) for at in range(10)
        ]
        made = tuple((best + at * step, lots * share // sum(shares)) for at, share in enumerate(shares))
        assert levels == made


@pytest.mark.parametrize("jump", [False, True])
def test_a_print_that_stops_at_an_order_still_fell(jump):
    exchange = exchange_of("F0")
    exchange.place("ann", limit(Side.BUY, 300, 9_990))
    exchange.print_trade(SYMBOL, 9_990, 7, exchange.now_ns + SECOND, jump=jump)
    assert tape(exchange)[-1] == (9_990, 7, True)
    assert exchange.read.open_orders("ann") == []
