"""Payloads have the fields of Binance's documented examples, no more and no less."""

import json

import msgspec
import pytest

from bnml.core.clock import NS_PER_MS
from bnml.core.events import Bar
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.venues.sim import payloads_market as market
from bnml.venues.sim.depth import changes
from bnml.venues.sim.klines import estimate_of, kline_of
from bnml.venues.sim.market import Average, Ticker
from bnml.venues.sim.messages import (
    AccountPosition,
    BalanceUpdate,
    BookLevels,
    Execution,
    ExecutionReport,
    ListStatus,
    ListView,
    OrderView,
    Status,
    TradeRecord,
)
from bnml.venues.sim.payloads_account import AccountPayloads
from bnml.venues.sim.symbol_market import PublicTrade

BNB = Instrument("BNBBTC", "BNB", "BTC", tick_e8=10_000, lot_e8=100 * E8)
TS_NS = 1_672_515_782_136 * NS_PER_MS
TRADE = PublicTrade(12_345, 10, 1, TS_NS, buyer_is_maker=True)
BOOK = BookLevels("BNBBTC", TS_NS, ((24, 1),), ((26, 2),), 0, 160)
TICKER = Ticker("BNBBTC", 0, TS_NS, 10, 25, 10, 25, 100, 18 * E8, 18_151, 0, 18_150)
BAR = Bar("BNBBTC", TS_NS, TS_NS + 60 * 10**9, 10, 25, 15, 20, 10, 100)
OLD = BookLevels("BNBBTC", TS_NS, ((23, 5), (24, 1)), ((26, 1),), 0, 156)


@pytest.fixture(scope="module")
def examples(data_dir):
    """Documented examples by event name."""
    found = {}
    for name in ("web-socket-streams", "user-data-stream"):
        for line in (
            (data_dir / "fixtures" / "binance_docs" / f"{name}.examples.jsonl").read_text().splitlines()
        ):
            example = json.loads(line)["example"]
            event = example.get("event", example) if isinstance(example, dict) else {}
            key = event.get("e") or (
                "bookTicker" if "B" in event else "depth" if "lastUpdateId" in event else ""
            )
            found.setdefault(key, event)
    return found


def order(**changes):
    values = {
        "account": "main", "symbol": "BNBBTC", "order_id": 7, "list_id": -1, "client_order_id": "mine",
        "side": Side.BUY, "type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC, "quantity_lots": 2,
        "quote_quantity_e8": 0, "price_ticks": 10, "stop_price_ticks": 0, "status": Status.NEW,
        "executed_lots": 0, "executed_quote_e8": 0, "is_working": True, "created_ns": TS_NS, "updated_ns": TS_NS,
        "working_ns": TS_NS, "expiry_reason": "",
    }  # fmt: skip
    return OrderView(**{**values, **changes})


FILL = TradeRecord("main", "BNBBTC", 3, 7, -1, 10, 1, 10_000_000, 10_000, "BNB", TS_NS, True, False)


def difference():
    return market.depth_event(
        BNB, 1, (157, 160), (changes(OLD.bids, BOOK.bids), changes(OLD.asks, BOOK.asks))
    )


def report(execution=Execution.NEW, trade=None, **changes):
    return ExecutionReport("main", TS_NS, 5, execution, order(**changes), "mine", "", trade)


def user(event):
    return AccountPayloads({"BNBBTC": BNB}).user_event(event)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("trade", market.trade_event(TRADE, BNB, 1)),
        ("aggTrade", market.aggregate_event([TRADE], BNB, 1)),
        ("kline", market.kline_event(kline_of(BAR, estimate_of(BAR, BNB)), BNB, "1m", 1, is_closed=True)),
        ("24hrMiniTicker", market.mini_ticker_event(TICKER, BNB, 1)),
        ("24hrTicker", market.ticker_event(TICKER, BOOK, BNB, 1)),
        ("avgPrice", market.average_event(Average(E8, TS_NS), 5, "BNBBTC", 1)),
        ("1hTicker", market.window_ticker_event(TICKER, BNB, "1h", 1)),
        ("bookTicker", market.book_ticker_event(BOOK, BNB)),
        ("depth", market.depth(BOOK, BNB, 5)),
        ("depthUpdate", difference()),
        ("outboundAccountPosition", user(AccountPosition("main", TS_NS, {"BNB": (1, 2)}))),
        ("balanceUpdate", user(BalanceUpdate("main", TS_NS, "BNB", -5))),
        ("executionReport", user(report())),
        (
            "listStatus",
            user(ListStatus("main", TS_NS, ListView("main", "BNBBTC", 1, "l", ListKind.OCO, "OCO", "EXEC_STARTED",
                                                    "EXECUTING", TS_NS, (order(),)))),
        ),
    ],
)  # fmt: skip
def test_fields_are_the_documented_ones(examples, name, payload):
    documented = dict(examples[name])
    if name == "executionReport":
        del documented["v"]  # only after self-trade prevention
    assert shape(json.loads(msgspec.json.encode(payload))) == shape(documented)


def shape(value):
    """Names, and kinds of values: texts stay texts, numbers stay numbers."""
    if isinstance(value, dict):
        return {name: shape(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def test_amounts_have_eight_decimals_and_no_exponent():
    shown = user(report(Execution.TRADE, FILL, status=Status.PARTIALLY_FILLED, executed_lots=1,
                        executed_quote_e8=10_000_000))  # fmt: skip
    assert (shown["q"], shown["p"], shown["l"], shown["L"]) == (
        "200.00000000",
        "0.00100000",
        "100.00000000",
        "0.00100000",
    )
    assert (shown["n"], shown["N"], shown["t"], shown["Y"], shown["Z"]) == (
        "0.00010000",
        "BNB",
        3,
        "0.10000000",
        "0.10000000",
    )


def test_a_sleeping_leg_has_no_working_time_and_an_expired_order_its_reason():
    assert "W" not in user(report(status=Status.PENDING_NEW, is_working=False, working_ns=-1))
    assert (
        user(report(Execution.EXPIRED, status=Status.EXPIRED, expiry_reason="OCO_TRIGGER"))["eR"]
        == "OCO_TRIGGER"
    )


def test_a_depth_difference_removes_adds_and_changes_levels():
    event = difference()
    assert (event["U"], event["u"]) == (157, 160)
    assert event["b"] == [["0.00230000", "0.00000000"]]
    assert event["a"] == [["0.00260000", "200.00000000"]]
