"""`bnml bench latency`: what the stub venue sends is what Binance sends, and an order that does not come is no figure."""

import asyncio
import json

import numpy as np
import pytest

from bnml.bench import latency
from bnml.bench.inputs import instrument
from bnml.bench.latency_orders import filled_reports, replaced_reports
from bnml.bench.latency_venue import SYMBOL, Noted
from bnml.core.clock import NS_PER_MS
from bnml.core.events import Bar, Book, OrderReport
from bnml.core.orders import OrderState
from bnml.kernels.records import BAR
from bnml.venues.binance.codec import Beat, MarketCodec, Print
from bnml.venues.binance.reports import user_item

KNOWN = {SYMBOL: instrument(SYMBOL)}
OPEN_NS = 1_700_006_400_000_000_000
OTOCO = {
    "symbol": SYMBOL,
    "workingClientOrderId": "w",
    "workingQuantity": "0.0100",
    "workingPrice": "30000.00",
    "pendingAboveClientOrderId": "t",
    "pendingAbovePrice": "30060.00",
    "pendingBelowClientOrderId": "s",
}


def decoded(frame):
    return MarketCodec(KNOWN, "15m").decode(frame)[1]


def told(reports):
    items = [user_item(json.dumps({**report, "i": 1}).encode(), KNOWN) for report in reports]
    assert all(isinstance(item, OrderReport) for item in items)
    return [(item.client_order_id, item.state) for item in items]


def test_frames_say_what_they_were_made_of():
    row = np.array([(OPEN_NS, 3_000_000, 3_000_200, 2_999_900, 3_000_100, 123_456)], dtype=BAR)[0]
    bar = decoded(latency.kline(row))
    assert isinstance(bar, Bar)
    assert (bar.ts_open_ns, bar.ts_close_ns) == (OPEN_NS, OPEN_NS + latency.FRAME_NS)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume_lots) == tuple(row)[1:]
    book = decoded(latency.depth(row))
    assert isinstance(book, Book)
    assert (book.bid, book.ask) == (3_000_099, 3_000_101)
    assert decoded(latency.beat(row)) == Beat(OPEN_NS + latency.FRAME_NS - 3 * NS_PER_MS)
    assert decoded(latency.trade(3_000_300, OPEN_NS, 7)) == Print(SYMBOL, OPEN_NS, 3_000_300, 500, 7)


def test_an_accepted_entry_keeps_only_the_stop_that_stands_alone():
    filled, opened = OrderState.FILLED, OrderState.OPEN
    assert told(filled_reports(OTOCO, 1)) == [
        ("w", filled), ("t", opened), ("s", opened), ("t", filled), ("s", OrderState.EXPIRED)
    ]  # fmt: skip
    alone = {name: value for name, value in OTOCO.items() if not name.startswith("pending")}
    reports = filled_reports({**alone, "pendingClientOrderId": "s"}, 1)
    assert told(reports) == [("w", filled), ("s", opened)]


def test_a_moved_stop_is_cancelled_by_its_own_name():
    moved = {
        "symbol": SYMBOL,
        "cancelOrigClientOrderId": "old",
        "newClientOrderId": "new",
        "quantity": "0.0100",
    }
    assert told(replaced_reports(moved, 1)) == [("old", OrderState.CANCELED), ("new", OrderState.OPEN)]


def test_an_order_that_did_not_come_is_no_figure():
    assert latency.counted(Noted([1, 2], [3, 4]), 1) == Noted([2], [4])
    with pytest.raises(AssertionError, match="the order after frame 2 did not come"):
        latency.counted(Noted([1, 2], [3, -1]), 1)


def test_every_way_is_measured_against_an_echo_of_the_same_run():
    figures = asyncio.run(latency.figures_of(samples=3, warm_up=1))
    assert [figure.goal for figure in figures] == [
        "bnml / yardstick <= 3.5", "bnml / yardstick <= 12", "bnml / yardstick <= 25", "bnml <= 50 ms"
    ]  # fmt: skip
    assert all(figure.bnml > 0 and figure.yardstick > 0 for figure in figures)
