import pytest

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import Fatal
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderTicket, OrderType, Side, TimeInForce
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.requests import request_of
from bnml.venues.binance.venue import lane_of
from tests.venues.binance.kit import ALL

WORKING = OrderTicket("BTCUSDT", "w", Side.BUY, OrderType.LIMIT, 100, 5_000_000, 0, TimeInForce.FOK)
TARGET = OrderTicket("BTCUSDT", "t", Side.SELL, OrderType.LIMIT_MAKER, 99, 5_100_000)
STOP = OrderTicket("BTCUSDT", "s", Side.SELL, OrderType.STOP_LOSS, 99, 0, 4_900_000)


def submit(ticket):
    return request_of(Submit(ApprovedOrder(ticket, "test")), ALL)


def listed(kind, working, *pending):
    return submit(ListTicket("BTCUSDT", "l", kind, working, pending))


def test_a_single_order_carries_exactly_what_its_type_takes():
    request = submit(WORKING)
    assert (request.api_method, request.http_method, request.path) == ("order.place", "POST", "/api/v3/order")
    assert request.params == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "newClientOrderId": "w",
        "quantity": "0.00100",
        "price": "50000.00",
        "timeInForce": "FOK",
        "newOrderRespType": "FULL",
    }


def test_a_stop_carries_no_price():
    params = submit(STOP).params
    assert params["stopPrice"] == "49000.00"
    assert "price" not in params


def test_an_opoco_leaves_the_pending_quantity_to_the_venue():
    request = listed(ListKind.OPOCO, WORKING, TARGET, STOP)
    assert request.api_method == "orderList.place.opoco"
    assert request.path == "/api/v3/orderList/opoco"
    assert "pendingQuantity" not in request.params
    assert request.params["workingTimeInForce"] == "FOK"
    assert request.params["pendingAboveType"] == "LIMIT_MAKER"
    assert request.params["pendingAbovePrice"] == "51000.00"
    assert request.params["pendingBelowStopPrice"] == "49000.00"
    assert request.params["pendingSide"] == "SELL"


def test_an_otoco_states_it():
    assert listed(ListKind.OTOCO, WORKING, TARGET, STOP).params["pendingQuantity"] == "0.00099"


def test_an_opo_has_one_pending_order():
    params = listed(ListKind.OPO, WORKING, STOP).params
    assert params["pendingType"] == "STOP_LOSS"
    assert params["pendingStopPrice"] == "49000.00"
    with pytest.raises(Fatal, match="exactly one"):
        listed(ListKind.OPO, WORKING, TARGET, STOP)


def test_an_oco_has_two_legs_and_no_working_order():
    params = listed(ListKind.OCO, None, TARGET, STOP).params
    assert (params["aboveClientOrderId"], params["belowClientOrderId"]) == ("t", "s")
    assert params["quantity"] == "0.00099"


def test_cancels_name_what_they_end():
    assert request_of(CancelOrder("BTCUSDT", "t", ""), ALL).params["origClientOrderId"] == "t"
    request = request_of(CancelList("BTCUSDT", "l", ""), ALL, cancel_id="c")
    assert (request.http_method, request.params["newClientOrderId"]) == ("DELETE", "c")


def test_a_replacement_stops_when_the_cancel_fails():
    request = request_of(ReplaceOrder("s", STOP, ""), ALL)
    assert request.params["cancelReplaceMode"] == "STOP_ON_FAILURE"
    assert request.params["cancelRestrictions"] == "ONLY_NEW"
    assert request.params["cancelOrigClientOrderId"] == "s"


def test_a_query_does_not_count_as_an_order():
    assert not request_of(QueryOrder("BTCUSDT", "t"), ALL).order


def test_cancels_and_exits_go_before_entries():
    entry = Submit(ApprovedOrder(ListTicket("BTCUSDT", "l", ListKind.OPO, WORKING, (STOP,)), ""))
    protection = Submit(ApprovedOrder(ListTicket("BTCUSDT", "l", ListKind.OCO, None, (TARGET, STOP)), ""))
    lanes = [
        lane_of(one) for one in (CancelOrder("B", "t", ""), protection, ReplaceOrder("s", STOP, ""), entry)
    ]
    assert lanes == [Lane.CANCEL, Lane.EXIT, Lane.EXIT, Lane.ENTRY]
