import pytest

from bnml.rehearsal.shapes import differences, shape_of

ORDER = {
    "symbol": "BTCUSDT",
    "orderId": 5,
    "price": "100.00000000",
    "status": "NEW",
    "isWorking": True,
    "fills": [{"price": "1.0", "commissionAsset": "BTC"}],
}


def told(expected, found):
    return [str(one) for one in differences(shape_of(expected), shape_of(found))]


def test_other_values_of_the_same_kind_are_the_same():
    other = {**ORDER, "symbol": "ETHUSDT", "orderId": 7, "price": "3", "fills": []}
    assert told(ORDER, other) == []
    assert told(other, ORDER) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"orderId": "5"}, "orderId: expected integer, found decimal text"),
        ({"orderId": 5.5}, "orderId: expected integer, found number"),
        ({"price": None}, "price: expected decimal text, found null"),
        ({"price": "about 3"}, "price: expected decimal text, found text"),
        ({"status": "EXPIRED"}, "status: expected text NEW, found text EXPIRED"),
        ({"isWorking": False}, "isWorking: expected true/false True, found true/false False"),
        ({"fills": {}}, "fills: expected list, found object"),
        ({"fills": [{"price": "1.0"}]}, "fills[].commissionAsset: expected text, found nothing"),
        ({"more": 1}, "more: expected nothing, found integer"),
    ],
)
def test_a_difference_is_named_with_its_place(change, sentence):
    assert told(ORDER, {**ORDER, **change}) == [sentence]


def test_a_key_that_is_gone():
    assert told(ORDER, {name: one for name, one in ORDER.items() if name != "price"}) == [
        "price: expected decimal text, found nothing"
    ]


def test_keys_that_only_some_of_a_list_have_are_not_missed():
    some = [{"a": 1, "b": 2}, {"a": 1}]
    assert told(some, [{"a": 3}]) == []
    assert told([{"a": 3}], some) == []
    assert told(some, [{"b": 3}]) == ["[].a: expected integer, found nothing"]


def test_filters_are_compared_by_their_type():
    filters = [{"filterType": "LOT_SIZE", "minQty": "1"}, {"filterType": "NOTIONAL", "minNotional": "5"}]
    assert told(filters, filters[::-1]) == []
    assert told(filters, filters[:1]) == ["[NOTIONAL]: expected object, found nothing"]


def test_letters_mean_something_by_event():
    report = {"e": "executionReport", "X": "FILLED", "l": "1.0", "c": "one"}
    assert told(report, {**report, "c": "other", "l": "2.0"}) == []
    assert told(report, {**report, "X": "CANCELED"}) == ["X: expected text FILLED, found text CANCELED"]
    status = {"e": "listStatus", "c": "OCO", "O": [{"c": "one"}]}
    assert told(status, {**status, "O": [{"c": "other"}]}) == []
    assert told(status, {**status, "c": "OTO"}) == ["c: expected text OCO, found text OTO"]
