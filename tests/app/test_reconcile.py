from functools import partial
from types import SimpleNamespace

import pytest

from bnml.app import reconcile
from bnml.app.reconcile import (
    missed_reports,
    prove_absence,
    recheck,
)
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Balances, OrderReport, Timer
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import RECONCILE, Engine
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.positions import Position
from bnml.venues.binance.wire import OrderAnswer
from tests.trading.kit import config, instrument
from tests.virtual_time import in_virtual_time


def order(name, state=OrderState.OPEN):
    return Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 10, 100, state=state)


class Venue:
    """`lagging`: so many reads of an order show nothing of it, though the list of all orders has it."""

    def __init__(self, reports=None, lagging=0):
        self.reports = reports or {}
        self.lagging = lagging

    async def order_reports(self, symbol, client_order_id):
        if self.lagging > 0:
            self.lagging -= 1
            return []
        return self.reports.get(client_order_id, [])

    async def shows_none_of(self, symbol, names, ended=""):
        return not set(names) & set(self.reports)

    @property
    def instruments(self):
        return {"BTCUSDT": instrument()}


async def test_an_order_that_the_venue_does_not_know_is_asked_for_until_its_absence_is_proven():
    book = OrderBook({"a": order("a", OrderState.PENDING)})
    missed = await missed_reports(Venue(), book)
    assert [one.client_order_id for one in missed.absent] == ["a"]
    (found,) = await prove_absence(Venue(), missed.absent, lambda: 5)
    assert (found.client_order_id, found.state, found.ts_ns) == ("a", OrderState.REJECTED, 5)
    late = OrderReport("BTCUSDT", "a", 9, OrderState.OPEN, Side.SELL)
    assert await prove_absence(Venue({"a": [late]}), missed.absent, lambda: 5) == [late]
    book.get("a").state = OrderState.CANCELED
    assert await prove_absence(Venue(), missed.absent, lambda: 5) == []


@in_virtual_time
async def test_a_stop_that_one_read_does_not_show_is_not_absent_while_another_shows_it():
    """Its position would get a second one, which beside coins of the owner's rests as well."""
    late = OrderReport("BTCUSDT", "a", 9, OrderState.OPEN, Side.SELL)
    stop = order("a", OrderState.PENDING)
    assert await prove_absence(Venue({"a": [late]}, lagging=3), [stop], lambda: 5) == [late]
    (found,) = await prove_absence(Venue({"a": [late]}, lagging=100), [stop], lambda: 5)
    assert found.state is OrderState.REJECTED  # a start does not wait for ever


async def test_missed_fills_come_in_the_order_of_the_venue():
    late, early = (
        OrderReport("BTCUSDT", name, ts, OrderState.FILLED, Side.SELL) for name, ts in (("a", 9), ("b", 4))
    )
    book = OrderBook({name: order(name) for name in ("a", "b")})
    found = await missed_reports(Venue({"a": [late], "b": [early]}), book)
    assert found.reports == [early, late]


@in_virtual_time
async def test_an_account_in_which_others_trade_all_the_time_does_not_keep_a_start_waiting():
    """Its balances differed at each look, and what was held waited for its protection for as long."""
    engine, fed, reads = Engine(config(), None), [], []

    class Busy(Venue):
        async def balances(self):
            reads.append(1)
            return Balances(1, {"USDT": (len(reads), 0)})

    async def none():
        return []

    truth = await reconcile.bring_truth(Busy(), engine, fed.append, 7, none)
    assert len(reads) == reconcile.MOST_READS
    assert fed == [truth.balances]
    assert truth.difference_e8 == {"USDT": len(reads)}


async def none():
    return []


class Account(Venue):
    """Has always a little more than the ledger."""

    reads = 0

    async def balances(self):
        self.reads += 1
        return Balances(1, {"USDT": (5, 0)})


@in_virtual_time
async def test_a_difference_that_two_looks_show_is_taken_for_the_truth():
    venue = Account()
    truth = await reconcile.bring_truth(venue, Engine(config(), None), lambda _: None, 7, none)
    assert (venue.reads, truth.difference_e8) == (2, {"USDT": 5})


@in_virtual_time
@pytest.mark.parametrize("is_compared_again", [True, False])
async def test_what_an_account_lacks_at_a_start_is_left_to_who_compares_it_again(is_compared_again):
    """An answer that was older than the last fill once took away what a position held; coins of others count at once."""

    class Lagging(Venue):
        async def balances(self):
            return Balances(1, {"BTC": (3, 1), "ETH": (5, 0), "USDT": (9, 0)})

    engine, fed = Engine(config(), None), []
    engine.portfolio.ledger.totals |= {"BTC": 7, "ETH": 1, "USDT": 4}
    await reconcile.bring_truth(Lagging(), engine, fed.append, 7, none, is_compared_again=is_compared_again)
    totals = {asset: sum(both) for asset, both in fed[0].assets.items()}
    assert totals == (
        {"BTC": 7, "ETH": 5, "USDT": 4} if is_compared_again else {"BTC": 4, "ETH": 5, "USDT": 9}
    )


@in_virtual_time
async def test_coins_that_an_earlier_session_was_told_of_are_not_forgotten_at_a_start():
    """Balances that lag behind do not show them yet, and nobody tells of them again: an order could sell them."""

    class Lagging(Venue):
        async def balances(self):
            return Balances(1, {"BTC": (7, 0), "USDT": (9, 0)})

    engine = Engine(config(), None)
    ledger = engine.portfolio.ledger
    ledger.totals |= {"BTC": 7, "USDT": 9}
    ledger.suspect("BTC", 3, 5)
    ledger.suspect("ETH", 2, 5)
    feed = partial(engine.process, sequence=1)
    await reconcile.bring_truth(Lagging(), engine, feed, 7, none, is_compared_again=True)
    assert {name: engine.portfolio.most_e8(name) for name in ("BTC", "ETH", "USDT")} == {
        "BTC": 10,
        "ETH": 2,
        "USDT": 9,
    }


async def test_what_the_venue_does_not_show_is_in_doubt_but_for_what_left_with_a_purchase():
    """Protection may ask for another stop beside it; legs can arrive for as long as their purchase can."""
    engine, fed = Engine(config(), None), []
    purchase = Order("w", "BTCUSDT", Side.BUY, Role.WORKING, 1, 10, 100, list_id="l")
    leg = Order("leg", "BTCUSDT", Side.SELL, Role.STOP, 1, 10, 90, list_id="l", state=OrderState.SLEEPING)
    for one in (order("s", OrderState.PENDING), purchase, leg):
        engine.book.register(one)
    engine.portfolio.positions["BTCUSDT"] = Position("BTCUSDT", 0, 1, 1, 1, b"", [])
    engine.portfolio.ledger.totals["USDT"] = 5
    truth = await reconcile.bring_truth(Account(), engine, fed.append, 7, none)
    assert [one.client_order_id for one in truth.absent] == ["s", "w", "leg"]
    _, doubt, look = fed
    assert (doubt.client_order_id, doubt.state) == ("s", OrderState.UNKNOWN)
    assert look == Timer(RECONCILE, 7)


async def test_an_order_that_is_told_of_while_its_absence_is_read_is_not_called_absent():
    stop = order("a", OrderState.UNKNOWN)

    class Telling(Venue):
        async def shows_none_of(self, symbol, names):
            stop.state = OrderState.FILLED
            return True

    assert await prove_absence(Telling(), [stop], lambda: 5) == []


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(reconcile, "LAG_PAUSES_S", (0.0, 0.0, 0.0))


async def test_a_confirmed_order_that_is_shown_late_is_no_loss():
    """Reads lag: one "no such order" must not end a start for good."""
    venue, known = Venue(), OrderReport("BTCUSDT", "a", 9, OrderState.OPEN, Side.SELL)
    answers = iter([[], [], [known]])

    async def order_reports(*_):
        return next(answers)

    venue.order_reports = order_reports
    missed = await missed_reports(venue, OrderBook({"a": order("a", OrderState.OPEN)}))
    assert missed.reports == [known]


async def test_a_confirmed_order_that_vanished_is_for_the_operator():
    with pytest.raises(RecoveryNeeded, match="does not know order a"):
        await missed_reports(Venue(), OrderBook({"a": order("a", OrderState.OPEN)}))


@pytest.mark.parametrize("working", [OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED])
async def test_legs_sleep_for_us_before_their_list_has_arrived(working):
    """A process that dies before the list left must not be told that the account is another one."""
    first = Order("w", "BTCUSDT", Side.BUY, Role.WORKING, 1, 10, 100, list_id="l", state=working)
    leg = Order("s", "BTCUSDT", Side.SELL, Role.STOP, 1, 10, 90, list_id="l", state=OrderState.SLEEPING)
    missed = await missed_reports(Venue(), OrderBook({"w": first, "s": leg}))
    assert "s" in {one.client_order_id for one in missed.absent}
    first.state = OrderState.FILLED
    with pytest.raises(RecoveryNeeded, match="does not know order s"):
        await missed_reports(Venue(), OrderBook({"s": leg, "w": first}))


@pytest.mark.parametrize(("state", "is_told"), [(OrderState.REJECTED, False), (OrderState.CANCELED, True)])
async def test_the_comparison_finds_an_order_alive_that_counted_as_never_there(state, is_told):
    """One that the venue has ended is only shown late."""
    late = OrderReport("BTCUSDT", "a", 9, OrderState.OPEN, Side.SELL, quantity_lots=10)
    venue = Venue({"a": [late]})

    async def open_orders():
        return [OrderAnswer("BTCUSDT", "a"), OrderAnswer("BTCUSDT", "somebody's")]

    venue.open_orders = open_orders
    engine = SimpleNamespace(book=OrderBook({"a": order("a", state)}))
    engine.book.get("a").is_told = is_told
    seen = []
    assert await recheck(venue, engine, seen.extend) == ([] if is_told else [late])
    assert [one.client_order_id for one in seen] == ["a", "somebody's"], "what is not ours is shown"
