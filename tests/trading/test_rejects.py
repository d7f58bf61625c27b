"""Refusals in a row pause entries, more of them halt, and what is accepted begins anew."""

import pytest

from bnml.core.events import OrderReport, Scan
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.trading.guarding import HALTED, REDUCING, GuardDesk
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.rejects import RejectGuard
from bnml.trading.risk.settings import RiskSettings
from bnml.trading.state import Activity


class Desk:
    def __init__(self):
        self.activity, self.book = Activity(), OrderBook()
        self.out = Outbox(IdSource("test", 1), 1)
        self.guards = GuardDesk(self.activity)
        self.passed = []
        take = lambda event, _out: self.passed.append(event)  # noqa: E731
        self.guard = RejectGuard(
            self.activity, self.book, self.guards, RiskSettings(max_rejects_in_row=3), take, take
        )
        self.number = 0

    def say(self, state=OrderState.REJECTED, code=-2010, role=Role.WORKING, name=None):
        self.number += 1
        name = name or f"bn{self.number}"
        self.book.register(Order(name, "BTCUSDT", Side.BUY, role, 1, 10, 1))
        self.guard.report(OrderReport("BTCUSDT", name, 100, state, Side.BUY, code=code, text="no"), self.out)


@pytest.fixture
def desk():
    return Desk()


def test_refusals_in_a_row_pause_entries_for_a_while(desk):
    for _ in range(3):
        assert desk.activity.allows_entries
        desk.say()
    assert desk.activity.guards["rejects"][0] == REDUCING
    desk.guard.scan(Scan(1, 100 + 15 * 60 * 10**9 - 1, ()), desk.out)
    assert not desk.activity.allows_entries
    desk.guard.scan(Scan(2, 100 + 15 * 60 * 10**9, ()), desk.out)
    assert desk.activity.allows_entries
    assert len(desk.passed) == 5


def test_three_times_as_many_halt_until_resumed(desk):
    for _ in range(9):
        desk.say(role=Role.EXIT)
    assert desk.activity.guards["rejects"][0] == HALTED
    desk.guard.scan(Scan(1, 10**18, ()), desk.out)
    assert not desk.activity.allows_entries
    desk.guards.resume(desk.out)
    assert desk.activity.allows_entries


def test_after_the_operators_word_they_count_anew(desk):
    """The count once went on from there, and no later refusal stopped anything until something was accepted."""
    for _ in range(9):
        desk.say()
    for _ in range(2):
        desk.guards.resume(desk.out)
        assert desk.activity.allows_entries
        for _ in range(3):
            desk.say()
        assert desk.activity.guards["rejects"][0] == REDUCING
        for _ in range(6):
            desk.say()
        assert desk.activity.guards["rejects"][0] == HALTED


def test_an_acceptance_a_lost_request_and_a_repeated_report_do_not_add_up(desk):
    desk.say()
    desk.say()
    desk.say(OrderState.OPEN, 0)
    desk.say()
    desk.say(code=0)  # never arrived
    desk.say(name="bn4")
    desk.say(name="bn4")
    desk.say(role=Role.TARGET)
    assert desk.activity.rejects == 1
    assert desk.activity.allows_entries


def test_a_list_that_is_refused_counts_once_and_its_legs_do_where_they_were_asked_for_alone(desk):
    for list_id, roles, count in (
        ("entry", (Role.WORKING, Role.TARGET, Role.STOP), 1),
        ("pair", (Role.TARGET, Role.STOP), 2),
    ):
        names = [f"{list_id}-{role}" for role in roles]
        for name, role in zip(names, roles, strict=True):
            desk.book.register(Order(name, "BTCUSDT", Side.SELL, role, 1, 10, 1, list_id=list_id))
        for name in names:
            report = OrderReport("BTCUSDT", name, 100, OrderState.REJECTED, Side.SELL, code=-2010)
            desk.guard.report(report, desk.out)
        assert desk.activity.rejects == count
