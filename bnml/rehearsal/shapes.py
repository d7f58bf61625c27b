"""The shape of JSON: keys, types, and the words of enumerations; and where two shapes differ."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOTHING: Final = "nothing"
WORDS: Final = frozenset(
    {
        *("status", "side", "type", "timeInForce", "code", "msg", "cancelResult", "newOrderResult", "e"),
        *("contingencyType", "listStatusType", "listOrderStatus", "rateLimitType", "interval", "accountType"),
        *("orderTypes", "filterType", "isWorking", "isBuyer", "isMaker", "canTrade", "http"),
    }
)
"""Keys whose values are words of the protocol: the values count, not only their type."""
LETTERS: Final[Mapping[str, frozenset[str]]] = {
    "executionReport": frozenset("SofxXrwm"),
    "listStatus": frozenset("clLr"),
}
"""The same in user events, whose keys are letters that mean something else in each."""
TOLD_APART: Final = "filterType"
"""Objects of a list that have this key are compared one by one."""
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?")


class Leaf(msgspec.Struct, frozen=True):
    """A value that is neither object nor list; `words` only of enumerations."""

    kinds: frozenset[str]
    words: frozenset[str] | None = None

    def __str__(self) -> str:
        told = "/".join(sorted(self.kinds))
        return told if self.words is None else f"{told} {', '.join(sorted(self.words))}"


class Fields(msgspec.Struct, frozen=True):
    """An object; `sometimes` are keys that not every one of several objects has."""

    fields: dict[str, Shape]
    sometimes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "object"


class Items(msgspec.Struct, frozen=True):
    """A list; `item` is None when it was empty, so that nothing is known of what it holds."""

    item: Shape | None

    def __str__(self) -> str:
        return "list"


Shape = Leaf | Fields | Items


class Difference(msgspec.Struct, frozen=True):
    """One place at which the shapes differ."""

    path: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, found {self.found}"


def shape_of(value: Any, *, is_word: bool = False) -> Shape:
    """The shape of decoded JSON; `is_word` says that a value belongs to an enumeration."""
    if isinstance(value, dict):
        words = WORDS | LETTERS.get(str(value.get("e")), frozenset())
        return Fields({name: shape_of(one, is_word=name in words) for name, one in value.items()})
    if isinstance(value, list):
        if value and all(isinstance(one, dict) and TOLD_APART in one for one in value):
            return Fields({f"[{one[TOLD_APART]}]": shape_of(one) for one in value})
        item: Shape | None = None
        for one in value:
            item = merged(item, shape_of(one, is_word=is_word))
        return Items(item)
    return Leaf(frozenset({_kind(value)}), frozenset({str(value)}) if is_word else None)


def merged(one: Shape | None, other: Shape) -> Shape:
    """What covers both; a difference in kind becomes one kind or the other."""
    if one is None or one == other:
        return other
    if isinstance(one, Leaf) and isinstance(other, Leaf):
        words = None if one.words is None or other.words is None else one.words | other.words
        return Leaf(one.kinds | other.kinds, words)
    if isinstance(one, Items) and isinstance(other, Items):
        return Items(one.item if other.item is None else merged(one.item, other.item))
    if isinstance(one, Fields) and isinstance(other, Fields):
        names = {**one.fields, **other.fields}
        fields = {
            name: merged(one.fields.get(name), other.fields[name])
            if name in other.fields
            else one.fields[name]
            for name in names
        }
        seldom = frozenset(one.fields.keys() ^ other.fields.keys())
        return Fields(fields, one.sometimes | other.sometimes | seldom)
    return Leaf(frozenset({_name(one), _name(other)}))


def differences(expected: Shape, found: Shape, path: str = "") -> Iterator[Difference]:
    """Where `found` is not shaped as expected; paths as in `fills[].price`."""
    if isinstance(expected, Fields) and isinstance(found, Fields):
        for name in (*expected.fields, *(one for one in found.fields if one not in expected.fields)):
            place = name if not path else f"{path}{name}" if name.startswith("[") else f"{path}.{name}"
            if name in expected.fields and name in found.fields:
                yield from differences(expected.fields[name], found.fields[name], place)
            elif name in found.fields and name not in found.sometimes:
                yield Difference(place, NOTHING, str(found.fields[name]))
            elif name in expected.fields and name not in expected.sometimes:
                yield Difference(place, str(expected.fields[name]), NOTHING)
    elif isinstance(expected, Items) and isinstance(found, Items):
        if expected.item is not None and found.item is not None:
            yield from differences(expected.item, found.item, f"{path}[]")
    elif not _agree(expected, found):
        yield Difference(path or "the whole", str(expected), str(found))


def _agree(expected: Shape, found: Shape) -> bool:
    """Of values: one side may have shown more of the same kinds and words than the other."""
    if not isinstance(expected, Leaf) or not isinstance(found, Leaf):
        return False
    if not _nested(expected.kinds, found.kinds):
        return False
    return expected.words is None or found.words is None or _nested(expected.words, found.words)


def _nested(one: frozenset[str], other: frozenset[str]) -> bool:
    return one <= other or other <= one


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "decimal text" if _DECIMAL.fullmatch(value) else "text"
    return {type(None): "null", bool: "true/false", int: "integer"}.get(type(value), "number")


def _name(shape: Shape) -> str:
    return str(shape).partition(" ")[0]
