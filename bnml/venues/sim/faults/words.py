"""The words of complaints about a script: where something stands, what may stand there, what is meant."""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from bnml.venues.sim.faults.rules import Globs, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    import msgspec

Place = tuple[str | int, ...]
"""The way from the top of the script to a value."""
_PLAIN = {
    Moment: "seconds since the script was loaded, or a UTC time such as 2023-07-01T12:00Z (in quotes)",
    Globs: "a text, or a list of texts; * and ? stand for anything",
    bool: "true | false",
    str: "a text",
}


class Words:
    """Names places of one script, with the lines of its file where they are known."""

    def __init__(self, where: str, lines: dict[Place, int] | None = None) -> None:
        self._where = where
        self._lines = lines or {}

    def at(self, place: Place) -> str:
        """`faults.yaml line 7, rules[0].when.every`."""
        line = next((self._lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self._lines), 0)
        path = "".join(f"[{one}]" if isinstance(one, int) else f".{one}" for one in place).lstrip(".")
        head = f"{self._where} line {line}" if line else self._where
        return f"{head}, {path}" if path else head


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name that looks most like it."""
    return get_close_matches(name, list(names), n=1, cutoff=0.0)[0]


def allowed(hint: Any) -> str:
    """What a value of this type may be."""
    plain = next((words for kind, words in _PLAIN.items() if kind == hint), "")
    if plain:
        return plain
    if get_origin(hint) is Literal:
        return " | ".join(str(one) or '""' for one in get_args(hint))
    if get_origin(hint) is Annotated:
        return _annotated(*get_args(hint)[:2])
    return "true | false" if isinstance(hint, UnionType) and bool in get_args(hint) else "a list"


def shown(value: Any) -> str:
    """A value as a complaint quotes it."""
    if isinstance(value, dict | list):
        return "a group of keys" if isinstance(value, dict) else "a list"
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else str(value)


def _annotated(kind: type, meta: msgspec.Meta) -> str:
    if meta.pattern is not None:
        return f"a text (in quotes) like {meta.pattern}"
    if kind is str:
        return "a text that is not empty"
    low = f"from {meta.ge:.10g}" if meta.ge is not None else f"above {meta.gt:.10g}"
    high = f"to {meta.le:.10g}" if meta.le is not None else f"below {meta.lt:.10g}"
    facts = f", {meta.description}" if meta.description else ""
    return f"{'whole numbers' if kind is int else 'numbers'} {low} {high}{facts}"
