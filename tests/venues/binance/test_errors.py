import msgspec
import pytest

from bnml.core.errors import AccessRefused, Rejected, Retryable, UnknownOutcome
from bnml.venues.binance.errors import ErrorBody, Kind, ReplacementFailed, error_of, kind_of


@pytest.mark.parametrize(
    ("status", "code", "text", "kind"),
    [
        (400, -1013, "Filter failure: LOT_SIZE", Kind.REFUSED),
        (400, -2010, "Account has insufficient balance for requested action.", Kind.REFUSED),
        (400, -2010, "Duplicate order sent.", Kind.UNKNOWN),  # the earlier request did arrive
        (400, -2011, "Unknown order sent.", Kind.REFUSED),
        (429, -1003, "Too much request weight used", Kind.LATER),
        (429, -1015, "Too many new orders", Kind.LATER),
        (418, 0, "", Kind.LATER),
        (400, -1021, "Timestamp for this request is outside of the recvWindow.", Kind.LATER),
        (400, -1007, "Timeout waiting for response from backend server.", Kind.UNKNOWN),
        (503, -1008, "Server is currently overloaded", Kind.UNKNOWN),
        (502, 0, "<html>", Kind.UNKNOWN),
        (504, 0, "", Kind.UNKNOWN),
        (408, 0, "", Kind.UNKNOWN),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", Kind.ACCESS),
        (400, -1022, "Signature for this request is not valid.", Kind.ACCESS),
        (403, 0, "<html>", Kind.ACCESS),
    ],
)
def test_what_an_answer_means_for_the_order(status, code, text, kind):
    assert kind_of(status, code, text) is kind


def test_every_documented_code_has_a_meaning(data_dir):
    rows = msgspec.json.decode((data_dir / "fixtures/binance_docs/error_codes.json").read_bytes())
    kinds = {row["code"]: kind_of(400, row["code"], "") for row in rows}
    unknown = {code for code, kind in kinds.items() if kind is Kind.UNKNOWN}
    assert unknown == {-1000, -1001, -1006, -1007, -1008}
    assert {code for code, kind in kinds.items() if kind is Kind.ACCESS} == {-1002, -1022, -2014, -2015}


def test_errors_say_what_the_caller_can_do():
    assert isinstance(error_of(400, ErrorBody(-1013, "Filter failure"), "order.place"), Rejected)
    assert isinstance(error_of(502, ErrorBody(0, "<html>"), "order.place"), UnknownOutcome)
    assert isinstance(error_of(401, ErrorBody(-2015, "key"), "order.place"), AccessRefused)
    later = error_of(429, ErrorBody(-1003, "slow"), "GET /api/v3/klines", retry_after_s=7)
    assert isinstance(later, Retryable)
    assert not isinstance(later, UnknownOutcome)
    assert later.retry_after_s == 7


def test_the_websocket_api_tells_the_moment_to_come_back():
    body = ErrorBody(-1003, "slow", msgspec.Raw(b'{"retryAfter": 6500}'))
    assert error_of(429, body, "order.place", now_ms=4000).retry_after_s == 2.5


@pytest.mark.parametrize(
    ("code", "cancel", "cancelled"), [(-2022, "FAILURE", False), (-2021, "SUCCESS", True)]
)
def test_half_a_replacement_says_which_half(code, cancel, cancelled):
    data = {
        "cancelResult": cancel,
        "newOrderResult": "FAILURE",
        "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
        "newOrderResponse": {"code": -2010, "msg": "Stop price would trigger immediately."},
    }
    error = error_of(
        409, ErrorBody(code, "failed", msgspec.Raw(msgspec.json.encode(data))), "order.cancelReplace"
    )
    assert isinstance(error, ReplacementFailed)
    assert error.cancelled is cancelled
    assert error.code == (-2010 if cancelled else -2011)
