"""Orders that counted as never there and are shown alive: their request is in doubt again, and everything of it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from bnml.core.commands import CancelOrder, QueryOrder
from bnml.core.events import OrderReport
from bnml.core.orders import Side
from bnml.kernels.records import ExitReason
from bnml.trading.compile import EngineConfig
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.positions import Position, Tranche

Measure = Callable[[Position, list[int]], None]


class ReturnDesk:
    """Puts such an order back where its request had put it; its reports then count as those of any other.

    A purchase gets its tranche again, with its own stop and target: it was sent as one list with them. One
    without a list is cancelled, its decision is old. A sale joins the legs of what it sells; without anything to
    sell it is cancelled.
    """

    def __init__(self, config: EngineConfig, book: OrderBook, portfolio: Portfolio, measure: Measure) -> None:
        self._config = config
        self._book = book
        self._portfolio = portfolio
        self._measure = measure

    def take(self, order: Order, report: OrderReport, out: Outbox) -> None:
        """Before the report that shows it is counted."""
        text = (
            f"{order.symbol}: {order.client_order_id} counted as {order.state.lower()}, and the venue calls it "
            f"{report.state.lower()}; it is taken over"
        )
        out.alert("critical", "order_returned", text)
        request = [order]
        if order.list_id:
            request = [one for one in self._book.of_list(order.list_id) if one.is_presumed]
        for one in request:
            self._book.doubt(one)
            if one is not order:
                out.commands.append(QueryOrder(one.symbol, one.client_order_id))
        buy = next((one for one in request if one.role is Role.WORKING), None)
        if buy is not None:
            self._restore(buy, request, report.ts_ns)
        else:
            self._join(order, request, out)
        if buy is order and not order.list_id and report.trade_id <= 0:
            order.cancel_sent = True
            out.commands.append(CancelOrder(order.symbol, order.client_order_id, "counted as never there"))

    def _restore(self, buy: Order, request: list[Order], ts_ns: int) -> None:
        """The tranche of a purchase, as it was meant."""
        position = self._portfolio.positions.get(buy.symbol)
        if position is None:
            position = Position(buy.symbol, ts_ns, 0, 0, 0, self._config.rules.tobytes(), [])
            self._portfolio.positions[buy.symbol] = position
        tranche = next((one for one in position.tranches if one.working_id == buy.client_order_id), None)
        if tranche is None:
            index = 1 + max((one.index for one in position.tranches), default=0)
            tranche = Tranche(index, 0, 0, int(ExitReason.STOP))
            tranche.working_id = buy.client_order_id
            position.tranches.append(tranche)
            buy.tranche = index
        for leg in request:
            if leg.side is Side.SELL and leg.client_order_id not in tranche.legs:
                leg.tranche = tranche.index
                tranche.legs.append(leg.client_order_id)
            if leg.role is Role.STOP:
                tranche.stop_ticks, tranche.stop_reason = max(tranche.stop_ticks, leg.ticks), leg.reason
            elif leg.role is Role.TARGET:
                tranche.target_ticks = tranche.target_ticks or leg.ticks
        self._measure(position, [buy.ticks])

    def _join(self, order: Order, request: list[Order], out: Outbox) -> None:
        """A sale: of the tranche that it was made for, where that is still held."""
        position = self._portfolio.positions.get(order.symbol)
        tranches = position.tranches if position is not None else []
        tranche = next((one for one in tranches if one.index == order.tranche), None)
        if order.role is Role.EXIT:
            return  # at market: what it sells is counted by its fills
        for leg in request:
            if tranche is None:
                leg.cancel_sent = True
                out.commands.append(
                    CancelOrder(leg.symbol, leg.client_order_id, "counted as never there, nothing to sell")
                )
            elif leg.client_order_id not in tranche.legs:
                tranche.legs.append(leg.client_order_id)
