import asyncio

import msgspec
import pytest

from bnml.app.rescue import Rescue, VenueOrder
from bnml.core.errors import Fatal
from bnml.core.events import Balances, CapitalFlow, OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, OrderBook, Role
from bnml.venues.binance.reports import (
    StreamEnded,
    account_trades,
    api_frame,
    balances_of,
    order_answer,
    reports_of_result,
    traded_reports,
    user_item,
)
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.wire import EMPTY
from tests.venues.binance.kit import ALL, BNB_BTC, BTC, ETH_BTC
from tests.virtual_time import in_virtual_time

MS = 10**6


def recorded(data_dir, name):
    return (data_dir / "fixtures/nautilus/spot" / name).read_bytes()


def documented(data_dir, heading):
    lines = (data_dir / "fixtures/binance_docs/user-data-stream.examples.jsonl").read_bytes().splitlines()
    rows = [msgspec.json.decode(line) for line in lines if line]
    return msgspec.json.encode(next(row["example"] for row in rows if row["heading"] == heading))


def test_the_documented_new_order_is_open(data_dir):
    frame = api_frame(documented(data_dir, "Order Update"))
    item = user_item(frame.event, ALL)
    assert item == OrderReport(
        "ETHBTC",
        "mUvoqJxFIILMdfAW5iGSOW",
        1499405658657 * MS,
        OrderState.OPEN,
        Side.BUY,
        venue_order_id=4293153,
        quantity_lots=10_000,
    )


def test_every_recorded_execution_keeps_its_facts(data_dir):
    folder = data_dir / "fixtures/nautilus/spot/user_data_json"
    seen = set()
    for path in sorted(folder.glob("execution_report_*.json")):
        raw = msgspec.json.decode(path.read_bytes())
        event = raw.get("event", raw)
        instruments = {event["s"]: msgspec.structs.replace(ETH_BTC, symbol=event["s"], tick_e8=1, lot_e8=1)}
        item = user_item(msgspec.json.encode(event), instruments)
        seen.add(item.state)
        assert item.ts_ns == event["T"] * MS
        assert item.cumulative_lots == round(float(event["z"]) * 1e8)
        assert (item.trade_id > 0) == (event["x"] == "TRADE")
        if item.trade_id:
            assert item.last_ticks == round(float(event["L"]) * 1e8)
            assert item.commission_asset == event["N"]
    assert {OrderState.OPEN, OrderState.CANCELED, OrderState.EXPIRED} <= seen


def test_a_cancelled_order_is_named_by_its_own_id(data_dir):
    raw = msgspec.json.decode(recorded(data_dir, "user_data_json/execution_report_canceled.json"))
    event = raw.get("event", raw)
    event |= {
        "x": "CANCELED",
        "X": "CANCELED",
        "C": "ours-1",
        "c": "cancel-1",
        "s": "ETHBTC",
        "q": "1",
        "z": "0",
    }
    assert user_item(msgspec.json.encode(event), ALL).client_order_id == "ours-1"


def test_balances_flows_and_the_end_of_the_stream(data_dir):
    account = user_item(api_frame(documented(data_dir, "Account Update")).event, ALL)
    assert account == Balances(1564034571105 * MS, {"ETH": (10_000 * 10**8, 0)})
    flow = user_item(api_frame(documented(data_dir, "Balance Update")).event, ALL)
    assert flow == CapitalFlow("BTC", 100 * 10**8, 1573200697068 * MS)
    ended = user_item(api_frame(documented(data_dir, "Event Stream Terminated")).event, ALL)
    assert ended == StreamEnded(1728973001334 * MS)


def test_foreign_symbols_and_list_events_say_nothing(data_dir):
    assert user_item(api_frame(documented(data_dir, "Order Update")).event, {}) is None
    assert user_item(api_frame(documented(data_dir, "Order Reject Reason")).event, ALL) is None


def test_an_unknown_state_is_never_guessed():
    answer = b'{"symbol":"BTCUSDT","clientOrderId":"a","status":"SOMETHING","side":"BUY"}'
    with pytest.raises(Fatal, match="SOMETHING"):
        reports_of_result("order.place", answer, ALL)


def test_a_full_answer_gives_one_report_per_fill(data_dir):
    found = reports_of_result(
        "order.place", recorded(data_dir, "http_json/new_order_full_response.json"), ALL
    )
    assert [one.state for one in found] == [OrderState.PARTLY_FILLED] * 4 + [OrderState.FILLED]
    assert [one.trade_id for one in found] == [56, 57, 58, 59, 60]
    assert found[-1].cumulative_lots == BTC.quantity_lots("10")
    assert sum(one.last_lots for one in found) == BTC.quantity_lots("10")
    assert found[0].commission_e8 == 4 * 10**8


def test_a_cancel_answer_names_the_cancelled_order(data_dir):
    (found,) = reports_of_result(
        "order.cancel", recorded(data_dir, "http_json/cancel_order_response.json"), ALL
    )
    assert (found.client_order_id, found.state) == ("myOrder1", OrderState.CANCELED)


def test_a_query_with_trades_tells_the_fills_that_were_missed(data_dir):
    trades = account_trades(recorded(data_dir, "http_json/account_trades_response.json"))
    answer = order_answer(
        b'{"symbol":"BNBBTC","clientOrderId":"a","orderId":100234,"status":"FILLED","side":"BUY",'
        b'"origQty":"12","executedQty":"12","updateTime":1499865549590}'
    )
    (found,) = traded_reports(answer, trades, BNB_BTC)
    assert (found.state, found.trade_id, found.cumulative_lots) == (OrderState.FILLED, 28457, 1_200)
    assert found.last_ticks == BNB_BTC.price_ticks("4.000001")
    assert (found.commission_e8, found.commission_asset) == (1_010_000_000, "BNB")


@pytest.mark.parametrize("shown", [0, 1])
def test_fills_whose_trades_are_not_shown_yet_are_still_to_come(shown):
    """Else the order would count as over with what is shown, and the rest of its fill would be lost."""
    trades = account_trades(
        b'[{"id":1,"orderId":5,"price":"100.00","qty":"0.4","commission":"0","commissionAsset":"BTC","time":1,"isBuyer":true}]'
    )
    answer = order_answer(
        b'{"symbol":"BTCUSDT","clientOrderId":"a","orderId":5,"status":"FILLED","side":"BUY",'
        b'"origQty":"1","executedQty":"1"}'
    )
    book = OrderBook()
    book.register(Order("a", "BTCUSDT", Side.BUY, Role.WORKING, 1, BTC.quantity_lots("1"), 10_000))
    for report in traded_reports(answer, trades[:shown], BTC):
        book.apply(report)
    assert book.get("a").state is OrderState.FILLED
    assert not book.get("a").is_settled
    later = msgspec.structs.replace(trades[0], id=2, qty="0.6")
    for report in traded_reports(answer, [*trades, later], BTC):
        book.apply(report)
    assert book.get("a").is_settled
    assert book.get("a").applied_lots == BTC.quantity_lots("1")


class Lagging:
    """Shows the trades of a filled order some reads after the order."""

    def __init__(self, late):
        self.late, self.reads = late, 0
        self.signer = None

    async def read(self, path, *_):
        if path == "/api/v3/order":
            return (
                b'{"symbol":"BTCUSDT","clientOrderId":"a","orderId":5,"status":"FILLED","side":"SELL",'
                b'"origQty":"1","executedQty":"1"}'
            )
        self.reads += 1
        if self.reads <= self.late:
            return b"[]"
        return b'[{"id":1,"orderId":5,"price":"1.00","qty":"1","commission":"0","commissionAsset":"BTC","time":1,"isBuyer":false}]'


@in_virtual_time
async def test_trades_that_are_shown_late_are_waited_for_though_not_for_ever():
    rest = Lagging(late=4)
    (found,) = await BinanceVenue(rest, None, {"BTCUSDT": BTC}).order_reports("BTCUSDT", "a")
    assert (found.state, found.trade_id, found.last_lots) == (OrderState.FILLED, 1, BTC.quantity_lots("1"))
    began_s = asyncio.get_running_loop().time()
    (found,) = await BinanceVenue(Lagging(late=99), None, {"BTCUSDT": BTC}).order_reports("BTCUSDT", "a")
    assert (found.trade_id, found.cumulative_lots) == (0, BTC.quantity_lots("1"))
    assert 4 <= asyncio.get_running_loop().time() - began_s < 5


class Crumbs(Lagging):
    """An order that filled in `count` trades, of which a page shows as the venue does: the newest, or from an id on."""

    def __init__(self, count):
        super().__init__(0)
        trade = {"orderId": 5, "price": "1.00", "commission": "0.00001", "commissionAsset": "BTC", "time": 1}
        self.rows = [
            {"id": 3 * number, "qty": f"{1 / count:.8f}", "isBuyer": True, **trade}
            for number in range(1, count + 1)
        ]

    async def read(self, path, params, *_):
        if path == "/api/v3/order":
            return await super().read(path)
        assert params["orderId"] == "5"
        if "fromId" not in params:
            return msgspec.json.encode(self.rows[-int(params["limit"]) :])
        rows = [row for row in self.rows if row["id"] >= int(params["fromId"])]
        return msgspec.json.encode(rows[: int(params["limit"])])


@pytest.mark.parametrize("count", [1_000, 2_000, 2_500])
async def test_an_order_of_more_fills_than_a_page_is_told_whole(count):
    """Without the oldest of them its fills and commissions did not add up, and its state was told of too few lots."""
    rest = Crumbs(count)
    found = await BinanceVenue(rest, None, {"BTCUSDT": BTC}).order_reports("BTCUSDT", "a")
    assert [one.trade_id for one in found] == [row["id"] for row in rest.rows]
    assert (found[-1].state, found[-1].cumulative_lots) == (OrderState.FILLED, BTC.quantity_lots("1"))
    rescue = Rescue(rest, "ab12", {})
    order = msgspec.convert(
        {**msgspec.json.decode(await rest.read("/api/v3/order", {})), "type": "LIMIT"}, VenueOrder
    )
    assert await rescue._commission_e8(order, "BTC") == count * 1_000


def test_a_query_of_a_partly_filled_order_ends_with_its_state():
    trades = account_trades(
        b'[{"id":1,"orderId":5,"price":"100.00","qty":"0.5","commission":"0","commissionAsset":"BTC","time":1,"isBuyer":true}]'
    )
    answer = order_answer(
        b'{"symbol":"BTCUSDT","clientOrderId":"a","orderId":5,"status":"CANCELED","side":"BUY",'
        b'"origQty":"1","executedQty":"0.5"}'
    )
    found = traded_reports(answer, trades, BTC)
    assert [one.state for one in found] == [OrderState.PARTLY_FILLED, OrderState.CANCELED]
    assert found[-1].trade_id == 0


def test_the_account_is_read_to_the_last_digit(data_dir):
    found = balances_of(recorded(data_dir, "http_json/account_response.json"), 9)
    assert found.assets["BTC"] == (472_384_689_208_129, 0)


def test_an_answer_without_event_has_none():
    frame = api_frame(b'{"id":"1","status":200,"result":{}}')
    assert frame.event == EMPTY


def test_f71_fills_finer_than_our_lot_and_tick_add_up_to_the_order():
    """The venue's grid became finer while we held something: what it fills in odd pieces is still all of the order."""
    event = {
        "e": "executionReport",
        "s": "BTCUSDT",
        "c": "a",
        "C": "",
        "x": "TRADE",
        "S": "SELL",
        "q": "0.00003",
    }
    event |= {"i": 1, "n": "0", "N": None, "m": False, "r": "NONE", "T": 5, "E": 5, "L": "100.001"}
    pieces = (("0.000004", "0.000004"), ("0.000017", "0.000021"), ("0.000009", "0.00003"))
    told = [
        user_item(
            msgspec.json.encode(event | {"X": "PARTIALLY_FILLED", "l": last, "z": so_far, "t": number}), ALL
        )
        for number, (last, so_far) in enumerate(pieces, start=1)
    ]
    assert [one.last_lots for one in told] == [0, 2, 1]
    assert [one.cumulative_lots for one in told] == [0, 2, 3]
    assert {one.last_ticks for one in told} == {10_000}
    answer = order_answer(
        b'{"symbol":"BTCUSDT","clientOrderId":"a","orderId":1,"status":"FILLED","side":"SELL",'
        b'"origQty":"0.00003","executedQty":"0.00003","updateTime":5}'
    )
    rows = [
        {"symbol": "BTCUSDT", "id": number, "orderId": 1, "price": "100.001", "qty": last, "time": 5}
        | {"commission": "0", "commissionAsset": "USDT", "isMaker": False, "isBuyer": False}
        for number, (last, _) in enumerate(pieces, start=1)
    ]
    read = traded_reports(answer, account_trades(msgspec.json.encode(rows)), BTC)
    assert [one.last_lots for one in read] == [0, 2, 1]
    assert read[-1].state is OrderState.FILLED
