"""What is coming: symbols that stop, change or will be delisted, a quote asset that slips, a fee reserve that runs out."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.fees import FEE_ASSET, WARN_H, FeePace, lots_to_buy
from bnml.app.logs import logger
from bnml.core.clock import NS_PER_MS, format_utc
from bnml.core.errors import AccessRefused, Rejected, Retryable
from bnml.core.events import FeePurchase, InstrumentUpdate, OperatorCommand
from bnml.core.instrument import DELISTED, plain
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.trading.reference import in_units_of
from bnml.trading.state import OF_SYMBOL, STATUS
from bnml.trading.universe import TRADING
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.numbers import e8
from bnml.venues.binance.reports import decoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from typing import NoReturn

    from bnml.app.guards import Guards
    from bnml.core.errors import BnmlError
    from bnml.core.events import Event
    from bnml.trading.engine import Engine
    from bnml.trading.settings import CapitalSettings
    from bnml.venues.binance.venue import BinanceVenue

LOOK_S: Final = 60.0
PATIENT_LOOKS: Final = 10
"""Looks in a row that may fail before it is told; one that the venue refuses is told at once."""
SCHEDULE: Final = "/sapi/v1/spot/delist-schedule"
OFF: Final = {
    "delistings": "nothing is sold before a delisting, and its entries go on",
    "symbols": "a symbol that stops or changes is only noticed by its orders",
    "peg": "a quote asset that slips stops no entries",
}
"""What goes on unguarded while a look is not told."""
AT_MOST_EACH_S: Final = 0.5  # however often the venue says that a symbol is gone
HOUR_NS: Final = 3_600_000_000_000
ONE_E8: Final = 10**8
CANDLES_PER_PAGE: Final = 1000
LONG_CANDLE_MINUTES: Final = 5  # for a window that a page of single minutes does not span
DEPEG: Final = "depeg"
DELIST: Final = f"delist{OF_SYMBOL}"
FILTERS: Final = f"filters{OF_SYMBOL}"


class Delisting(msgspec.Struct, rename="camel"):
    """A row of the venue's delist schedule."""

    delist_time: int
    symbols: list[str]


class Price(msgspec.Struct):
    """The last price of one symbol."""

    price: str


class Candle(msgspec.Struct, array_like=True):
    """The begin of a row of the venue's klines; of what follows nothing is needed."""

    open_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    close_time: int


_schedule = msgspec.json.Decoder(list[Delisting])
_candles = msgspec.json.Decoder(list[Candle])
_price = msgspec.json.Decoder(Price)


class Peg:
    """How far a price has been from 1, over a window: off when it was further away than allowed all the time.

    It is right again when it was within the limit for as long: one look never changes anything.
    """

    def __init__(self, most_e8: int, window_ns: int) -> None:
        self._most_e8 = most_e8
        self._window_ns = window_ns
        self._looks: deque[tuple[int, bool]] = deque()
        self.is_off = False

    def take(self, ts_ns: int, price_e8: int) -> bool:
        """One look; returns whether the peg is off."""
        self._looks.append((ts_ns, abs(price_e8 - ONE_E8) > self._most_e8))
        while len(self._looks) > 1 and self._looks[1][0] <= ts_ns - self._window_ns:
            self._looks.popleft()
        is_whole = self._looks[0][0] <= ts_ns - self._window_ns
        if is_whole and len({off for _, off in self._looks}) == 1:
            self.is_off = self._looks[0][1]
        return self.is_off


class Outlook:
    """Reads once a minute; what the venue does not tell (a test network has no `/sapi/`) is said once and asked for on.

    With `looks_once` there will be no other look: the peg's past is read, and fees are left to sessions that last.
    """

    def __init__(
        self,
        venue: BinanceVenue,
        engine: Engine,
        guards: Guards,
        settings: CapitalSettings,
        *,
        now_ns: Callable[[], int],
        followed: Callable[[], Iterable[str]],
        feed: Callable[[Event], None],
        looks_once: bool = False,
    ) -> None:
        self._venue = venue
        self._engine = engine
        self._guards = guards
        self._settings = settings
        self._now_ns = now_ns
        self._followed = followed
        self._feed = feed
        self._peg = Peg(round(settings.depeg_pct * ONE_E8 / 100), int(settings.depeg_minutes * 60e9))
        self._left: dict[str, int] = {}  # symbol -> the delisting before which it was told to leave
        self._is_short = False
        self._why_not = ""  # the reserve was not bought at the last look
        self._pace, self._runs_out = FeePace(), False
        self._look_now = asyncio.Event()
        # Looks in a row; those that were told count beyond all patience.
        self._failed: Counter[str] = Counter()
        self._next_ns = 0  # of a look at what is closed, in event time
        self._looks: dict[str, Callable[[], Awaitable[None]]] = {
            "symbols": self.see_symbols,
            "delistings": self.see_delistings,
        }
        if settings.depeg_symbol:
            self._looks["peg"] = self.see_past_peg if looks_once else self.see_peg
        if settings.fee_reserve_quote and not looks_once:
            self._looks["fee reserve"] = self.see_fee_reserve
        elif not looks_once:
            self._looks["fee pace"] = self.see_fee_pace

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            self._look_now.clear()
            await self.look()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._look_now.wait()
            await asyncio.sleep(AT_MOST_EACH_S)

    def look_soon(self) -> None:
        """The venue said something that only a look can settle."""
        self._look_now.set()

    async def look(self) -> None:
        """Everything once."""
        if not self._settings.depeg_symbol:
            self._guards.report(DEPEG, ACTIVE)  # of a session that watched it
        for name in self._looks:
            await self._see(name)

    async def look_at_closed(self) -> bool:
        """For stepped sessions, where nobody runs: each hour of the market while a symbol is closed; whether it looked."""
        if self._now_ns() < self._next_ns or not self._guards.standing(STATUS):
            return False
        self._next_ns = self._now_ns() + HOUR_NS
        await self._see("symbols")
        return True

    async def _see(self, name: str) -> None:
        try:
            await self._looks[name]()
        except (Retryable, msgspec.DecodeError) as error:
            logger().warning("outlook_postponed", what=name, error=str(error))
            is_final = isinstance(error, AccessRefused) and error.code != 0
            self._fail(name, error, PATIENT_LOOKS if is_final else 1)
        except Rejected as error:
            self._fail(name, error, PATIENT_LOOKS)
        else:
            if self._failed.pop(name, 0) >= PATIENT_LOOKS:
                logger().warning("outlook_told_again", what=name)

    def _fail(self, name: str, error: BnmlError | msgspec.DecodeError, looks: int) -> None:
        """Tell once that a guard is off."""
        before = self._failed[name]
        self._failed[name] += looks
        if before < PATIENT_LOOKS <= self._failed[name]:
            note = f"{OFF.get(name, 'it is not warned of')}; asked again each minute"
            logger().warning("outlook_not_told", what=name, error=str(error), note=note)

    async def see_delistings(self) -> None:
        """No entries of what will go; what is held leaves `delist_exit_h` before."""
        body = await self._venue.rest.read(SCHEDULE, {}, Lane.DATA)
        rows = decoded(_schedule, body)
        due_ns = {symbol: row.delist_time * NS_PER_MS for row in rows for symbol in row.symbols}
        self._end_all(DELIST, set(due_ns))
        now_ns = self._now_ns()
        for symbol, ts_ns in sorted(due_ns.items()):
            if symbol not in self._venue.instruments:
                continue
            self._guards.report(f"{DELIST}{symbol}", REDUCING, f"is delisted at {format_utc(ts_ns)}")
            is_due = now_ns >= ts_ns - self._settings.delist_exit_h * HOUR_NS
            if is_due and symbol in self._engine.portfolio.positions and self._left.get(symbol) != ts_ns:
                self._left[symbol] = ts_ns
                logger().warning("position_leaves_before_delisting", symbol=symbol, at=format_utc(ts_ns))
                self._feed(OperatorCommand("flatten", now_ns, symbol))

    async def see_symbols(self) -> None:
        """Status and filters of what is followed: what does not trade is not bought; one that is gone is parked.

        A session counts in the ticks and lots that it began with, so other ones wait for the next start: until
        then the symbol is only left, in steps that the venue takes.
        """
        symbols = tuple(self._followed())
        now = await self._venue.read_instruments(symbols)
        for prefix in (STATUS, FILTERS):
            self._end_all(prefix, symbols)  # of what has left meanwhile, maybe before the start
        for symbol in symbols:
            known = self._venue.instruments[symbol]
            shown = now.get(symbol) or msgspec.structs.replace(known, status=DELISTED)
            is_other = (shown.tick_e8, shown.lot_e8) != (known.tick_e8, known.lot_e8)
            found = in_units_of(known, shown) if is_other else shown
            self._tell(f"{STATUS}{symbol}", shown.status != TRADING, f"is {shown.status} at the venue")
            self._tell(f"{FILTERS}{symbol}", is_other, "has another tick or lot; a restart takes them over")
            if found != known:
                self._venue.instruments[symbol] = found
                self._feed(InstrumentUpdate(found, self._now_ns()))

    def _tell(self, name: str, is_so: bool, detail: str) -> None:
        if is_so or self._guards.level(name) != ACTIVE:
            self._guards.report(name, REDUCING if is_so else ACTIVE, detail if is_so else "")

    async def see_peg(self) -> None:
        """Whether the money that everything is counted in is still worth what it says."""
        price_e8 = await self._price_e8(self._settings.depeg_symbol)
        self._judge_peg([(self._now_ns(), price_e8)])

    async def see_past_peg(self) -> None:
        """The same from the candles of the window before now, as if each had been looked at when it closed."""
        minutes = math.ceil(self._settings.depeg_minutes)
        step = 1 if minutes < CANDLES_PER_PAGE else LONG_CANDLE_MINUTES
        wanted = (
            math.ceil(minutes / step) + 1
        )  # so that the first has closed a whole window before the last will
        body = await self._venue.rest.public(
            "/api/v3/klines",
            {"symbol": self._settings.depeg_symbol, "interval": f"{step}m", "limit": str(wanted)},
        )
        rows = decoded(_candles, body)
        self._judge_peg([((row.close_time + 1) * NS_PER_MS, e8(row.close)) for row in rows])

    def _judge_peg(self, looks: Sequence[tuple[int, int]]) -> None:
        """Take times and prices; where there is none, what was told before holds on."""
        is_off = self._peg.is_off = self._guards.level(DEPEG) != ACTIVE  # maybe since before the start
        price_e8 = 0
        for ts_ns, price_e8 in looks:
            is_off = self._peg.take(ts_ns, price_e8)
        if is_off and looks:
            detail = (
                f"{self._settings.depeg_symbol} is {plain(price_e8, 4)}, more than {self._settings.depeg_pct:g} % from 1 "
                f"for {self._settings.depeg_minutes:g} minutes"
            )
            self._guards.report(DEPEG, REDUCING, detail)
        elif looks:
            self._guards.report(DEPEG, ACTIVE)

    async def see_fee_pace(self) -> None:
        """Tell once when what fees are paid in is used up within a day, or is gone; again after a refill."""
        held_e8 = self._reserve_e8()
        hours = self._pace.take(self._now_ns(), held_e8)
        runs_out = hours is not None and hours < WARN_H
        if runs_out and not self._runs_out:
            logger().warning(
                "fees_run_out",
                text=f"{plain(held_e8, 8)} {FEE_ASSET} pay the commissions for {hours:.1f} h more at the pace of the last "
                "day; then they are taken from what is bought and cost more. capital.fee_reserve_quote warns at an "
                "amount instead",
            )
        self._runs_out = runs_out

    async def see_fee_reserve(self) -> None:
        """Tell once when the asset that fees are paid in runs low; it is told again after a refill."""
        quote, held_e8 = self._engine.state.ledger.quote, self._reserve_e8()
        price_e8 = await self._price_e8(f"{FEE_ASSET}{quote}")
        worth_e8 = held_e8 * price_e8 // ONE_E8
        is_short = worth_e8 < self._settings.fee_reserve_quote * ONE_E8
        if is_short and not self._is_short:
            tail = "it is bought now" if self._settings.fee_top_up else "buy some"
            logger().warning(
                "fee_reserve_low",
                text=f"{plain(held_e8, 8)} {FEE_ASSET} are worth {plain(worth_e8, 2)} {quote}, less than "
                f"capital.fee_reserve_quote ({self._settings.fee_reserve_quote:g}); without it fees are taken from "
                f"what is bought and cost more: {tail}, it is never sold by the daemon",
            )
        self._is_short = is_short
        if is_short and self._settings.fee_top_up:
            self._top_up(worth_e8, price_e8)

    def _reserve_e8(self) -> int:
        """Of the asset that fees are paid in; what is bought to be sold pays no commissions."""
        portfolio = self._engine.portfolio
        traded = portfolio.positions.get(f"{FEE_ASSET}{self._engine.state.ledger.quote}")
        bought_e8 = sum(tranche.base_e8 for tranche in traded.tranches) if traded is not None else 0
        return portfolio.total_e8(FEE_ASSET) - bought_e8

    def _top_up(self, worth_e8: int, price_e8: int) -> None:
        """Have the engine buy what restores the reserve; what stands against it is told once."""
        symbol = f"{FEE_ASSET}{self._engine.state.ledger.quote}"
        instrument = self._venue.instruments[symbol]
        lots = lots_to_buy(self._settings, instrument, worth_e8, price_e8)
        event = FeePurchase(symbol, lots, price_e8 // instrument.tick_e8, self._now_ns())
        why_not = self._engine.fees.obstacle(event) if lots else "capital.fee_top_up_max_quote is too small"
        if not why_not:
            self._feed(event)
        elif why_not != self._why_not:
            logger().warning("fee_reserve_not_bought", text=why_not)
        self._why_not = why_not

    def _end_all(self, prefix: str, remaining: Iterable[str]) -> None:
        kept = {f"{prefix}{symbol}" for symbol in remaining}
        for name in self._guards.standing(prefix):
            if name not in kept:
                self._guards.report(name, ACTIVE)

    async def _price_e8(self, symbol: str) -> int:
        body = await self._venue.rest.public("/api/v3/ticker/price", {"symbol": symbol})
        return e8(decoded(_price, body).price)
