"""The last moments of a session, against hands that answer late."""

import asyncio
from types import SimpleNamespace

from bnml.app import parting
from bnml.app.inbox import LiveInbox
from bnml.app.parting import PAUSE_S, Parting
from bnml.core.events import OrderReport
from bnml.core.orders import OrderState, Side
from bnml.venues.binance.codec import Print
from tests.virtual_time import in_virtual_time

ANSWER_S = 1.5
LONGEST_S = 4.0


def report(name):
    return OrderReport("BTCUSDT", name, 0, OrderState.OPEN, Side.SELL)


class Hands:
    """Engine, pump and executor in one: it asks for `follows[name]` when it hears of `name`; each request is answered later."""

    def __init__(self, follows):
        self.inbox = LiveInbox()
        self.follows = follows
        self.under_way = set()
        self.heard = []
        self.covered_lots = 10
        self.position = SimpleNamespace(look_ns=0)
        self.portfolio = SimpleNamespace(positions={"BTCUSDT": self.position})

    def ask(self, name):
        self.under_way.add(name)
        asyncio.get_running_loop().call_later(ANSWER_S, self._answer, name)

    def _answer(self, name):
        self.inbox.complete(0, (report(name),))
        self.under_way.remove(name)

    async def take(self, item):
        name = getattr(item, "client_order_id", "market")
        self.heard.append(name)
        if name in self.follows:
            self.ask(self.follows[name])

    @property
    def idle(self):
        return not self.under_way

    def coverage(self):
        return [SimpleNamespace(symbol="BTCUSDT", is_bare=self.covered_lots < 10)]

    async def end(self, pass_time=lambda: None):
        """Returns how long it took."""
        began_s = asyncio.get_running_loop().time()
        await Parting(self, self, self.inbox, self, pass_time).end(LONGEST_S)
        return asyncio.get_running_loop().time() - began_s


@in_virtual_time
async def test_what_the_last_answer_makes_necessary_is_asked_for_and_answered():
    """A replacement whose second half was refused leaves a position bare until the stop that follows it."""
    hands = Hands({"replacement": "stop"})
    hands.ask("replacement")
    await hands.end()
    assert hands.heard == ["replacement", "stop"]


@in_virtual_time
async def test_what_was_on_its_way_at_the_word_is_counted():
    hands = Hands({})
    asyncio.get_running_loop().call_soon(hands.inbox.complete, 0, (report("fill"),))
    await hands.end()
    assert hands.heard == ["fill"]


@in_virtual_time
async def test_nothing_is_decided_on_the_market_after_the_word():
    hands = Hands({"market": "entry"})
    await hands.inbox.put(0, Print("BTCUSDT", 0, 1, 1, 1))
    await hands.end()
    assert hands.heard == []


@in_virtual_time
async def test_a_venue_that_does_not_answer_holds_nothing_up_for_long():
    hands = Hands({})
    hands.under_way.add("unanswered")
    assert LONGEST_S <= await hands.end() <= LONGEST_S + PAUSE_S


@in_virtual_time
async def test_a_chain_of_requests_without_end_is_cut():
    hands = Hands({"again": "again"})
    hands.ask("again")
    assert LONGEST_S <= await hands.end() <= LONGEST_S + PAUSE_S


@in_virtual_time
async def test_what_has_no_stop_is_waited_for_while_time_passes():
    """A refused stop is tried again when its pause is over; the daemon does not leave before that."""
    hands, passed = Hands({}), []
    hands.covered_lots = 4

    def pass_time():
        passed.append(1)
        if len(passed) == 20:
            hands.covered_lots = 10

    assert 19 * PAUSE_S <= await hands.end(pass_time) < LONGEST_S


@in_virtual_time
async def test_what_the_price_has_passed_is_asked_about_first():
    """A part of it may have been filled without a word, and what was left lay bare while the daemon was away."""
    hands = Hands({"fill": "stop"})
    hands.position.look_ns = 1

    def look():
        hands.position.look_ns = 0
        hands.ask("fill")

    asyncio.get_running_loop().call_later(1.0, look)
    assert await hands.end() >= 1.0 + ANSWER_S
    assert hands.heard == ["fill", "stop"]


@in_virtual_time
async def test_what_stays_without_a_stop_is_told(monkeypatch):
    hands, told = Hands({}), []
    hands.covered_lots = 4
    log = SimpleNamespace(critical=lambda name, **fields: told.append((name, fields["symbols"])))
    monkeypatch.setattr(parting, "logger", lambda: log)
    assert LONGEST_S <= await hands.end() <= LONGEST_S + PAUSE_S
    assert told == [("positions_left_bare", ["BTCUSDT"])]


@in_virtual_time
async def test_where_time_stands_still_nothing_is_waited_for():
    hands = Hands({})
    hands.covered_lots = 4
    assert await hands.end(pass_time=None) <= 2 * PAUSE_S
