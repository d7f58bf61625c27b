"""Each venue-wide action as it is done to the exchange, and what undoes it."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from bnml.core.instrument import money_e8
from bnml.core.orders import OrderType, Side
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.messages import OrderRequest, VenueReject

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.faults.lines import Lines
    from bnml.venues.sim.faults.world import World
    from bnml.venues.sim.venue import Venue


class Deeds:
    """Symbols, keys, money, fees, prices, clocks and doors; every method returns what undoes it, or nothing."""

    def __init__(self, venue: Venue, lines: Lines, world: World) -> None:
        self._venue = venue
        self._lines = lines
        self._world = world
        self.of: dict[type, Callable[[Any], Callable[[], None] | None]] = {
            acts.ServerShutdown: self._shut_down,
            acts.RefuseConnections: self._refuse,
            acts.Ban: self._begin_ban,
            acts.UseWeight: self._use_weight,
            acts.ClockSkew: self._skew,
            acts.RevokeKey: self._revoke,
            acts.SymbolStatus: self._switch,
            acts.Filters: self._filter,
            acts.Delist: self._delist,
            acts.Fees: self._charge,
            acts.Transfer: self._transfer,
            acts.PriceGap: self._gap,
            acts.PriceSpike: self._spike,
            acts.ManualOrder: self._trade,
            acts.CancelOrders: self._cancel,
        }

    def _symbols(self, glob: str) -> list[str]:
        return [name for name in self._venue.instruments if fnmatchcase(name, glob)]

    def _accounts(self, glob: str) -> list[str]:
        return [name for name in self._venue.exchange.read.accounts() if fnmatchcase(name, glob)]

    def _shut_down(self, action: acts.ServerShutdown) -> None:
        chosen = self._lines.chosen(action.sockets, ())
        for connection in chosen:
            if connection.farewell is not None:
                connection.send(connection.farewell(self._venue.now_ns))
        for connection in chosen:
            self._world.later(action.notice_s, connection.finish)

    def _refuse(self, action: acts.RefuseConnections) -> None:
        if self._venue.door is None:
            raise VenueReject(-1130, "this exchange has no port to close")
        self._venue.door.refuse_for(action.seconds, cut=action.cut)

    def _begin_ban(self, action: acts.Ban) -> Callable[[], None]:
        self._world.ban = asyncio.get_running_loop().time() + action.seconds, action
        if action.cut:
            self._lines.strike(acts.Cut(sockets="all"), ())

        def undo() -> None:
            self._world.ban = None

        return undo

    def _use_weight(self, action: acts.UseWeight) -> None:
        self._venue.limits.charge(action.weight, self._venue.window_ns)

    def _skew(self, action: acts.ClockSkew) -> Callable[[], None]:
        self._venue.clock_offset_ms += action.ms

        def undo() -> None:
            self._venue.clock_offset_ms -= action.ms

        return undo

    def _revoke(self, action: acts.RevokeKey) -> Callable[[], None]:
        venue, accounts = self._venue, self._accounts(action.account)
        taken = [key for key in venue.keys if key.account in accounts]
        for key in taken:
            venue.keys.remove(key.api_key)
        for account in accounts:
            venue.users.close_account(account, venue.now_ns)

        def undo() -> None:
            for key in taken:
                venue.keys.add(key)

        return undo

    def _switch(self, action: acts.SymbolStatus) -> Callable[[], None]:
        before: dict[str, str] = {}
        for symbol in self._symbols(action.symbol):
            before[symbol] = self._venue.instruments[symbol].status
            self._set_status(symbol, action.status)

        def undo() -> None:
            for symbol, old in before.items():
                if self._venue.instruments[symbol].status == action.status:
                    self._set_status(symbol, old)

        return undo

    def _set_status(self, symbol: str, status: str) -> None:
        self._venue.exchange.set_status(symbol, status)
        if status in {"HALT", "BREAK"}:
            self._world.prices.halt(symbol)
        else:
            self._world.prices.halted.discard(symbol)

    def _filter(self, action: acts.Filters) -> Callable[[], None]:
        symbols = self._symbols(action.symbol)
        before = {symbol: self._world.mask.filters.get(symbol) for symbol in symbols}
        self._world.mask.filters.update(dict.fromkeys(symbols, action))

        def undo() -> None:
            for symbol, old in before.items():
                self._world.mask.filters.pop(symbol, None)
                if old is not None:
                    self._world.mask.filters[symbol] = old

        return undo

    def _delist(self, action: acts.Delist) -> Callable[[], None]:
        gone, symbols = self._world.mask.gone, self._symbols(action.symbol)
        self._cancel(acts.CancelOrders(symbol=action.symbol))
        put_back = self._switch(acts.SymbolStatus(symbol=action.symbol, status="BREAK"))
        self._world.on_market(action.gone_after_s, lambda: gone.update(symbols))

        def undo() -> None:
            gone.difference_update(symbols)
            put_back()

        return undo

    def _charge(self, action: acts.Fees) -> Callable[[], None]:
        exchange = self._venue.exchange
        before: dict[str, tuple[int, int]] = {}
        for account in self._accounts(action.account):
            view = exchange.read.account(account)
            before[account] = view.maker_ppm, view.taker_ppm
            exchange.manage.set_rates(account, round(action.maker_bps * 100), round(action.taker_bps * 100))

        def undo() -> None:
            for account, (maker_ppm, taker_ppm) in before.items():
                exchange.manage.set_rates(account, maker_ppm, taker_ppm)

        return undo

    def _transfer(self, action: acts.Transfer) -> None:
        exchange = self._venue.exchange
        for account in self._accounts(action.account):
            free, _ = exchange.read.account(account).balances.get(action.asset, (0, 0))
            amount = -free if action.amount == "all" else max(money_e8(action.amount), -free)
            if amount:
                exchange.deposit(account, action.asset, amount)

    def _gap(self, action: acts.PriceGap) -> Callable[[], None]:
        symbols = self._symbols(action.symbol)
        for symbol in symbols:
            self._world.prices.shift(symbol, action.percent)

        def undo() -> None:
            for symbol in symbols:
                self._world.prices.shift(symbol, 100 * (1 / (1 + action.percent / 100) - 1))

        return undo

    def _spike(self, action: acts.PriceSpike) -> None:
        for symbol in self._symbols(action.symbol):
            self._world.prices.spike(symbol, action.percent)

    def _trade(self, action: acts.ManualOrder) -> None:
        for account in self._accounts(action.account):
            for symbol in self._symbols(action.symbol):
                request = OrderRequest(
                    symbol=symbol,
                    side=Side(action.side),
                    type=OrderType.MARKET,
                    quantity_e8=money_e8(action.quantity),
                )
                self._venue.exchange.place(account, request)

    def _cancel(self, action: acts.CancelOrders) -> None:
        exchange = self._venue.exchange
        for account in self._accounts(action.account):
            for symbol in self._symbols(action.symbol):
                if exchange.read.open_orders(account, symbol):
                    exchange.cancel_all(account, symbol)
