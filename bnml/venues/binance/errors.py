"""Turns Binance's error codes and HTTP statuses into the error tree: executed or not, and what to do next."""

from __future__ import annotations

from enum import Enum

import msgspec

from bnml.core.errors import AccessRefused, BnmlError, Rejected, Retryable, UnknownOutcome


class Kind(Enum):
    """What a failed request means for the order that it carried."""

    REFUSED = "refused"  # not executed, and never will be as it stands
    LATER = "later"  # not executed, the same request may succeed later
    UNKNOWN = "unknown"  # executed or not: only a query tells
    ACCESS = "access"  # key, signature or permission: the operator must act


# Codes that say more than "not executed, a fault of the request"; everything else below zero is REFUSED.
# Source: the exchange's errors page, and its general information on 5xx ("execution status unknown").
_KINDS: dict[int, Kind] = {
    -1000: Kind.UNKNOWN,
    -1001: Kind.UNKNOWN,
    -1006: Kind.UNKNOWN,
    -1007: Kind.UNKNOWN,
    -1008: Kind.UNKNOWN,
    -1016: Kind.LATER,
    -1003: Kind.LATER,
    -1015: Kind.LATER,
    -1021: Kind.LATER,
    -1034: Kind.LATER,
    -1002: Kind.ACCESS,
    -1022: Kind.ACCESS,
    -2014: Kind.ACCESS,
    -2015: Kind.ACCESS,
}
CLOCK_SKEW = -1021
UNKNOWN_ORDER = -2011
NO_SUCH_ORDER = -2013
ORDER_REFUSED = -2010
REPLACE_HALF_DONE = -2021
REPLACE_FAILED = -2022
_DUPLICATE = "duplicate order"  # of the -2010 texts: the earlier request did arrive


class ErrorBody(msgspec.Struct):
    """An error as REST and WebSocket API send it; `data` only with half-done replacements and bans."""

    code: int = 0
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")


class ReplacementFailed(Rejected):
    """A cancel-and-replace that did not fully happen.

    `cancelled` tells whether the old order is gone; the error's code and text are those of the half that failed.
    """

    def __init__(self, message: str, *, code: int, cancelled: bool) -> None:
        super().__init__(message, code=code)
        self.cancelled = cancelled


class _ReplaceData(msgspec.Struct, rename="camel"):
    cancel_result: str = "FAILURE"
    new_order_result: str = "NOT_ATTEMPTED"
    cancel_response: msgspec.Raw = msgspec.Raw(b"{}")
    new_order_response: msgspec.Raw = msgspec.Raw(b"{}")


class _RetryData(msgspec.Struct, rename="camel"):
    retry_after: int = 0  # epoch ms, WebSocket API only


def kind_of(status: int, code: int, text: str) -> Kind:
    """Meaning of an answer with HTTP status `status` and Binance code `code` (0: no JSON body came)."""
    if code == ORDER_REFUSED and _DUPLICATE in text.lower():
        return Kind.UNKNOWN
    if code in _KINDS:
        return _KINDS[code]
    if status in {418, 429}:
        return Kind.LATER
    if status >= 500 or status == 408:
        return Kind.UNKNOWN
    if status in {401, 403} and code == 0:
        return Kind.ACCESS
    return Kind.REFUSED


def error_of(
    status: int, body: ErrorBody, what: str, *, retry_after_s: float | None = None, now_ms: int = 0
) -> BnmlError:
    """The error to raise for a failed request; `what` names it for the operator."""
    text = f"{what}: the venue answered {body.code or status} {body.msg or '(no explanation)'}"
    if body.code in {REPLACE_HALF_DONE, REPLACE_FAILED}:
        return _replacement_error(body, text)
    kind = kind_of(status, body.code, body.msg)
    if kind is Kind.UNKNOWN:
        return UnknownOutcome(text, code=body.code)
    if kind is Kind.LATER:
        return Retryable(text, code=body.code, retry_after_s=retry_after_s or _retry_after_s(body, now_ms))
    if kind is Kind.ACCESS:
        return AccessRefused(
            f"{text}; check that the API key, its secret, its IP list and its permission to trade are right",
            code=body.code,
        )
    return Rejected(text, code=body.code)


def _retry_after_s(body: ErrorBody, now_ms: int) -> float | None:
    try:
        until_ms = msgspec.json.decode(body.data, type=_RetryData).retry_after
    except msgspec.DecodeError:
        return None
    return max(0.0, (until_ms - now_ms) / 1000) if until_ms else None


def _replacement_error(body: ErrorBody, text: str) -> BnmlError:
    data = msgspec.json.decode(body.data, type=_ReplaceData)
    cancelled = data.cancel_result == "SUCCESS"
    failed = msgspec.json.decode(
        data.new_order_response if cancelled else data.cancel_response, type=ErrorBody
    )
    if kind_of(0, failed.code, failed.msg) is Kind.UNKNOWN:
        return UnknownOutcome(f"{text}: {failed.code} {failed.msg}", code=failed.code)
    return ReplacementFailed(f"{text}: {failed.msg}", code=failed.code, cancelled=cancelled)


def leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """The single errors inside a group, for one line of text."""
    found: list[BaseException] = []
    for error in group.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
