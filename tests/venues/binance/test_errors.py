import msgspec
import pytest

from bnml.core.errors import AccessRefused, Rejected, Retryable, UnknownOutcome
from bnml.venues.binance.errors import ErrorBody, ReplacementFailed, error_of, step_of
from bnml.venues.binance.outcomes import Step


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


def test_f74_every_half_of_a_replacement_is_read_never_assumed():
    def made(cancel, new, cancel_code=-2011, new_code=-2010):
        data = {
            "cancelResult": cancel,
            "newOrderResult": new,
            "cancelResponse": {"code": cancel_code, "msg": "cancel"},
            "newOrderResponse": {"code": new_code, "msg": "new"},
        }
        body = ErrorBody(-2021, "", msgspec.Raw(msgspec.json.encode(data)))
        return error_of(409, body, "order.cancelReplace")

    refused_new, refused_cancel = made("SUCCESS", "FAILURE"), made("FAILURE", "NOT_ATTEMPTED")
    assert (refused_new.cancelled, refused_new.placed, refused_new.code) == (True, False, -2010)
    assert (refused_cancel.cancelled, refused_cancel.placed, refused_cancel.code) == (False, False, -2011)
    only_new = made("FAILURE", "SUCCESS")
    assert (only_new.cancelled, only_new.placed) == (False, True)
    assert only_new.result  # the order that nobody expected is told of
    # a half without a clear word, or a body without halves: both are read up
    assert isinstance(made("SUCCESS", "FAILURE", new_code=-1007), UnknownOutcome)
    assert isinstance(made("SUCCESS", "SUCCESS"), UnknownOutcome)
    for content in (b"", b"[]", b'{"cancelResult": 3}', b"<html>"):
        error = error_of(409, ErrorBody(-2021, "", msgspec.Raw(content)), "order.cancelReplace")
        assert isinstance(error, UnknownOutcome)


HALVES = {
    "cancelResult": "FAILURE",
    "newOrderResult": "NOT_ATTEMPTED",
    "cancelResponse": {"code": -2011, "msg": "Unknown order sent."},
    "newOrderResponse": None,
}


@pytest.mark.parametrize("field", ["cancelResult", "newOrderResult"])
@pytest.mark.parametrize("word", [None, "", "PENDING", 3, [], "missing"])
def test_f74_a_half_without_a_word_that_is_documented_is_unknown(field, word):
    data = {**HALVES, field: word}
    if word == "missing":
        del data[field]
    body = ErrorBody(-2022, "", msgspec.Raw(msgspec.json.encode(data)))
    assert isinstance(error_of(409, body, "order.cancelReplace"), UnknownOutcome)
    whole = ErrorBody(-2022, "", msgspec.Raw(msgspec.json.encode(HALVES)))
    assert isinstance(error_of(409, whole, "order.cancelReplace"), ReplacementFailed)


def test_errors_carry_what_they_ask_for():
    assert step_of(error_of(429, ErrorBody(-1015, "Too many new orders"), "x")) is Step.PAUSE_ORDERS
    assert step_of(error_of(418, ErrorBody(-1003, "banned"), "x")) is Step.BAN
    firewall = error_of(403, ErrorBody(0, "<html>"), "x")
    assert isinstance(firewall, Retryable)
    assert firewall.retry_after_s == 30
    assert step_of(Rejected("Filter failure: LOT_SIZE", code=-1013)) is Step.REFILTER
