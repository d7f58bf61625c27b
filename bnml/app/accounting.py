"""Holds the ledger against the venue's balances, to the last unit; what others did becomes a flow with its story."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from bnml.app.logs import logger
from bnml.app.resolving import LAG_S
from bnml.app.strangers import is_known, name_of
from bnml.app.uncompared import Uncompared
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Misconfigured, Rejected, Retryable
from bnml.core.events import CapitalFlow, Timer
from bnml.core.ids import is_ours
from bnml.core.instrument import DELISTED, plain
from bnml.journal.reader import JournalReader
from bnml.trading.guarding import ACTIVE, HALTED
from bnml.trading.ramp import AGREED
from bnml.venues.binance.numbers import e8, lots

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bnml.app.compose import Parts
    from bnml.app.guards import Guards
    from bnml.core.clock import Clock
    from bnml.core.events import Balances, Event, OrderReport
    from bnml.core.ids import IdSource
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import OrderAnswer

GUARD = "account"
PAUSES_S = (0.0, 0.5, 0.5, 1.0, 2.1, 2.0, 2.0)
"""Before each look, until all agrees, or the same was seen for `LAG_S`."""
UNSURE_MS = 1_000 + int(LAG_S * 1_000)
"""By which an event's time may be ahead of the venue's word of an order, and what is read may lag behind that."""
SYMBOLS_ASKED = 10  # whose orders are read for the story of a difference: a request of weight 20 each


class _Seen(msgspec.Struct):
    """A difference, with how many fills had been told of when it was seen first."""

    difference_e8: dict[str, int]
    changes: int
    since_s: float
    is_asked_about: bool = False


class Accountant:
    """Compares once for each call; `changes` counts the fills that the engine was told of, so that only quiet moments count.

    Balances and orders are read from places that lag behind what is true, and each behind the other. A difference
    that stays the same for as long as that may last, with nothing reported in between, is none of ages: somebody
    else traded, paid in or paid out. It enters the engine as CapitalFlow, an alert tells its story, and nothing of
    it is ever traded by us.
    """

    def __init__(
        self,
        venue: BinanceVenue,
        engine: Engine,
        guards: Guards,
        *,
        ids: IdSource,
        changes: Callable[[], int],
        now_ns: Callable[[], int],
        is_journaled: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        self._venue = venue
        self._engine = engine
        self._guards = guards
        self._ids = ids
        self._changes = changes
        self._now_ns = now_ns
        self._is_journaled = is_journaled
        self._uncompared = Uncompared(clock)
        self._agreed_ms = self._market_ms()
        self.compared = self.agreed = 0

    async def look(self) -> list[Event] | None:
        """As `_look`; one that could not read what it needs has compared nothing either."""
        try:
            return await self._look()
        except (Retryable, Rejected):
            self._uncompared.goes_on({})
            raise

    async def _look(self) -> list[Event] | None:
        """What makes the ledger equal again: reports that never came, or flows.

        None when it never stood still; that is told when it has gone on for minutes.
        When it is equal, the engine is told as of when, if round trips of the ramp wait for that, or coins were suspected.
        """
        seen: _Seen | None = None
        difference_e8: dict[str, int] = {}
        self.compared += 1
        for pause_s in PAUSES_S:
            await asyncio.sleep(pause_s)
            state = self._engine.state
            changes, totals, as_of_ns = self._changes(), dict(state.ledger.totals), state.now_ns
            asked_ms, now_s = self._market_ms(), asyncio.get_running_loop().time()
            difference_e8 = compare_balances(totals, await self._venue.balances())
            if not difference_e8:
                self._agreed_ms = asked_ms
                self.agreed += 1
                self._uncompared.ended()
                self._guards.report(GUARD, ACTIVE)  # a halt for it then waits for the operator's word only
                return [Timer(AGREED, as_of_ns)] if state.ramp.closed or state.ledger.strange else []
            if self._changes() != changes:
                seen = None
            elif seen is None or (seen.difference_e8, seen.changes) != (difference_e8, changes):
                seen = _Seen(difference_e8, changes, asyncio.get_running_loop().time())
            elif not seen.is_asked_about or now_s - seen.since_s >= LAG_S:
                seen.is_asked_about = True
                found = await self._settle(difference_e8, totals, is_old=now_s - seen.since_s >= LAG_S)
                if found:
                    return found
        self._uncompared.goes_on(difference_e8)
        return None

    async def _settle(
        self, difference_e8: dict[str, int], totals: Mapping[str, int], *, is_old: bool
    ) -> list[Event]:
        """Fills of ours that no report told of come first; only what they leave is the doing of others, once it `is_old`.

        What is told while orders are read is in the ledger, which had these `totals`, and would be booked once more.
        """
        since_ms, asked_ms = self._agreed_ms, self._market_ms()
        orders = await self._executed_since(since_ms, difference_e8)
        missed: list[Event] = [
            report for one in orders if self._knows_less(one) for report in await self._reports(one)
        ]
        if missed:
            logger().warning(
                "fills_missed",
                orders=sorted({one.client_order_id for one in orders if self._knows_less(one)}),
                note="no report told of them; they are counted now",
            )
            self._uncompared.ended()
            return missed
        if not is_old or self._engine.state.ledger.totals != totals:
            return []
        strange = [one for one in orders if self._is_strange(one)]
        self._agreed_ms = asked_ms
        clones = [one for one in strange if is_ours(one.client_order_id, self._ids.instance)]
        amounts = ", ".join(f"{asset} {plain(by, 8)}" for asset, by in sorted(difference_e8.items()))
        text = f"the account has {amounts} against the ledger: {self._story(strange, clones)}"
        logger().error("balances_differ", difference_e8=difference_e8, text=text)
        self._uncompared.ended()
        if clones:
            self._guards.report(GUARD, HALTED, text)
        now_ns = self._now_ns()
        return [
            CapitalFlow(asset, by, now_ns, is_compared=True) for asset, by in sorted(difference_e8.items())
        ]

    async def _executed_since(self, since_ms: int, difference_e8: Mapping[str, int]) -> list[OrderAnswer]:
        """Orders that may have moved these assets since both sides agreed."""
        only_quote = len(difference_e8) == 1
        symbols = [
            name
            for name, one in sorted(self._venue.instruments.items())
            if one.status != DELISTED  # nobody answers for its orders
            and (one.base in difference_e8 or (only_quote and one.quote in difference_e8))
        ]
        found: list[OrderAnswer] = []
        for symbol in symbols[:SYMBOLS_ASKED]:
            rows = await self._venue.recent_orders(symbol)
            found += [one for one in rows if one.update_time >= since_ms and e8(one.executed_qty)]
        return found

    def _knows_less(self, shown: OrderAnswer) -> bool:
        """A rest finer than the lots that we count in is no fill that could be told of once more."""
        order = self._engine.book.get(shown.client_order_id)
        executed = lots(self._venue.instruments[shown.symbol], shown.executed_qty)
        return order is not None and order.applied_lots < executed

    async def _reports(self, shown: OrderAnswer) -> list[OrderReport]:
        return await self._venue.order_reports(shown.symbol, shown.client_order_id)

    def _is_strange(self, shown: OrderAnswer) -> bool:
        """Not ours, or under our name and of no intent of this state folder, whatever the session."""
        name = shown.client_order_id
        if self._engine.book.get(name) is not None:
            return False
        return not is_ours(name, self._ids.instance) or not self._is_journaled(name)

    def _market_ms(self) -> int:
        """Until when all that happened is known here, by the clock that orders are stamped with.

        A market that is not Binance's has a clock of its own, and the venue's answers have another.
        """
        return self._now_ns() // NS_PER_MS - UNSURE_MS

    def _story(self, strange: Sequence[OrderAnswer], clones: Sequence[OrderAnswer]) -> str:
        if clones:
            return (
                f"orders carry our name and were not sent by this daemon ({_told(clones)}); another one trades as "
                f"{self._ids.instance!r}: stop it, then bnml resume"
            )
        if strange:
            return f"traded by others ({_told(strange)})"
        return "no order explains it: paid in or out"


def make_accountant(parts: Parts, changes: Callable[[], int], now_ns: Callable[[], int]) -> Accountant:
    """Of a composed session; orders are known by the book, all intents of its journal, and the fills it has counted."""

    def is_journaled(client_order_id: str) -> bool:
        try:
            with JournalReader(parts.folder.journal) as journal:
                is_intended = name_of(client_order_id) is not None and is_known((), journal, client_order_id)
                counted = journal.trades(parts.journal.session)
                return is_intended or any(one.client_order_id == client_order_id for _, one in counted)
        except (sqlite3.Error, msgspec.DecodeError, UnicodeDecodeError, Misconfigured) as error:
            raise Retryable(f"the journal cannot be read beside its writer just now: {error}") from error

    return Accountant(
        parts.venue,
        parts.engine,
        parts.guards,
        ids=parts.config.ids,
        changes=changes,
        now_ns=now_ns,
        is_journaled=is_journaled,
        clock=parts.clock,
    )


def compare_balances(before: Mapping[str, int], balances: Balances) -> dict[str, int]:
    """Difference by asset, venue less ours, in 1e-8; empty when all agree."""
    venue = {asset: free + locked for asset, (free, locked) in balances.assets.items()}
    names = sorted(set(before) | set(venue))
    return {
        name: venue.get(name, 0) - before.get(name, 0)
        for name in names
        if venue.get(name, 0) != before.get(name, 0)
    }


def _told(orders: Sequence[OrderAnswer]) -> str:
    return "; ".join(
        f"{one.client_order_id} {one.side} {one.executed_qty} {one.symbol}" for one in orders[:5]
    )
