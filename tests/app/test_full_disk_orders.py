"""The disk is full while a position has to be protected and sold: both leave, each with its intent; without room, neither."""

import asyncio

import pytest

from bnml.app.executor import Executor
from bnml.app.guards import Guards
from bnml.app.health import watch_space
from bnml.app.inbox import LiveInbox
from bnml.app.strangers import intended
from bnml.core.commands import Submit
from bnml.core.errors import Fatal
from bnml.core.events import Timer
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.journal.reader import JournalReader
from bnml.journal.reserve import Reserve
from tests.app.test_executor import Venue
from tests.journal.test_full_disk import NAME, cramped, sound

ROUNDS, PAGES = 100, 5


def orders(number):
    """A stop, and a sale."""
    stop = OrderTicket("BTCUSDT", f"s{number}", Side.SELL, OrderType.STOP_LOSS, 100, 0, 40)
    sale = OrderTicket("BTCUSDT", f"x{number}", Side.SELL, OrderType.MARKET, 100)
    return [Submit(ApprovedOrder(one, "protection")) for one in (stop, sale)]


async def leave(path, venue, *, reserve):
    """Ask for orders, again and again, while the disk fills up; returns whether it did, and the last word on entries."""
    writer, _ = await cramped(path, PAGES)
    if not reserve:
        Reserve(path).release()
    executor = Executor(
        venue, writer, LiveInbox(), now_ns=int, request_training=lambda *_: None, sequential=True
    )
    tasks = [asyncio.create_task(one) for one in (writer.run(), executor.run())]
    try:
        for number in range(ROUNDS):
            seq = writer.append_event(Timer(NAME, number))
            writer.append_commands(seq, orders(number))
            executor.submit(seq, orders(number))
            await writer.barrier()
        while not executor.idle and not tasks[1].done():  # noqa: ASYNC110 - the executor has no event for tests
            await asyncio.sleep(0)
        guards = Guards(LiveInbox(), lambda: 1)
        is_full, writer.reserve.hold = writer.is_full, lambda: False  # the disk remains as full as it is
        watch_space(writer, guards)
        return is_full, guards.level("space")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await writer.close()


def names(sent):
    return [one.order.ticket.client_order_id for one in sent]


def intents(path):
    with JournalReader(path) as journal:
        return [name for _, command in journal.commands() for name in intended(command)]


def test_f46_stops_and_sales_leave_on_a_full_disk_each_with_its_intent_and_entries_wait(tmp_path):
    venue, path = Venue(), tmp_path / "journal.db"
    assert asyncio.run(leave(path, venue, reserve=True)) == (True, "REDUCING")
    assert not Reserve(path).is_held
    assert names(venue.sent) == [name for number in range(ROUNDS) for name in (f"s{number}", f"x{number}")]
    assert intents(path) == names(venue.sent)
    assert sound(path) == "ok"


def test_f46_without_any_room_no_order_leaves_that_has_no_intent(tmp_path):
    """Nothing is lost by it: what protects rests at the exchange, and the next start finds what has left."""
    venue, path = Venue(), tmp_path / "journal.db"
    with pytest.raises(Fatal, match="full"):
        asyncio.run(leave(path, venue, reserve=False))
    assert 0 < len(venue.sent) < 2 * ROUNDS
    assert set(names(venue.sent)) <= set(intents(path))
    assert sound(path) == "ok"
