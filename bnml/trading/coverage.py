"""How much of what is held live stops at the venue would sell now, and for how long it was less than all."""

from __future__ import annotations

import msgspec

from bnml.core.instrument import Instrument
from bnml.core.orders import OrderState
from bnml.core.outcomes import Bareness
from bnml.trading.orders import OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Position, Tranche
from bnml.trading.refusals import is_sellable

LIVE = frozenset({OrderState.OPEN, OrderState.PARTLY_FILLED})
"""A leg that sleeps, is on its way or in doubt protects nothing that we could promise."""


class Coverage(msgspec.Struct, frozen=True):
    """One position's, at one moment; times are event time."""

    symbol: str
    held_lots: int
    covered_lots: int
    is_bare: bool  # more of it than what is too little for an order
    bare_ns: int  # of the spell that lasts, 0 when all is covered
    longest_ns: int  # of all spells, this one included
    total_ns: int

    @property
    def share(self) -> float:
        """Of the quantity held; 1 when nothing is."""
        return self.covered_lots / self.held_lots if self.held_lots else 1.0


def held_lots(tranche: Tranche, instrument: Instrument) -> int:
    """Lots of a tranche that an order can be for: whole steps of the venue, and not what is not free there; the rest is dust."""
    lots = max(0, tranche.lots(instrument.lot_e8) - tranche.short_lots)
    return lots - lots % instrument.lot_step


def resting_lots(tranche: Tranche, book: OrderBook) -> int:
    """What live stops of a tranche would sell."""
    legs = (book.get(leg) for leg in tranche.legs)
    return sum(one.open_lots for one in legs if one and one.role is Role.STOP and one.state in LIVE)


def settle_short(tranche: Tranche, book: OrderBook, instrument: Instrument) -> None:
    """What is left out is no more than what no stop sells; nothing where the others are too little for an order.

    Else these would be refused for their size, and all of it laid aside as dust.
    """
    if not tranche.short_lots:
        return
    resting = resting_lots(tranche, book)
    if resting:
        tranche.short_lots = min(tranche.short_lots, max(0, tranche.lots(instrument.lot_e8) - resting))
    elif is_sellable(held_lots(tranche, instrument), tranche.stop_ticks, instrument):
        return
    elif not is_rest(tranche.lots(instrument.lot_e8), tranche.stop_ticks, instrument):
        tranche.short_lots = 0


def is_rest(lots: int, ticks: int, instrument: Instrument) -> bool:
    """Whether the venue takes no order for so little."""
    return lots < instrument.min_lots or instrument.notional_e8(ticks, lots) < instrument.min_notional_e8


def has_stop(tranche: Tranche, book: OrderBook) -> bool:
    """Whether a live stop is among the legs of a tranche."""
    legs = (book.get(leg) for leg in tranche.legs)
    return any(one.role is Role.STOP and one.state in LIVE for one in legs if one)


def covered_lots(position: Position, book: OrderBook, instrument: Instrument) -> int:
    """Lots that live stops would sell, at most what is held; those of one tranche may sell the coins of another."""
    live = sum(resting_lots(tranche, book) for tranche in position.tranches)
    return min(live, _held_lots(position, instrument))


def coverage_of(position: Position, book: OrderBook, instrument: Instrument, now_ns: int) -> Coverage:
    """What the gauge shows of a position."""
    spell_ns = max(0, now_ns - position.bare_since_ns) if position.bare_since_ns else 0
    return Coverage(
        position.symbol,
        _held_lots(position, instrument),
        covered_lots(position, book, instrument),
        _bare_lots(position, book, instrument) > 0,
        spell_ns,
        max(position.longest_bare_ns, spell_ns),
        position.bare_ns + spell_ns,
    )


def follow(position: Position, book: OrderBook, instrument: Instrument, now_ns: int, out: Outbox) -> None:
    """Begin, go on with or end the spell of bareness of a position."""
    bare = _bare_lots(position, book, instrument)
    if bare:
        position.bare_since_ns = position.bare_since_ns or now_ns
        position.bare_lots = max(position.bare_lots, bare)
        return
    if not position.bare_since_ns:
        return
    since_ns, lots = position.bare_since_ns, position.bare_lots
    position.bare_since_ns = position.bare_lots = 0
    position.is_bareness_told = False
    if now_ns > since_ns:
        position.bare_ns += now_ns - since_ns
        position.longest_bare_ns = max(position.longest_bare_ns, now_ns - since_ns)
        is_sold = position.lots(instrument.lot_e8) == 0
        out.outcomes.append(Bareness(position.symbol, now_ns, since_ns, lots, is_sold))


def _bare_lots(position: Position, book: OrderBook, instrument: Instrument) -> int:
    """Lots without a stop; none where only rests are."""
    bare = _held_lots(position, instrument) - covered_lots(position, book, instrument)
    return bare if bare and bare > _rests(position, book, instrument) else 0


def _rests(position: Position, book: OrderBook, instrument: Instrument) -> int:
    """Lots that the stops of their own tranches do not sell, each too little for an order."""
    found = 0
    for tranche in position.tranches:
        live = resting_lots(tranche, book)
        missing = held_lots(tranche, instrument) - live
        if live and missing > 0 and is_rest(missing, tranche.stop_ticks, instrument):
            found += missing
    return found


def _held_lots(position: Position, instrument: Instrument) -> int:
    """Of all tranches; also what is left out of their orders because others lock it, unless that is too little for one."""
    return sum(held_lots(one, instrument) + _left_out(one, instrument) for one in position.tranches)


def _left_out(tranche: Tranche, instrument: Instrument) -> int:
    is_little = is_rest(tranche.short_lots, tranche.stop_ticks, instrument)
    return 0 if is_little else min(tranche.short_lots, tranche.lots(instrument.lot_e8))
