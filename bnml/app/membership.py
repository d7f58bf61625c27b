"""Who is traded today: at each day roll the universe is looked up anew; symbols join when ready and leave when flat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.app import warmup
from bnml.app.fees import fee_symbol
from bnml.app.logs import logger
from bnml.core.clock import day_number
from bnml.core.errors import Rejected, Retryable
from bnml.core.events import InstrumentUpdate, Timer, UniverseUpdate
from bnml.trading import universe
from bnml.venues.binance.errors import leaves

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.app.pump import Pump
    from bnml.app.retrain import Trainer
    from bnml.app.streams import MarketStreams
    from bnml.core.instrument import Instrument
    from bnml.trading.bars import BarGate

DAY_ROLL = "day_roll"
"""Name of the Timer of a new day (UTC) of event time."""

REST_AFTER_FAILURE_S = 60.0


class Membership:
    """Keeps `parts.universe` (who may be entered) and `parts.followed` (and whoever still holds a position).

    It feeds the pump from a task of its own: an event is fed without a pause, so the pump's events and these
    never mix within one.
    """

    def __init__(
        self, parts: Parts, pump: Pump, gate: BarGate, trainer: Trainer, streams: MarketStreams
    ) -> None:
        self._parts = parts
        self._pump = pump
        self._gate = gate
        self._trainer = trainer
        self._streams = streams
        self._day = day_number(pump.now_ns)

    def roll(self) -> bool:
        """Whether event time has entered a new day since the last call; journals that it has."""
        day = day_number(self._pump.now_ns)
        if day == self._day:
            return False
        self._day = day
        self._pump.feed(Timer(DAY_ROLL, self._pump.now_ns))
        return True

    async def renew_until_done(self) -> None:
        """`renew`, again after a while where the venue does not answer; yesterday's universe holds until then."""
        while True:
            if await self._renewed():
                return
            await asyncio.sleep(REST_AFTER_FAILURE_S)

    async def renew(self) -> None:
        """Look up who may be traded, make newcomers ready, and journal the universe of this day."""
        parts = self._parts
        wanted = parts.settings.universe
        if not wanted.dynamic:
            self._pump.feed(UniverseUpdate(parts.symbols, self._pump.now_ns))
            return
        every = await parts.venue.tradable(wanted.quote)
        turnover = await parts.venue.turnover()
        found = universe.resolve(wanted, every, turnover, self._pump.now_ns)
        self._tell_new_units(every)
        newcomers = [every[symbol] for symbol in found.symbols if symbol not in parts.followed]
        if newcomers:
            await self._admit(newcomers)
        await self._adopt(found)

    async def _renewed(self) -> bool:
        is_done = True
        try:
            await self.renew()
        except* (Retryable, Rejected) as group:
            is_done = False
            logger().warning("universe_not_renewed", error=str(leaves(group)[0]))
        return is_done

    async def _admit(self, newcomers: list[Instrument]) -> None:
        """Filters, history, model, streams: in this order, so that the first candle meets a symbol that is ready.

        What closes between the history and the stream is read by the pump when the next candle shows the hole.
        """
        parts = self._parts
        symbols = tuple(one.symbol for one in newcomers)
        for one in newcomers:
            parts.instruments[one.symbol] = parts.venue.instruments[one.symbol] = one
            self._pump.feed(InstrumentUpdate(one, self._pump.now_ns))
        await warmup.feed_history(parts, self._pump, symbols)
        await self._trainer.load_all(symbols)
        due = sorted(self._trainer.due(symbols))
        if due and parts.options.stepped and parts.settings.app.retrain:
            await self._trainer.train(due)
        elif due:
            self._trainer.request(due, "new in the universe")
        await self._streams.follow(newcomers)

    async def _adopt(self, found: UniverseUpdate) -> None:
        parts = self._parts
        leaving = [symbol for symbol in parts.followed if symbol not in found.symbols]
        held = [
            symbol
            for symbol in leaving
            if parts.engine.at_stake(symbol) or symbol == fee_symbol(parts.settings)
        ]
        joined = [symbol for symbol in found.symbols if symbol not in parts.symbols]
        parts.universe = found
        parts.followed = (*found.symbols, *held)
        self._pump.feed(found)
        self._gate.subscribe(parts.followed)
        gone = [symbol for symbol in leaving if symbol not in held]
        await self._streams.forget(gone)
        for symbol in gone:
            del parts.instruments[symbol]
        logger().info("universe", symbols=len(found.symbols), joined=joined, left=gone, kept_until_flat=held)

    def _tell_new_units(self, every: dict[str, Instrument]) -> None:
        """A symbol keeps the units it was begun with; a start adopts the venue's."""
        for symbol in self._parts.followed:
            ours, theirs = self._parts.instruments[symbol], every.get(symbol)
            if theirs is not None and (ours.tick_e8, ours.lot_e8) != (theirs.tick_e8, theirs.lot_e8):
                logger().warning("units_changed", symbol=symbol, note="adopted at the next start")
