"""Turns Binance's error codes and HTTP statuses into the error tree: executed or not, and what to do next."""

from __future__ import annotations

from typing import Literal

import msgspec

from bnml.core.errors import AccessRefused, BnmlError, Rejected, Retryable, UnknownOutcome
from bnml.core.events import OrderReport
from bnml.venues.binance.outcomes import Outcome, Step, verdict_of

CLOCK_SKEW = -1021
UNKNOWN_ORDER = -2011
NO_SUCH_ORDER = -2013
NO_SUCH_LIST = -2018
NO_SUCH_SYMBOL = -1121
ORDER_REFUSED = -2010
REPLACE_HALF_DONE = -2021
REPLACE_FAILED = -2022
FIREWALL_PAUSE_S = 30.0


class ErrorBody(msgspec.Struct):
    """An error as REST and WebSocket API send it; `data` only with half-done replacements and bans."""

    code: int = 0
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


class ReplacementFailed(Rejected):
    """A cancel-and-replace that did not fully happen; the error's code and text are those of the half that failed.

    `cancelled`: the old order is gone. `placed`: the new one is there although the old one stayed; never asked for,
    but never assumed not to happen either. `result` holds the answer to the half that happened, `reports` what
    it says of the old order and its list.
    """

    def __init__(
        self, message: str, *, code: int, cancelled: bool, placed: bool = False, result: bytes = b""
    ) -> None:
        super().__init__(message, code=code)
        self.cancelled = cancelled
        self.placed = placed
        self.result = result
        self.reports: tuple[OrderReport, ...] = ()


class _ReplaceData(msgspec.Struct, rename="camel"):
    cancel_result: Literal["SUCCESS", "FAILURE"]  # without either word nothing is known of that half
    new_order_result: Literal["SUCCESS", "FAILURE", "NOT_ATTEMPTED"]
    cancel_response: msgspec.Raw = msgspec.Raw(b"{}")
    new_order_response: msgspec.Raw = msgspec.Raw(b"{}")


class _RetryData(msgspec.Struct, rename="camel"):
    retry_after: int = 0  # epoch ms, WebSocket API only


def error_of(
    status: int, body: ErrorBody, what: str, *, retry_after_s: float | None = None, now_ms: int = 0
) -> BnmlError:
    """The error to raise for a failed request, with its `step`; `what` names the request for the operator."""
    text = f"{what}: the venue answered {body.code or status} {body.msg or '(no explanation)'}"
    if body.code in {REPLACE_HALF_DONE, REPLACE_FAILED}:
        return _replacement_error(body, text)
    verdict = verdict_of(status, body.code, body.msg)
    if verdict.step is Step.FIREWALL:
        retry_after_s = retry_after_s or FIREWALL_PAUSE_S
    error: BnmlError
    if verdict.step is Step.ACCESS:
        error = AccessRefused(
            f"{text}; check that the API key, its secret, its IP list and its permission to trade are right",
            code=body.code,
        )
    elif verdict.outcome is Outcome.REFUSED:
        error = Rejected(text, code=body.code)
    elif verdict.outcome is Outcome.NOT_EXECUTED:
        pause_s = retry_after_s or _retry_after_s(body, now_ms)
        error = Retryable(text, code=body.code, retry_after_s=pause_s)
    else:  # also an answer that says nothing although it is said to be an error
        error = UnknownOutcome(text, code=body.code)
    error.step = verdict.step
    return error


def step_of(error: BnmlError) -> Step:
    """What an error of this adapter asks for next."""
    code = getattr(error, "code", None)
    if error.step or not code:
        return Step(error.step)
    return verdict_of(0, code, str(error)).step


def _retry_after_s(body: ErrorBody, now_ms: int) -> float | None:
    try:
        until_ms = msgspec.json.decode(body.data, type=_RetryData).retry_after
    except ValueError:
        return None
    return max(0.0, (until_ms - now_ms) / 1000) if until_ms else None


def _replacement_error(body: ErrorBody, text: str) -> BnmlError:
    """Both halves are read; what cannot be read, or failed without a clear word, is unknown."""
    try:
        data = msgspec.json.decode(body.data, type=_ReplaceData)
        cancelled, placed = data.cancel_result == "SUCCESS", data.new_order_result == "SUCCESS"
        failed = msgspec.json.decode(
            data.new_order_response if cancelled else data.cancel_response, type=ErrorBody
        )
    except ValueError:
        return UnknownOutcome(f"{text}, and its halves cannot be read", code=body.code)
    verdict = verdict_of(400, failed.code, failed.msg)
    if verdict.outcome is Outcome.UNKNOWN or cancelled is placed is True:
        error: BnmlError = UnknownOutcome(f"{text}: {failed.code} {failed.msg}", code=failed.code)
    else:
        error = ReplacementFailed(
            f"{text}: {failed.msg}",
            code=failed.code,
            cancelled=cancelled,
            placed=placed,
            result=bytes(data.new_order_response if placed else data.cancel_response if cancelled else b""),
        )
    error.step = verdict.step
    return error


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The single errors inside a group, for one line of text."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
