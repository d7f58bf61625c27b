"""The few operations of `/sapi/` that spot clients call: keys, schedules, coins, fees and the state of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bnml.core.instrument import plain
from bnml.venues.sim.operations import Call, Operation, Security
from bnml.venues.sim.params_orders import symbol_of

if TYPE_CHECKING:
    from bnml.venues.sim.signing import ApiKey

_NOT_HERE: Final = (
    "enableWithdrawals",
    "enableInternalTransfer",
    "permitsUniversalTransfer",
    "enableVanillaOptions",
    "enableFutures",
    "enableMargin",
    "enablePortfolioMarginTrading",
    "enableFixApiTrade",
    "enableFixReadOnly",
)


def system_status(call: Call) -> dict[str, Any]:
    """Whether orders are taken."""
    call.params.finish()
    if call.venue.access.in_maintenance:
        return {"status": 1, "msg": "system_maintenance"}
    return {"status": 0, "msg": "normal"}


def api_restrictions(call: Call) -> dict[str, Any]:
    """What the asking key may do."""
    call.params.finish()
    key = _key(call)
    return {
        "ipRestrict": bool(key.addresses),
        "createTime": key.created_ms,
        "enableReading": key.reading,
        "enableSpotAndMarginTrading": key.trading,
        **dict.fromkeys(_NOT_HERE, False),
    }


def account_status(call: Call) -> dict[str, Any]:
    """A word on the account."""
    call.params.finish()
    return {"data": "Locked" if call.venue.access.is_frozen(call.account) else "Normal"}


def trading_status(call: Call) -> dict[str, Any]:
    """Whether the account may trade by API."""
    call.params.finish()
    return {
        "data": {
            "isLocked": call.venue.access.is_frozen(call.account),
            "plannedRecoverTime": 0,
            "triggerCondition": {"GCR": 150, "IFER": 150, "UFR": 300},
            "updateTime": call.venue.wall_ms(),
        }
    }


def delist_schedule(call: Call) -> list[dict[str, Any]]:
    """Symbols that will stop trading, by the time at which they will."""
    call.params.finish()
    by_time: dict[int, list[str]] = {}
    for symbol, ts_ms in call.venue.access.delistings.items():
        by_time.setdefault(ts_ms, []).append(symbol)
    return [{"delistTime": ts_ms, "symbols": sorted(by_time[ts_ms])} for ts_ms in sorted(by_time)]


def trade_fees(call: Call) -> list[dict[str, str]]:
    """Commission rates of one symbol or of all."""
    names = list(call.venue.instruments)
    if "symbol" in call.params:
        names = [symbol_of(call.params, call.venue.instruments)]
    call.params.finish()
    return [_trade_fee(name, *call.venue.exchange.manage.commission(call.account, name)) for name in names]


def _trade_fee(symbol: str, maker_ppm: int, taker_ppm: int) -> dict[str, str]:
    maker, taker = (plain(ppm * 100).rstrip("0").rstrip(".") for ppm in (maker_ppm, taker_ppm))
    return {"symbol": symbol, "makerCommission": maker, "takerCommission": taker}


def coins(call: Call) -> list[dict[str, Any]]:
    """Every asset that a symbol has, with what the account holds of it; nothing leaves this exchange."""
    call.params.finish()
    instruments = call.venue.instruments.values()
    names = sorted({one.base for one in instruments} | {one.quote for one in instruments})
    held = call.venue.exchange.read.account(call.account).balances
    return [_coin(name, *held.get(name, (0, 0))) for name in names]


def _coin(name: str, free_e8: int, locked_e8: int) -> dict[str, Any]:
    return {
        "coin": name,
        "name": name,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "trading": True,
        "isLegalMoney": False,
        "free": plain(free_e8),
        "locked": plain(locked_e8),
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "networkList": [],
    }


def nothing(call: Call) -> list[Any]:
    """There is no margin here."""
    call.params.discard("symbol")
    call.params.finish()
    return []


def _key(call: Call) -> ApiKey:
    return call.key or call.venue.keys.find(None)


_SIGNED: Final = Security.SIGNED
SYSTEM_STATUS = Operation(system_status, 1, is_wallet=True)
API_RESTRICTIONS = Operation(api_restrictions, 1, _SIGNED, is_wallet=True)
ACCOUNT_STATUS = Operation(account_status, 1, _SIGNED, is_wallet=True)
TRADING_STATUS = Operation(trading_status, 1, _SIGNED, is_wallet=True)
DELIST_SCHEDULE = Operation(delist_schedule, 100, Security.KEY, is_wallet=True)
TRADE_FEES = Operation(trade_fees, 1, _SIGNED, is_wallet=True)
COINS = Operation(coins, 10, _SIGNED, is_wallet=True)
MARGIN_PAIRS = Operation(nothing, 1, Security.KEY, is_wallet=True)
