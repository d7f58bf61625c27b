import asyncio

from bnml.app.health import PROBE_S, LoopLag
from bnml.app.inbox import LiveInbox, SteppedInbox
from bnml.core.clock import NS_PER_MS, ManualClock
from bnml.core.events import Bar, Book, OrderReport, Timer
from bnml.core.orders import OrderState, Side
from bnml.venues.binance.codec import Print

ONE, TWO, THREE = (Timer(name, 1) for name in ("one", "two", "three"))
PRINT, NEXT = Print("BTCUSDT", 1, 100, 5, 1), Print("BTCUSDT", 2, 101, 5, 2)


async def test_own_consequences_go_before_what_the_venue_sent():
    inbox = LiveInbox()
    await inbox.put(0, PRINT)
    inbox.complete(0, [TWO])
    assert await inbox.batch() == [TWO, PRINT]


async def test_a_full_inbox_makes_its_producer_wait():
    inbox = LiveInbox(capacity=1)
    await inbox.put(0, PRINT)
    waiting = asyncio.create_task(inbox.put(0, NEXT))
    await asyncio.sleep(0)
    assert not waiting.done()
    await inbox.put(0, ONE)  # what concerns our orders is never held up
    assert inbox.ready() == [ONE, PRINT]
    await waiting
    assert inbox.ready() == [NEXT]


def burst(symbols, prints):
    """A volatile moment, as it comes: prints and books of every symbol, an event of our own now and then, a bar each."""
    sent = []
    for number in range(prints):
        for place, symbol in enumerate(symbols):
            sent.append(Print(symbol, number, 1000 + (number * 37 + place) % 101, 1, number + 1))
            sent.append(Book(symbol, number + 1, number + 2, number))
        if number % 10 == 0:
            sent.append(report(number))
        if number == prints // 2:
            sent += [Bar(symbol, 0, 60, 1, 2, 1, 2, 9) for symbol in symbols]
    return sent


def report(number):
    return OrderReport("BTCUSDT", f"o{number}", number, OrderState.OPEN, Side.BUY)


def extremes(items, symbol):
    """(highest, lowest, last) before and after the bar."""
    found, part = [], []
    for item in items:
        if isinstance(item, Bar) and item.symbol == symbol:
            found.append(part)
            part = []
        elif isinstance(item, Print) and item.symbol == symbol:
            part.append(item.ticks)
    return [(max(part), min(part), part[-1]) for part in (*found, part)]


async def test_f40_a_burst_is_thinned_out_and_no_report_of_ours_is_lost():
    symbols = [f"S{number}USDT" for number in range(20)]
    sent, inbox, largest = burst(symbols, 500), LiveInbox(capacity=10_000), 0
    lag = LoopLag(clock := ManualClock(), lambda: 0)
    measuring = asyncio.create_task(lag.run())
    await asyncio.sleep(0)  # it begins to
    async with asyncio.timeout(20):
        for item in sent:
            await inbox.put(0, item)  # without a pause: nothing else of the loop has its turn
            largest = max(largest, len(inbox._items))
        clock.advance(2000 * NS_PER_MS)
        while not lag.lately.last_ms:  # noqa: ASYNC110 - a measurement tells nobody
            await asyncio.sleep(PROBE_S)
    measuring.cancel()
    assert lag.lately.longest_ms == 2000 - 1000 * PROBE_S  # as `status` and each row of health tell it
    assert largest <= 10_000
    left = inbox.ready()
    assert [item for item in left if isinstance(item, OrderReport)] == [
        item for item in sent if isinstance(item, OrderReport)
    ]
    assert [item for item in left if isinstance(item, Bar)] == [
        item for item in sent if isinstance(item, Bar)
    ]
    for symbol in symbols:
        assert extremes(left, symbol) == extremes(sent, symbol)
        last = [item for item in left if isinstance(item, Book) and item.symbol == symbol][-1]
        assert last.depth_e8 == 499
    assert len(left) < len(sent) / 2
    assert inbox.thinned == len(sent) - len(left)


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
    assert not waiting.done()
    inbox.complete(1, [ONE])
    await waiting
    assert inbox.ready() == [ONE]
