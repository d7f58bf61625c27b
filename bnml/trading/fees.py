"""The reserve that fees are paid of: bought at market when the operator wants that, never a position, never sold."""

from __future__ import annotations

from typing import Final

from bnml.core.commands import Submit
from bnml.core.events import FeePurchase, OrderReport
from bnml.core.ids import LEG_FEES
from bnml.core.instrument import plain
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.trading.capital import count_flow
from bnml.trading.compile import EngineConfig
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.risk.breakers import Breakers
from bnml.trading.standing import standings
from bnml.trading.state import OF_SYMBOL, EngineState
from bnml.trading.universe import TRADING

PAUSE_NS: Final = 600 * 10**9
"""Between two purchases, whatever became of the first."""


class FeeDesk:
    """Asks for the reserve's purchases and books their fills.

    The money leaves the capital as if it had been withdrawn: what fees cost is no loss of the day twice over,
    and no drawdown. The coins stay in the ledger as what they are, an asset of the account.
    """

    def __init__(
        self,
        config: EngineConfig,
        state: EngineState,
        book: OrderBook,
        portfolio: Portfolio,
        breakers: Breakers,
    ) -> None:
        self._config = config
        self._state = state
        self._book = book
        self._portfolio = portfolio
        self._breakers = breakers

    def obstacle(self, event: FeePurchase) -> str:
        """Why it may not be bought now; empty if it may."""
        state, symbol = self._state, event.symbol
        known = state.symbols.get(symbol)
        if known is None or known.instrument.status != TRADING:
            return f"{symbol} does not trade"
        if symbol in self._portfolio.positions:
            return f"{symbol} is held as a position, which it must not be mixed with"
        is_recent = state.fees_asked_ns and event.ts_ns < state.fees_asked_ns + PAUSE_NS
        if is_recent or any(order.role is Role.FEES for order in self._book.unsettled()):
            return "the last purchase was a moment ago, or is under way"
        if not self._may_enter(symbol):
            return "entries are off"
        is_enough = known.instrument.notional_e8(event.ticks, event.lots) <= self._free_e8()
        return "" if is_enough else f"there is not enough {state.ledger.quote}"

    def _may_enter(self, symbol: str) -> bool:
        """Nothing of the account or the symbol stands against entries, no breaker either."""
        reasons = standings(self._state, self._config, self._breakers)
        return self._state.activity.allows(symbol) and all(OF_SYMBOL in one.name for one in reasons)

    def buy(self, event: FeePurchase, out: Outbox) -> None:
        """Ask for it, unless something stands against it."""
        if self.obstacle(event):
            return
        self._state.fees_asked_ns = event.ts_ns
        order_id = out.begin() + LEG_FEES
        # The price is for what entries must leave untouched until it has filled.
        self._book.register(Order(order_id, event.symbol, Side.BUY, Role.FEES, 0, event.lots, event.ticks))
        ticket = OrderTicket(event.symbol, order_id, Side.BUY, OrderType.MARKET, event.lots)
        out.commands.append(Submit(ApprovedOrder(ticket, "fee reserve")))

    def fill(self, report: OrderReport, out: Outbox) -> None:
        """Book a fill: coins come, money goes, and no measure of loss moves."""
        instrument = self._state.symbols[report.symbol].instrument
        spent_e8 = self._portfolio.buy_reserve(report, instrument)
        count_flow(self._state, self._breakers, -spent_e8)
        text = (
            f"{instrument.quantity_text(report.last_lots)} {instrument.base} bought for {plain(spent_e8, 2)} "
            f"{instrument.quote}: commissions are paid of it; the money counts as taken out"
        )
        out.alert("info", "fee_reserve_bought", text)

    def refused(self, report: OrderReport, out: Outbox) -> None:
        text = f"{report.symbol}: the purchase of the fee reserve was refused: {report.text or report.code}"
        out.alert("warning", "fee_reserve_refused", text)

    def _free_e8(self) -> int:
        under_way = sum(
            self._state.symbols[order.symbol].instrument.notional_e8(order.ticks, order.due_lots)
            for order in self._book.unsettled()
            if order.side is Side.BUY
        )
        return self._portfolio.total_e8(self._state.ledger.quote) - under_way
