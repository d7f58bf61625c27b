"""Which requests are asked about again, and when: a cancel that has just left is not sent a second time."""

from __future__ import annotations

import pytest

from bnml.core.commands import QueryOrder
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.protection import Protection
from bnml.trading.reports import ReportDesk


@pytest.fixture
def desk():
    book = OrderBook()
    book.register(Order("s", "BTCUSDT", Side.SELL, Role.STOP, 1, 5, 100))
    book.orders["s"].state = OrderState.OPEN
    return ReportDesk(None, None, book, None, Protection(book, None, None), None, None, None), book.orders[
        "s"
    ]


def asked(desk: ReportDesk, *, at_once: bool) -> list[str]:
    out = Outbox(IdSource("a", 1), 1)
    desk.query_unsure(out, at_once=at_once)
    return [command.client_order_id for command in out.commands if isinstance(command, QueryOrder)]


def test_a_cancel_under_way_is_doubted_only_when_a_second_timer_finds_it(desk):
    reports, order = desk
    order.cancel_sent = True
    assert asked(reports, at_once=False) == []
    assert order.cancel_sent  # so nothing sends it again
    assert asked(reports, at_once=False) == ["s"]
    assert not order.cancel_sent
    assert order.state is OrderState.UNKNOWN  # nor does anything send it before the answer
    assert asked(reports, at_once=False) == []


def test_an_answer_between_two_timers_ends_the_doubt(desk):
    reports, order = desk
    order.cancel_sent = True
    asked(reports, at_once=False)
    order.cancel_sent = False
    asked(reports, at_once=False)
    order.cancel_sent = True
    assert asked(reports, at_once=False) == []


def test_after_a_lost_connection_everything_waiting_is_asked_for_at_once(desk):
    reports, order = desk
    order.state = OrderState.UNKNOWN
    assert asked(reports, at_once=True) == ["s"]
