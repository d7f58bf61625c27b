"""Exact conversion between the wire's decimal texts and integers, without Decimal on the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.errors import Retryable

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument

NS_PER_MS = 1_000_000


def e8(text: str) -> int:
    """A plain decimal text in units of 1e-8; digits beyond the eighth decimal are cut. Retryable for any other text."""
    whole, _, fraction = text.partition(".")
    try:
        return int(whole + (fraction + "00000000")[:8])
    except ValueError as error:
        message = f"the venue sent {text!r} where a decimal number belongs"
        raise Retryable(message) from error


def ticks(instrument: Instrument, text: str) -> int:
    """A price in ticks; the nearest where the venue's have become finer than those we count in, or once were."""
    units, rest = divmod(e8(text), instrument.tick_e8)
    return units + 1 if 2 * rest >= instrument.tick_e8 else units


def lots(instrument: Instrument, text: str) -> int:
    """A quantity in lots; a rest below one lot (dust of the venue's own) is cut."""
    return e8(text) // instrument.lot_e8


def last_lots(instrument: Instrument, last_e8: int, cumulative_e8: int) -> int:
    """Lots of a fill that brought the order to `cumulative_e8`: fills finer than a lot still add up to the whole."""
    return cumulative_e8 // instrument.lot_e8 - (cumulative_e8 - last_e8) // instrument.lot_e8
