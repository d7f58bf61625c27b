"""Ready-made programs for clients of Binance: the same words on the terminal, on the page, and in the tests."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument

CCXT: Final = Template("""\
import asyncio

import ccxt.pro as ccxt


async def main():
    exchange = ccxt.binance({
        "apiKey": $api_key,
        "secret": $secret,
        "urls": {"api": {
            "public": "http://$address/api/v3",
            "private": "http://$address/api/v3",
            "ws": {"spot": "ws://$address/stream/ws", "ws-api": {"spot": "ws://$address/ws-api/v3"}},
        }},
        "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False},
    })
    try:
        order = await exchange.create_market_buy_order_with_cost("$base/$quote", 25)
        print("bought", order["filled"], "$base at", order["average"])
        print("balance", (await exchange.fetch_balance())["total"])
        print("last price", (await exchange.watch_ticker("$base/$quote"))["last"])
    finally:
        await exchange.close()


asyncio.run(main())
""")

PYTHON_BINANCE: Final = Template("""\
import asyncio

from binance import AsyncClient, BinanceSocketManager

# Class attributes, and before create(): it connects at once.
AsyncClient.API_URL = "http://$address/api"
AsyncClient.MARGIN_API_URL = "http://$address/sapi"
AsyncClient.WS_API_URL = "ws://$address/ws-api/v3"
BinanceSocketManager.STREAM_URL = "ws://$address/"


async def main():
    client = await AsyncClient.create($api_key, $secret)
    try:
        order = await client.order_market_buy(symbol="$base$quote", quoteOrderQty=25)
        print("bought", order["executedQty"], "$base for", order["cummulativeQuoteQty"], "$quote")
        print("balance", await client.get_asset_balance("$base"))
        async with BinanceSocketManager(client).kline_socket("$base$quote") as stream:
            print("candle", (await stream.recv())["k"])
    finally:
        await client.close_connection()


asyncio.run(main())
""")

PROGRAMS: Final = {"ccxt": CCXT, "python-binance": PYTHON_BINANCE}
"""By the name of the package that each needs."""


def program(template: Template, address: str, instrument: Instrument, api_key: str, secret: str) -> str:
    """One program; `api_key` and `secret` are Python expressions, `address` is host:port."""
    return template.substitute(
        address=address, base=instrument.base, quote=instrument.quote, api_key=api_key, secret=secret
    )
