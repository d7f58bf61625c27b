"""Coins of ours that orders of others lock at the venue: what is free is protected, and the rest as soon as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import Side
from bnml.trading.coverage import LIVE, resting_lots
from bnml.trading.portfolio import LAG_NS
from bnml.trading.refusals import is_sellable

if TYPE_CHECKING:
    from bnml.core.events import FreeCoins
    from bnml.core.instrument import Instrument
    from bnml.trading.orders import OrderBook
    from bnml.trading.outbox import Outbox
    from bnml.trading.positions import Position, Tranche
    from bnml.trading.protection import Protection
    from bnml.trading.reports import ReportDesk
    from bnml.trading.state import EngineState


class ShortageDesk:
    """Sizes what protects and sells by what the account shows free, where the venue refused it for want of coins.

    What is shown may lag behind what is true: too little of it is asked for again at the next look, too much is refused
    once more. So a stop for a part is not given up for what was free before it was asked for. Nothing is concluded while
    an order of the symbol is on its way.
    """

    def __init__(
        self, state: EngineState, book: OrderBook, protection: Protection, reports: ReportDesk
    ) -> None:
        self._state = state
        self._book = book
        self._protection = protection
        self._reports = reports

    @property
    def assets(self) -> list[str]:
        """Of which it matters how much the account has free: `FreeCoins` tells."""
        found = set()
        for symbol, position in self._state.ledger.positions.items():
            instrument = self._state.symbols[symbol].instrument
            if any(self._is_short(tranche, instrument) for tranche in position.tranches):
                found.add(instrument.base)
        return sorted(found)

    def take(self, event: FreeCoins, out: Outbox) -> None:
        """Ask for what is free."""
        left_e8 = event.free_e8
        for symbol, position in sorted(self._state.ledger.positions.items()):
            instrument = self._state.symbols[symbol].instrument
            if instrument.base != event.asset or self._is_moving(symbol):
                continue
            short = [one for one in position.tranches if self._is_short(one, instrument)]
            for tranche in short:
                left_e8 -= self._size(position, tranche, instrument, left_e8, out)
            if short:
                self._protection.stir(symbol)
                self._reports.advance(symbol, event.ts_ns, out, patient=False)

    def _is_short(self, tranche: Tranche, instrument: Instrument) -> bool:
        """Whether less of it is protected than is held, as coins were not free."""
        lots = tranche.lots(instrument.lot_e8)
        if not lots or not (
            self._book.is_settled(tranche.working_id) and self._book.is_settled(tranche.sale_id)
        ):
            return False
        return tranche.short_lots > 0 or (tranche.lacks_coins and resting_lots(tranche, self._book) < lots)

    def _size(
        self, position: Position, tranche: Tranche, instrument: Instrument, free_e8: int, out: Outbox
    ) -> int:
        """Leave out what is not free; returns how much of what is free is spoken for."""
        resting = resting_lots(tranche, self._book)
        missing = tranche.lots(instrument.lot_e8) - resting
        is_young = resting > 0 and self._state.now_ns < tranche.short_ns + LAG_NS
        is_old = is_young and free_e8 >= resting * instrument.lot_e8  # what it sells was free before it
        free = 0 if is_old else min(max(0, missing), free_e8 // instrument.lot_e8)
        free -= 0 if free == missing else free % instrument.lot_step
        if free < missing and not is_sellable(free, tranche.stop_ticks, instrument):
            free = 0  # an order is not moved for so little, and there is none for it alone
        if not resting and not free:
            self._tell_none(position, tranche, instrument, out)
            return 0
        before, tranche.short_lots = tranche.short_lots, missing - free
        if free and (before or not resting):  # else no pause is for want of coins
            tranche.guard_after_ns = tranche.move_after_ns = tranche.sell_after_ns = 0
        if tranche.short_lots > before:
            tranche.short_ns = self._state.now_ns
            self._tell(tranche, instrument, out)
        return free * instrument.lot_e8

    def _is_moving(self, symbol: str) -> bool:
        """Whether what is free is about to change by an order of ours, or one sells for another tranche."""
        position, instrument = self._state.ledger.positions[symbol], self._state.symbols[symbol].instrument
        if any(resting_lots(one, self._book) > one.lots(instrument.lot_e8) for one in position.tranches):
            return True
        return position.is_shut or any(
            one.state not in LIVE or one.cancel_sent or one.side is Side.BUY
            for one in self._book.unsettled()
            if one.symbol == symbol
        )

    def _tell(self, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        quantity = instrument.quantity_text(tranche.short_lots)
        text = (
            f"{instrument.symbol} tranche {tranche.index}: not all of it is free at the venue; all but {quantity} "
            f"{instrument.base} is protected and sold from here on. Other orders of the account lock them: cancel these"
        )
        out.alert("warning", "protected_in_part", text)

    def _tell_none(self, position: Position, tranche: Tranche, instrument: Instrument, out: Outbox) -> None:
        """Once in a spell, as each look after each refusal finds the same; what is shown may be older than the spell."""
        if self._state.now_ns < position.bare_since_ns + LAG_NS:
            return
        if not self._state.is_news(f"locked {position.symbol} {tranche.index} {position.bare_since_ns}"):
            return
        quantity = instrument.quantity_text(tranche.lots(instrument.lot_e8))
        text = (
            f"{position.symbol} tranche {tranche.index}: {quantity} {instrument.base} have no stop, as nothing of it is "
            "free at the venue; other orders of the account lock it: cancel these"
        )
        out.alert("critical", "coins_locked", text)
