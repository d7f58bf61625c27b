"""Cancels or a purchase, and the order that sells what they free or bring: in one write, or one after the other."""

import asyncio

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app.chains import Chain, Link, steps
from bnml.app.executor import AT_ONCE
from bnml.core.commands import Alert, CancelList, CancelOrder, ReplaceOrder, Submit
from bnml.core.errors import Rejected, Retryable, UnknownOutcome
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import ApprovedOrder, OrderState, TimeInForce
from bnml.venues.binance.convoy import depart
from bnml.venues.binance.venue import Executed
from tests.app.test_executor import BUY, EXIT, Venue, execute, report
from tests.app.test_executor import STOP as LEG
from tests.virtual_time import in_virtual_time

CANCEL = CancelList("BTCUSDT", "old", "moves")
STOP = CancelOrder("BTCUSDT", "stop", "moves")
SALE = msgspec.structs.replace(EXIT, after=("old", "stop"))
GONE = Rejected("unknown list", code=-2011)


class Wire(Venue):
    """Writes what departs together as one entry of `writes`."""

    def __init__(self, answers=None, room=9, **options):
        super().__init__(**options)
        self.room = room
        self.writes = []
        self.looks = []  # at orders, before each write
        self.answers = answers or {}  # to each command, one after the other
        self.unready = {}

    def writes_together(self, spares=0):
        return spares <= self.room

    async def execute(self, command, *, attempt=1):
        if self.unready.get(command, 0):
            self.unready[command] -= 1
            raise Retryable("not connected")
        await depart(command, self._write)
        self.script = [self.answers[command].pop(0)] if self.answers.get(command) else []
        return await super().execute(command, attempt=attempt)

    async def _write(self, frames):
        self.writes.append(list(frames))
        self.looks.append(list(self.queried))


def told(events):
    return [(type(one).__name__, one.client_order_id, getattr(one, "code", 0)) for one in events]


def test_what_belongs_together_is_one_step_in_the_place_of_its_last():
    other = CancelOrder("BTCUSDT", "other", "alone")
    alert = Alert("info", "x", "y")
    assert steps([CANCEL, other, STOP, alert, SALE, EXIT]) == [other, alert, (CANCEL, STOP, SALE), EXIT]


@in_virtual_time
async def test_a_chain_leaves_in_one_write_after_one_barrier():
    venue = Wire()
    _, journal, _ = await execute(venue, CANCEL, STOP, SALE)
    assert venue.writes == [[CANCEL, STOP, SALE]]
    assert journal.barriers == 1


@in_virtual_time
async def test_what_cannot_leave_keeps_the_rest_from_leaving():
    """The follower finds no connection: alone, the cancels would leave the position bare."""
    venue = Wire()
    venue.unready[SALE] = 1
    await execute(venue, CANCEL, STOP, SALE)
    assert sorted(map(len, venue.writes)) == [1, 1, 1]  # each by itself then, the sale last
    assert venue.writes[-1] == [SALE]


@in_virtual_time
async def test_a_follower_that_must_be_repeated_waits_for_its_cancels():
    """A cancel in doubt, a follower refused for its age: it is not sent again before the cancel is known."""
    venue = Wire(
        {CANCEL: [UnknownOutcome("lost")], SALE: [Retryable("too old", code=-1021)]},
        orders=[[], [report("old", OrderState.CANCELED)]],
    )
    venue.members = ["old"]
    await execute(venue, CANCEL, STOP, SALE)
    assert venue.writes == [[CANCEL, STOP, SALE], [SALE]]
    assert venue.looks == [[], ["old", "old"]]  # not when the other cancel was done


@in_virtual_time
async def test_a_follower_is_not_repeated_when_a_cancel_failed():
    venue = Wire({CANCEL: [GONE], SALE: [Retryable("too old", code=-1021)]})
    events, _, _ = await execute(venue, CANCEL, STOP, SALE)
    assert len(venue.writes) == 1
    assert ("CancelFailed", "old", -2011) in told(events)
    (refused,) = (one for one in events if getattr(one, "state", None) is OrderState.REJECTED)
    assert refused.code == -2013  # lost, as far as protection counts: no refusal of the venue


@in_virtual_time
async def test_a_cancel_of_which_nobody_knows_the_end_frees_no_follower():
    chain = Chain(2, 1, together=False)
    Link(chain, 0, CANCEL, is_follower=False).ended(None)
    assert not await Link(chain, 1, SALE, is_follower=True).may_leave(1)


@in_virtual_time
async def test_without_a_common_way_each_waits_for_the_one_before():
    for options in ({"sequential": True}, {}):
        venue = Venue(Executed((report("old", OrderState.CANCELED),)))
        await execute(venue, CANCEL, STOP, SALE, **options)
        assert venue.sent == [CANCEL, STOP, SALE]
        venue = Venue(GONE)
        events, _, _ = await execute(venue, CANCEL, STOP, SALE, **options)
        assert venue.sent == [CANCEL, STOP]  # what it would sell is not free
        assert any(isinstance(one, CancelFailed) for one in events)


@in_virtual_time
async def test_a_chain_longer_than_the_places_at_once_does_not_wait_for_itself():
    cancels = [CancelOrder("BTCUSDT", f"stop{number}", "leaves") for number in range(AT_ONCE)]
    sale = msgspec.structs.replace(EXIT, after=tuple(one.client_order_id for one in cancels))
    venue = Wire()
    async with asyncio.timeout(5):
        await execute(venue, *cancels, sale)
    assert venue.sent[-1] == sale
    assert len(venue.sent) == AT_ONCE + 1


BUYS = Submit(ApprovedOrder(msgspec.structs.replace(BUY, time_in_force=TimeInForce.FOK), "entry"))
PROTECTS = Submit(ApprovedOrder(LEG, "protection"), ("w",))
FILLED = Executed((report("w", OrderState.FILLED),))
LATE = Retryable("too old", code=-1021)


def test_a_purchase_and_its_stop_are_one_step():
    assert steps([BUYS, EXIT, PROTECTS]) == [EXIT, (BUYS, PROTECTS)]


@in_virtual_time
async def test_a_purchase_and_its_stop_leave_in_one_write_after_one_barrier():
    venue = Wire()
    _, journal, _ = await execute(venue, BUYS, PROTECTS)
    assert venue.writes == [[BUYS, PROTECTS]]
    assert journal.barriers == 1


@in_virtual_time
async def test_without_a_common_way_the_stop_waits_for_the_purchase():
    for options in ({"sequential": True}, {}):
        venue = Venue(FILLED)
        await execute(venue, BUYS, PROTECTS, **options)
        assert venue.sent == [BUYS, PROTECTS]
        for failure in (
            Executed((report("w", OrderState.EXPIRED),)),
            Rejected("no money", code=-2010),
            Retryable("busy", code=-1015),
        ):
            venue = Venue(failure)
            events, _, _ = await execute(venue, BUYS, PROTECTS, **options)
            assert venue.sent == [BUYS]
            assert told(events)[-1] == ("OrderReport", "s", -2013)  # no refusal of the venue


@in_virtual_time
async def test_a_purchase_that_cannot_leave_keeps_its_stop_from_leaving():
    venue = Wire()
    venue.unready[BUYS] = 1
    events, _, _ = await execute(venue, BUYS, PROTECTS)
    assert venue.writes == []
    assert told(events) == [("OrderReport", "w", 0), ("OrderReport", "s", -2013)]


@in_virtual_time
async def test_a_stop_that_cannot_leave_keeps_its_purchase_from_leaving():
    """The decision grows old; nothing is bought bare."""
    venue = Wire()
    venue.unready[PROTECTS] = 1
    events, _, _ = await execute(venue, BUYS, PROTECTS)
    assert venue.writes == []
    assert {one.state for one in events} == {OrderState.REJECTED}


@in_virtual_time
async def test_a_stop_that_must_be_repeated_waits_for_its_purchase():
    """The purchase in doubt, the stop refused for its age: sent again when the purchase is shown filled, only then."""
    for shown, writes in (([report("w", OrderState.FILLED)], 2), ([report("w", OrderState.EXPIRED)], 1)):
        venue = Wire({BUYS: [UnknownOutcome("lost")], PROTECTS: [LATE]}, orders=[[], [], shown])
        events, _, _ = await execute(venue, BUYS, PROTECTS)
        assert venue.writes == [[BUYS, PROTECTS], [PROTECTS]][:writes]
        assert (("OrderReport", "s", -2013) in told(events)) is (writes == 1)


@in_virtual_time
async def test_a_lost_write_of_both_is_repeated_by_nobody():
    """Neither arrived: the purchase is given up, and there is nothing to protect."""
    venue = Wire({BUYS: [UnknownOutcome("lost")], PROTECTS: [UnknownOutcome("lost")]})
    events, _, _ = await execute(venue, BUYS, PROTECTS)
    assert venue.writes == [[BUYS, PROTECTS]]
    ends = {one.client_order_id: one.state for one in events if isinstance(one, OrderReport)}
    assert ends == {"w": OrderState.REJECTED, "s": OrderState.REJECTED}


SPARE = Submit(ApprovedOrder(LEG, "old stop"), ("x",), ("x",))


def test_a_spare_is_of_the_step_that_it_follows():
    replace = ReplaceOrder("stop", EXIT.order.ticket, "sold")
    other = CancelOrder("BTCUSDT", "other", "alone")
    assert steps([CANCEL, STOP, SALE, other, SPARE]) == [other, (CANCEL, STOP, SALE, SPARE)]
    assert steps([replace, SPARE]) == [(replace, SPARE)]


@in_virtual_time
async def test_a_spare_leaves_in_the_same_write():
    venue = Wire()
    await execute(venue, CANCEL, STOP, SALE, SPARE)
    assert venue.writes == [[CANCEL, STOP, SALE, SPARE]]


@in_virtual_time
async def test_what_a_spare_left_with_is_not_sent_again_nor_is_the_spare():
    """Proven absent both: the engine takes the next step from what rests."""
    venue = Wire({SALE: [UnknownOutcome("lost")], SPARE: [UnknownOutcome("lost")]})
    with capture_logs() as logs:
        events, _, _ = await execute(venue, CANCEL, STOP, SALE, SPARE)
    assert venue.writes == [[CANCEL, STOP, SALE, SPARE]]
    assert "order_resent" not in [one["event"] for one in logs]
    ends = {one.client_order_id: one.state for one in events if isinstance(one, OrderReport)}
    assert (ends["x"], ends["s"]) == (OrderState.REJECTED, OrderState.REJECTED)


@pytest.mark.parametrize("refusal", [LATE, Rejected("Filter failure: PRICE_FILTER", code=-1013)])
@in_virtual_time
async def test_a_spare_that_was_not_executed_is_over_at_once(refusal):
    """Nothing is repeated, fitted or waited for: what it guards may have to move."""
    venue, begin_s = Wire({SPARE: [refusal]}), asyncio.get_running_loop().time()
    venue.fitted = None  # not even asked for
    await execute(venue, CANCEL, STOP, SALE, SPARE)
    assert len(venue.writes) == 1
    assert venue.clock_looks == 0
    assert asyncio.get_running_loop().time() - begin_s < 0.1


@in_virtual_time
async def test_what_cannot_leave_with_its_spare_leaves_without_it():
    venue = Wire()
    venue.unready[SPARE] = 1
    await execute(venue, CANCEL, STOP, SALE, SPARE)
    assert [SPARE] not in venue.writes
    assert venue.writes[-1] == [SALE]


@in_virtual_time
async def test_without_a_common_way_no_spare_leaves():
    """What it is there for is known by then."""
    for options in ({"sequential": True}, {}):
        venue = Venue(Executed((report("old", OrderState.CANCELED),)))
        events, _, _ = await execute(venue, CANCEL, STOP, SALE, SPARE, **options)
        assert venue.sent == [CANCEL, STOP, SALE]
        assert ("OrderReport", "s", 0) in told(events)


@in_virtual_time
async def test_where_the_limits_are_near_the_rest_leaves_without_its_spare():
    venue = Wire(room=0)
    events, _, _ = await execute(venue, CANCEL, STOP, SALE, SPARE)
    assert venue.writes == [[CANCEL, STOP, SALE]]
    assert ("OrderReport", "s", 0) in told(events)


@in_virtual_time
async def test_the_refusal_of_a_spare_is_no_line_in_the_log():
    venue = Wire({SPARE: [Rejected("Account has insufficient balance for requested action.", code=-2010)]})
    asked = []
    with capture_logs() as logs:
        await execute(venue, CANCEL, STOP, SALE, SPARE, on_step=lambda *step: asked.append(step))
    assert [one["event"] for one in logs if one["log_level"] != "debug"] == []
    assert asked == []  # nor is the account compared for it
