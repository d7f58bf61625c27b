import pytest

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import Balances, CancelFailed, InstrumentUpdate, OrderReport
from bnml.core.instrument import Instrument
from bnml.core.orders import (
    ApprovedOrder,
    ListKind,
    ListTicket,
    OrderTicket,
    OrderType,
    Side,
    TimeInForce,
)
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.inprocess import SimVenue
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import HOUR_NS, SYMBOL, costs
from tests.venues.sim.test_feed import rows

INSTRUMENT = Instrument(SYMBOL, "BTC", "USDT", 10**6, 10**5)


@pytest.fixture
def venue():
    bars = rows(
        (0, 10_000, 10_000, 10_000, 10_000, 40_000),
        (1, 10_000, 10_100, 9_950, 10_050, 40_000),
        (2, 9_500, 9_500, 9_400, 9_450, 40_000),
    )
    feed = BarFeed({SYMBOL: INSTRUMENT}, {SYMBOL: bars}, HOUR_NS, Pricing(costs()), HOUR_NS)
    made = SimVenue(feed, Pricing(costs()), {"USDT": 10**13})
    made.advance()
    return made


def ticket(leg, type_, side=Side.SELL, lots=0, **levels):
    return OrderTicket(SYMBOL, leg, side, type_, lots, **levels)


def entry(lots=1000, cap=10_050):
    """An entry with both legs; quantities of pending legs are the engine's estimate."""
    working = ticket("w", OrderType.LIMIT, Side.BUY, lots, price_ticks=cap, time_in_force=TimeInForce.FOK)
    pending = (
        ticket("t", OrderType.LIMIT_MAKER, lots=lots, price_ticks=10_200),
        ticket("s", OrderType.STOP_LOSS, lots=lots, stop_price_ticks=9_800),
    )
    made = ListTicket(SYMBOL, "l", ListKind.OPOCO, working, pending)
    return Submit(ApprovedOrder(made, "entry"))


def single(made):
    return Submit(ApprovedOrder(made, "test"))


def said(events):
    return [
        (event.client_order_id, str(event.state)) if isinstance(event, OrderReport) else type(event).__name__
        for event in events
    ]


def test_start_tells_instruments_then_balances(venue):
    update, balances = venue.start()
    assert isinstance(update, InstrumentUpdate)
    assert balances == Balances(HOUR_NS, {"USDT": (10**13, 0)})
    (bar,) = venue.history(SYMBOL)
    assert (bar.ts_close_ns, bar.close) == (HOUR_NS, 10_000)


def test_entry_reports_fill_and_legs_with_their_real_quantity(venue):
    events = venue.execute(entry())
    assert said(events) == [
        ("w", "OPEN"),
        ("t", "SLEEPING"),
        ("s", "SLEEPING"),
        ("w", "FILLED"),
        ("t", "OPEN"),
        ("s", "OPEN"),
    ]
    fill = events[3]
    assert (fill.last_lots, fill.last_ticks, fill.cumulative_lots, fill.trade_id) == (1000, 10_000, 1000, 1)
    assert (fill.commission_asset, fill.commission_e8) == ("BTC", 10**5)
    assert events[5].quantity_lots == 999


def test_steps_bring_the_reports_of_their_prints(venue):
    venue.execute(entry())
    reports = []
    while (advance := venue.advance()) is not None:
        reports.extend(advance.reports)
    assert said(reports) == [("t", "EXPIRED"), ("s", "FILLED")]
    assert reports[1].last_ticks == 9_500  # jumped over by the open of the third bar
    assert reports[1].ts_ns == 2 * HOUR_NS


def test_refused_list_rejects_every_leg(venue):
    events = venue.execute(entry(lots=100_000_000))
    assert said(events) == [("w", "REJECTED"), ("t", "REJECTED"), ("s", "REJECTED")]
    assert {event.code for event in events} == {-2010}


def test_cancel_of_nothing_is_a_failed_cancel(venue):
    (order_event,) = venue.execute(CancelOrder(SYMBOL, "gone", "test"))
    (list_event,) = venue.execute(CancelList(SYMBOL, "gone", "test"))
    for event in (order_event, list_event):
        assert isinstance(event, CancelFailed)
        assert (event.client_order_id, event.code) == ("gone", -2011)


def test_cancel_list_cancels_both_legs(venue):
    venue.execute(entry())
    assert said(venue.execute(CancelList(SYMBOL, "l", "trail"))) == [("t", "CANCELED"), ("s", "CANCELED")]


def test_replacing_a_stop(venue):
    venue.execute(single(ticket("b", OrderType.MARKET, Side.BUY, 1001)))
    venue.execute(single(ticket("s", OrderType.STOP_LOSS, lots=999, stop_price_ticks=9_800)))
    better = ticket("s2", OrderType.STOP_LOSS, lots=999, stop_price_ticks=9_900)
    assert said(venue.execute(ReplaceOrder("s", better, "trail"))) == [("s", "CANCELED"), ("s2", "OPEN")]
    events = venue.execute(ReplaceOrder("s", better, "trail"))
    assert said(events) == ["CancelFailed", ("s2", "REJECTED")]
    beyond = ticket("s3", OrderType.STOP_LOSS, lots=999, stop_price_ticks=10_000)
    events = venue.execute(ReplaceOrder("s2", beyond, "trail"))
    assert said(events) == [("s2", "CANCELED"), ("s3", "REJECTED")]
    assert events[1].text == "Stop price would trigger immediately."


def test_query_gives_every_fill_again_and_the_state(venue):
    placed = venue.execute(single(ticket("b", OrderType.MARKET, Side.BUY, 1000)))
    assert venue.execute(QueryOrder(SYMBOL, "b")) == [placed[-1]]
    venue.execute(single(ticket("r", OrderType.LIMIT_MAKER, Side.BUY, 1000, price_ticks=9_000)))
    assert said(venue.execute(QueryOrder(SYMBOL, "r"))) == [("r", "OPEN")]


def test_query_of_an_order_that_never_arrived_gives_nothing(venue):
    assert venue.execute(QueryOrder(SYMBOL, "never")) == []
