"""Parameters are read as strictly as Binance reads them: one code for each way of being wrong."""

from decimal import Decimal

import pytest

from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.params import Params, json_text
from bnml.venues.sim.params_orders import order_key, read_list, read_order, response_type, symbol_of

LIMIT = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1.5", "price": "100.25"}


def code_of(action, *arguments, **options):
    with pytest.raises(VenueReject) as caught:
        action(*arguments, **options)
    return caught.value.reject_code


@pytest.mark.parametrize("text", ["-1", "+1", "1e-05", "1.", ".5", "0x1", " 1", "1,5", "NaN"])
def test_numbers_are_plain_decimals(text):
    assert code_of(Params({"price": text}).optional_decimal, "price") == -1100


def test_nine_decimals_are_too_precise_before_any_filter():
    assert code_of(Params({"price": "1.123456789"}).optional_decimal, "price") == -1111


def test_trailing_zeros_are_no_precision():
    assert Params({"price": "1.1234567800"}).optional_decimal("price") == Decimal("1.12345678")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"side": "HOLD"}, -1117),
        ({"type": "LIMITED"}, -1116),
        ({"timeInForce": "GTX"}, -1115),
        ({"side": ""}, -1102),
        ({"quantity": ""}, -1102),
        ({"price": "0"}, -1013),
        ({"stopPrice": "90"}, -1106),
        ({"quoteOrderQty": "10"}, -1106),
        ({"newClientOrderId": "with space"}, -1100),
        ({"newClientOrderId": "x" * 37}, -1100),
        ({"icebergQty": "one"}, -1100),
        ({"type": "MARKET", "timeInForce": "", "price": "", "icebergQty": "1"}, -1106),
        ({"trailingDelta": "100"}, -1106),
        ({"pegPriceType": "PRIMARY_PEG"}, -1020),
        ({"strategyType": "999"}, -1130),
        ({"selfTradePreventionMode": "SOMETIMES"}, -1130),
    ],
)
def test_each_wrong_order_parameter_has_its_code(values, code):
    assert code_of(read_order, Params({**LIMIT, **values}), "BTCUSDT") == code


@pytest.mark.parametrize("missing", ["side", "type", "timeInForce", "quantity", "price"])
def test_mandatory_parameters_of_a_limit_order(missing):
    values = {name: value for name, value in LIMIT.items() if name != missing}
    assert code_of(read_order, Params(values), "BTCUSDT") == -1102


def test_an_order_in_units_of_1e_8():
    order = read_order(Params({**LIMIT, "newClientOrderId": "a-1"}), "BTCUSDT")
    assert (order.quantity_e8, order.price_e8, order.client_order_id) == (150_000_000, 10_025_000_000, "a-1")
    assert (order.side, order.type, order.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.GTC)


def test_a_market_order_takes_one_of_two_quantities():
    market = {"side": "BUY", "type": "MARKET"}
    assert read_order(Params({**market, "quoteOrderQty": "50"}), "S").quote_quantity_e8 == 50 * 10**8
    assert code_of(read_order, Params({**market, "quoteOrderQty": "50", "quantity": "1"}), "S") == -1106
    assert code_of(read_order, Params(market), "S") == -1102
    assert code_of(read_order, Params({**market, "quantity": "1", "timeInForce": "GTC"}), "S") == -1106


def test_unread_parameters_are_counted():
    params = Params({**LIMIT, "reduceOnly": "true"})
    read_order(params, "BTCUSDT")
    with pytest.raises(VenueReject, match=r"read '5' parameter\(s\) but was sent '6'"):
        params.finish()


def test_unknown_symbols_and_repeated_ones():
    assert code_of(symbol_of, Params({"symbol": "NOPE"}), {"BTCUSDT"}) == -1121
    assert code_of(Params({"symbols": '["A","A"]'}).texts, "symbols") == -1151
    assert code_of(Params({"symbols": "A,B"}).texts, "symbols") == -1100


def test_an_order_is_named_by_one_id_at_least():
    assert code_of(order_key, Params({}), "S") == -1102
    assert code_of(order_key, Params({}), "S", prefix="cancel") == -1128


def test_default_answers_are_full_for_what_can_fill_at_once():
    assert response_type(Params({}), OrderType.LIMIT) == "FULL"
    assert response_type(Params({}), OrderType.STOP_LOSS) == "ACK"


def test_opoco_sizes_its_pending_orders_itself():
    values = {
        "workingType": "LIMIT",
        "workingSide": "BUY",
        "workingPrice": "100",
        "workingQuantity": "2",
        "workingTimeInForce": "FOK",
        "pendingSide": "SELL",
        "pendingAboveType": "LIMIT_MAKER",
        "pendingAbovePrice": "110",
        "pendingBelowType": "STOP_LOSS",
        "pendingBelowStopPrice": "95",
        "listClientOrderId": "list-1",
    }
    params = Params(values)
    request = read_list(params, "BTCUSDT", ListKind.OPOCO)
    params.finish()
    above, below = request.pending
    assert (request.working.quantity_e8, above.quantity_e8, below.quantity_e8) == (2 * 10**8, 0, 0)
    assert (above.type, below.type) == (OrderType.LIMIT_MAKER, OrderType.STOP_LOSS)
    assert code_of(read_list, Params({**values, "pendingQuantity": "1"}), "S", ListKind.OPOCO) == -1225
    assert code_of(read_list, Params({**values, "workingType": "MARKET"}), "S", ListKind.OPOCO) == -1116


def test_a_leg_of_an_oco_names_its_type():
    values = {"side": "SELL", "quantity": "1", "price": "110", "stopPrice": "90"}
    assert code_of(read_list, Params(values), "S", ListKind.OCO) == -1102


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (1, "1"), ("a", "a"), (1e-05, "1e-05"), (["A", "B"], '["A","B"]')]
)
def test_json_values_become_the_text_that_was_signed(value, text):
    assert json_text(value) == text
