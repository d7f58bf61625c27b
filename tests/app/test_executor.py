"""The executor against a scripted venue: barrier first, never twice, every outcome reported."""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from bnml.app.executor import AT_ONCE, HURRIED, SETTLE_MARGIN_S, Executor
from bnml.app.inbox import LiveInbox, SteppedInbox
from bnml.core.commands import (
    Alert,
    CancelList,
    CancelOrder,
    Halt,
    QueryOrder,
    ReplaceOrder,
    RequestTrain,
    Submit,
)
from bnml.core.errors import Rejected, Retryable, UnknownOutcome
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderState, OrderTicket, OrderType, Side
from bnml.venues.binance.departures import leaves_now
from bnml.venues.binance.errors import ReplacementFailed
from bnml.venues.binance.venue import Executed
from tests.virtual_time import in_virtual_time

BUY = OrderTicket("BTCUSDT", "w", Side.BUY, OrderType.LIMIT, 100, 50)
STOP = OrderTicket("BTCUSDT", "s", Side.SELL, OrderType.STOP_LOSS, 100, 0, 40)
ENTRY = Submit(ApprovedOrder(ListTicket("BTCUSDT", "l", ListKind.OPO, BUY, (STOP,)), "entry"))
EXIT = Submit(ApprovedOrder(OrderTicket("BTCUSDT", "x", Side.SELL, OrderType.MARKET, 100), "exit"))

STOP_ALONE = Submit(ApprovedOrder(STOP, "protection"))


def report(name, state):
    return OrderReport("BTCUSDT", name, 1, state, Side.BUY)


class Journal:
    def __init__(self):
        self.barriers = 0

    async def barrier(self):
        await asyncio.sleep(0)
        self.barriers += 1


class Venue:
    """Answers each command with the next outcome of its script; an exception is raised."""

    def __init__(self, *script, orders=()):
        self.script = list(script)
        self.orders = list(orders)
        self.sent = []
        self.queried = []
        self.attempts = []
        self.members = []
        self.proofs = []
        self.clock_looks = 0
        self.fit = None

    async def list_members(self, _list_id):
        return self.members

    async def shows_none_of(self, symbol, names, ended=""):
        self.proofs.append((symbol, tuple(names)))
        return True

    async def resynchronise(self):
        self.clock_looks += 1

    async def fitted(self, _symbol, _command):
        return self.fit

    def writes_together(self, _spares=0):
        return False

    def window_ms(self, _command, _attempt=1):
        return 1000

    async def execute(self, command, *, attempt=1):
        self.sent.append(command)
        self.attempts.append(attempt)
        outcome = self.script.pop(0) if self.script else Executed()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def order_reports(self, symbol, client_order_id):
        self.queried.append(client_order_id)
        outcome = self.orders.pop(0) if self.orders else []
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def execute(venue, *commands, inbox=None, sequential=False, on_step=lambda *_: None):
    """Carry out commands; returns what reached the inbox, the journal and the symbols to train."""
    journal, trained = Journal(), []
    inbox = LiveInbox() if inbox is None else inbox
    executor = Executor(
        venue,
        journal,
        inbox,
        now_ns=lambda: 77,
        request_training=lambda symbols, _reason: trained.extend(symbols),
        sequential=sequential,
        on_step=on_step,
    )
    task = asyncio.create_task(executor.run())
    executor.submit(1, list(commands))
    async with asyncio.timeout(1000):
        while not executor.idle:  # noqa: ASYNC110 - the executor has no event for tests
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait({task})
    return inbox.ready(), journal, trained


@in_virtual_time
async def test_nothing_leaves_before_the_journal_has_it():
    venue = Venue()
    seen = []
    journal = Journal()

    async def barrier():
        seen.append(list(venue.sent))

    journal.barrier = barrier
    executor = Executor(
        venue, journal, LiveInbox(), now_ns=int, request_training=lambda *_: None, sequential=False
    )
    task = asyncio.create_task(executor.run())
    executor.submit(1, [EXIT])
    while not executor.idle:  # noqa: ASYNC110 - the executor has no event for tests
        await asyncio.sleep(0)
    task.cancel()
    assert seen == [[]]
    assert venue.sent == [EXIT]


@in_virtual_time
@pytest.mark.parametrize("turns", range(8))
async def test_a_request_never_outlives_the_executor(turns):
    """Whenever it is told to stop: before, while, or after the request leaves."""
    venue = Venue()
    left = []

    async def execute(_command, **_):
        left.append(1)
        try:
            await asyncio.sleep(100)
        finally:
            left.pop()

    venue.execute = execute
    executor = Executor(
        venue, Journal(), LiveInbox(), now_ns=int, request_training=lambda *_: None, sequential=False
    )
    others = asyncio.all_tasks()
    task = asyncio.create_task(executor.run())
    executor.submit(1, [EXIT])
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert left == []
    assert asyncio.all_tasks() == others


@in_virtual_time
async def test_what_is_written_leaves_before_anything_else_is_done_for_the_next_request():
    """The loop hands it over at the end of the turn in which it was written."""
    seen, loop = [], asyncio.get_running_loop()

    async def run(command, **_):
        name = command.order.ticket.client_order_id
        seen.append(f"{name} written")
        loop.call_soon(loop.call_soon, seen.append, f"{name} gone for a turn")
        return Executed()

    venue = Venue()
    venue.execute = run
    await execute(venue, EXIT, STOP_ALONE)
    assert seen == ["x written", "x gone for a turn", "s written", "s gone for a turn"]


@in_virtual_time
async def test_no_order_stands_behind_doubts():
    """Found by killing real daemons: sixteen queries that waited for their next look held all places for seconds."""
    venue = Venue()
    doubts = [QueryOrder("BTCUSDT", f"lost{number}") for number in range(3 * AT_ONCE)]
    executor = Executor(
        venue, Journal(), LiveInbox(), now_ns=int, request_training=lambda *_: None, sequential=False
    )
    task = asyncio.create_task(executor.run())
    executor.submit(1, [*doubts, EXIT])
    for _ in range(20 * AT_ONCE):
        await asyncio.sleep(0)
    assert venue.sent == [EXIT]
    assert not executor.idle, "the doubts go on"
    task.cancel()
    await asyncio.wait({task})


@in_virtual_time
async def test_one_order_is_asked_for_once_at_a_time():
    venue = Venue()
    await execute(venue, *[QueryOrder("BTCUSDT", "lost")] * 5)
    once = list(venue.queried)
    other = Venue()
    await execute(other, QueryOrder("BTCUSDT", "lost"))
    assert once == other.queried


@in_virtual_time
async def test_what_was_certainly_not_executed_is_asked_for_four_times_within_two_seconds():
    venue, sent_s = Venue(*[Retryable("not let in")] * 9), []
    loop, send = asyncio.get_running_loop(), venue.execute

    async def timed(command, **options):
        sent_s.append(round(loop.time() - begin_s, 1))
        return await send(command, **options)

    venue.execute = timed
    begin_s = loop.time()
    events, _, _ = await execute(venue, EXIT)
    assert sent_s == [0.0, 0.2, 0.6, 1.4, 3.0]
    assert [one.state for one in events] == [OrderState.REJECTED]


@in_virtual_time
async def test_an_unknown_outcome_is_not_asked_for_again_before_its_window_is_over():
    venue, sent_s = Venue(UnknownOutcome("-1006"), UnknownOutcome("-1006")), []
    loop, send = asyncio.get_running_loop(), venue.execute

    async def timed(command, **options):
        sent_s.append(loop.time() - begin_s)
        return await send(command, **options)

    venue.execute = timed
    begin_s = loop.time()
    await execute(venue, EXIT)
    apart = [later - sooner for sooner, later in pairwise(sent_s)]
    assert len(sent_s) == 3
    assert round(min(apart), 3) >= 1.0 + SETTLE_MARGIN_S


@in_virtual_time
async def test_the_second_half_of_a_replacement_follows_in_the_moment_it_is_known_absent():
    """Found in the ten-month run: looks before that moment did not count, and a stop came half a second later."""

    class Halved(Venue):
        async def order_reports(self, symbol, client_order_id):
            await asyncio.sleep(0.05)
            return [report("old", OrderState.CANCELED)] if client_order_id == "old" else []

    venue, sent_s = Halved(UnknownOutcome("-1006")), []
    loop, send = asyncio.get_running_loop(), venue.execute

    async def timed(command, **options):
        sent_s.append(loop.time() - begin_s)
        return await send(command, **options)

    venue.execute = timed
    begin_s = loop.time()
    await execute(venue, ReplaceOrder("old", STOP, ""))
    assert [type(one) for one in venue.sent] == [ReplaceOrder, Submit]
    assert 1.0 + SETTLE_MARGIN_S <= round(sent_s[1], 3) <= 1.0 + SETTLE_MARGIN_S + 0.25
    assert venue.proofs


@in_virtual_time
async def test_a_success_is_told_by_the_user_stream_alone():
    events, _, _ = await execute(Venue(), ENTRY)
    assert events == []


@in_virtual_time
async def test_an_answer_by_rest_brings_its_reports():
    events, _, _ = await execute(Venue(Executed((report("x", OrderState.FILLED),))), EXIT)
    assert events == [report("x", OrderState.FILLED)]


@in_virtual_time
async def test_a_refusal_names_every_leg_and_the_code():
    events, _, _ = await execute(Venue(Rejected("no", code=-2010)), ENTRY)
    assert [(one.client_order_id, one.state, one.code) for one in events] == [
        ("w", OrderState.REJECTED, -2010),
        ("s", OrderState.REJECTED, -2010),
    ]
    assert {one.ts_ns for one in events} == {77}


@in_virtual_time
async def test_an_unknown_outcome_is_read_never_sent_again():
    venue = Venue(UnknownOutcome("no answer"), orders=[[], [], [report("x", OrderState.FILLED)]])
    events, _, _ = await execute(venue, EXIT)
    assert venue.sent == [EXIT]
    assert [one.state for one in events] == [OrderState.UNKNOWN, OrderState.FILLED]


@in_virtual_time
async def test_an_entry_proven_absent_is_given_up():
    venue = Venue(UnknownOutcome("no answer"))
    events, _, _ = await execute(venue, ENTRY)
    assert venue.sent == [ENTRY]
    assert len(venue.queried) >= 6
    assert venue.proofs == [("BTCUSDT", ("w", "s"))]
    assert [(one.state, one.code) for one in events] == [(OrderState.UNKNOWN, 0)] * 2 + [
        (OrderState.REJECTED, -2013)
    ] * 2


@in_virtual_time
async def test_an_exit_proven_absent_is_sent_once_more_with_the_same_id():
    venue = Venue(UnknownOutcome("no answer"))
    events, _, _ = await execute(venue, EXIT)
    assert venue.sent == [EXIT, EXIT]
    assert venue.attempts == [1, 1]  # the second one must be known lost as soon as the first
    assert [one.state for one in events] == [OrderState.UNKNOWN]


@in_virtual_time
async def test_an_exit_proven_absent_is_not_sent_again_when_a_stop_was_asked_for_beside_it():
    """The engine knows better what the stop has left to sell."""
    venue, beside = Venue(UnknownOutcome("no answer")), Submit(STOP_ALONE.order, beside=("x",))
    events, _, _ = await execute(venue, EXIT, beside)
    assert venue.sent == [EXIT, beside]
    assert [(one.client_order_id, one.state, one.code) for one in events] == [
        ("x", OrderState.UNKNOWN, 0),
        ("x", OrderState.REJECTED, -2013),
    ]


@pytest.mark.parametrize(
    ("code", "text", "word"),
    [
        (-2010, "Account has insufficient balance for requested action.", "not_needed_beside"),
        (-2010, "Stop price would trigger immediately.", "command_refused"),
    ],
)
@in_virtual_time
async def test_only_what_found_its_coins_taken_is_called_not_needed(code, text, word):
    venue = Venue(Rejected(text, code=code))
    with capture_logs() as logs:
        await execute(venue, Submit(STOP_ALONE.order, beside=("x",)))
    assert word in [one["event"] for one in logs]


@in_virtual_time
async def test_what_protects_or_sells_is_in_doubt_sooner_than_a_purchase():
    doubted_s = {}

    class Silent(Venue):
        async def execute(self, command, *, attempt=1):
            self.sent.append(command)
            leaves_now()
            await asyncio.Event().wait()

    for command in (ENTRY, EXIT):
        inbox, begin_s = LiveInbox(), asyncio.get_running_loop().time()
        executor = Executor(
            Silent(),
            Journal(),
            inbox,
            now_ns=lambda: 77,
            request_training=lambda *_: None,
            sequential=False,
            patience_s=1.0,
        )
        task = asyncio.create_task(executor.run())
        executor.submit(1, [command])
        (event, *_) = await inbox.batch()
        doubted_s[event.client_order_id] = round(asyncio.get_running_loop().time() - begin_s, 2)
        task.cancel()
        await asyncio.wait({task})
    assert doubted_s == {"w": 1.0, "x": HURRIED}


@in_virtual_time
async def test_a_venue_that_cannot_be_asked_proves_nothing():
    silent = Retryable("no answer")
    venue = Venue(UnknownOutcome("x"), orders=[silent, silent, [report("x", OrderState.OPEN)]])
    events, _, _ = await execute(venue, EXIT)
    assert events[-1].state is OrderState.OPEN


@in_virtual_time
async def test_an_exit_refused_for_the_moment_is_sent_again():
    venue = Venue(Retryable("slow down", code=-1015, retry_after_s=0.1), Executed())
    events, _, _ = await execute(venue, EXIT)
    assert venue.sent == [EXIT, EXIT]
    assert events == []


@in_virtual_time
async def test_an_entry_refused_for_the_moment_is_given_up():
    venue = Venue(Retryable("slow down", code=-1015))
    events, _, _ = await execute(venue, ENTRY)
    assert venue.sent == [ENTRY]
    assert [one.state for one in events] == [OrderState.REJECTED] * 2


@in_virtual_time
async def test_a_failed_cancel_is_told():
    events, _, _ = await execute(
        Venue(Rejected("Unknown order sent.", code=-2011)), CancelOrder("BTCUSDT", "t", "")
    )
    assert events == [CancelFailed("BTCUSDT", "t", 77, -2011, "Unknown order sent.")]
    events, _, _ = await execute(Venue(Rejected("Unknown", code=-2011)), CancelList("BTCUSDT", "l", ""))
    assert events[0].client_order_id == "l"


@in_virtual_time
async def test_a_cancel_without_answer_is_told_when_the_order_still_stands():
    venue = Venue(UnknownOutcome("x"), orders=[[report("t", OrderState.OPEN)]] * 9)
    events, _, _ = await execute(venue, CancelOrder("BTCUSDT", "t", ""))
    assert [type(one).__name__ for one in events] == ["OrderReport", "CancelFailed"]


@pytest.mark.parametrize(
    ("cancelled", "expected"), [(True, ["OrderReport"]), (False, ["CancelFailed", "OrderReport"])]
)
@in_virtual_time
async def test_half_a_replacement(cancelled, expected):
    failure = ReplacementFailed("half", code=-2010, cancelled=cancelled)
    events, _, _ = await execute(Venue(failure), ReplaceOrder("old", STOP, ""))
    assert [type(one).__name__ for one in events] == expected


@in_virtual_time
async def test_what_a_replacement_has_cancelled_is_told_before_its_second_half_is_refused_or_fitted():
    gone = report("old", OrderState.CANCELED)
    for code, fit, told in ((-2010, None, [gone, "s"]), (-1013, ReplaceOrder("old", BUY, ""), [gone])):
        failure = ReplacementFailed("half", code=code, cancelled=True)
        failure.reports = (gone,)
        venue = Venue(failure)
        venue.fit = fit
        events, _, _ = await execute(venue, ReplaceOrder("old", STOP, ""))
        assert [one if one == gone else one.client_order_id for one in events] == told


@in_virtual_time
async def test_what_a_replacement_in_doubt_has_cancelled_is_told_before_its_second_half_is_sent():
    gone = report("old", OrderState.CANCELED)
    venue = Venue(UnknownOutcome("lost"))

    async def order_reports(_symbol, name):
        return [gone] if name == "old" else []

    venue.order_reports = order_reports
    events, _, _ = await execute(venue, ReplaceOrder("old", STOP, ""))
    assert [type(one) for one in venue.sent] == [ReplaceOrder, Submit]
    assert gone in events


@in_virtual_time
async def test_a_request_that_was_too_old_lives_longer_the_next_time_and_is_in_doubt_for_longer():
    venue, began_s = Venue(Retryable("too old", code=-1021), UnknownOutcome("lost")), _now_s()
    venue.window_ms = lambda _command, attempt=1: 1000 if attempt == 1 else 5000
    await execute(venue, STOP_ALONE)
    assert venue.attempts == [1, 2, 2]
    assert _now_s() - began_s > 5.0
    venue = Venue(Retryable("busy", code=-1015))
    await execute(venue, STOP_ALONE)
    assert venue.attempts == [1, 1]


@in_virtual_time
async def test_what_the_venue_did_not_let_in_is_no_refusal_by_its_code():
    """Protection counts refusals: after three of them it sells."""
    events, _, _ = await execute(Venue(*[Retryable("busy", code=-1015)] * 9), STOP_ALONE)
    assert [(one.state, one.code) for one in events] == [(OrderState.REJECTED, 0)]


@in_virtual_time
async def test_an_order_on_its_way_is_not_asked_for():
    """Its own request will tell; that it is not shown yet says nothing."""

    class Slow(Venue):
        async def execute(self, command, *, attempt=1):
            await asyncio.sleep(1.0)
            return await super().execute(command, attempt=attempt)

    venue = Slow()
    await execute(venue, EXIT, QueryOrder("BTCUSDT", "x"))
    assert venue.queried == []


def _now_s():
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_what_is_not_for_a_venue_goes_where_it_belongs():
    venue = Venue()
    _, _, trained = await execute(
        venue, RequestTrain(("BTCUSDT",), "missing"), Alert("warning", "name", "text"), Halt("why")
    )
    assert trained == ["BTCUSDT"]
    assert venue.sent == []


@in_virtual_time
async def test_stepped_consequences_stand_at_the_place_of_their_answer():
    inbox = SteppedInbox()
    venue = Venue(Executed((report("x", OrderState.FILLED),), (2,)))
    inbox.complete(3, [report("later", OrderState.OPEN)])
    inbox.complete(1, [report("before", OrderState.OPEN)])
    events, _, _ = await execute(venue, EXIT, inbox=inbox, sequential=True)
    assert [one.client_order_id for one in events] == ["before", "x", "later"]


@in_virtual_time
async def test_stepped_commands_wait_for_each_other():
    order = []

    class Slow(Venue):
        async def execute(self, command, *, attempt=1):
            order.append(("start", command))
            await asyncio.sleep(0)
            order.append(("end", command))
            return Executed()

    cancel = CancelOrder("BTCUSDT", "t", "")
    await execute(Slow(), EXIT, cancel, sequential=True)
    assert order == [("start", EXIT), ("end", EXIT), ("start", cancel), ("end", cancel)]
