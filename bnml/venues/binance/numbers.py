"""Exact conversion between the wire's decimal texts and integers, without Decimal on the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.errors import Fatal

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument

NS_PER_MS = 1_000_000


def e8(text: str) -> int:
    """A plain decimal text in units of 1e-8; digits beyond the eighth decimal are cut."""
    whole, _, fraction = text.partition(".")
    try:
        return int(whole + (fraction + "00000000")[:8])
    except ValueError as error:
        message = f"the venue sent {text!r} where a decimal number belongs"
        raise Fatal(message) from error


def ticks(instrument: Instrument, text: str) -> int:
    """A price in ticks; a price off the tick means that our filters are out of date."""
    units, rest = divmod(e8(text), instrument.tick_e8)
    if rest:
        message = f"{instrument.symbol}: price {text} is off the tick; the filters have changed, start again"
        raise Fatal(message)
    return units


def nearest_ticks(instrument: Instrument, text: str) -> int:
    """A price of the past in ticks of today, rounded half up: the tick may have been finer then."""
    return (2 * e8(text) + instrument.tick_e8) // (2 * instrument.tick_e8)


def lots(instrument: Instrument, text: str) -> int:
    """A quantity in lots; a rest below one lot (dust of the venue's own) is cut."""
    return e8(text) // instrument.lot_e8
