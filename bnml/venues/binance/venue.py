"""Assembles REST, WebSocket API and codec into one venue: reference data, history, account, commands."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from bnml.core.clock import NS_PER_MS
from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import AccessRefused, Misconfigured, Rejected, Retryable, UnknownOutcome
from bnml.core.events import Balances, Bar, Book, OrderReport
from bnml.core.orders import ListTicket, OrderState, Side
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.codec import bars_of_klines, book_of_depth, exchange_info, instrument_of
from bnml.venues.binance.errors import NO_SUCH_ORDER, NO_SUCH_SYMBOL, ReplacementFailed
from bnml.venues.binance.evidence import ORDERS_PER_PAGE, Evidence, readable, trades_of_order
from bnml.venues.binance.numbers import e8, lots
from bnml.venues.binance.reports import (
    balances_of,
    decoded,
    may_trade,
    order_answer,
    order_answers,
    permissions_of,
    reports_of_result,
    traded_reports,
)
from bnml.venues.binance.requantising import requantised
from bnml.venues.binance.requests import VenueCommand, query_of, request_of
from bnml.venues.binance.wire import OrderAnswer, Ticker24h

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bnml.core.instrument import Instrument
    from bnml.venues.binance.rest import RestClient
    from bnml.venues.binance.wsapi import ApiConnection

KLINES_PER_PAGE = 1000
SYMBOLS_PER_REQUEST = 100
RECKONED_MS = 400
"""By which a clock that was measured may be wrong for whoever waits until a request has become too old."""
TRADES_LATE_S = (0.2, 0.4, 0.8, 1.2, 1.6)
"""Between two looks for trades that the order tells of: what is read lags behind by up to 4 s."""

_tickers = msgspec.json.Decoder(list[Ticker24h])


class Executed(msgspec.Struct, frozen=True):
    """What a command led to, and the places of its answers in a stepped session, last one last."""

    reports: tuple[OrderReport, ...] = ()
    numbers: tuple[int, ...] = ()


class BinanceVenue(Evidence):
    """One account at one deployment. Orders go over the WebSocket API while it is up, else by REST."""

    def __init__(
        self,
        rest: RestClient,
        api: ApiConnection,
        instruments: dict[str, Instrument],
        *,
        receive_window_ms: int = 5000,
        protective_window_ms: int = 5000,
    ) -> None:
        super().__init__(rest)
        self.rest = rest
        self.api = api
        self.instruments = instruments
        self.can_trade = True
        """What the account said when it was read last."""
        self._permissions: frozenset[str] = frozenset()
        self._windows_ms = (receive_window_ms, protective_window_ms)

    def writes_together(self, spares: int = 0) -> bool:
        """Whether several requests can leave in one write: over the WebSocket API.

        And so many `spares` with them, orders that are nearly always refused: as long as entries need not wait.
        """
        return self.api.up and (
            not spares or self.rest.budget.delay_s(Lane.ENTRY, weight=spares, orders=spares) <= 0
        )

    def window_ms(self, command: VenueCommand, attempt: int = 1) -> int:
        """The age at which the venue refuses the request: less where a loss must be known soon, but only once."""
        whole, short = self._windows_ms
        return short if attempt == 1 and _is_short_lived(command) else whole

    async def admitted(self) -> None:
        """Return when this address may open a connection: a banned one waits."""
        await self.rest.penalties.admitted()

    async def execute(self, command: VenueCommand, cancel_id: str = "", *, attempt: int = 1) -> Executed:
        """Carry out one command. Its good outcome comes as user events, and is in the result too (not when stepped).

        Raises by the error tree; UnknownOutcome when the venue may or may not have executed it, also when its
        answer makes no sense. What is not an entry waits for a key that the venue accepts.
        """
        while True:
            try:
                return await self._execute(command, cancel_id, attempt)
            except AccessRefused:
                if not self.rest.signer.lost or (isinstance(command, Submit) and is_entry(command)):
                    raise
            except ReplacementFailed as error:
                if error.cancelled and error.result:
                    with suppress(Retryable):  # what cannot be read is told by user events alone
                        halves = reports_of_result("order.cancel", error.result, self.instruments)
                        error.reports = _to_be_told(halves)
                raise
            await self.rest.signer.usable()

    async def _execute(self, command: VenueCommand, cancel_id: str, attempt: int) -> Executed:
        if isinstance(command, QueryOrder):
            return Executed(tuple(await self.order_reports(command.symbol, command.client_order_id)))
        request, lane = request_of(command, self.instruments, cancel_id), lane_of(command)
        params = request.params
        window_ms = _for_clock(self.window_ms(command, attempt), self.rest.clock.round_trip_ns)
        by_api = self.api.up
        if by_api:
            answer = await self.api.request(
                request.api_method, params, order=True, hold=True, lane=lane, window_ms=window_ms
            )
        else:
            answer = await self.rest.signed(
                request.http_method, request.path, params, lane, order=request.order, window_ms=window_ms
            )
        try:
            with readable(request.path):
                reports = reports_of_result(request.api_method, answer.body, self.instruments)
        except Retryable as error:
            if by_api and answer.number:  # nobody waits for the consequences of what is unclear
                self.api.on_number(answer.number)
            raise UnknownOutcome(str(error)) from error
        if by_api and answer.number:  # stepped: its user events have their places, and none is ever lost
            return Executed((), (answer.number,))
        return Executed(_to_be_told(reports), (answer.number,))

    async def order_reports(self, symbol: str, client_order_id: str) -> list[OrderReport]:
        """Reports that tell the whole life of one order so far; empty when the venue has no such order."""
        while True:
            try:
                request = query_of(symbol, client_order_id)
                body = await self.rest.read(request.path, request.params, Lane.DOUBT)
                with readable(request.path):
                    return await _with_trades(self.rest, order_answer(body), self.instruments)
            except Rejected as error:
                if error.code == NO_SUCH_ORDER:
                    return []
                raise
            except AccessRefused:
                if not self.rest.signer.lost:
                    raise
            await self.rest.signer.usable()

    async def fitted(self, symbol: str, command: VenueCommand) -> VenueCommand | None:
        """The command fitted to filters that have changed since they were read; None when that is no way out.

        They are read with the command's own rank: a stop does not wait behind what only brings data.
        """
        known = self.instruments.get(symbol)
        body = await self._info({"symbols": f'["{symbol}"]'}, [symbol], lane_of(command))
        found = self._instruments_of(body).get(symbol)
        if known is None or found is None:
            return None
        return requantised(command, known, found)

    async def open_orders(self) -> list[OrderAnswer]:
        """All open orders of the account, whoever placed them."""
        return order_answers(await self.rest.read("/api/v3/openOrders", {}))

    async def recent_orders(self, symbol: str) -> list[OrderAnswer]:
        """The newest orders of one symbol, any state."""
        params = {"symbol": symbol, "limit": str(ORDERS_PER_PAGE)}
        return order_answers(await self.rest.read("/api/v3/allOrders", params))

    async def balances(self) -> Balances:
        """The whole account, stamped with the venue's wall clock; symbols that it may not trade are not read from then on."""
        body = await self.rest.read("/api/v3/account", {"omitZeroBalances": "true"})
        self._permissions = permissions_of(body)
        self.can_trade = may_trade(body)
        return balances_of(body, self.rest.timestamp_ms() * NS_PER_MS)

    async def load_instruments(self, symbols: Sequence[str], quote: str) -> dict[str, Instrument]:
        """Filters of the named symbols, or of everything tradable against `quote` when none is named."""
        found: dict[str, Instrument] = {}
        if symbols:
            for start in range(0, len(symbols), SYMBOLS_PER_REQUEST):
                part = list(symbols[start : start + SYMBOLS_PER_REQUEST])
                params = {"symbols": msgspec.json.encode(part).decode()}
                found |= self._instruments_of(await self._info(params, part))
            missing = [symbol for symbol in symbols if symbol not in found]
            if missing:
                raise Misconfigured(
                    f"universe.symbols: the venue does not trade {', '.join(missing)}, or this account may not; "
                    "leave them out"
                )
        else:
            found = await self.tradable(quote)
        self.instruments.update(found)
        return found

    async def read_instruments(self, symbols: Sequence[str]) -> dict[str, Instrument]:
        """Filters of these symbols as they are now; one that the venue does not know any more is left out."""
        found: dict[str, Instrument] = {}
        for start in range(0, len(symbols), SYMBOLS_PER_REQUEST):
            part = list(symbols[start : start + SYMBOLS_PER_REQUEST])
            try:
                names = _encoded(msgspec.json.encode(part).decode())
                body = await self.rest.public("/api/v3/exchangeInfo", {"symbols": names})
            except Rejected as error:
                if error.code != NO_SUCH_SYMBOL:
                    raise
                if len(part) > 1:  # one of them is gone, and the answer does not say which
                    for symbol in part:
                        found |= await self.read_instruments((symbol,))
                continue
            found |= self._instruments_of(body)
        return found

    async def tradable(self, quote: str) -> dict[str, Instrument]:
        """Filters of everything that trades against `quote` now; what is known already keeps its units."""
        every = self._instruments_of(await self.rest.public("/api/v3/exchangeInfo", {}))
        return {
            name: one for name, one in sorted(every.items()) if one.quote == quote and one.status == "TRADING"
        }

    async def turnover(self) -> dict[str, int]:
        """Quote volume of the last 24 hours by symbol, in 1e-8."""
        rows = decoded(_tickers, await self.rest.public("/api/v3/ticker/24hr", {}))
        return {row.symbol: e8(row.quote_volume) for row in rows}

    async def bars(
        self, symbol: str, frame: str, frame_ns: int, start_ns: int, end_ns: int | None = None
    ) -> list[Bar]:
        """Bars from `start_ns` on, oldest first, paged; the running candle, where shown, is the last."""
        instrument = self.instruments[symbol]
        found: list[Bar] = []
        while end_ns is None or start_ns < end_ns:
            params = {
                "symbol": symbol,
                "interval": frame,
                "startTime": str(start_ns // NS_PER_MS),
                "limit": str(KLINES_PER_PAGE),
            }
            if end_ns is not None:
                params["endTime"] = str(end_ns // NS_PER_MS - 1)
            page = bars_of_klines(instrument, await self.rest.public("/api/v3/klines", params), frame_ns)
            found += page
            if len(page) < KLINES_PER_PAGE:
                break
            start_ns = page[-1].ts_close_ns
        return found

    async def last_bar(self, symbol: str, frame: str, frame_ns: int) -> Bar | None:
        """The newest candle the venue shows, usually a running one."""
        params = {"symbol": symbol, "interval": frame, "limit": "1"}
        page = bars_of_klines(
            self.instruments[symbol], await self.rest.public("/api/v3/klines", params), frame_ns
        )
        return page[-1] if page else None

    async def book(self, symbol: str) -> Book | None:
        """The book as it stands."""
        body = await self.rest.public("/api/v3/depth", {"symbol": symbol, "limit": "20"})
        return book_of_depth(self.instruments[symbol], body)

    async def _info(self, params: Mapping[str, str], symbols: Sequence[str], lane: Lane = Lane.DATA) -> bytes:
        try:
            names = {"symbols": _encoded(params["symbols"])}
            return await self.rest.public("/api/v3/exchangeInfo", names, lane)
        except Rejected as error:
            raise Misconfigured(
                f"universe.symbols: the venue does not know one of {', '.join(symbols)} ({error}); leave it out"
            ) from error

    def _instruments_of(self, body: bytes) -> dict[str, Instrument]:
        info = exchange_info(body)
        self.rest.budget.adopt(info.rate_limits)
        return {
            row.symbol: instrument_of(row)
            for row in info.symbols
            if row.is_spot_trading_allowed and _is_permitted(row.permission_sets, self._permissions)
        }


async def _with_trades(
    rest: RestClient, found: OrderAnswer, instruments: Mapping[str, Instrument]
) -> list[OrderReport]:
    instrument = instruments[found.symbol]
    if e8(found.executed_qty) == 0:
        return traded_reports(found, (), instrument)
    for pause_s in (*TRADES_LATE_S, 0.0):
        trades = await trades_of_order(rest, found.symbol, found.order_id, Lane.DOUBT)
        reports = traded_reports(found, trades, instrument)
        if sum(one.last_lots for one in reports) >= lots(instrument, found.executed_qty):
            break
        await asyncio.sleep(pause_s)
    return reports


def _is_permitted(sets: Sequence[Sequence[str]], permissions: frozenset[str]) -> bool:
    """One permission of each set is needed; nothing is known to be forbidden where either side tells nothing."""
    return not permissions or all(not permissions.isdisjoint(one) for one in sets if one)


def lane_of(command: VenueCommand) -> Lane:
    """Cancels first, then what protects or closes, then entries."""
    if isinstance(command, CancelOrder | CancelList):
        return Lane.CANCEL
    if isinstance(command, ReplaceOrder):
        return Lane.EXIT
    if isinstance(command, Submit):
        return Lane.ENTRY if is_entry(command) else Lane.EXIT
    return Lane.RECONCILE


def is_entry(command: Submit) -> bool:
    """Whether the order, or the working order of the list, buys."""
    ticket = command.order.ticket
    first = ticket.working if isinstance(ticket, ListTicket) else ticket
    return first is not None and first.side is Side.BUY


def _to_be_told(reports: Sequence[OrderReport]) -> tuple[OrderReport, ...]:
    """Of an answer: a fill that is told of without its trades (answers about lists do so) is left to those who bring them.

    That an order is cancelled is not: nothing else may tell it, and what it guarded waits for that.
    """
    return tuple(
        one for one in reports if one.trade_id or not one.cumulative_lots or one.state is OrderState.CANCELED
    )


def _for_clock(window_ms: int, round_trip_ns: int) -> int:
    """As much less as the measured clock may be ahead of the venue's beyond what is reckoned with.

    Else a request could still arrive when its age is taken for the proof that it cannot, and be sent twice.
    """
    return max(1, window_ms - max(0, round_trip_ns // 2 // NS_PER_MS - RECKONED_MS))


def _is_short_lived(command: VenueCommand) -> bool:
    """What protects or closes; and a purchase without a list, which must not arrive when its stop is refused for its age."""
    is_single = isinstance(command, Submit) and not isinstance(command.order.ticket, ListTicket)
    return is_single or lane_of(command) in {Lane.CANCEL, Lane.EXIT}


def _encoded(text: str) -> str:
    return text.replace("[", "%5B").replace("]", "%5D").replace('"', "%22").replace(",", "%2C")
