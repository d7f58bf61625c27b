"""ccxt and ccxt.pro pointed at the exchange, and what both scripts need."""

import contextlib

from checks import refused

SYMBOL = "BTC/USDT"
OTHER = "ETH/USDT"


def configuration(endpoint, **more):
    """The constructor's argument: addresses, keys, spot only."""
    base = f"{endpoint.base}/api/v3"
    sapi = {f"sapi{version}": f"{endpoint.base}/sapi/v{version or 1}" for version in ("", "V2", "V3", "V4")}
    sapi = {name: url.replace("/vV", "/v") for name, url in sapi.items()}
    streams = {
        "spot": f"{endpoint.sockets}/stream/ws",
        "ws-api": {"spot": f"{endpoint.sockets}/ws-api/v3"},
    }
    return {
        "apiKey": endpoint.api_key,
        "secret": endpoint.secret,
        "enableRateLimit": False,
        "enableLastJsonResponse": True,
        "urls": {"api": {"public": base, "private": base, "ws": streams, **sapi}},
        "options": {
            "fetchMarkets": {"types": ["spot"]},
            "fetchCurrencies": False,
            "fetchMargins": False,
        },
        **more,
    }


@contextlib.asynccontextmanager
async def connected(kind, endpoint, **more):
    """A client with its markets loaded."""
    exchange = kind(configuration(endpoint, **more))
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


async def last_price(exchange, symbol=SYMBOL):
    """The last trade's price."""
    return (await exchange.fetch_ticker(symbol))["last"]


async def clear(exchange, symbol=SYMBOL):
    """Cancel whatever is open."""
    if await exchange.fetch_open_orders(symbol):
        await exchange.cancel_all_orders(symbol)


@contextlib.asynccontextmanager
async def denied(exchange, kind, *, code, text=""):
    """As `refused`; the code is read from the answer, because ccxt leaves it out of some sentences."""
    async with refused(kind, text=text):
        yield
    assert exchange.last_json_response["code"] == code, exchange.last_http_response


async def tried_again(kind, place):
    """Place orders close to a price that runs away: what the market has overtaken (`kind`) is tried once more."""
    for _ in range(20):
        try:
            return await place()
        except kind:
            continue
    raise AssertionError("the market overtook twenty orders in a row")
