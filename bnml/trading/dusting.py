"""Dust that has become worth selling: taken up as a position of its own, which leaves at market at once."""

from __future__ import annotations

from typing import Final

from bnml.core.clock import NS_PER_HOUR
from bnml.core.instrument import Instrument, plain
from bnml.kernels import exits, sizing
from bnml.kernels.fills import mul_ppm
from bnml.kernels.records import ExitReason
from bnml.trading.adopting import hard_stop_ppm
from bnml.trading.compile import EngineConfig, instrument_record
from bnml.trading.guarding import BOOK_GUARDS
from bnml.trading.orders import OrderBook
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Dust, Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.state import EngineState
from bnml.trading.universe import TRADING
from bnml.trading.valuation import mark_of

DUST: Final = "dust"
"""Name of the Timer at which dust is looked at."""
REST_NS: Final = NS_PER_HOUR
"""What was laid aside is left alone so long: the venue may have just called it too small."""
STOP_MARGIN_DEN: Final = 20
"""It must still be worth selling when the price is a twentieth below the stop that guards it if no sale succeeds."""


class DustDesk:
    """Sells what earlier sales had to leave, as soon as the venue takes it; what is not in our dust is nobody's here.

    The decision to sell it was made when it was still a position. So it comes back as one that leaves: protection
    sells it, guards it while the venue refuses, and lays it aside again where the venue calls it too small.
    Nothing is bought for it, so no breaker counts its result as one of a decision.
    """

    def __init__(
        self, config: EngineConfig, state: EngineState, book: OrderBook, portfolio: Portfolio
    ) -> None:
        self._config = config
        self._state = state
        self._book = book
        self._portfolio = portfolio

    @property
    def is_due(self) -> bool:
        """Whether a DUST timer now would sell something."""
        return any(self._level(symbol, dust) for symbol, dust in self._portfolio.ledger.dust.items())

    def take_up(self, out: Outbox) -> list[str]:
        """Make positions of what can be sold; returns their symbols, whose protection has to look."""
        ledger, made = self._portfolio.ledger, []
        for symbol, dust in sorted(ledger.dust.items()):
            level = self._level(symbol, dust)
            if not level:
                continue
            mark_ticks, stop_ticks = level
            instrument = self._state.symbols[symbol].instrument
            tranche = Tranche(1, 0, stop_ticks, int(ExitReason.HARD_STOP))
            self._portfolio.take_up(tranche, instrument)
            ledger.positions[symbol] = self._position(symbol, mark_ticks, tranche)
            lots = tranche.bought_lots = tranche.lots(instrument.lot_e8)
            out.alert(
                "info",
                "dust_sold",
                f"{symbol}: what was too small to sell, {instrument.quantity_text(lots)} {instrument.base} at a cost of "
                f"{plain(tranche.cost_e8, 2)}, is worth {plain(instrument.notional_e8(mark_ticks, lots), 2)} "
                f"{instrument.quote} now and is sold at market",
            )
            made.append(symbol)
        return made

    def _level(self, symbol: str, dust: Dust) -> tuple[int, int] | None:
        """Price and stop of dust that may be sold now; None if it may not, or the venue would not take it."""
        state = self._state.symbols.get(symbol)
        if state is None or state.bar is None or state.instrument.status != TRADING:
            return None
        lots, instrument = _whole(dust, state.instrument), state.instrument
        if lots < instrument.min_lots or self._state.now_ns < dust.since_ns + REST_NS:
            return None
        if symbol in self._portfolio.positions or not self._is_sure(symbol, dust):
            return None
        mark_ticks = mark_of(state, None)
        frame_ns = self._config.layout.base_frame_ns
        if mark_ticks <= 0 or state.bar.ts_close_ns < self._state.now_ns - 2 * frame_ns:
            return None  # nobody follows its price any more
        stop_ticks = mark_ticks - mul_ppm(mark_ticks, hard_stop_ppm(self._config))
        stop_ticks = max(instrument.min_ticks, stop_ticks - stop_ticks % instrument.price_step)
        fallen_ticks = max(1, stop_ticks - stop_ticks // STOP_MARGIN_DEN)
        taker_ppm = int(self._config.costs[0]["taker_ppm"])
        least = sizing.minimum_lots(fallen_ticks, taker_ppm, instrument_record(instrument)[0])
        return (mark_ticks, stop_ticks) if lots >= least else None

    def _is_sure(self, symbol: str, dust: Dust) -> bool:
        """The books are not in doubt, the coins are there, and nothing else of ours is under way in the symbol."""
        activity = self._state.activity
        if activity.channels_down or BOOK_GUARDS & activity.guards.keys():
            return False
        if self._portfolio.total_e8(dust.asset) < dust.base_e8:
            return False
        return all(order.symbol != symbol for order in self._book.unsettled())

    def _position(self, symbol: str, mark_ticks: int, tranche: Tranche) -> Position:
        rules = self._config.rules[0]
        distance = mark_ticks - tranche.stop_ticks
        return Position(
            symbol,
            self._state.now_ns,
            mark_ticks,
            distance * 1_000_000 // (int(rules["stop_atr_ppm"]) or 1_000_000),
            int(exits.trail_activation(mark_ticks, rules)),
            self._config.rules.tobytes(),
            [tranche],
            exit_reason=int(ExitReason.DUST),
        )


def _whole(dust: Dust, instrument: Instrument) -> int:
    lots = dust.base_e8 // instrument.lot_e8
    return lots - lots % instrument.lot_step
