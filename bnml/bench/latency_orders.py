"""User events with which the stub venue answers the orders that it accepts: an entry is filled, a stop is moved."""

from __future__ import annotations

from typing import Any


def filled_reports(params: dict[str, Any], now_ms: int) -> list[dict[str, Any]]:
    """An entry's list: bought at its limit; what has a target is sold there at once, a stop alone rests."""
    quantity = params["workingQuantity"]
    bought = _report(params, now_ms, params["workingClientOrderId"], "BUY", quantity, "FILLED")
    reports = [_traded(bought, params["workingPrice"])]
    if "pendingClientOrderId" in params:
        return [*reports, _report(params, now_ms, params["pendingClientOrderId"], "SELL", quantity, "NEW")]
    target, stop = params["pendingAboveClientOrderId"], params["pendingBelowClientOrderId"]
    reports += [_report(params, now_ms, name, "SELL", quantity, "NEW") for name in (target, stop)]
    sold = _report(params, now_ms, target, "SELL", quantity, "FILLED")
    reports.append(_traded(sold, params["pendingAbovePrice"]))
    return [*reports, _report(params, now_ms, stop, "SELL", quantity, "EXPIRED")]


def replaced_reports(params: dict[str, Any], now_ms: int) -> list[dict[str, Any]]:
    """The old stop is cancelled, the new one rests."""
    old, quantity = params["cancelOrigClientOrderId"], params["quantity"]
    cancelled = _report(params, now_ms, f"c-{old}"[:36], "SELL", quantity, "CANCELED")
    placed = _report(params, now_ms, params["newClientOrderId"], "SELL", quantity, "NEW")
    return [{**cancelled, "C": old}, placed]


def _report(
    params: dict[str, Any], now_ms: int, name: str, side: str, quantity: str, status: str
) -> dict[str, Any]:
    """`executionReport` by the letters of the documentation, without what no client of ours reads."""
    kinds = {"FILLED": "TRADE"}
    return {
        "e": "executionReport",
        "E": now_ms,
        "s": params["symbol"],
        "c": name,
        "C": "",
        "S": side,
        "q": quantity,
        "x": kinds.get(status, status),
        "X": status,
        "r": "NONE",
        "z": "0",
        "l": "0",
        "L": "0",
        "n": "0",
        "N": None,
        "t": -1,
        "T": now_ms,
        "m": False,
    }


_trades = iter(range(1, 2**62))


def _traded(report: dict[str, Any], price: str) -> dict[str, Any]:
    quantity = report["q"]
    return {**report, "z": quantity, "l": quantity, "L": price, "N": "USDT", "t": next(_trades)}
