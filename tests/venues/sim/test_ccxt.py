"""ccxt trades on `bnml exchange`: a client that knows nothing of us, over real sockets."""

import asyncio
import contextlib
from itertools import pairwise

import ccxt.async_support as ccxt
import ccxt.pro as ccxt_pro
import pytest

from tests.venues.sim.stepping_client import ExchangeProcess

SYMBOL = "BTC/USDT"


def client_for(endpoint, kind=ccxt.binance):
    base = f"http://127.0.0.1:{endpoint['port']}/api/v3"
    sockets = f"ws://127.0.0.1:{endpoint['port']}"
    streams = {"spot": f"{sockets}/stream/ws", "ws-api": {"spot": f"{sockets}/ws-api/v3"}}
    return kind(
        {
            "apiKey": endpoint["api_key"],
            "secret": endpoint["secret"],
            "enableRateLimit": False,
            "urls": {"api": {"public": base, "private": base, "ws": streams}},
            "options": {
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
        }
    )


@contextlib.asynccontextmanager
async def connected(endpoint, kind=ccxt.binance):
    exchange = client_for(endpoint, kind)
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.close()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    """The exchange at its default pace, one for all tests."""
    with ExchangeProcess(tmp_path_factory.mktemp("exchange")) as exchange:
        yield exchange.endpoint


async def test_ccxt_reads_the_market(endpoint):
    async with connected(endpoint) as exchange:
        market = exchange.market(SYMBOL)
        assert (market["spot"], market["active"], market["precision"]["price"]) == (True, True, 0.01)
        assert market["limits"]["cost"]["min"] == 5
        candles = await exchange.fetch_ohlcv(SYMBOL, "15m", limit=100)
        assert [later[0] - earlier[0] for earlier, later in pairwise(candles)] == [900_000] * 99
        hours = await exchange.fetch_ohlcv(SYMBOL, "1h", since=candles[0][0], limit=10)
        assert hours[0][0] >= candles[0][0]
        book = await exchange.fetch_order_book(SYMBOL)
        ticker = await exchange.fetch_ticker(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]
        assert ticker["low"] <= ticker["last"] <= ticker["high"]
        assert set(await exchange.fetch_tickers([SYMBOL, "ETH/USDT"])) == {SYMBOL, "ETH/USDT"}
        assert (await exchange.fetch_trades(SYMBOL))[-1]["price"] > 0
        assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 5_000


async def test_ccxt_trades_and_sees_its_fills_and_balance(endpoint):
    async with connected(endpoint) as exchange:
        before = await exchange.fetch_balance()
        last = (await exchange.fetch_ticker(SYMBOL))["last"]
        bought = await exchange.create_order(SYMBOL, "market", "buy", 0.02)
        assert (bought["status"], bought["filled"]) == ("closed", 0.02)
        trades = await exchange.fetch_my_trades(SYMBOL)
        assert (trades[-1]["order"], trades[-1]["fee"]["currency"]) == (bought["id"], "BTC")
        after = await exchange.fetch_balance()
        gained = after["BTC"]["free"] - before.get("BTC", {"free": 0})["free"]
        assert gained == pytest.approx(0.02 - trades[-1]["fee"]["cost"])
        assert after["USDT"]["free"] == pytest.approx(before["USDT"]["free"] - trades[-1]["cost"])

        resting = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, round(last * 0.8, 2))
        assert (await exchange.fetch_order(resting["id"], SYMBOL))["status"] == "open"
        moved = await exchange.edit_order(resting["id"], SYMBOL, "limit", "buy", 0.01, round(last * 0.79, 2))
        assert (await exchange.fetch_order(resting["id"], SYMBOL))["status"] == "canceled"
        stop = await exchange.create_order(
            SYMBOL, "market", "sell", 0.01, None, {"stopLossPrice": round(last * 0.7, 2)}
        )
        assert {order["id"] for order in await exchange.fetch_open_orders(SYMBOL)} == {
            moved["id"],
            stop["id"],
        }
        await exchange.cancel_order(moved["id"], SYMBOL)
        await exchange.cancel_all_orders(SYMBOL)
        assert await exchange.fetch_open_orders(SYMBOL) == []
        found = {order["id"]: order["status"] for order in await exchange.fetch_orders(SYMBOL)}
        assert (found[bought["id"]], found[moved["id"]], found[stop["id"]]) == (
            "closed",
            "canceled",
            "canceled",
        )


async def test_ccxt_protects_a_position_by_the_implicit_oco_call(endpoint):
    async with connected(endpoint) as exchange:
        await exchange.create_order(SYMBOL, "market", "buy", None, None, {"quoteOrderQty": 500})
        last = (await exchange.fetch_ticker(SYMBOL))["last"]
        placed = await exchange.private_post_orderlist_oco(
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "quantity": "0.005",
                "aboveType": "LIMIT_MAKER",
                "abovePrice": exchange.price_to_precision(SYMBOL, last * 1.2),
                "belowType": "STOP_LOSS",
                "belowStopPrice": exchange.price_to_precision(SYMBOL, last * 0.8),
            }
        )
        assert placed["contingencyType"] == "OCO"
        assert len(await exchange.fetch_open_orders(SYMBOL)) == 2
        await exchange.private_delete_orderlist(
            {"symbol": "BTCUSDT", "listClientOrderId": placed["listClientOrderId"]}
        )
        assert await exchange.fetch_open_orders(SYMBOL) == []


async def test_ccxt_understands_our_refusals(endpoint):
    async with connected(endpoint) as exchange:
        last = (await exchange.fetch_ticker(SYMBOL))["last"]
        with pytest.raises(ccxt.InsufficientFunds):
            await exchange.create_order(SYMBOL, "limit", "buy", 10, round(last * 0.9, 2))
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.cancel_order("999999", SYMBOL)
        with pytest.raises(ccxt.OrderNotFound):
            await exchange.fetch_order("999999", SYMBOL)
        exchange.amount_to_precision = lambda _symbol, amount: f"{amount:.7f}"
        with pytest.raises(ccxt.InvalidOrder, match="LOT_SIZE"):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.0100001, round(last * 0.9, 2))
        with pytest.raises(ccxt.BaseError, match="NOTIONAL"):
            await exchange.create_order(SYMBOL, "limit", "buy", 0.00001, round(last * 0.9, 2))
        with pytest.raises(ccxt.InvalidOrder, match="immediately match"):
            await exchange.create_order(
                SYMBOL, "limit", "buy", 0.01, round(last * 1.1, 2), {"postOnly": True}
            )
        exchange.nonce = lambda: exchange.milliseconds() - 60_000
        with pytest.raises(ccxt.InvalidNonce):
            await exchange.fetch_balance()
    async with connected({**endpoint, "secret": "wrong"}) as exchange:
        with pytest.raises(ccxt.AuthenticationError):
            await exchange.fetch_balance()


async def test_ccxt_pro_watches_market_and_account(endpoint):
    async with connected(endpoint, ccxt_pro.binance) as exchange, asyncio.timeout(40):
        watching = asyncio.create_task(exchange.watch_orders(SYMBOL))
        trades = await exchange.watch_trades(SYMBOL)
        assert trades[0]["price"] > 0
        candles = await exchange.watch_ohlcv(SYMBOL, "15m")
        assert candles[-1][2] >= candles[-1][3]
        assert (await exchange.watch_ticker(SYMBOL))["last"] > 0
        book = await exchange.watch_order_book(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]
        placed = await exchange.create_order_ws(SYMBOL, "market", "buy", 0.01)
        assert placed["status"] == "closed"
        assert (await watching)[0]["id"] == placed["id"]
