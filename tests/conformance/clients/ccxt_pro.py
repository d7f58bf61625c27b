"""ccxt.pro against the exchange: market streams, orders over the WebSocket API, user events in order."""

import asyncio
from itertools import pairwise

import ccxt.pro
from ccxt_client import OTHER, SYMBOL, clear, configuration, connected, last_price
from checks import FAST, check, main, refused, until


def opening(endpoint):
    return connected(ccxt.pro.binance, endpoint, newUpdates=True)


async def collect(watch, count):
    """So many updates of one watch method, in their order."""
    return [await watch() for _ in range(count)]


@check
async def watched_trades(exchange, _endpoint):
    found = [trade for part in await collect(lambda: exchange.watch_trades(SYMBOL), 30) for trade in part]
    ids = [int(trade["id"]) for trade in found]
    assert [later - earlier for earlier, later in pairwise(ids)] == [1] * (len(ids) - 1)
    assert all(trade["price"] > 0 and trade["amount"] > 0 for trade in found)
    await exchange.un_watch_trades(SYMBOL)
    return len(ids)


@check
async def watched_trades_of_two_symbols(exchange, _endpoint):
    seen = set()
    async with asyncio.timeout(20):
        while len(seen) < 2:
            found = await exchange.watch_trades_for_symbols([SYMBOL, OTHER])
            seen |= {trade["symbol"] for trade in found}


@check
async def watched_candles(exchange, _endpoint):
    """Whole candles of the stream are those of REST."""
    rows = {}
    async with asyncio.timeout(20):
        while len(rows) < 8:
            for row in await exchange.watch_ohlcv(SYMBOL, "1m"):
                rows[row[0]] = row
    times = sorted(rows)
    assert [later - earlier for earlier, later in pairwise(times)] == [60_000] * (len(times) - 1)
    rest = {row[0]: row for row in await exchange.fetch_ohlcv(SYMBOL, "1m", since=times[0], limit=20)}
    for time in times[1:-1]:  # the first was joined in its middle, the last still runs
        assert rows[time] == rest[time]


@check
async def watched_tickers(exchange, _endpoint):
    ticker = await exchange.watch_ticker(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    seen = set()
    async with asyncio.timeout(20):
        while len(seen) < 2:
            seen |= set(await exchange.watch_tickers([SYMBOL, OTHER]))
    best = await exchange.watch_bids_asks([SYMBOL])
    assert best[SYMBOL]["bid"] < best[SYMBOL]["ask"]


@check
async def watched_book(exchange, _endpoint):
    """The client's own gap check stays silent, and what it holds is what REST shows."""
    for _ in range(40):
        book = await exchange.watch_order_book(SYMBOL)
        assert book["bids"][0][0] < book["asks"][0][0]

    async def same():
        rest = await exchange.fetch_order_book(SYMBOL, 100)
        held = exchange.orderbooks[SYMBOL]
        if rest["nonce"] != held["nonce"]:
            return None
        shown = [[level[:2] for level in held[side][:20]] for side in ("bids", "asks")]
        assert shown == [rest["bids"][:20], rest["asks"][:20]]
        return rest["nonce"]

    watching = asyncio.create_task(collect(lambda: exchange.watch_order_book(SYMBOL), 100_000))
    try:
        return await until(same, "never the same update of the book on both sides")
    finally:
        watching.cancel()


@check
async def orders_over_the_socket(exchange, _endpoint):
    last = await last_price(exchange)
    bought = await exchange.create_order_ws(SYMBOL, "market", "buy", 0.02)
    assert (bought["status"], bought["filled"]) == ("closed", 0.02)
    placed = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, round(last * 0.8, 2))
    assert placed["status"] == "open"
    assert (await exchange.fetch_order_ws(placed["id"], SYMBOL))["id"] == placed["id"]
    assert [one["id"] for one in await exchange.fetch_open_orders_ws(SYMBOL)] == [placed["id"]]
    moved = await exchange.edit_order_ws(placed["id"], SYMBOL, "limit", "buy", 0.01, round(last * 0.79, 2))
    assert moved["id"] != placed["id"]
    assert (await exchange.cancel_order_ws(moved["id"], SYMBOL))["status"] == "canceled"
    stop = await exchange.create_order_ws(
        SYMBOL, "market", "sell", 0.01, None, {"stopPrice": round(last * 0.7, 2)}
    )
    assert [one["id"] for one in await exchange.cancel_all_orders_ws(SYMBOL)] == [stop["id"]]
    states = {one["id"]: one["status"] for one in await exchange.fetch_orders_ws(SYMBOL)}
    assert (states[bought["id"]], states[moved["id"]]) == ("closed", "canceled")
    trades = await exchange.fetch_my_trades_ws(SYMBOL)
    assert trades[-1]["order"] == bought["id"]
    assert len(await exchange.fetch_ohlcv_ws(SYMBOL, "1m", None, 5)) == 5


@check
async def refusals_over_the_socket(exchange, endpoint):
    last = await last_price(exchange)
    async with refused(ccxt.pro.InsufficientFunds):
        await exchange.create_order_ws(SYMBOL, "limit", "buy", 10, round(last * 0.9, 2))
    async with refused(ccxt.pro.InvalidOrder, text="PERCENT_PRICE_BY_SIDE"):
        await exchange.create_order_ws(SYMBOL, "limit", "buy", 10, 1.0)
    async with refused(ccxt.pro.OrderNotFound):
        await exchange.cancel_order_ws("999999999", SYMBOL)
    async with connected(ccxt.pro.binance, endpoint, secret="wrong") as stranger:
        async with refused(ccxt.pro.AuthenticationError, code=-1022):
            await stranger.create_order_ws(SYMBOL, "market", "buy", 0.02)
    late = ccxt.pro.binance(configuration(endpoint))
    late.set_markets(exchange.markets)
    late.nonce = lambda: late.milliseconds() - 60_000
    try:
        async with refused(ccxt.pro.InvalidNonce, code=-1021):
            await late.create_order_ws(SYMBOL, "market", "buy", 0.02)
    finally:
        await late.close()


@check
async def watched_orders_tell_every_state(exchange, _endpoint):
    """NEW, then CANCELED, then of a market order one report for each fill, adding up."""
    last = await last_price(exchange)
    reports, ended = [], asyncio.Event()

    async def listen():
        while True:
            for order in await exchange.watch_orders(SYMBOL):
                reports.append(order["info"])
                if order["info"]["X"] == "FILLED":
                    ended.set()

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.5)  # the subscription is a request of its own on the same socket
    try:
        resting = await exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, round(last * 0.8, 2))
        await exchange.cancel_order_ws(resting["id"], SYMBOL)
        bought = await exchange.create_order_ws(SYMBOL, "market", "buy", 0.03)
        await asyncio.wait_for(ended.wait(), 10)
    finally:
        listening.cancel()
    states = [report["x"] for report in reports if report["i"] == int(resting["id"])]
    assert states == ["NEW", "CANCELED"]
    mine = [report for report in reports if report["i"] == int(bought["id"])]
    assert [report["x"] for report in mine] == ["NEW"] + ["TRADE"] * (len(mine) - 1)
    assert abs(sum(float(report["l"]) for report in mine) - 0.03) < 1e-9
    ids = [report["I"] for report in reports]
    assert ids == sorted(set(ids))
    return len(reports)


@check
async def watched_balance_follows_the_account(exchange, endpoint):
    watching = asyncio.create_task(exchange.watch_balance())
    await asyncio.sleep(0.5)
    await exchange.create_order_ws(SYMBOL, "market", "buy", 0.001)
    await asyncio.wait_for(watching, 10)
    watching = asyncio.create_task(exchange.watch_balance())
    await asyncio.sleep(0.1)
    endpoint.control("/sim/deposit", {"asset": "USDT", "amount": "12.5"})
    await asyncio.wait_for(watching, 10)

    async def same():
        rest, held = await exchange.fetch_balance(), exchange.balance["spot"]
        return all(abs(held[asset]["total"] - rest[asset]["total"]) < 1e-8 for asset in ("USDT", "BTC"))

    await until(same, "the watched balance is not the account's")


@check
async def watched_fills_are_my_trades(exchange, _endpoint):
    watching = asyncio.create_task(exchange.watch_my_trades(SYMBOL))
    await asyncio.sleep(0.5)
    sold = await exchange.create_order_ws(SYMBOL, "market", "sell", 0.02)
    async with asyncio.timeout(10):
        while not (fills := [one for one in await watching if one["order"] == sold["id"]]):
            watching = asyncio.create_task(exchange.watch_my_trades(SYMBOL))
    fill = fills[0]
    row = next(one for one in await exchange.fetch_my_trades(SYMBOL) if one["id"] == fill["id"])
    for name in ("price", "amount", "cost", "fee", "takerOrMaker", "side", "timestamp"):
        assert fill[name] == row[name], name
    await clear(exchange)


@check
async def weight_limit_over_the_socket(exchange, endpoint):
    endpoint.pace(1)
    try:
        async with refused(ccxt.pro.DDoSProtection, ccxt.pro.RateLimitExceeded, code=-1003):
            for _ in range(700):  # more than one limit, wherever the minute turns
                await exchange.fetch_my_trades_ws(SYMBOL)
    finally:
        endpoint.pace(FAST)


if __name__ == "__main__":
    main(opening)
