"""One scan per closing time, in order, with the books of its moment; slices only where something is at stake."""

from hypothesis import given
from hypothesis import strategies as st

from bnml.core.events import Bar, Book, Scan, Slice
from bnml.trading.bars import BarGate

FRAME = 1000
GRACE = 20


def bar(symbol, close):
    return Bar(symbol, close - FRAME, close, 10, 12, 9, 11, 5)


def gate(*symbols, at_stake=lambda _: False, **options):
    return BarGate(symbols, GRACE, at_stake, **options)


def scans(events):
    return [event for event in events if isinstance(event, Scan)]


def test_the_last_bar_fires_the_scan_after_itself():
    one = gate("A", "B")
    assert one.on_bar(bar("A", 1000), 1000) == [bar("A", 1000)]
    assert one.on_bar(bar("B", 1000), 1001) == [bar("B", 1000), Scan(1000, 1001, ())]


def test_after_the_grace_any_event_fires_the_scan_first():
    one = gate("A", "B")
    one.on_bar(bar("A", 1000), 1000)
    assert one.on_clock(1019) == []
    assert one.on_print("A", 10, 1, 1020) == [Scan(1000, 1020, ())]


def test_a_late_bar_passes_and_is_not_scanned():
    one = gate("A", "B")
    one.on_bar(bar("A", 1000), 1000)
    one.on_clock(1020)
    assert one.on_bar(bar("B", 1000), 1030) == [bar("B", 1000)]
    assert one.on_clock(5000) == []


def test_waiting_closing_times_fire_in_ascending_order():
    one = gate("A", "B")
    one.on_bar(bar("B", 2000), 5000)
    one.on_bar(bar("A", 1000), 5001)
    assert [event.ts_close_ns for event in scans(one.on_clock(5021))] == [1000, 2000]


def test_a_complete_later_scan_lets_earlier_ones_go_first():
    one = gate("A", "B")
    one.on_bar(bar("A", 1000), 5000)
    one.on_bar(bar("A", 2000), 5001)
    assert [event.ts_close_ns for event in scans(one.on_bar(bar("B", 2000), 5002))] == [1000, 2000]


def test_the_scan_carries_the_newest_books_by_name():
    one = gate("B", "A")
    one.on_book(Book("B", 1, 2, 3), 1)
    one.on_book(Book("A", 1, 2, 3), 2)
    one.on_book(Book("B", 4, 5, 6), 3)
    one.on_book(Book("C", 4, 5, 6), 3)
    one.on_bar(bar("A", 1000), 1000)
    (scan,) = scans(one.on_bar(bar("B", 1000), 1000))
    assert scan.books == (Book("A", 1, 2, 3), Book("B", 4, 5, 6))


def test_history_is_never_scanned():
    one = gate("A", after_ns=2000)
    assert scans(one.on_bar(bar("A", 2000), 9000)) == []
    assert [event.ts_close_ns for event in scans(one.on_bar(bar("A", 3000), 9000))] == [3000]


def test_bars_of_other_symbols_pass_without_a_scan():
    one = gate("A")
    assert one.on_bar(bar("X", 1000), 1000) == [bar("X", 1000)]


def test_prints_become_slices_only_at_stake():
    one = gate("A", "B", at_stake=lambda symbol: symbol == "A")
    assert one.on_print("B", 10, 1, 5) == []
    assert one.on_print("A", 10, 1, 5) == [Slice("A", 5, 10, 10, 10, 1)]


def test_conflated_prints_keep_range_and_quantity():
    one = gate("A", at_stake=lambda _: True, conflate_ns=100)
    assert one.on_print("A", 10, 1, 100) == [Slice("A", 100, 10, 10, 10, 1)]
    assert one.on_print("A", 12, 2, 150) == []
    assert one.on_print("A", 8, 3, 199) == []
    assert one.on_clock(200) == [Slice("A", 200, 8, 12, 8, 5)]
    assert one.on_clock(400) == []


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 6), st.integers(0, 30)), max_size=40))
def test_no_closing_time_is_scanned_twice_or_backwards(deliveries):
    one, now, fired = gate("A", "B", "C"), 0, []
    for symbol, frame, pause in deliveries:
        now += pause
        fired += [event.ts_close_ns for event in scans(one.on_bar(bar(symbol, frame * FRAME), now))]
    fired += [event.ts_close_ns for event in scans(one.on_clock(now + GRACE))]
    assert fired == sorted(set(fired))
