"""Finds out what became of a request without a clear answer: by positive reads or proven absence, never by assumption."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from bnml.app.abreast import abreast
from bnml.app.asking import cancelled_name, new_names, sells_at_market, symbol_of
from bnml.app.logs import logger
from bnml.core.commands import CancelList
from bnml.core.errors import BnmlError, Fatal, UnknownOutcome
from bnml.core.events import CancelFailed, Event, OrderReport
from bnml.core.orders import FINAL_STATES, OrderState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from bnml.venues.binance.departures import Departure
    from bnml.venues.binance.requests import VenueCommand

PAUSES_S = (0.3, 0.4, 0.5, 0.6, 1.0, 2.0, 4.0)
"""Between two looks; the last one again and again, for as long as the venue cannot be read."""
HASTY_S = 2.5
"""A doubt that can be settled within this time is about protection: looked at often, and in the moment it is settled."""
HASTY_PAUSE_S = 0.2
HASTY_LOOKS = 15
EARLY_LOOKS = 8
"""Of these, before it is settled: what is not seen by then is looked for in that moment, and often after it."""
AFTER_S = 0.001  # a look that begins just short of the moment would have to be repeated
LOOKS_WITHOUT = 3
"""So often in a row the venue must know nothing of an order: what is read lags behind by up to 4 s."""
LAG_LOOKS = 3
LAG_S = 4.0
"""Of what is read: so long a sale at market that has filled may not be shown, and the same once more would fill, too."""
LOUD_AFTER_S = 30.0
LOUD_EVERY_S = 600.0
NEVER_ARRIVED = -2013
NOTHING_TO_CANCEL = -2011


class Truth(Protocol):
    """The reads that tell what is at the venue."""

    async def order_reports(self, symbol: str, client_order_id: str) -> list[OrderReport]: ...

    async def list_members(self, list_client_order_id: str) -> list[str]: ...

    async def shows_none_of(self, symbol: str, names: Collection[str], ended: str = "") -> bool: ...


class Fate(Enum):
    """How a doubt ended."""

    FOUND = "found"  # the venue shows what it did
    TOLD = "told"  # the answer came after all
    ABSENT = "absent"  # the request never arrived, and cannot arrive any more
    HALF = "half"  # of a replacement: the old order is gone, the new one never arrived


class Resolved(msgspec.Struct, frozen=True):
    """The end of a doubt, with what the engine has to hear."""

    fate: Fate
    events: tuple[Event, ...] = ()


class Doubt:
    """One request whose outcome is not known, refused by the venue `settle_s` after its departure.

    `answer` is the request itself while it still waits: an answer that comes late is as good as any. `heard`
    says whether the venue has told of an order by itself meanwhile, `is_doubled` whether another for the same
    coins has been asked for: then this one is not sent again. `fills_once` says of a sale at market whether the
    venue would refuse the same once more, by what is known when it is asked.
    """

    def __init__(
        self,
        venue: Truth,
        command: VenueCommand,
        departure: Departure,
        *,
        settle_s: float,
        answer: asyncio.Task[object] | None,
        heard: Callable[[str], bool],
        is_doubled: Callable[[], bool],
        fills_once: Callable[[], bool],
        now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._command = command
        self._sells_at_market = sells_at_market(command)
        self._is_doubled = is_doubled
        self._fills_once = fills_once
        self._symbol = symbol_of(command)
        self._new = new_names(command)
        self._old = cancelled_name(command)
        self._departure = departure
        self._settle_s = settle_s
        self._answer = answer
        self._heard = heard
        self._now_ns = now_ns
        self._looks = 0
        self._without = 0
        self._loud_s = self._sent_s + LOUD_AFTER_S
        self._log = logger()

    async def end(self) -> Resolved:
        """Read until the venue has shown what became of the request, or that it never came; as long as it takes."""
        while True:
            if await self._pause():
                return Resolved(Fate.TOLD)
            began_s = asyncio.get_running_loop().time()
            try:
                found = await self._look(settled=self._is_settled(began_s))
            except Fatal:
                raise
            except BnmlError as error:
                self._complain(error)
                continue
            if found is None:
                continue
            if found.fate is Fate.FOUND or self._is_settled(began_s):
                return found
            self._without = 0  # it has left meanwhile, from where it was held up: what was read is older

    @property
    def _sent_s(self) -> float:
        """When the request left; one that still waits to leave is not settled."""
        return float("inf") if self._departure.at_s is None else self._departure.at_s

    def _is_settled(self, now_s: float) -> bool:
        """Whether the venue refuses the request for its age at this time, and shows it if it would have filled anew."""
        return now_s >= self._settled_s

    @property
    def _settled_s(self) -> float:
        """When absence counts, with what reads may lag for a sale at market that would be filled once more.

        Ids are unique among open orders only, so the venue takes it twice; the second would sell coins of others.
        """
        may_repeat = self._sells_at_market and not self._is_doubled() and not self._fills_once()
        return self._sent_s + (max(self._settle_s, LAG_S) if may_repeat else self._settle_s)

    async def _pause(self) -> bool:
        """Wait until the next look; True when the answer itself has come."""
        pause_s = PAUSES_S[min(self._looks, len(PAUSES_S) - 1)]
        self._looks += 1
        left_s = self._settled_s - asyncio.get_running_loop().time()
        if left_s > 0:
            pause_s = min(pause_s, left_s + AFTER_S)
        if self._settle_s <= HASTY_S and self._looks <= (EARLY_LOOKS if left_s > 0 else HASTY_LOOKS):
            pause_s = min(HASTY_PAUSE_S, left_s + AFTER_S) if left_s > 0 else HASTY_PAUSE_S / 2
            if self._looks == 1 and self._answer is not None:
                pause_s = 0.0  # the answer has been waited for long enough
        return await self._wait(pause_s, is_settled=left_s <= 0)

    async def _wait(self, pause_s: float, *, is_settled: bool) -> bool:
        """In steps: what would have filled twice may be refused by now, and then its absence counts earlier."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + pause_s
        while True:
            step_s = max(0.0, min(end_s - loop.time(), HASTY_PAUSE_S))
            if self._answer is None:
                await asyncio.sleep(step_s)
            elif (await asyncio.wait({self._answer}, timeout=step_s))[0]:
                return self._is_clear()
            end_s = end_s if is_settled else min(end_s, self._settled_s + AFTER_S)
            if end_s <= loop.time():
                return False

    def _is_clear(self) -> bool:
        """Whether the answer says anything; if not, it is not waited for any more."""
        answer, self._answer = self._answer, None
        if answer is None or answer.cancelled():
            return False
        return not isinstance(answer.exception(), UnknownOutcome)

    async def _look(self, *, settled: bool) -> Resolved | None:
        """One complete look at everything the request was about; None while nothing is certain."""
        if self._old:
            return await self._look_at_cancel(settled=settled)
        new = await self._reports(self._new)
        if any(new.values()):
            return await self._all_legs(new)
        if any(self._heard(name) for name in self._new):
            return Resolved(Fate.FOUND)
        return Resolved(Fate.ABSENT) if await self._are_absent(self._new, settled=settled) else None

    async def _look_at_cancel(self, *, settled: bool) -> Resolved | None:
        names = [self._old]
        if isinstance(self._command, CancelList):
            names = await self._venue.list_members(self._old)
        found = await self._reports([*self._new, *names])
        old = {name: found[name] for name in names}
        told = [report for reports in old.values() for report in reports]
        placed = [report for name in self._new for report in found[name]]
        if placed:
            return Resolved(Fate.FOUND, (*told, *placed))
        last = [reports[-1] for reports in old.values() if reports]
        is_over = bool(last) and len(last) == len(names) and all(one.state in FINAL_STATES for one in last)
        # Reads lag behind what the account's stream has told of the new order.
        if (is_over and not self._new) or any(self._heard(name) for name in self._new):
            return Resolved(Fate.FOUND, tuple(told))
        is_gone = is_over and all(one.state is OrderState.CANCELED for one in last)
        # Of one that somebody else ended when it had sold a part, the successor would sell that once more.
        is_half = is_gone and not any(one.cumulative_lots for one in last)
        absent = [*self._new, *(name for name in names if not old[name])]
        ended = self._old if is_gone else ""
        if absent and not await self._are_absent(absent, settled=settled, ended=ended):
            return None
        if is_half:
            return Resolved(Fate.HALF, tuple(told))
        code = 0 if last else NOTHING_TO_CANCEL
        failed = CancelFailed(self._symbol, self._old, self._now_ns(), code, "the cancel did not arrive")
        return Resolved(Fate.ABSENT, (*told, *(() if is_over else (failed,))))

    async def _reports(self, names: Sequence[str]) -> dict[str, list[OrderReport]]:
        """Read side by side: where something may be bare, every round trip counts."""
        found = await abreast(*(self._venue.order_reports(self._symbol, name) for name in names))
        return dict(zip(names, found, strict=True))

    async def _all_legs(self, found: dict[str, list[OrderReport]]) -> Resolved:
        """A list is placed whole: legs that are not shown yet are waited for, though not for ever."""
        for pause_s in PAUSES_S[1 : 1 + LAG_LOOKS]:
            missing = [name for name, reports in found.items() if not reports]
            if not missing:
                break
            await asyncio.sleep(pause_s)
            found |= await self._reports(missing)
        return Resolved(Fate.FOUND, tuple(report for reports in found.values() for report in reports))

    async def _are_absent(self, names: Sequence[str], *, settled: bool, ended: str = "") -> bool:
        """Whether it is proven that the venue has no such orders, and cannot get them from this request any more.

        Several looks in a row without them, the last when the venue refuses the request for its age, and then
        open orders, all orders and trades that agree, and show the end of what was to be replaced.
        """
        self._without += 1
        if not settled or self._without < LOOKS_WITHOUT:
            return False
        return await self._venue.shows_none_of(self._symbol, names, ended)

    def _complain(self, error: BnmlError) -> None:
        """The venue cannot be asked: what is unknown stays unknown, and the operator hears of it now and then."""
        now_s = asyncio.get_running_loop().time()
        fields = {"symbol": self._symbol, "orders": self._new, "cancels": self._old, "error": str(error)}
        if now_s < self._loud_s:
            self._log.warning("outcome_still_unknown", **fields)
            return
        self._loud_s = now_s + LOUD_EVERY_S
        self._log.critical("outcome_unknown_for_long", seconds=round(now_s - self._sent_s), **fields)
