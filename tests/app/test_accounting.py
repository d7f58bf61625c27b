"""The ledger against the account: what is on its way is waited for, what others did is a flow with its story."""

import asyncio
import itertools
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from bnml.app import accounting
from bnml.app.accounting import Accountant, compare_balances, make_accountant
from bnml.app.guards import Guards
from bnml.app.inbox import LiveInbox
from bnml.core.clock import NS_PER_S, ManualClock
from bnml.core.commands import Submit
from bnml.core.errors import Rejected, Retryable
from bnml.core.events import Balances, CapitalFlow, OperatorCommand, OrderReport, Timer
from bnml.core.ids import IdSource
from bnml.core.orders import ApprovedOrder, OrderState, OrderTicket, OrderType, Side
from bnml.core.outcomes import Trade
from bnml.journal.writer import JournalWriter
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, Role
from bnml.trading.ramp import AGREED
from bnml.trading.round_trips import Trip
from bnml.venues.binance.wire import OrderAnswer
from tests.journal.kit import header
from tests.trading.kit import config, instrument
from tests.virtual_time import in_virtual_time

E8 = 10**8
IDS = IdSource("ab12", 7)
NOW_NS = 11_000 * 10**6 + 9  # of the market; what happened until a second before it is in the books


PAUSES_S, LAG_S = accounting.PAUSES_S, accounting.LAG_S


class Venue:
    """Balances as scripted, the last one again and again; orders as given."""

    def __init__(self, *accounts, orders=(), reports=()):
        self.accounts, self.orders, self.reports = list(accounts), orders, list(reports)
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


class Told:
    def __init__(self):
        self.told = []

    def report(self, name, level, detail=""):
        if level != "ACTIVE" or self.told:
            self.told.append((name, level, detail))


def ordered(name, side="BUY", quantity="0.01", at_ms=12_000):
    return OrderAnswer("BTCUSDT", name, 5, "FILLED", side, quantity, quantity, update_time=at_ms)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(accounting, "PAUSES_S", (0.0,) * 6)
    monkeypatch.setattr(accounting, "LAG_S", 0.0)


def accountant(venue, totals, changes=lambda: 0, journaled=(), clock=None):
    engine = Engine(config(), None)
    engine.state.ledger.totals = dict(totals)
    guards = Told()
    made = Accountant(
        venue,
        engine,
        guards,
        ids=IDS,
        changes=changes,
        now_ns=lambda: NOW_NS,
        is_journaled=lambda name: name in journaled,
        clock=clock or ManualClock(0),
    )
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


async def test_coins_that_were_suspected_hear_that_the_books_are_equal():
    made, engine, _ = accountant(Venue({"USDT": 5}), {"USDT": 5})
    engine.portfolio.ledger.suspect("BTC", 7, 1)
    (found,) = await made.look()
    assert found.name == AGREED


async def test_what_is_on_its_way_is_waited_for():
    made, _, _ = accountant(Venue({"USDT": 4}, {"USDT": 3}, {"USDT": 5}), {"USDT": 5})
    assert await made.look() == []
    assert made.agreed == 1


async def test_a_busy_account_is_not_accused():
    told = iter(range(1000))
    made, _, _ = accountant(Venue({"USDT": 4}), {"USDT": 5}, changes=lambda: next(told))
    assert await made.look() is None
    assert made.agreed == 0


async def test_an_account_that_never_stands_still_is_told_of_once_and_when_it_is_over():
    """Nothing was said however long the ledger had not been compared."""
    told, clock, venue = iter(range(1000)), ManualClock(0), Venue({"USDT": 4 * E8})
    made, _, _ = accountant(venue, {"USDT": 5 * E8}, changes=lambda: next(told), clock=clock)

    async def lines(minutes):
        """What is said by looks so many minutes after the last ones."""
        clock.advance(minutes * 60 * NS_PER_S)
        with capture_logs() as logs:
            assert not any([await made.look() for _ in range(2)])
        return [(one["event"], one["log_level"], one["text"]) for one in logs]

    assert await lines(0) == []
    assert await lines(4.9) == []
    ((name, level, text),) = await lines(0.2)
    assert (name, level) == ("balances_not_compared", "warning")
    assert "since 1970-01-01T00:00:00" in text
    assert "USDT -1.0" in text, "what moves"
    assert await lines(60) == [], "once"
    venue.accounts = [{"USDT": 5 * E8}]
    ((name, level, text),) = await lines(0)
    assert (name, level) == ("balances_compared_again", "warning")
    assert "since 1970-01-01T00:00:00" in text
    venue.accounts = [{"USDT": 6 * E8}]
    assert await lines(60) == [], "one restless look after a long pause is none"
    assert await lines(4.9) == []
    assert [name for name, *_ in await lines(0.2)] == ["balances_not_compared"], "a spell of its own"


async def test_an_account_that_cannot_be_read_is_told_of_as_one_that_is_not_compared():
    """Each look ended in an error, which was a line of the log and nothing else, for hours."""
    clock = ManualClock(0)
    made, *_ = accountant(Venue({"USDT": 5}), {"USDT": 5}, clock=clock)
    made._venue.balances = refuse
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(Rejected):
                await made.look()
            clock.advance(150 * NS_PER_S)
    assert [line["event"] for line in logs] == ["balances_not_compared"]
    assert "could not be read" in logs[0]["text"]


async def refuse():
    raise Rejected("-1102")


async def test_a_difference_that_was_named_counts_as_compared():
    clock = ManualClock(0)
    made, engine, _ = accountant(Venue({"USDT": 7}), {"USDT": 5}, clock=clock)
    clock.advance(4 * 60 * NS_PER_S)
    for flow in await made.look():
        engine.process(flow, 1)
    told = iter(range(1000))
    made._changes, made._venue.accounts = (lambda: next(told)), [{"USDT": 8}]
    clock.advance(4 * 60 * NS_PER_S)
    with capture_logs() as logs:
        assert await made.look() is None
    assert logs == []


@in_virtual_time
async def test_balances_that_lag_behind_a_fill_are_no_flow(monkeypatch):
    """Two looks at what was before a sale once took its proceeds back, and what was held with them."""
    monkeypatch.setattr(accounting, "PAUSES_S", PAUSES_S)
    monkeypatch.setattr(accounting, "LAG_S", LAG_S)
    made, _, _ = accountant(Venue(*[{"USDT": 5, "BTC": 3}] * 4, {"USDT": 9}), {"USDT": 9})
    assert await made.look() == []
    assert made.agreed == 1


@in_virtual_time
async def test_a_fill_that_orders_show_later_than_balances_is_no_flow(monkeypatch):
    monkeypatch.setattr(accounting, "PAUSES_S", PAUSES_S)
    monkeypatch.setattr(accounting, "LAG_S", LAG_S)
    name = IDS.client_order_id(3, 0, "s")
    fill = OrderReport("BTCUSDT", name, 8, OrderState.FILLED, Side.SELL, 1_000, 4, 1_000, 3_000_000)

    class Lagging(Venue):
        async def recent_orders(self, symbol):
            found = await super().recent_orders(symbol)
            return found if asyncio.get_running_loop().time() - began_s >= 2.0 else []

    made, engine, _ = accountant(
        Lagging({"USDT": 7}, orders=[ordered(name, "SELL")], reports=[fill]), {"USDT": 5}
    )
    engine.book.register(Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1_000, 2_900_000))
    began_s = asyncio.get_running_loop().time()
    assert await made.look() == [fill]


async def test_f68_a_manual_trade_is_a_flow_with_its_story_and_never_ours():
    venue = Venue(
        {"USDT": 350 * E8, "BTC": E8 // 100}, orders=[ordered("web_1"), ordered("web_0", at_ms=5_000)]
    )
    made, engine, guards = accountant(venue, {"USDT": 1_000 * E8})
    with capture_logs() as logs:
        flows = await made.look()
    assert flows == [
        CapitalFlow("BTC", E8 // 100, NOW_NS, is_compared=True),
        CapitalFlow("USDT", -650 * E8, NOW_NS, is_compared=True),
    ]
    (line,) = [one for one in logs if one["event"] == "balances_differ"]
    assert "traded by others (web_1 BUY 0.01 BTCUSDT)" in line["text"]
    assert "BTC 0.01" in line["text"]
    assert guards.told == []
    for place, flow in enumerate(flows):
        assert not engine.process(flow, place + 1), "nothing is traded for it"
    assert await made.look() == []
    assert engine.standings() == (), "the difference is over: nobody has to adopt or to ignore it"
    assert engine.portfolio.positions == {}
    assert engine.state.breakers["day_start_equity_e8"][0] == -650 * E8, "and no loss of the day"


@pytest.mark.parametrize("by", [2, -2], ids=["deposit", "withdrawal"])
async def test_f68_a_payment_needs_no_order(by):
    made, engine, guards = accountant(Venue({"USDT": 5 + by}), {"USDT": 5})
    with capture_logs() as logs:
        (flow,) = await made.look()
    assert flow == CapitalFlow("USDT", by, NOW_NS, is_compared=True)
    assert "no order explains it" in logs[0]["text"]
    assert logs[0]["log_level"] == "error"  # which is posted
    assert not engine.process(flow, 1)
    assert await made.look() == []
    assert (guards.told, engine.standings()) == ([], ())


async def test_a_fill_of_ours_that_nobody_told_of_is_no_flow():
    name = IDS.client_order_id(3, 0, "s")
    fill = OrderReport("BTCUSDT", name, 8, OrderState.FILLED, Side.SELL, 1_000, 4, 1_000, 3_000_000)
    venue = Venue({"USDT": 7}, orders=[ordered(name, "SELL")], reports=[fill])
    made, engine, guards = accountant(venue, {"USDT": 5})
    engine.book.register(Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1_000, 2_900_000))
    assert await made.look() == [fill]
    assert guards.told == []


async def test_a_rest_that_is_finer_than_our_lots_is_no_fill_that_is_missed():
    """Lots that became finer in the middle of a session: the same fill was found again at each look, and no flow ever."""
    name = IDS.client_order_id(3, 0, "s")
    fill = OrderReport("BTCUSDT", name, 8, OrderState.FILLED, Side.SELL, 1_000, 4, 1_000, 3_000_000)
    executed = f"0.010{'0' * 4}9"  # of an instrument whose lots are larger than the last of these digits
    made, engine, _ = accountant(
        Venue({"USDT": 7}, orders=[ordered(name, "SELL", executed)], reports=[fill]), {"USDT": 5}
    )
    order = Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1_000, 2_900_000)
    order.applied_lots = 10**6 // instrument().lot_e8
    engine.book.register(order)
    assert await made.look() == [CapitalFlow("USDT", 2, NOW_NS, is_compared=True)]


async def test_f68_orders_under_our_name_that_we_did_not_send_halt():
    venue = Venue({"USDT": 7}, orders=[ordered(IdSource("ab12", 9).client_order_id(1, 0, "w"))])
    made, _, guards = accountant(venue, {"USDT": 5})
    assert len(await made.look()) == 1
    ((name, level, text),) = guards.told
    assert (name, level) == ("account", "HALTED")
    assert "another one trades as 'ab12'" in text


async def test_that_halt_ends_with_the_operators_word_and_comes_again_with_another_such_order():
    """It once stood for ever: nobody said that its cause was over, and no second one was told of."""
    made, engine, _ = accountant(Venue({"USDT": 7}), {"USDT": 5})
    inbox, sequence = LiveInbox(), itertools.count(1)
    made._guards = Guards(inbox, lambda: NOW_NS)

    async def look(*orders):
        made._venue.orders = orders
        engine.state.ledger.totals["USDT"] -= len(orders)
        flows = await made.look()
        for event in (*inbox.ready(), *flows):
            engine.process(event, next(sequence))
        return engine.state.activity.guards.get("account", ("ACTIVE",))[0]

    strange = ordered(IdSource("ab12", 9).client_order_id(1, 0, "w"))
    for _ in range(2):
        assert await look(strange) == "HALTED"
        assert await look() == "HALTED", "books that agree again are no word of the operator"
        engine.process(OperatorCommand("resume", NOW_NS), next(sequence))
        assert engine.state.activity.allows_entries
    assert await look(strange) == "HALTED"
    restarted = Guards(inbox, lambda: NOW_NS)
    restarted.recall(engine.state.activity.guards)
    made._guards = restarted
    engine.process(OperatorCommand("resume", NOW_NS), next(sequence))
    assert await look() == "ACTIVE", "resumed before the books agreed"


@pytest.mark.parametrize("epoch", [3, 7])
async def test_an_order_that_the_book_has_forgotten_and_the_journal_knows_is_no_clone(epoch):
    """Of an earlier session, too: a deposit after a restart once halted, as if the stop that had filled were a clone's."""
    name = IdSource("ab12", epoch).client_order_id(1, 0, "s")
    venue = Venue({"USDT": 7}, orders=[ordered(name)])
    made, _, guards = accountant(venue, {"USDT": 5}, journaled=(name,))
    with capture_logs() as logs:
        assert await made.look() == [CapitalFlow("USDT", 2, NOW_NS, is_compared=True)]
    assert guards.told == []
    assert "no order explains it" in logs[0]["text"]


@pytest.mark.parametrize("epoch", [3, 7, 9])
async def test_an_order_under_our_name_that_the_journal_does_not_know_halts_whatever_its_session(epoch):
    """Two copies of one state folder that start at the same moment have one session number."""
    venue = Venue({"USDT": 7}, orders=[ordered(IdSource("ab12", epoch).client_order_id(1, 0, "w"))])
    made, _, guards = accountant(venue, {"USDT": 5})
    await made.look()
    assert [(name, level) for name, level, _ in guards.told] == [("account", "HALTED")]


async def test_what_happened_before_the_books_last_agreed_is_measured_by_the_markets_clock():
    """An embedded market runs by its own: years before the machine's clock, or faster than it."""
    venue = Venue({"USDT": 5}, {"USDT": 7}, orders=[ordered("web_1", at_ms=20_000)])
    made, _, guards = accountant(venue, {"USDT": 5})
    made._now_ns = lambda: 30_000 * 10**6
    assert await made.look() == []
    with capture_logs() as logs:
        assert await made.look() == [CapitalFlow("USDT", 2, 30_000 * 10**6, is_compared=True)]
    assert "no order explains it" in logs[0]["text"]
    assert guards.told == []
    venue.orders = [ordered("web_2", at_ms=40_000)]
    venue.accounts = [{"USDT": 9}]
    with capture_logs() as logs:
        await made.look()
    assert "traded by others (web_2" in logs[0]["text"]


async def test_an_order_that_was_named_once_is_not_blamed_for_the_next_difference():
    """A clone's order would halt again with each payment after it."""
    clone = IdSource("ab12", 9).client_order_id(1, 0, "w")
    made, engine, guards = accountant(Venue({"USDT": 7}, orders=[ordered(clone)]), {"USDT": 5})
    made._now_ns = lambda: 30_000 * 10**6
    (flow,) = await made.look()
    engine.process(flow, 1)
    made._venue.accounts = [{"USDT": 8}]
    with capture_logs() as logs:
        await made.look()
    assert "no order explains it" in logs[0]["text"]
    assert [level for _, level, _ in guards.told] == ["HALTED"]


@pytest.mark.parametrize(("at_ms", "is_ours"), [(29_500, True), (24_500, False)])
async def test_a_fill_that_the_venue_dates_a_little_before_the_books_agreed_is_no_flow(at_ms, is_ours):
    """Its clock and ours are not the same: what it executed just after that look may bear an earlier time."""
    name = IDS.client_order_id(3, 0, "s")
    fill = OrderReport("BTCUSDT", name, 8, OrderState.FILLED, Side.SELL, 1_000, 4, 1_000, 3_000_000)
    venue = Venue({"USDT": 5}, {"USDT": 7}, orders=[ordered(name, "SELL", at_ms=at_ms)], reports=[fill])
    made, engine, _ = accountant(venue, {"USDT": 5})
    engine.book.register(Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 1_000, 2_900_000))
    made._now_ns = lambda: 30_000 * 10**6
    assert await made.look() == []
    assert (await made.look() == [fill]) == is_ours


async def test_the_journal_knows_an_order_by_its_intent_or_by_a_fill_that_was_counted(tmp_path):
    intended, counted = IDS.client_order_id(1, 0, "w"), IdSource("ab12", 2).client_order_id(44, 0, "s")
    ticket = OrderTicket("BTCUSDT", intended, Side.BUY, OrderType.LIMIT, 5, 100)
    fill = Trade("BTCUSDT", 5, Side.SELL, 1, 5, 100, 0, "USDT", 0, 0, counted)
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    await writer.begin_session(header(), 1)
    task = asyncio.create_task(writer.run())
    sequence = writer.append_event(Timer("reconcile", 1))
    writer.append_commands(sequence, [Submit(ApprovedOrder(ticket, ""))])
    writer.append_outcomes(sequence, [fill], {})
    await writer.barrier()
    parts = SimpleNamespace(
        venue=Venue({"USDT": 5}),
        engine=Engine(config(), None),
        guards=Told(),
        journal=writer,
        config=SimpleNamespace(ids=IDS),
        folder=SimpleNamespace(journal=tmp_path / "journal.db"),
        clock=ManualClock(0),
    )
    is_journaled = make_accountant(parts, lambda: 0, lambda: NOW_NS)._is_journaled
    assert is_journaled(intended)
    assert is_journaled(counted)
    assert not is_journaled(IDS.client_order_id(1, 1, "w"))
    assert not is_journaled(IdSource("ab12", 2).client_order_id(1, 0, "w"))
    assert not is_journaled("bnab12")
    task.cancel()
    await asyncio.wait({task})
    await writer.close()
    (tmp_path / "journal.db").write_bytes(b"no database at all, and long enough to be looked at" * 40)
    with pytest.raises(Retryable, match="cannot be read"):
        is_journaled(intended)


def test_balances_are_compared_asset_by_asset():
    balances = Balances(1, {"USDT": (90, 10), "BTC": (5, 0), "DUST": (0, 0)})
    assert compare_balances({"USDT": 100, "BTC": 5}, balances) == {}
    assert compare_balances({"USDT": 101, "ETH": 1}, balances) == {"BTC": 5, "ETH": -1, "USDT": -1}
