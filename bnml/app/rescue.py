"""What is ours at the venue, without the daemon: orders by their ids, holdings by what those orders brought."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.folder import REBUILD
from bnml.core.errors import (
    BnmlError,
    Misconfigured,
    RecoveryNeeded,
    Rejected,
    Retryable,
    UnknownOutcome,
)
from bnml.core.ids import is_of_fees, is_ours
from bnml.core.instrument import Instrument, money_e8
from bnml.core.orders import Side
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.codec import exchange_info, instrument_of
from bnml.venues.binance.errors import NO_SUCH_ORDER, UNKNOWN_ORDER
from bnml.venues.binance.evidence import trades_of_order
from bnml.venues.binance.reports import balances_of, decoded

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bnml.venues.binance.rest import RestClient

PAGE: Final = 1000
FEW: Final = 10  # symbols whose filters are read one by one: all there are come in megabytes
SALE_WINDOW_MS: Final = 1000
LOOK_S: Final = 1.0
LOOKS: Final = 5  # without it: its window is over, and what is read lags behind by up to 4 s
MOST_LOOKS: Final = 60
STOPS: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
RESTING: Final = frozenset({"NEW", "PARTIALLY_FILLED"})


class VenueOrder(msgspec.Struct, rename="camel"):
    """An order as the venue shows it."""

    symbol: str
    client_order_id: str
    order_id: int
    status: str
    side: Side
    type: str
    orig_qty: str
    executed_qty: str

    @property
    def executed_e8(self) -> int:
        return money_e8(self.executed_qty)

    @property
    def open_e8(self) -> int:
        """What it may still trade; a sleeping leg of a list may not yet."""
        return money_e8(self.orig_qty) - self.executed_e8 if self.status in RESTING else 0


class _Price(msgspec.Struct):
    price: str


class Booked(msgspec.Struct):
    """What the journal says of the fills of one order, in 1e-8 of the base asset, net of commission in base."""

    symbol: str
    side: Side
    amount_e8: int = 0
    commission: dict[str, int] = {}


_orders = msgspec.json.Decoder(list[VenueOrder])
_order = msgspec.json.Decoder(VenueOrder)
_price = msgspec.json.Decoder(_Price)


class Rescue:
    """Reads and ends what is ours; `instance` tells our ids from those of others, which are never touched."""

    def __init__(self, rest: RestClient, instance: str, booked: dict[str, Booked] | None) -> None:
        self._rest = rest
        self._instance = instance
        self._booked = booked or {}
        self._has_journal = booked is not None
        self._sold: dict[str, VenueOrder] = {}  # by name: what is read later may not show it yet
        self.instruments: dict[str, Instrument] = {}

    async def open_orders(self) -> list[VenueOrder]:
        """Ours only."""
        return self._ours(await self._rest.read("/api/v3/openOrders", {}, Lane.CANCEL))

    async def learn(self, symbols: Iterable[str]) -> None:
        """Read the filters of those symbols that the venue still has."""
        wanted = set(symbols) - self.instruments.keys()
        if len(wanted) > FEW:  # of as much weight as for one
            every = exchange_info(await self._rest.public("/api/v3/exchangeInfo", {}, Lane.EXIT)).symbols
            self.instruments |= {row.symbol: instrument_of(row) for row in every if row.symbol in wanted}
            return
        for symbol in sorted(wanted):
            with suppress(Rejected):  # gone from the venue: nothing of it can be sold
                body = await self._rest.public("/api/v3/exchangeInfo", {"symbol": symbol}, Lane.EXIT)
                self.instruments |= {row.symbol: instrument_of(row) for row in exchange_info(body).symbols}

    async def symbols(self, orders: Iterable[VenueOrder], quote: str) -> list[str]:
        """Every symbol that may hold something of ours, the likeliest first: of a year there are hundreds.

        Those with orders, then by their last entry; without a journal whatever the account holds may be.
        """
        named = sorted({order.symbol for order in orders})
        named += [one.symbol for one in reversed(self._booked.values())]
        if not self._has_journal:
            guessed = {f"{asset}{quote}" for asset in await self.free_e8() if asset != quote}
            await self.learn(guessed)
            named += sorted(guessed & self.instruments.keys())
        return list(dict.fromkeys(named))

    async def held_e8(self, symbol: str) -> int:
        """How much of the base asset our orders brought in and have not sold yet, in 1e-8, net of commission in base."""
        instrument = self.instruments[symbol]
        orders = {order.client_order_id: order for order in await self._history(symbol)}
        orders |= {name: order for name, order in self._sold.items() if order.symbol == symbol}
        total = 0
        for name, booked in self._booked.items():
            if booked.symbol == symbol and name not in orders:
                total += _net_e8(booked, instrument)
        for name, order in orders.items():
            known = self._booked.get(name)
            if known is not None and known.amount_e8 == order.executed_e8:
                total += _net_e8(known, instrument)
            elif order.side is Side.SELL:
                total -= order.executed_e8
            elif order.executed_e8:
                total += order.executed_e8 - await self._commission_e8(order, instrument.base)
        return max(0, total)

    async def free_e8(self) -> dict[str, int]:
        """What the account can sell or spend now, by asset."""
        body = await self._rest.read("/api/v3/account", {"omitZeroBalances": "true"}, Lane.EXIT)
        return {asset: free for asset, (free, _) in balances_of(body, 0).assets.items()}

    async def cancel(self, order: VenueOrder) -> bool:
        """End one order, with its list; False when it had ended already."""
        params = {"symbol": order.symbol, "origClientOrderId": order.client_order_id}
        try:
            await self._rest.signed("DELETE", "/api/v3/order", params, Lane.CANCEL, order=True)
        except Rejected as error:
            if error.code != UNKNOWN_ORDER:
                raise
            return False
        return True

    async def sell(self, symbol: str, lots: int, client_order_id: str) -> VenueOrder:
        """Sell at market under that id, unless the venue has an order of that id already.

        A sale without a clear answer is looked for; Retryable only when it certainly did not happen.
        """
        found = await self.order(symbol, client_order_id)
        if found is None:
            try:
                found = await self._place_sale(symbol, lots, client_order_id)
            except UnknownOutcome:
                found = await self._find_sale(symbol, client_order_id)
                if found is None:
                    raise
        self._sold[client_order_id] = found
        return found

    async def _place_sale(self, symbol: str, lots: int, client_order_id: str) -> VenueOrder:
        params = {
            "symbol": symbol,
            "side": "SELL",
            "type": "MARKET",
            "quantity": self.instruments[symbol].quantity_text(lots),
            "newClientOrderId": client_order_id,
            "newOrderRespType": "RESULT",
        }
        answer = await self._rest.signed(
            "POST", "/api/v3/order", params, Lane.EXIT, order=True, window_ms=SALE_WINDOW_MS
        )
        try:
            return msgspec.json.decode(answer.body, type=VenueOrder)
        except ValueError as error:
            raise UnknownOutcome(
                f"the answer to the sale {client_order_id} makes no sense: {error}"
            ) from error

    async def _find_sale(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """None once it can neither arrive any more nor be shown late; Rejected where the venue cannot be asked."""
        without, obstacle = 0, ""
        for _ in range(MOST_LOOKS):
            await asyncio.sleep(LOOK_S)
            try:
                found = await self.order(symbol, client_order_id)
            except Retryable as error:
                obstacle = str(error)  # nothing was learned
            else:
                without += 1
                if found is not None or without == LOOKS:
                    return found
        raise Rejected(
            f"whether {client_order_id} was executed cannot be read ({obstacle}); look at the venue"
        )

    async def is_dust(self, instrument: Instrument, lots: int) -> bool:
        """Whether so little is worth less than the venue's least order, or so little more that its average price decides."""
        body = await self._rest.public("/api/v3/ticker/price", {"symbol": instrument.symbol}, Lane.EXIT)
        price = instrument.price_ticks(decoded(_price, body).price, "down")
        return instrument.notional_e8(price, lots) * 10 < instrument.min_notional_e8 * 11

    async def order(self, symbol: str, client_order_id: str) -> VenueOrder | None:
        """One order by our id; None when the venue has none."""
        params = {"symbol": symbol, "origClientOrderId": client_order_id}
        try:
            body = await self._rest.read("/api/v3/order", params, Lane.EXIT)
        except Rejected as error:
            if error.code != NO_SUCH_ORDER:
                raise
            return None
        return decoded(_order, body)

    async def _history(self, symbol: str) -> list[VenueOrder]:
        """Our orders of one symbol: the newest page, or without a journal everything there is."""
        params = {"symbol": symbol, "limit": str(PAGE)}
        if self._has_journal:
            return self._ours(await self._rest.read("/api/v3/allOrders", params, Lane.EXIT))
        found: list[VenueOrder] = []
        next_id = 1
        while True:
            body = await self._rest.read("/api/v3/allOrders", {**params, "orderId": str(next_id)}, Lane.EXIT)
            page = decoded(_orders, body)
            found += [order for order in page if self._is_ours(order)]
            if len(page) < PAGE:
                return found
            next_id = max(order.order_id for order in page) + 1

    async def _commission_e8(self, order: VenueOrder, asset: str) -> int:
        rows = await trades_of_order(self._rest, order.symbol, order.order_id, Lane.EXIT)
        return sum(money_e8(row.commission) for row in rows if row.commission_asset == asset)

    def _ours(self, body: bytes) -> list[VenueOrder]:
        return [order for order in decoded(_orders, body) if self._is_ours(order)]

    def _is_ours(self, order: VenueOrder) -> bool:
        """What fees are paid in is ours and no holding to be sold."""
        return is_ours(order.client_order_id, self._instance) and not is_of_fees(order.client_order_id)


def stops_e8(orders: Iterable[VenueOrder], symbol: str) -> int:
    """How much the resting stops of one symbol would sell."""
    return sum(
        order.open_e8
        for order in orders
        if order.symbol == symbol and order.side is Side.SELL and order.type in STOPS
    )


def booked_fills(journal: Path) -> dict[str, Booked] | None:
    """All fills of a journal by client order id; None when it cannot be read to its end, or lacks what the venue has yet to tell."""
    if journal.with_name(REBUILD).exists():
        return None
    try:
        with JournalReader(journal) as reader:
            return _booked(reader)
    except (BnmlError, OSError, sqlite3.Error, ValueError, KeyError):
        return None


def instance_of(state_dir: Path) -> str:
    """The letters of our ids, as the state folder or its journal has them; RecoveryNeeded when neither does."""
    missing: Exception | None = None
    for read in (_instance_of_identity, _instance_of_journal):
        try:
            return read(state_dir)
        except (OSError, sqlite3.Error, KeyError, ValueError, Misconfigured) as error:
            missing = error
    raise RecoveryNeeded(
        f"neither identity.json nor the journal of {state_dir} says which orders are ours ({missing}); name the four "
        "letters that follow `bn` in their ids with --instance"
    )


def _instance_of_identity(state_dir: Path) -> str:
    content = msgspec.json.decode((state_dir / "identity.json").read_bytes(), type=dict[str, str | int])
    return str(content["instance"])


def _instance_of_journal(state_dir: Path) -> str:
    with JournalReader(state_dir / JOURNAL_FILE) as reader:
        return reader.session().header.instance


def _booked(reader: JournalReader) -> dict[str, Booked]:
    """Fills are counted in the lots of their session: the venue's may have changed since."""
    found: dict[str, Booked] = {}
    for session in reader.sessions():
        trades = [trade for _, trade in reader.trades(session.id)]
        lots_e8: dict[str, int] = {}  # told at the beginning, or when a symbol joins, and kept to the end
        if trades:
            for instrument in reader.instruments(session.id):
                lots_e8.setdefault(instrument.symbol, instrument.lot_e8)
        for trade in trades:
            one = found.setdefault(trade.client_order_id, Booked(trade.symbol, trade.side))
            one.amount_e8 += trade.quantity_lots * lots_e8[trade.symbol]
            paid = one.commission.get(trade.commission_asset, 0)
            one.commission[trade.commission_asset] = paid + trade.commission_e8
    return found


def _net_e8(booked: Booked, instrument: Instrument) -> int:
    if booked.side is Side.SELL:
        return -booked.amount_e8
    return booked.amount_e8 - booked.commission.get(instrument.base, 0)
