import pytest

from bnml.app.reconcile import (
    epoch_of,
    highest_epoch,
    missed_reports,
    prove_absence,
    refuse_strangers,
)
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import OrderReport
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, OrderBook, Role
from bnml.venues.binance.wire import OrderAnswer


def order(name, state=OrderState.OPEN):
    return Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 10, 100, state=state)


def shown(name):
    return OrderAnswer(symbol="BTCUSDT", client_order_id=name)


class Venue:
    def __init__(self, reports=None, open_orders=(), orders=()):
        self.reports, self.open, self.all = reports or {}, list(open_orders), list(orders)

    async def order_reports(self, symbol, client_order_id):
        return self.reports.get(client_order_id, [])

    async def open_orders(self):
        return list(self.open)

    async def recent_orders(self, symbol):
        return [one for one in self.all if one.symbol == symbol]


@pytest.mark.parametrize("epoch", [1, 35, 36, 1295, 1_000_000])
def test_an_epoch_can_be_read_back_from_an_id(epoch):
    assert epoch_of(IdSource("ab12", epoch).client_order_id(5, 0, "w"), "ab12") == epoch


@pytest.mark.parametrize("name", ["x-abc", "bnzz991-1-0w", "bnab12", "web_123", "bnab12!-1"])
def test_ids_of_others_have_none(name):
    assert epoch_of(name, "ab12") == 0


async def test_the_highest_epoch_counts_orders_that_are_over_too():
    names = [IdSource("ab12", epoch).client_order_id(1, 0, "w") for epoch in (3, 9)]
    venue = Venue(open_orders=[shown(names[0])], orders=[shown(names[1]), shown("other")])
    assert await highest_epoch(venue, "ab12", ["BTCUSDT"]) == 9


def test_open_orders_of_ours_that_nobody_journaled_stop_the_start():
    ours = IdSource("ab12", 2).client_order_id(1, 0, "w")
    refuse_strangers([shown(ours), shown("web_1")], [ours], "ab12")
    with pytest.raises(RecoveryNeeded, match=ours):
        refuse_strangers([shown(ours)], [], "ab12")


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


async def test_missed_fills_come_in_the_order_of_the_venue():
    late, early = (
        OrderReport("BTCUSDT", name, ts, OrderState.FILLED, Side.SELL) for name, ts in (("a", 9), ("b", 4))
    )
    book = OrderBook({name: order(name) for name in ("a", "b")})
    found = await missed_reports(Venue({"a": [late], "b": [early]}), book)
    assert found.reports == [early, late]


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
