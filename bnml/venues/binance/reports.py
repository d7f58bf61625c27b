"""What the venue says of our orders and balances, as core events: user events, answers, queries, trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from bnml.core.errors import Fatal, Retryable
from bnml.core.events import Balances, CapitalFlow, OrderReport
from bnml.core.orders import OrderState, Side
from bnml.venues.binance.numbers import NS_PER_MS, e8, last_lots, lots, ticks
from bnml.venues.binance.wire import (
    Account,
    AccountPosition,
    AccountTrade,
    ApiFrame,
    BalanceUpdate,
    EventHead,
    ExecutionReport,
    ListAnswer,
    ListMembers,
    OrderAnswer,
    ReplaceAnswer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bnml.core.instrument import Instrument

STATES: dict[str, OrderState] = {
    "NEW": OrderState.OPEN,
    "PENDING_NEW": OrderState.SLEEPING,
    "PARTIALLY_FILLED": OrderState.PARTLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "PENDING_CANCEL": OrderState.OPEN,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}


class StreamEnded(msgspec.Struct, frozen=True, gc=False):
    """The venue ended our user stream; nothing more will come on this subscription."""

    ts_ns: int


T = TypeVar("T")

UserItem = OrderReport | Balances | CapitalFlow | StreamEnded

_frame = msgspec.json.Decoder(ApiFrame)
_head = msgspec.json.Decoder(EventHead)
_execution = msgspec.json.Decoder(ExecutionReport)
_position = msgspec.json.Decoder(AccountPosition)
_flow = msgspec.json.Decoder(BalanceUpdate)
_order = msgspec.json.Decoder(OrderAnswer)
_orders = msgspec.json.Decoder(list[OrderAnswer])
_list = msgspec.json.Decoder(ListAnswer)
_members = msgspec.json.Decoder(ListMembers)
_replace = msgspec.json.Decoder(ReplaceAnswer)
_trades = msgspec.json.Decoder(list[AccountTrade])
_account = msgspec.json.Decoder(Account)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """An answer of the venue; one that is cut short, or is no such answer at all, says nothing: Retryable."""
    try:
        return decoder.decode(body)
    except ValueError as error:
        raise Retryable(f"an answer of the venue cannot be read ({error}): {bytes(body)[:80]!r}") from error


def api_frame(frame: str | bytes) -> ApiFrame:
    """One frame of a WebSocket API connection."""
    try:
        return _frame.decode(frame)
    except ValueError as error:
        raise Retryable(f"a frame of the WebSocket API cannot be read ({error}): {frame[:200]!r}") from error


def user_item(event: msgspec.Raw | bytes, instruments: Mapping[str, Instrument]) -> UserItem | None:
    """A user event in core terms; None for symbols and kinds that do not concern us."""
    head = _head.decode(event)
    if head.e == "executionReport":
        return execution_report(_execution.decode(event), instruments)
    if head.e == "outboundAccountPosition":
        position = _position.decode(event)
        assets = {row.a: (e8(row.f), e8(row.l)) for row in position.B}
        return Balances(position.E * NS_PER_MS, assets)
    if head.e == "balanceUpdate":
        flow = _flow.decode(event)
        return CapitalFlow(flow.a, e8(flow.d), flow.T * NS_PER_MS)
    if head.e in {"eventStreamTerminated", "serverShutdown"}:
        return StreamEnded(head.E * NS_PER_MS)
    return None


def state_of(status: str) -> OrderState:
    """Binance's order status as ours."""
    try:
        return STATES[status]
    except KeyError as error:
        message = f"the venue sent order status {status!r}, which this version does not know"
        raise Fatal(message) from error


def execution_report(data: ExecutionReport, instruments: Mapping[str, Instrument]) -> OrderReport | None:
    """One executionReport; of a cancelled order `C` is its id and `c` that of the cancel."""
    instrument = instruments.get(data.s)
    if instrument is None:
        return None
    original = data.C if data.x in {"CANCELED", "REPLACED"} and data.C not in {"", "null"} else data.c
    traded = data.x == "TRADE" and data.t >= 0
    return OrderReport(
        symbol=data.s,
        client_order_id=original,
        ts_ns=data.T * NS_PER_MS,
        state=state_of(data.X),
        side=Side(data.S),
        cumulative_lots=lots(instrument, data.z),
        trade_id=data.t if traded else 0,
        last_lots=last_lots(instrument, e8(data.l), e8(data.z)) if traded else 0,
        last_ticks=ticks(instrument, data.L) if traded else 0,
        commission_e8=e8(data.n) if traded else 0,
        commission_asset=(data.N or "") if traded else "",
        is_maker=data.m and traded,
        venue_order_id=data.i,
        quantity_lots=lots(instrument, data.q),
        text="" if data.r == "NONE" else data.r,
    )


def answer_reports(answer: OrderAnswer, instrument: Instrument) -> list[OrderReport]:
    """The answer to an order: one report for each of its fills, the last of which carries the final state."""
    state = state_of(answer.status)
    if not answer.fills:
        return [_plain_report(answer, instrument, state)]
    reports, total_e8 = [], 0
    for index, fill in enumerate(answer.fills, start=1):
        total_e8 += e8(fill.qty)
        last = index == len(answer.fills)
        reports.append(
            msgspec.structs.replace(
                _plain_report(answer, instrument, state if last else OrderState.PARTLY_FILLED),
                cumulative_lots=total_e8 // instrument.lot_e8,
                trade_id=fill.trade_id,
                last_lots=last_lots(instrument, e8(fill.qty), total_e8),
                last_ticks=ticks(instrument, fill.price),
                commission_e8=e8(fill.commission),
                commission_asset=fill.commission_asset,
            )
        )
    return reports


def traded_reports(
    answer: OrderAnswer, trades: Iterable[AccountTrade], instrument: Instrument
) -> list[OrderReport]:
    """An order as queried, with its fills from myTrades (oldest first): what its missed user events would have said.

    Trades may be shown later than the order that they filled: then the order's own word comes last, and says of
    how much nothing has been told yet.
    """
    state = state_of(answer.status)
    reports, total_e8 = [], 0
    rows = sorted((row for row in trades if row.order_id == answer.order_id), key=lambda row: row.id)
    for row in rows:
        total_e8 += e8(row.qty)
        reports.append(
            msgspec.structs.replace(
                _plain_report(answer, instrument, OrderState.PARTLY_FILLED),
                ts_ns=row.time * NS_PER_MS,
                cumulative_lots=total_e8 // instrument.lot_e8,
                trade_id=row.id,
                last_lots=last_lots(instrument, e8(row.qty), total_e8),
                last_ticks=ticks(instrument, row.price),
                commission_e8=e8(row.commission),
                commission_asset=row.commission_asset,
                is_maker=row.is_maker,
            )
        )
    if reports and state is OrderState.FILLED and total_e8 >= e8(answer.executed_qty):
        reports[-1] = msgspec.structs.replace(reports[-1], state=state)
        return reports
    return [*reports, _plain_report(answer, instrument, state)]


def _plain_report(answer: OrderAnswer, instrument: Instrument, state: OrderState) -> OrderReport:
    cancelled = answer.orig_client_order_id and state is OrderState.CANCELED
    return OrderReport(
        symbol=answer.symbol,
        client_order_id=answer.orig_client_order_id if cancelled else answer.client_order_id,
        ts_ns=(answer.transact_time or answer.update_time) * NS_PER_MS,
        state=state,
        side=Side(answer.side),
        cumulative_lots=lots(instrument, answer.executed_qty),
        venue_order_id=answer.order_id,
        quantity_lots=lots(instrument, answer.orig_qty),
    )


def reports_of_result(
    api_method: str, result: bytes, instruments: Mapping[str, Instrument]
) -> list[OrderReport]:
    """Reports in the answer to a trading request, whichever transport carried it."""
    if api_method.startswith("orderList"):
        answers = decoded(_list, result).order_reports
    elif api_method == "order.cancelReplace":
        both = decoded(_replace, result)
        answers = [*_cancelled(both.cancel_response), decoded(_order, both.new_order_response)]
    else:
        answers = _cancelled(result)
    return [
        report
        for answer in answers
        if answer.symbol in instruments
        for report in answer_reports(answer, instruments[answer.symbol])
    ]


def _cancelled(result: bytes) -> list[OrderAnswer]:
    """An order placed or cancelled; a cancelled leg is answered with its list."""
    return decoded(_list, result).order_reports or [decoded(_order, result)]


def order_answer(result: bytes) -> OrderAnswer:
    """One order as queried."""
    return decoded(_order, result)


def list_members(result: bytes) -> list[str]:
    """Client order ids of the orders of a list."""
    return [member.client_order_id for member in decoded(_members, result).orders]


def order_answers(result: bytes) -> list[OrderAnswer]:
    """Open or all orders."""
    return decoded(_orders, result)


def account_trades(result: bytes) -> list[AccountTrade]:
    """Rows of myTrades."""
    return decoded(_trades, result)


def may_trade(result: bytes) -> bool:
    """Whether the account as a whole is allowed to trade."""
    return decoded(_account, result).can_trade


def permissions_of(result: bytes) -> frozenset[str]:
    """Groups of symbols that the account may trade; empty when it does not say."""
    return frozenset(decoded(_account, result).permissions)


def balances_of(result: bytes, ts_ns: int) -> Balances:
    """The whole account."""
    account = decoded(_account, result)
    return Balances(ts_ns, {row.asset: (e8(row.free), e8(row.locked)) for row in account.balances})
