"""The symbols of exchangeInfo as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.venues.sim.payloads_market import DEFAULT_RULES, symbol_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.rules import SymbolRules

_NOTHING = msgspec.Raw(b"[]")


class SymbolRows:
    """The rows of exchangeInfo as bytes: thousands of symbols are encoded once, not with each request."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, bool], tuple[Instrument, bytes]] = {}
        self._last: dict[bool, tuple[list[Instrument], msgspec.Raw]] = {}

    def encoded(
        self,
        instruments: list[Instrument],
        rules: Callable[[str], SymbolRules] = lambda _: DEFAULT_RULES,
        *,
        shows_sets: bool,
    ) -> msgspec.Raw:
        """The rows as a JSON array; an instrument that has changed, or whose rules have, is a new object."""
        shown, encoded = self._last.get(shows_sets, ([], _NOTHING))
        if len(shown) == len(instruments) and all(map(_is_same, shown, instruments)):
            return encoded
        rows = msgspec.Raw(
            b"[%b]" % b",".join(self._row(one, rules(one.symbol), shows_sets) for one in instruments)
        )
        self._last[shows_sets] = (instruments, rows)
        return rows

    def _row(self, instrument: Instrument, rules: SymbolRules, shows_sets: bool) -> bytes:
        key = (instrument.symbol, shows_sets)
        known = self._rows.get(key)
        if known is not None and known[0] is instrument:
            return known[1]
        shown = symbol_row(instrument, rules)
        if not shows_sets:
            shown["permissionSets"] = []
        row = msgspec.json.encode(shown)
        self._rows[key] = (instrument, row)
        return row


def _is_same(one: object, other: object) -> bool:
    return one is other
