"""Filters and symbols other than the exchange's own: shown in exchangeInfo, and orders are held to them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec

from bnml.venues.sim.faults.actions import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bnml.venues.sim.faults.actions import Filters


class Mask:
    """What the script has changed, by symbol; nothing of it is known to the matching."""

    def __init__(self) -> None:
        self.filters: dict[str, Filters] = {}
        self.gone: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self.filters or self.gone)

    def refuses(self, values: Mapping[str, str], last_price: Callable[[str], Decimal]) -> Answer | None:
        """The answer to a request that the changed symbols do not allow."""
        symbol = values.get("symbol", "")
        if symbol in self.gone or any(f'"{name}"' in values.get("symbols", "") for name in self.gone):
            return Answer(like="bad_symbol")
        rules = self.filters.get(symbol)
        if rules is None:
            return None
        try:
            return _filter_failure(rules, values, lambda: last_price(symbol))
        except InvalidOperation:
            return None  # no number at all: the exchange says so itself

    def masked(self, body: bytes) -> bytes:
        """An exchangeInfo answer as it is shown, of REST or of the WebSocket API."""
        answer = msgspec.json.decode(body)
        info = answer.get("result", answer)
        if not isinstance(info, dict) or "symbols" not in info:
            return body
        info["symbols"] = [self._row(row) for row in info["symbols"] if row["symbol"] not in self.gone]
        return msgspec.json.encode(answer)

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        rules = self.filters.get(row["symbol"])
        if rules is not None:
            changes = {
                "PRICE_FILTER": {"tickSize": rules.tick, "minPrice": rules.tick},
                "LOT_SIZE": {"stepSize": rules.step, "minQty": rules.min_quantity or rules.step},
                "NOTIONAL": {"minNotional": rules.min_notional},
            }
            row["filters"] = [one | _given(changes.get(one["filterType"], {})) for one in row["filters"]]
        return row


def _given(changes: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{Decimal(text):.8f}" for name, text in changes.items() if text}


def _filter_failure(
    rules: Filters, values: Mapping[str, str], last_price: Callable[[], Decimal]
) -> Answer | None:
    prices = {name: Decimal(text) for name, text in values.items() if name.lower().endswith("price")}
    quantities = {
        name: Decimal(text)
        for name, text in values.items()
        if name.lower().endswith("quantity") or name in {"newQty", "icebergQty"}
    }
    if rules.tick and any(price % Decimal(rules.tick) for price in prices.values()):
        return Answer(like="price_filter")
    for quantity in quantities.values():
        off_step = rules.step and quantity % Decimal(rules.step)
        if off_step or quantity < Decimal(rules.min_quantity or rules.step or 0):
            return Answer(like="lot_size")
    amount = values.get("quantity") or values.get("workingQuantity")
    spent = Decimal(values.get("quoteOrderQty", 0))
    if amount:
        price = prices.get("price") or prices.get("workingPrice") or prices.get("stopPrice")
        spent = Decimal(amount) * (price or last_price())
    if rules.min_notional and (amount or spent) and spent < Decimal(rules.min_notional):
        return Answer(like="notional")
    return None
