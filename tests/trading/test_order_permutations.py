"""Every order in which up to six words of the venue about one order can come, with repeats: one end."""

from itertools import permutations

import msgspec
import pytest

from bnml.core.events import OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, OrderBook, Role

S = OrderState


def told(state, cumulative=0, trade_id=0, last=0, quantity=10, ts_ns=1):
    return OrderReport(
        "BTCUSDT", "a", ts_ns, state, Side.SELL, cumulative, trade_id, last, 100, quantity_lots=quantity
    )


UNKNOWN = told(S.UNKNOWN, quantity=0)
SLEEPING = told(S.SLEEPING, quantity=12)
NEW = told(S.OPEN, ts_ns=2)
FIRST = told(S.PARTLY_FILLED, 4, 1, 4, ts_ns=3)
SECOND = told(S.PARTLY_FILLED, 7, 2, 3, ts_ns=4)
LAST = told(S.FILLED, 10, 3, 3, ts_ns=5)
# What a query with its trades says of the same life: fills by trade id without the stream's words.
READ_OPEN, READ_SECOND = told(S.OPEN, ts_ns=9), told(S.PARTLY_FILLED, 7, 2, 3, ts_ns=4)
READ_FILLED = told(S.FILLED, 10, ts_ns=9)
STORIES = {
    "filled in three": (UNKNOWN, NEW, FIRST, SECOND, LAST, READ_FILLED),
    "filled, read meanwhile": (NEW, READ_OPEN, FIRST, READ_SECOND, LAST, READ_FILLED),
    "a leg that woke smaller": (SLEEPING, NEW, FIRST, SECOND, LAST),
    "made smaller while it rests": (SLEEPING, told(S.OPEN, quantity=11), NEW),
    "cancelled after a part": (
        UNKNOWN,
        NEW,
        FIRST,
        SECOND,
        told(S.CANCELED, 7),
        told(S.CANCELED, 7, ts_ns=8),
    ),
    "rest of an IOC expired": (NEW, FIRST, SECOND, told(S.EXPIRED, 7), told(S.EXPIRED, 7, ts_ns=9)),
    "own order met in match": (NEW, FIRST, told(S.EXPIRED, 4), READ_OPEN, UNKNOWN),
    "killed by its list": (SLEEPING, NEW, told(S.EXPIRED), told(S.CANCELED), UNKNOWN),
    "refused": (UNKNOWN, told(S.REJECTED, quantity=0), told(S.REJECTED)),
    "expired and filled at once": (NEW, told(S.EXPIRED, 7), FIRST, SECOND, LAST, told(S.CANCELED, 7)),
    "counted as absent, then alive": (UNKNOWN, told(S.REJECTED, quantity=0), NEW, FIRST, SECOND, LAST),
    "a leg counted as absent": (SLEEPING, told(S.REJECTED, quantity=0), NEW, READ_OPEN, FIRST),
    "counted as absent, cancelled": (
        told(S.REJECTED, quantity=0),
        NEW,
        FIRST,
        told(S.CANCELED, 4),
        READ_OPEN,
    ),
    "lost, then shown": (UNKNOWN, told(S.REJECTED, quantity=0), told(S.CANCELED, 4), FIRST),
}


def end(reports, book_type=OrderBook):
    """The order at last, as bytes."""
    book = book_type()
    book.register(Order("a", "BTCUSDT", Side.SELL, Role.STOP, 1, 12, 100))
    for one in reports:
        book.apply(one)
    return msgspec.msgpack.encode(book.get("a"))


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_f33_every_permutation_of_the_reports_ends_in_the_same_state(story):
    assert len({end(order) for order in permutations(story)}) == 1


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_f32_a_report_that_comes_twice_changes_nothing(story):
    once = end(story)
    for order in permutations(story):
        assert end([copy for one in order for copy in (one, one)]) == once
    for order in list(permutations(story))[::37]:
        assert end([*order, *reversed(order)]) == once


@pytest.mark.parametrize(
    ("story", "state", "lots"),
    [
        ("counted as absent, then alive", S.FILLED, 10),
        ("a leg counted as absent", S.PARTLY_FILLED, 4),
        ("counted as absent, cancelled", S.CANCELED, 4),
    ],
)
def test_what_the_venue_shows_alive_is_alive_although_it_counted_as_absent(story, state, lots):
    last = msgspec.msgpack.decode(end(STORIES[story]))
    assert (last["state"], last["applied_lots"], last["is_told"]) == (state, lots, True)


class Forgetful(OrderBook):
    """A planted defect: a fill counts as often as it is told."""

    def apply(self, report):
        order = self.orders[report.client_order_id]
        order.trade_ids = [one for one in order.trade_ids if one != report.trade_id]
        return super().apply(report)


class Gullible(OrderBook):
    """A planted defect: the last word counts, however late it is."""

    def apply(self, report):
        done = super().apply(report)
        self.orders[report.client_order_id].state = report.state
        return done


def test_a_fill_counted_twice_and_a_late_word_believed_are_caught():
    story = STORIES["filled in three"]
    twice = [copy for one in story for copy in (one, one)]
    assert end(twice, Forgetful) != end(story, Forgetful)
    assert len({end(order, Gullible) for order in permutations(story)}) > 1
