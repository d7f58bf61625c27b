"""Symbols that the account may not trade do not exist for it."""

import json
import urllib.parse

import pytest

from bnml.core.clock import LiveClock
from bnml.core.errors import Misconfigured, Rejected
from bnml.venues.binance.budget import WeightBudget
from bnml.venues.binance.venue import BinanceVenue

FILTERS = [
    {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
    {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000"},
]


def row(symbol, *sets):
    base = symbol.removesuffix("USDT")
    return {
        "symbol": symbol,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": "USDT",
        "filters": FILTERS,
        "permissionSets": [list(one) for one in sets],
    }


ROWS = [
    row("AUSDT", ["SPOT"]),
    row("BUSDT", ["TRD_GRP_007", "SPOT"]),
    row("CUSDT", ["TRD_GRP_007"]),
    row("DUSDT"),
]


class Rest:
    def __init__(self, permissions):
        self.permissions = permissions
        self.budget = WeightBudget(LiveClock())

    def timestamp_ms(self):
        return 1

    async def read(self, path, params):
        return json.dumps({"balances": [], "permissions": self.permissions}).encode()

    async def public(self, path, params, _lane=None):
        return json.dumps({"symbols": ROWS}).encode()


async def tradable(permissions):
    venue = BinanceVenue(Rest(permissions), None, {})
    await venue.balances()
    return list(await venue.tradable("USDT")), venue


@pytest.mark.parametrize(
    ("permissions", "symbols"),
    [
        (["SPOT"], ["AUSDT", "BUSDT", "DUSDT"]),
        (["TRD_GRP_007"], ["BUSDT", "CUSDT", "DUSDT"]),
        (["SPOT", "TRD_GRP_007"], ["AUSDT", "BUSDT", "CUSDT", "DUSDT"]),
        ([], ["AUSDT", "BUSDT", "CUSDT", "DUSDT"]),
    ],
)
async def test_one_permission_of_each_set_is_needed(permissions, symbols):
    assert (await tradable(permissions))[0] == symbols


async def test_a_symbol_of_the_list_that_may_not_be_traded_is_named():
    _, venue = await tradable(["SPOT"])
    with pytest.raises(Misconfigured, match="CUSDT, or this account may not"):
        await venue.load_instruments(["AUSDT", "CUSDT"], "USDT")


class Losing(Rest):
    """Knows all but one symbol, and does not say which it misses."""

    async def public(self, path, params, _lane=None):
        names = json.loads(urllib.parse.unquote(params["symbols"]))
        if "GUSDT" in names:
            raise Rejected("Invalid symbol.", code=-1121)
        return json.dumps({"symbols": [one for one in ROWS if one["symbol"] in names]}).encode()


async def test_one_symbol_that_is_gone_does_not_hide_the_others():
    venue = BinanceVenue(Losing([]), None, {})
    assert sorted(await venue.read_instruments(["AUSDT", "GUSDT", "BUSDT"])) == ["AUSDT", "BUSDT"]
