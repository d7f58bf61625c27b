"""Orders, lists, fills, balances and user events as Binance writes them in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bnml.core.clock import NS_PER_MS
from bnml.core.instrument import E8, plain
from bnml.venues.sim.messages import (
    AccountPosition,
    BalanceUpdate,
    ExecutionReport,
    Status,
    VenueReject,
)
from bnml.venues.sim.payloads_orders import (
    amended_order,
    amendment_row,
    conditional,
    conditional_event,
    prevented_of_answer,
    prevented_row,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.messages import (
        AccountView,
        Amended,
        Amendment,
        Canceled,
        ListStatus,
        ListView,
        OrderView,
        Placed,
        PreventedMatch,
        Replaced,
        TradeRecord,
        UserEvent,
    )

Json = dict[str, Any]
ZERO: Final = "0.00000000"


def price8(instrument: Instrument, ticks: int) -> str:
    """A price with eight decimals, as Binance's account side writes it."""
    return plain(ticks * instrument.tick_e8)


def quantity8(instrument: Instrument, lots: int) -> str:
    """A quantity with eight decimals."""
    return plain(lots * instrument.lot_e8)


def rate8(ppm: int) -> str:
    """A commission rate with eight decimals."""
    return plain(ppm * (E8 // 1_000_000))


def reject(error: VenueReject) -> Json:
    """The body of an error."""
    return {"code": error.reject_code, "msg": error.text}


class AccountPayloads:
    """Builds payloads with the decimals of each symbol."""

    def __init__(self, instruments: Mapping[str, Instrument], unit_ns: int = NS_PER_MS) -> None:
        self._instruments = instruments
        self._unit_ns = unit_ns

    def time(self, ts_ns: int) -> int:
        """Wire time in the unit of these payloads; negative stands for "never" and stays -1."""
        return -1 if ts_ns < 0 else ts_ns // self._unit_ns

    def _amounts(self, order: OrderView) -> Json:
        """The fields that every picture of an order shares."""
        instrument = self._instruments[order.symbol]
        return {
            "price": price8(instrument, order.price_ticks),
            "origQty": quantity8(instrument, order.quantity_lots),
            "executedQty": quantity8(instrument, order.executed_lots),
            "origQuoteOrderQty": plain(order.quote_quantity_e8),
            "cummulativeQuoteQty": plain(order.executed_quote_e8),
            "status": order.status,
            "timeInForce": order.time_in_force,
            "type": order.type,
            "side": order.side,
        }

    def order(self, order: OrderView) -> Json:
        """As GET order, openOrders and allOrders show it."""
        shown = {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "clientOrderId": order.client_order_id,
            **self._amounts(order),
            "stopPrice": price8(self._instruments[order.symbol], order.stop_price_ticks),
            "icebergQty": ZERO,
            "time": self.time(order.created_ns),
            "updateTime": self.time(order.updated_ns),
            "isWorking": order.is_working,
            "workingTime": self.time(order.working_ns),
            "selfTradePreventionMode": order.prevention,
        }
        return {**shown, **conditional(order, self._instruments[order.symbol], self.time)}

    def ack(self, order: OrderView) -> Json:
        """The shortest answer to a new order."""
        return {
            "symbol": order.symbol,
            "orderId": order.order_id,
            "orderListId": order.list_id,
            "clientOrderId": order.client_order_id,
            "transactTime": self.time(order.updated_ns),
        }

    def result(self, order: OrderView) -> Json:
        """The answer to a new order without its fills; also the rows of `orderReports`."""
        shown = {
            **self.ack(order),
            **self._amounts(order),
            "workingTime": self.time(order.working_ns),
            "selfTradePreventionMode": order.prevention,
        }
        if order.stop_price_ticks:
            shown["stopPrice"] = price8(self._instruments[order.symbol], order.stop_price_ticks)
        return {**shown, **conditional(order, self._instruments[order.symbol], self.time)}

    def placed(self, placed: Placed, response_type: str) -> Json:
        """The answer to a new order as ACK, RESULT or FULL."""
        if response_type == "ACK":
            return self.ack(placed.order)
        shown = self.result(placed.order)
        if response_type == "FULL":
            shown["fills"] = [self._fill(trade) for trade in placed.fills]
            if placed.prevented:
                instrument = self._instruments[placed.order.symbol]
                shown["preventedMatches"] = [prevented_of_answer(x, instrument) for x in placed.prevented]
        return shown

    def _fill(self, trade: TradeRecord) -> Json:
        instrument = self._instruments[trade.symbol]
        return {
            "price": price8(instrument, trade.price_ticks),
            "qty": quantity8(instrument, trade.quantity_lots),
            "commission": plain(trade.commission_e8),
            "commissionAsset": trade.commission_asset,
            "tradeId": trade.trade_id,
        }

    def canceled(self, canceled: Canceled) -> Json:
        """The answer to a cancel; for a leg the answer is the whole list."""
        if canceled.order_list is not None:
            return self.order_list(canceled.order_list, with_reports=True)
        return self._canceled_order(canceled.order, canceled.client_order_id)

    def _canceled_order(self, order: OrderView, client_order_id: str) -> Json:
        shown = self.result(order)
        return {
            "symbol": order.symbol,
            "origClientOrderId": order.client_order_id,
            **shown,
            "clientOrderId": client_order_id,
        }

    def replaced(self, replaced: Replaced, response_type: str) -> Json:
        """The answer to cancelReplace; each half shows its own refusal, both halves may have one."""
        cancel, new = replaced.cancel_result, replaced.new_result
        return {
            "cancelResult": "FAILURE" if isinstance(cancel, VenueReject) else "SUCCESS",
            "newOrderResult": "NOT_ATTEMPTED"
            if new is None
            else "FAILURE"
            if isinstance(new, VenueReject)
            else "SUCCESS",
            "cancelResponse": reject(cancel) if isinstance(cancel, VenueReject) else self.canceled(cancel),
            "newOrderResponse": None
            if new is None
            else reject(new)
            if isinstance(new, VenueReject)
            else self.placed(new, response_type),
        }

    def order_list(self, view: ListView, *, with_reports: bool = False) -> Json:
        """An order list; `orderReports` only in the answers to placing and canceling."""
        shown: Json = {
            "orderListId": view.list_id,
            "contingencyType": view.contingency,
            "listStatusType": view.list_status,
            "listOrderStatus": view.order_status,
            "listClientOrderId": view.list_client_order_id,
            "transactionTime": self.time(view.ts_ns),
            "symbol": view.symbol,
            "orders": [
                {"symbol": one.symbol, "orderId": one.order_id, "clientOrderId": one.client_order_id}
                for one in view.orders
            ],
        }
        if with_reports:
            shown["orderReports"] = [
                self._canceled_order(one, view.list_client_order_id)
                if one.status is Status.CANCELED
                else self.result(one)
                for one in view.orders
            ]
        return shown

    def amended(self, amended: Amended) -> Json:
        """The answer to an amendment; for a leg with its list."""
        instrument = self._instruments[amended.order.symbol]
        shown: Json = {
            "transactTime": self.time(amended.amendment.ts_ns),
            "executionId": amended.amendment.execution_id,
            "amendedOrder": amended_order(amended.order, amended.amendment, instrument, self.time),
        }
        if amended.order_list is not None:
            order_list = self.order_list(amended.order_list)
            left_out = ("listStatusType", "transactionTime")
            shown["listStatus"] = {name: one for name, one in order_list.items() if name not in left_out}
        return shown

    def amendment(self, amendment: Amendment) -> Json:
        """One row of order/amendments."""
        return amendment_row(amendment, self._instruments[amendment.symbol], self.time)

    def prevented(self, match: PreventedMatch) -> Json:
        """One row of myPreventedMatches."""
        return prevented_row(match, self._instruments[match.symbol], self.time)

    def my_trade(self, trade: TradeRecord) -> Json:
        """One row of myTrades."""
        instrument = self._instruments[trade.symbol]
        return {
            "symbol": trade.symbol,
            "id": trade.trade_id,
            "orderId": trade.order_id,
            "orderListId": trade.list_id,
            "price": price8(instrument, trade.price_ticks),
            "qty": quantity8(instrument, trade.quantity_lots),
            "quoteQty": plain(trade.quote_e8),
            "commission": plain(trade.commission_e8),
            "commissionAsset": trade.commission_asset,
            "time": self.time(trade.ts_ns),
            "isBuyer": trade.is_buyer,
            "isMaker": trade.is_maker,
            "isBestMatch": True,
        }

    def account(self, view: AccountView, uid: int, *, omit_zero: bool, can_trade: bool = True) -> Json:
        """GET account."""
        return {
            "makerCommission": view.maker_ppm // 100,
            "takerCommission": view.taker_ppm // 100,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {
                "maker": rate8(view.maker_ppm),
                "taker": rate8(view.taker_ppm),
                "buyer": ZERO,
                "seller": ZERO,
            },
            "canTrade": can_trade,
            "canWithdraw": False,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": self.time(view.updated_ns),
            "accountType": "SPOT",
            "balances": [
                {"asset": asset, "free": plain(free), "locked": plain(locked)}
                for asset, (free, locked) in sorted(view.balances.items())
                if free or locked or not omit_zero
            ],
            "permissions": ["SPOT"],
            "uid": uid,
        }

    def user_event(self, event: UserEvent) -> Json:
        """A user data event, without the `subscriptionId` wrapper."""
        if isinstance(event, ExecutionReport):
            return self._execution_report(event)
        ts_ms = self.time(event.ts_ns)
        if isinstance(event, AccountPosition):
            return {
                "e": "outboundAccountPosition",
                "E": ts_ms,
                "u": ts_ms,
                "B": _balances(event.assets.items()),
            }
        if isinstance(event, BalanceUpdate):
            return {
                "e": "balanceUpdate",
                "E": ts_ms,
                "a": event.asset,
                "d": plain(event.delta_e8),
                "T": ts_ms,
            }
        return self._list_status(event)

    def _execution_report(self, event: ExecutionReport) -> Json:
        order, trade = event.order, event.trade
        instrument = self._instruments[order.symbol]
        ts_ms = self.time(event.ts_ns)
        shown: Json = {
            "e": "executionReport",
            "E": ts_ms,
            "s": order.symbol,
            "c": event.client_order_id,
            "S": order.side,
            "o": order.type,
            "f": order.time_in_force,
            "q": quantity8(instrument, order.quantity_lots),
            "p": price8(instrument, order.price_ticks),
            "P": price8(instrument, order.stop_price_ticks),
            "F": quantity8(instrument, order.iceberg_lots),
            "g": order.list_id,
            "C": event.original_client_order_id,
            "x": event.execution,
            "X": order.status,
            "r": "NONE",
            "i": order.order_id,
            "l": ZERO if trade is None else quantity8(instrument, trade.quantity_lots),
            "z": quantity8(instrument, order.executed_lots),
            "L": ZERO if trade is None else price8(instrument, trade.price_ticks),
            "n": "0" if trade is None else plain(trade.commission_e8),
            "N": None if trade is None else trade.commission_asset,
            "T": ts_ms,
            "t": -1 if trade is None else trade.trade_id,
            "I": event.execution_id,
            "w": order.is_working,
            "m": trade is not None and trade.is_maker,
            "M": False,
            "O": self.time(order.created_ns),
            "Z": plain(order.executed_quote_e8),
            "Y": ZERO if trade is None else plain(trade.quote_e8),
            "Q": plain(order.quote_quantity_e8),
            "V": order.prevention,
        }
        if order.working_ns >= 0:
            shown["W"] = self.time(order.working_ns)
        return {**shown, **conditional_event(event, instrument, self.time)}

    def _list_status(self, event: ListStatus) -> Json:
        view = event.order_list
        ts_ms = self.time(event.ts_ns)
        return {
            "e": "listStatus",
            "E": ts_ms,
            "s": view.symbol,
            "g": view.list_id,
            "c": view.contingency,
            "l": "UPDATED" if event.updated else view.list_status,
            "L": view.order_status,
            "r": "NONE",
            "C": view.list_client_order_id,
            "T": ts_ms,
            "O": [{"s": one.symbol, "i": one.order_id, "c": one.client_order_id} for one in view.orders],
        }


def _balances(assets: Iterable[tuple[str, tuple[int, int]]]) -> list[Json]:
    return [{"a": asset, "f": plain(free), "l": plain(locked)} for asset, (free, locked) in sorted(assets)]
