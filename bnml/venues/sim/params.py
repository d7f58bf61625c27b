"""Strict reading of request parameters: what Binance refuses is refused here, with its codes and texts."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Mapping

Choice = TypeVar("Choice", bound=StrEnum)

_DECIMAL: Final = re.compile(r"^([0-9]{1,20})(\.[0-9]{1,20})?$")
_INTEGER: Final = re.compile(r"^[0-9]{1,20}$")
_CLIENT_ID: Final = re.compile(r"^[\.A-Z\:/a-z0-9_-]{1,36}$")
_MAX_INTEGER: Final = 2**63 - 1
_UNREADABLE_CHOICE: Final = {
    "timeInForce": (-1115, "Invalid timeInForce."),
    "type": (-1116, "Invalid orderType."),
    "side": (-1117, "Invalid side."),
    "symbolStatus": (-1122, "Invalid symbolStatus."),
    "cancelRestrictions": (
        -1145,
        "cancelRestrictions has to be either ONLY_NEW or ONLY_PARTIALLY_FILLED.",
    ),
}
_MAX_WHOLE: Final = _MAX_INTEGER // 10**8


def json_text(value: Any) -> str:
    """A JSON value of a WebSocket API request as the text that was signed: no quotes, no spaces."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return "" if value is None else str(value)


def choice_error(name: str) -> VenueReject:
    """The error of an unknown word: `workingSide` and `pendingAboveType` answer like `side` and `type`."""
    for known, (code, text) in _UNREADABLE_CHOICE.items():
        if name == known or name.endswith(known[0].upper() + known[1:]):
            return VenueReject(code, text)
    return VenueReject(-1130, f"Data sent for parameter '{name}' is not valid.")


class Params:
    """The parameters of one request; every read is remembered so that unread ones can be refused."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self._read: set[str] = set()
        self._knows_any = False  # whether anybody asked for a parameter

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def renamed(self, names: Mapping[str, str], more: Mapping[str, str]) -> Params:
        """The same parameters under the names of another request, and `more` that it needs; others stay."""
        other = Params({names.get(name, name): value for name, value in self._values.items()} | dict(more))
        other._read = {names.get(name, name) for name in self._read}
        return other

    def discard(self, *names: str) -> None:
        """Mark parameters as read that change nothing here."""
        self._read.update(name for name in names if name in self._values)

    def optional(self, name: str) -> str | None:
        """The text of a parameter, or None when it was not sent; an empty one is -1105."""
        self._knows_any = True
        value = self._values.get(name)
        if value is None:
            return None
        self._read.add(name)
        if not value:
            raise VenueReject(-1105, f"Parameter '{name}' was empty.")
        return value

    def text(self, name: str) -> str:
        """A mandatory text."""
        self._knows_any = True
        value = self._values.get(name)
        if not value:
            raise VenueReject(
                -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
            )
        self._read.add(name)
        return value

    def optional_integer(self, name: str, *, low: int = 0, high: int = _MAX_INTEGER) -> int | None:
        """A whole number within bounds; other characters are -1100, above 64 bits -1108, out of bounds -1130."""
        value = self.optional(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            raise _illegal(name, _INTEGER)
        number = int(value)
        if number > _MAX_INTEGER:
            raise VenueReject(-1108, f"Parameter '{name}' overflowed.")
        if not low <= number <= high:
            raise VenueReject(-1130, f"Data sent for parameter '{name}' is not valid.")
        return number

    def integer(self, name: str) -> int:
        """A mandatory whole number."""
        self.text(name)
        number = self.optional_integer(name)
        return 0 if number is None else number

    def limit(self, default: int, highest: int) -> int:
        """The `limit` of a query; above the highest Binance answers with the highest, not with an error."""
        value = self.optional_integer("limit", low=1)
        return default if value is None else min(value, highest)

    def optional_decimal(self, name: str) -> Decimal | None:
        """A plain decimal: sign or exponent is -1100, more than eight decimals -1111, more than 64 bits -1108."""
        value = self.optional(name)
        if value is None:
            return None
        match = _DECIMAL.fullmatch(value)
        if match is None:
            raise _illegal(name, _DECIMAL)
        if match[2] and len(match[2].rstrip("0")) > 9:
            raise VenueReject(-1111, f"Parameter '{name}' has too much precision.")
        if int(match[1]) > _MAX_WHOLE:
            raise VenueReject(-1108, f"Parameter '{name}' overflowed.")
        return Decimal(value)

    def optional_choice(self, name: str, kind: type[Choice]) -> Choice | None:
        """One of a closed set of words, with the code that Binance gives for that parameter."""
        value = self.optional(name)
        if value is None:
            return None
        try:
            return kind(value)
        except ValueError as error:
            raise choice_error(name) from error

    def choice(self, name: str, kind: type[Choice]) -> Choice:
        """A mandatory word of a closed set."""
        self.text(name)
        value = self.optional_choice(name, kind)
        if value is None:
            raise choice_error(name)
        return value

    def client_id(self, name: str) -> str | None:
        """A client order id of at most 36 allowed characters."""
        value = self.optional(name)
        if value is not None and not _CLIENT_ID.fullmatch(value):
            raise _illegal(name, _CLIENT_ID)
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """`true` or `false`, in any case."""
        value = self.optional(name)
        if value is None:
            return default
        if value.lower() not in {"true", "false"}:
            raise VenueReject(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value.lower() == "true"

    def texts(self, name: str) -> list[str] | None:
        """A JSON list of texts such as `["BTCUSDT","ETHUSDT"]`; a repeated element is -1151."""
        value = self.optional(name)
        if value is None:
            return None
        try:
            listed = msgspec.json.decode(value, type=list[str])
        except msgspec.DecodeError as error:
            raise VenueReject(
                -1100,
                f"Illegal characters found in parameter '{name}'; legal range is "
                '\'^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$\'.',
            ) from error
        if len(set(listed)) != len(listed):
            raise VenueReject(-1151, "Symbol is present multiple times in the list.")
        return listed

    def forbid(self, *names: str) -> None:
        """Parameters that the other parameters rule out are -1106."""
        for name in names:
            if name in self._values:
                raise VenueReject(-1106, f"Parameter '{name}' sent when not required.")

    def finish(self) -> None:
        """Refuse what nobody read: a misspelt parameter must not change the meaning of an order silently."""
        unread = len(self._values) - len(self._read)
        if unread and not self._knows_any:
            raise VenueReject(-1101, f"Too many parameters; expected '0' and received '{unread}'.")
        if unread:
            raise VenueReject(
                -1104,
                f"Not all sent parameters were read; read '{len(self._read)}' parameter(s) "
                f"but was sent '{len(self._values)}'.",
            )


def _illegal(name: str, legal: re.Pattern[str]) -> VenueReject:
    return VenueReject(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal.pattern}'."
    )
