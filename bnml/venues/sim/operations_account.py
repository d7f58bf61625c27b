"""Signed operations on orders, fills and balances."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bnml.venues.sim.commissions import DISCOUNT_ASSET, DISCOUNT_PPM
from bnml.venues.sim.messages import Canceled, OrderKey, Replaced, ReplaceFailed, VenueReject
from bnml.venues.sim.operations import Call, Operation, ReplaceLimited, Security
from bnml.venues.sim.operations_market import check_day, time_range
from bnml.venues.sim.params_orders import order_key, read_order, response_type, symbol_of
from bnml.venues.sim.payloads_account import rate8
from bnml.venues.sim.weights import TooMany

if TYPE_CHECKING:
    from bnml.venues.sim.params import Params

NO_RATES: Final = dict.fromkeys(("maker", "taker", "buyer", "seller"), rate8(0))
PARTLY_REPLACED: Final = "Order cancel-replace partially failed."
NOT_REPLACED: Final = "Order cancel-replace failed."


class CancelRestrictions(StrEnum):
    """In which state an order may be canceled."""

    ONLY_NEW = "ONLY_NEW"
    ONLY_PARTIALLY_FILLED = "ONLY_PARTIALLY_FILLED"


class ReplaceMode(StrEnum):
    """Whether the new order is attempted when the cancel failed."""

    STOP_ON_FAILURE = "STOP_ON_FAILURE"
    ALLOW_FAILURE = "ALLOW_FAILURE"


class RateLimitMode(StrEnum):
    """What cancelReplace does beyond the order limit."""

    DO_NOTHING = "DO_NOTHING"
    CANCEL_ONLY = "CANCEL_ONLY"


def place(call: Call) -> dict[str, Any]:
    """A new order."""
    symbol = symbol_of(call.params, call.venue.instruments)
    request = read_order(call.params, symbol)
    shown = response_type(call.params, request.type)
    call.params.finish()
    placed = call.venue.exchange.place(call.account, request)
    return call.payloads.placed(placed, shown)


def test_order(call: Call) -> dict[str, Any]:
    """A new order that is checked and thrown away."""
    symbol = symbol_of(call.params, call.venue.instruments)
    request = read_order(call.params, symbol)
    response_type(call.params, request.type)
    asks_rates = call.params.flag("computeCommissionRates")
    call.params.finish()
    call.venue.exchange.checks.order(call.account, request)
    return _order_commission(call, symbol) if asks_rates else {}


def query(call: Call) -> dict[str, Any]:
    """One order in any state."""
    key = order_key(call.params, symbol_of(call.params, call.venue.instruments))
    call.params.finish()
    return call.payloads.order(call.venue.exchange.read.order(call.account, key))


def cancel(call: Call) -> dict[str, Any]:
    """Cancel one order, and with it the list it belongs to."""
    key = order_key(call.params, symbol_of(call.params, call.venue.instruments))
    cancel_id = call.params.client_id("newClientOrderId") or ""
    restriction = call.params.optional_choice("cancelRestrictions", CancelRestrictions)
    call.params.finish()
    only = "" if restriction is None else restriction.removeprefix("ONLY_")
    canceled = call.venue.exchange.cancel(call.account, key, cancel_id, only=only)
    return call.payloads.canceled(canceled)


def replace(call: Call) -> dict[str, Any]:
    """Cancel one order and place another on the same symbol."""
    params = call.params
    symbol = symbol_of(params, call.venue.instruments)
    mode = params.choice("cancelReplaceMode", ReplaceMode)
    key = order_key(params, symbol, prefix="cancel")
    cancel_id = params.client_id("cancelNewClientOrderId") or ""
    restriction = params.optional_choice("cancelRestrictions", CancelRestrictions)
    beyond = params.optional_choice("orderRateLimitExceededMode", RateLimitMode)
    request = read_order(params, symbol)
    shown = response_type(params, request.type)
    params.finish()
    only = "" if restriction is None else restriction.removeprefix("ONLY_")
    over = _beyond_limit(call)
    if over is not None:
        if beyond is not RateLimitMode.CANCEL_ONLY:
            raise over
        raise _only_canceled(call, key, cancel_id, only, mode, over)
    try:
        replaced = call.venue.exchange.cancel_replace(
            call.account,
            key,
            request,
            "STOP_ON_FAILURE" if mode is ReplaceMode.STOP_ON_FAILURE else "ALLOW_FAILURE",
            cancel_id,
            only=only,
        )
    except ReplaceFailed as failed:
        if failed.replaced.new_result is not None:
            call.venue.limits.add_orders(call.account, 1, call.venue.window_ns)
        raise
    call.venue.limits.add_orders(call.account, 1, call.venue.window_ns)
    return call.payloads.replaced(replaced, shown)


def _beyond_limit(call: Call) -> TooMany | None:
    """The refusal of one more order, where the account has placed too many."""
    try:
        call.venue.limits.check_orders(call.account, 1, call.venue.window_ns)
    except TooMany as error:
        return error
    return None


def _only_canceled(
    call: Call, key: OrderKey, cancel_id: str, only: str, mode: ReplaceMode, over: TooMany
) -> VenueReject:
    """The cancel half alone; the new order is refused, or after a failed cancel not even attempted."""
    canceled: Canceled | VenueReject
    try:
        canceled = call.venue.exchange.cancel(call.account, key, cancel_id, only=only)
    except VenueReject as refused:
        canceled = refused
    worked = isinstance(canceled, Canceled)
    stops = mode is ReplaceMode.STOP_ON_FAILURE
    replaced = Replaced(canceled, over if worked or not stops else None)
    code, text = (-2021, PARTLY_REPLACED) if worked else (-2022, NOT_REPLACED)
    failed = ReplaceFailed(code, text, replaced)
    return ReplaceLimited(failed, over) if stops else failed


def open_orders(call: Call) -> list[dict[str, Any]]:
    """Open orders of one symbol or of all."""
    symbol = symbol_of(call.params, call.venue.instruments) if "symbol" in call.params else ""
    call.params.discard("symbolStatus")
    call.params.finish()
    build = call.payloads.order
    return [build(order) for order in call.venue.exchange.read.open_orders(call.account, symbol)]


def cancel_all(call: Call) -> list[dict[str, Any]]:
    """Cancel every open order of a symbol, lists too."""
    symbol = symbol_of(call.params, call.venue.instruments)
    call.params.finish()
    build = call.payloads.canceled
    return [build(canceled) for canceled in call.venue.exchange.cancel_all(call.account, symbol)]


def all_orders(call: Call) -> list[dict[str, Any]]:
    """Orders of a symbol in any state: from an id on, within a day, or the latest."""
    params = call.params
    symbol = symbol_of(params, call.venue.instruments)
    first_id = params.optional_integer("orderId")
    start_ns, end_ns = time_range(params)
    limit = params.limit(500, 1000)
    params.finish()
    check_day(start_ns, end_ns)
    found = call.venue.exchange.read.all_orders(
        call.account, symbol, from_id=first_id or 0, start_ns=start_ns, end_ns=end_ns, limit=limit
    )
    return [call.payloads.order(order) for order in found]


def my_trades(call: Call) -> list[dict[str, Any]]:
    """Fills of a symbol: of one order, from an id on, within a day, or the latest."""
    params = call.params
    symbol = symbol_of(params, call.venue.instruments)
    order_id, first_id = params.optional_integer("orderId"), params.optional_integer("fromId")
    start_ns, end_ns = time_range(params)
    limit = params.limit(500, 1000)
    params.finish()
    check_day(start_ns, end_ns)
    if first_id is not None and (start_ns is not None or end_ns is not None):
        raise VenueReject(-1128, "Combination of optional parameters invalid.")
    found = call.venue.exchange.read.trades(
        call.account,
        symbol,
        order_id=order_id or 0,
        from_id=first_id or 0,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=limit,
    )
    return [call.payloads.my_trade(trade) for trade in found]


def account(call: Call) -> dict[str, Any]:
    """Balances and commission rates."""
    omit_zero = call.params.flag("omitZeroBalances")
    call.params.finish()
    view = call.venue.exchange.read.account(call.account)
    access = call.venue.access
    return call.payloads.account(
        view,
        access.number(call.account),
        omit_zero=omit_zero,
        can_trade=not access.is_frozen(call.account),
    )


def commission(call: Call) -> dict[str, Any]:
    """Commission rates of a symbol."""
    symbol = symbol_of(call.params, call.venue.instruments)
    call.params.finish()
    rates = _rates(call, symbol)
    return {
        "symbol": symbol,
        "standardCommission": rates,
        "specialCommission": NO_RATES,
        "taxCommission": NO_RATES,
        "discount": _discount(call),
    }


def _rates(call: Call, symbol: str) -> dict[str, str]:
    """Standard rates as charged; there is no tax here, for any symbol."""
    maker_ppm, taker_ppm = call.venue.exchange.manage.commission(call.account, symbol)
    return {**NO_RATES, "maker": rate8(maker_ppm), "taker": rate8(taker_ppm)}


def _order_commission(call: Call, symbol: str) -> dict[str, Any]:
    """Rates of one order: the sides are part of maker and taker."""
    rates, roles = _rates(call, symbol), ("maker", "taker")
    nothing = dict.fromkeys(roles, rate8(0))
    return {
        "standardCommissionForOrder": {role: rates[role] for role in roles},
        "specialCommissionForOrder": nothing,
        "taxCommissionForOrder": nothing,
        "discount": _discount(call),
    }


def _discount(call: Call) -> dict[str, Any]:
    """Paying in BNB: what is left of the standard commission then."""
    return {
        "enabledForAccount": call.venue.exchange.manage.pays_in_bnb(call.account),
        "enabledForSymbol": True,
        "discountAsset": DISCOUNT_ASSET,
        "discount": rate8(1_000_000 - DISCOUNT_PPM),
    }


def order_limits(call: Call) -> list[dict[str, Any]]:
    """Usage of the order limits."""
    call.params.finish()
    counts = call.venue.limits.order_counts(call.account, call.venue.window_ns)
    return [limit.row(count) for limit, count in counts]


def _open_orders_weight(params: Params) -> int:
    return 6 if "symbol" in params else 80


def _test_weight(params: Params) -> int:
    return 20 if params.flag("computeCommissionRates") else 1


def _trades_weight(params: Params) -> int:
    return 5 if "orderId" in params else 20


_SIGNED: Final = Security.SIGNED
_TRADE: Final = Security.TRADE
PLACE = Operation(place, 1, _TRADE, orders=1, free_when_done=True)
TEST_ORDER = Operation(test_order, _test_weight, _TRADE)
QUERY = Operation(query, 4, _SIGNED)
CANCEL = Operation(cancel, 1, _TRADE, free_when_done=True)
REPLACE = Operation(replace, 1, _TRADE, orders=1, counts_itself=True, free_when_done=True)
OPEN_ORDERS = Operation(open_orders, _open_orders_weight, _SIGNED)
CANCEL_ALL = Operation(cancel_all, 1, _TRADE, free_when_done=True)
ALL_ORDERS = Operation(all_orders, 20, _SIGNED)
MY_TRADES = Operation(my_trades, _trades_weight, _SIGNED)
ACCOUNT = Operation(account, 20, _SIGNED)
COMMISSION = Operation(commission, 20, _SIGNED)
ORDER_LIMITS = Operation(order_limits, 40, _SIGNED)
