"""Orders that are read instead of the account's stream: all of which more is to be told, and what is missing still."""

from types import SimpleNamespace

from bnml.app.vigil import FEW, Vigil, changed_orders, hear
from bnml.core.errors import Retryable
from bnml.core.events import OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, OrderBook, Role
from tests.trading.kit import instrument


class Venue:
    """Shows some orders as open, and notes which are read."""

    def __init__(self, *shown):
        self.api = SimpleNamespace()
        self.instruments = {"BTCUSDT": instrument()}
        self.shown, self.read, self.on_read = shown, [], lambda: None

    async def open_orders(self):
        return [SimpleNamespace(client_order_id=name, executed_qty=done) for name, done in self.shown]

    async def order_reports(self, symbol, name):
        self.read.append(name)
        self.on_read()
        return [OrderReport(symbol, name, 1, OrderState.OPEN, Side.SELL)]


def book_of(count):
    names = [f"s{number}" for number in range(count)]
    return OrderBook(
        {
            name: Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 10, 100, state=OrderState.OPEN)
            for name in names
        }
    )


async def test_of_many_orders_those_are_read_that_are_not_shown_or_have_filled():
    book = book_of(FEW + 1)
    shown = [(name, "0.00000000") for name in book.orders if name not in {"s3", "s5"}]
    venue = Venue(*shown, ("s5", "0.00010000"))
    await changed_orders(venue, book, lambda _: None)
    assert venue.read == ["s3", "s5"]


async def test_of_few_orders_all_are_read():
    venue = Venue()
    await changed_orders(venue, book_of(FEW), lambda _: None)
    assert len(venue.read) == FEW


async def test_a_report_that_fails_to_come_while_the_orders_are_read_is_read_up_again():
    """The order of it may have been read before."""
    venue = Venue()
    vigil = Vigil(venue, book_of(1), SimpleNamespace(), SimpleNamespace(complete=lambda *_: None))
    venue.api.on_missing("before")
    assert await vigil._poll()
    venue.on_read = lambda: venue.api.on_missing("meanwhile")
    assert not await vigil._poll()


async def test_orders_that_cannot_be_read_are_not_taken_for_unchanged():
    venue = Venue()
    vigil = Vigil(venue, book_of(1), SimpleNamespace(), SimpleNamespace(complete=lambda *_: None))

    def unreadable():
        raise Retryable("no route")

    venue.on_read = unreadable
    assert not await vigil._poll()


async def test_a_start_compares_once_more_when_the_account_is_heard_and_so_does_each_return():
    """What happened after the account was read, and before its connection stood, was told by nobody for a minute."""
    vigil = Vigil(Venue(), book_of(1), SimpleNamespace(), SimpleNamespace())
    links, compared = SimpleNamespace(), []
    hear(links, vigil, lambda: compared.append(vigil._is_proven))
    assert compared == [True]
    links.on_return()
    assert compared == [True, False], "and no entry before the orders have been read"
