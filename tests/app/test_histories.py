"""Orders and trades of an account that has more of them than one answer holds."""

import pytest
from structlog.testing import capture_logs

from bnml.app import histories
from bnml.app.strangers import FEW, adoptions, read_history
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Rejected
from bnml.core.ids import IdSource
from bnml.venues.binance.reports import traded_reports
from bnml.venues.binance.wire import AccountTrade, OrderAnswer
from tests.trading.kit import instrument

DAY_MS = 86_400_000
PAGE = 10


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(histories, "ORDERS_PER_PAGE", PAGE)


class Venue:
    """Pages as the exchange's pages on account endpoints say: the newest without bounds, else oldest first, a day at most."""

    def __init__(self, *symbols):
        self.instruments = {symbol: instrument(symbol) for symbol in symbols}
        self.orders = {symbol: [] for symbol in symbols}
        self.trades = {symbol: [] for symbol in symbols}
        self.asked = []
        self.reports = 0
        self.ids = IdSource("ab12", 3)

    def add(self, symbol, at_ms, *, filled="0", sold_to=1, status="CANCELED"):
        number = sum(map(len, self.orders.values())) + 1
        order = OrderAnswer(
            symbol,
            self.ids.client_order_id(number, 0, "s"),
            number,
            status,
            side="BUY",
            type="MARKET",
            orig_qty="2",
            executed_qty=filled,
            time=at_ms,
            update_time=at_ms,
        )
        self.orders[symbol].append(order)
        if filled != "0":
            for part in range(sold_to):
                row = AccountTrade(
                    1000 + 2 * number + part, number, "30000", str(1), "0", "BNB", at_ms, is_buyer=True
                )
                self.trades[symbol].append(row)
        return order

    async def open_orders(self):
        return [one for orders in self.orders.values() for one in orders if one.status == "NEW"]

    async def recent_orders(self, symbol):
        self.asked.append((symbol, {}))
        if symbol not in self.orders:
            raise Rejected("Invalid symbol.", code=-1121)
        return self.orders[symbol][-PAGE:]

    async def orders_page(self, symbol, bounds):
        self.asked.append((symbol, bounds))
        first, start, end = (int(bounds.get(key, 0)) for key in ("orderId", "startTime", "endTime"))
        assert end - start < DAY_MS
        every = [one for one in self.orders[symbol] if one.order_id >= first]
        return [one for one in every if start <= one.time <= (end or 2**62)][:PAGE]

    async def trades_page(self, symbol, bounds):
        self.asked.append((symbol, bounds))
        rows = self.trades[symbol]
        if "orderId" in bounds:
            return [row for row in rows if row.order_id == int(bounds["orderId"])]
        return [row for row in rows if row.id >= int(bounds["fromId"])][:PAGE]

    async def order_reports(self, symbol, name):
        self.reports += 1
        (order,) = (one for one in self.orders[symbol] if one.client_order_id == name)
        return traded_reports(order, self.trades[symbol], self.instruments[symbol])


def ids(orders):
    return sorted(one.order_id for one in orders)


@pytest.mark.parametrize("days", [0.5, 4])
async def test_everything_since_the_journal_ended_is_read_however_much_it_is(days):
    venue = Venue("BTCUSDT")
    for count in range(57):
        venue.add("BTCUSDT", 1_000 + int(count * days * DAY_MS / 57))
    since_ms = venue.orders["BTCUSDT"][12].time
    found = await read_history(venue, ("BTCUSDT",), since_ms * NS_PER_MS)
    assert set(ids(found)) >= set(range(13, 58))
    # newest page, days without any bound of their own, then 45 orders by tens
    assert len(venue.asked) <= 1 + days + 5


async def test_days_without_an_order_are_passed_over():
    venue = Venue("BTCUSDT")
    for count in range(25):
        venue.add("BTCUSDT", 10 * DAY_MS + count)
    assert ids(await read_history(venue, ("BTCUSDT",), 5 * DAY_MS * NS_PER_MS)) == list(range(1, 26))


async def test_new_books_read_from_the_first_order_on():
    venue = Venue("BTCUSDT")
    for count in range(57):
        venue.add("BTCUSDT", count * DAY_MS)
    assert ids(await read_history(venue, ("BTCUSDT",))) == list(range(1, 58))


async def test_a_page_that_reaches_back_far_enough_is_all_that_is_asked_for():
    venue = Venue("BTCUSDT", "ETHUSDT")
    for count in range(57):
        venue.add("BTCUSDT", count)
    venue.add("ETHUSDT", 1)
    await read_history(venue, ("BTCUSDT", "ETHUSDT", "GONEUSDT"), 50 * NS_PER_MS)
    assert [bounds for _, bounds in venue.asked] == [{}, {}, {}]


async def test_every_symbol_is_read_and_the_bound_is_told():
    symbols = [f"S{number}USDT" for number in range(histories.MOST_REQUESTS - 3)]
    venue = Venue(*symbols)
    for count in range(57):
        venue.add(symbols[0], count)
    with capture_logs() as logs:
        await read_history(venue, symbols, at_once=6)
    assert {symbol for symbol, _ in venue.asked} == set(symbols), "the deep one takes nothing from the others"
    assert len(venue.asked) == histories.MOST_REQUESTS
    (told,) = (one for one in logs if one["event"] == "order_history_cut")
    assert (told["unread"], told["cut"]) == ([], [symbols[0]])
    more = [*symbols, "A1USDT", "A2USDT", "A3USDT", "A4USDT"]
    venue = Venue(*more)
    with capture_logs() as logs:
        await read_history(venue, more)
    assert logs[0]["unread"] == ["A4USDT"]
    assert "not read at all" in logs[0]["text"]


@pytest.mark.parametrize("lost", [None, 30])
async def test_many_fills_are_read_by_the_page_and_what_does_not_add_up_by_itself(lost):
    venue = Venue("BTCUSDT")
    made = [venue.add("BTCUSDT", count + 1, filled="2", sold_to=2, status="FILLED") for count in range(60)]
    living = venue.add("BTCUSDT", 61, filled="1", status="PARTIALLY_FILLED")
    if lost is not None:
        made[lost].executed_qty = "1"  # the order was read before its second trade
    (adopted,) = await adoptions(venue, [*made, living], "ab12", lambda _: False, 1, 99)
    assert len(adopted.fills) == 121
    assert {one.client_order_id for one in adopted.fills} == {one.client_order_id for one in (*made, living)}
    assert venue.reports == (1 if lost is None else 2)
    assert len(venue.asked) == 1 + 13


async def test_few_fills_are_read_one_by_one():
    venue = Venue("BTCUSDT")
    made = [venue.add("BTCUSDT", count + 1, filled="2", sold_to=2, status="FILLED") for count in range(FEW)]
    (adopted,) = await adoptions(venue, made, "ab12", lambda _: False, 1, 99)
    assert (len(adopted.fills), venue.reports, venue.asked) == (2 * FEW, FEW, [])
