"""The ledger against the account: what is on its way is waited for, what others did is a flow with its story."""

import pytest
from structlog.testing import capture_logs

from bnml.app import accounting
from bnml.app.accounting import Accountant, compare_balances
from bnml.core.events import Balances, CapitalFlow, OrderReport, Timer
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, Role
from bnml.trading.round_trips import Trip
from bnml.venues.binance.wire import OrderAnswer
from tests.trading.kit import config, instrument

E8 = 10**8
IDS = IdSource("ab12", 7)


class Rest:
    now_ms = 1_000

    def timestamp_ms(self):
        return self.now_ms


class Venue:
    """Balances as scripted, the last one again and again; orders as given."""

    def __init__(self, *accounts, orders=(), reports=()):
        self.rest, self.accounts, self.orders, self.reports = Rest(), list(accounts), orders, list(reports)
        self.instruments = {"BTCUSDT": instrument(), "ETHUSDT": instrument("ETHUSDT")}
        self.asked = []

    async def balances(self):
        assets = self.accounts.pop(0) if len(self.accounts) > 1 else self.accounts[0]
        return Balances(1, {name: (amount, 0) for name, amount in assets.items()})

    async def recent_orders(self, symbol):
        self.asked.append(symbol)
        return [one for one in self.orders if one.symbol == symbol]

    async def order_reports(self, symbol, client_order_id):
        return [one for one in self.reports if one.client_order_id == client_order_id]


class Guards:
    def __init__(self):
        self.told = []

    def report(self, name, level, detail=""):
        self.told.append((name, level, detail))


def ordered(name, side="BUY", quantity="0.01", at_ms=2_000):
    return OrderAnswer("BTCUSDT", name, 5, "FILLED", side, quantity, quantity, update_time=at_ms)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(accounting, "BETWEEN_LOOKS_S", 0.0)


def accountant(venue, totals, changes=lambda: 0):
    engine = Engine(config(), None)
    engine.state.ledger.totals = dict(totals)
    guards = Guards()
    made = Accountant(venue, engine, guards, ids=IDS, changes=changes, now_ns=lambda: 9)
    return made, engine, guards


async def test_equal_books_say_nothing_and_read_no_orders():
    venue = Venue({"USDT": 5})
    made, _, _ = accountant(venue, {"USDT": 5})
    assert await made.look() == []
    assert (made.compared, made.agreed, venue.asked) == (1, 1, [])


async def test_round_trips_that_wait_for_equal_books_are_told_as_of_when_ours_were_read():
    class Slow(Venue):
        async def balances(self):
            engine.state.now_ns = 200  # something else happens before the venue answers
            return await super().balances()

    made, engine, _ = accountant(Slow({"USDT": 5}), {"USDT": 5})
    engine.state.now_ns = 100
    engine.state.ramp.closed = [Trip("BTCUSDT", 1, 0, 1)]
    assert await made.look() == [Timer("agreed", 100)]


async def test_what_is_on_its_way_is_waited_for():
    made, _, _ = accountant(Venue({"USDT": 4}, {"USDT": 3}, {"USDT": 5}), {"USDT": 5})
    assert await made.look() == []
    assert made.agreed == 1


async def test_a_busy_account_is_not_accused():
    told = iter(range(1000))
    made, _, _ = accountant(Venue({"USDT": 4}), {"USDT": 5}, changes=lambda: next(told))
    assert await made.look() == []
    assert made.agreed == 0


async def test_f68_a_manual_trade_is_a_flow_with_its_story_and_never_ours():
    venue = Venue({"USDT": 350 * E8, "BTC": E8 // 100}, orders=[ordered("web_1"), ordered("web_0", at_ms=10)])
    made, engine, guards = accountant(venue, {"USDT": 1_000 * E8})
    with capture_logs() as logs:
        flows = await made.look()
    assert flows == [CapitalFlow("BTC", E8 // 100, 9), CapitalFlow("USDT", -650 * E8, 9)]
    (line,) = [one for one in logs if one["event"] == "balances_differ"]
    assert "traded by others (web_1 BUY 0.01 BTCUSDT)" in line["text"]
    assert "BTC 0.01" in line["text"]
    assert guards.told == []
    for place, flow in enumerate(flows):
        assert not engine.process(flow, place + 1), "nothing is traded for it"
    assert await made.look() == []


async def test_a_deposit_needs_no_order():
    made, _, _ = accountant(Venue({"USDT": 7}), {"USDT": 5})
    with capture_logs() as logs:
        assert await made.look() == [CapitalFlow("USDT", 2, 9)]
    assert "no order explains it" in logs[0]["text"]


async def test_a_fill_of_ours_that_nobody_told_of_is_no_flow():
    name = IDS.client_order_id(3, 0, "s")
    fill = OrderReport("BTCUSDT", name, 8, OrderState.FILLED, Side.SELL, 1_000, 4, 1_000, 3_000_000)
    venue = Venue({"USDT": 7}, orders=[ordered(name, "SELL")], reports=[fill])
    made, engine, guards = accountant(venue, {"USDT": 5})
    engine.book.register(Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1_000, 2_900_000))
    assert await made.look() == [fill]
    assert guards.told == []


async def test_orders_under_our_name_that_we_did_not_send_halt():
    venue = Venue({"USDT": 7}, orders=[ordered(IdSource("ab12", 9).client_order_id(1, 0, "w"))])
    made, _, guards = accountant(venue, {"USDT": 5})
    assert len(await made.look()) == 1
    ((name, level, text),) = guards.told
    assert (name, level) == ("account", "HALTED")
    assert "another one trades as 'ab12'" in text


async def test_an_order_of_this_session_that_is_long_forgotten_is_no_clone():
    venue = Venue({"USDT": 7}, orders=[ordered(IDS.client_order_id(1, 0, "w"))])
    made, _, guards = accountant(venue, {"USDT": 5})
    await made.look()
    assert guards.told == []


def test_balances_are_compared_asset_by_asset():
    balances = Balances(1, {"USDT": (90, 10), "BTC": (5, 0), "DUST": (0, 0)})
    assert compare_balances({"USDT": 100, "BTC": 5}, balances) == {}
    assert compare_balances({"USDT": 101, "ETH": 1}, balances) == {"BTC": 5, "ETH": -1, "USDT": -1}
