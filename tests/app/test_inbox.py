import asyncio

from bnml.app.inbox import LiveInbox, SteppedInbox
from bnml.core.events import Timer

ONE, TWO, THREE = (Timer(name, 1) for name in ("one", "two", "three"))


async def test_own_consequences_go_before_what_the_venue_sent():
    inbox = LiveInbox()
    await inbox.put(0, ONE)
    inbox.complete(0, [TWO])
    assert await inbox.batch() == [TWO, ONE]


async def test_a_full_inbox_makes_its_producer_wait():
    inbox = LiveInbox(capacity=1)
    await inbox.put(0, ONE)
    waiting = asyncio.create_task(inbox.put(0, TWO))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert inbox.ready() == [ONE]
    await waiting
    assert inbox.ready() == [TWO]


async def test_answers_without_content_wake_nobody():
    inbox = LiveInbox()
    await inbox.put(0, None)
    assert len(inbox) == 0


async def test_frames_are_released_in_the_venues_order():
    inbox = SteppedInbox()
    await inbox.put(2, TWO)
    assert inbox.ready() == []
    await inbox.put(1, ONE)
    assert inbox.ready() == [ONE, TWO]
    assert inbox.processed == 2


async def test_a_number_without_content_counts():
    inbox = SteppedInbox()
    await inbox.put(2, TWO)
    inbox.complete(1)
    assert inbox.ready() == [TWO]


async def test_an_open_answer_holds_back_what_came_after_it():
    inbox = SteppedInbox()
    await inbox.put(1, ONE)
    await inbox.put(3, THREE)
    assert inbox.ready() == [ONE]
    inbox.complete(2, [TWO])
    assert inbox.ready() == [TWO, THREE]


async def test_the_pump_is_woken_by_every_change():
    inbox = SteppedInbox()
    waiting = asyncio.create_task(inbox.changed())
    await asyncio.sleep(0)
    inbox.poke()
    await waiting
