"""ccxt (async) against the exchange: market data, every order type, lists, refusals, limits, balances."""

from decimal import Decimal
from itertools import pairwise

import ccxt.async_support as ccxt
from ccxt_client import OTHER, SYMBOL, clear, connected, denied, last_price, tried_again
from checks import FAST, add_trades, balances_of, check, main, until

START = {}


def opening(endpoint):
    return connected(ccxt.binance, endpoint)


@check
async def markets(exchange, _endpoint):
    market = exchange.market(SYMBOL)
    assert (market["spot"], market["active"], market["type"]) == (True, True, "spot")
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 1e-5)
    assert market["limits"]["cost"]["min"] == 5
    assert market["limits"]["amount"]["min"] == 1e-5
    START["balances"] = balances_of(await exchange.private_get_account())
    return sorted(exchange.symbols)


@check
async def what_is_loaded_by_default(_exchange, endpoint):
    """With currencies and margin pairs, as a user gets it who trims nothing but the markets."""
    options = {"fetchMarkets": {"types": ["spot"]}}
    async with connected(ccxt.binance, endpoint, options=options) as exchange:
        assert exchange.market(SYMBOL)["spot"]
        assert exchange.currencies["BTC"]["active"]
        assert exchange.currencies["USDT"]["networks"] is not None


@check
async def fees_and_status(exchange, _endpoint):
    fee = await exchange.fetch_trading_fee(SYMBOL)
    assert 0 < fee["maker"] <= fee["taker"] < 0.01
    assert {SYMBOL, OTHER} <= set(await exchange.fetch_trading_fees())
    assert (await exchange.fetch_status())["status"] == "ok"


@check
async def candles(exchange, _endpoint):
    rows = await exchange.fetch_ohlcv(SYMBOL, "1m", limit=500)
    assert [later[0] - earlier[0] for earlier, later in pairwise(rows)] == [60_000] * 499
    assert all(low <= min(o, c) <= max(o, c) <= high for _, o, high, low, c, _ in rows)
    since = await exchange.fetch_ohlcv(SYMBOL, "1m", since=rows[0][0], limit=10)
    assert [row[0] for row in since] == [row[0] for row in rows[:10]]
    hours = await exchange.fetch_ohlcv(SYMBOL, "1h", since=rows[0][0], limit=4)
    assert hours[0][0] >= rows[0][0]
    assert all(row[0] % 3_600_000 == 0 for row in hours)
    whole = [row for row in rows if hours[0][0] <= row[0] < hours[0][0] + 3_600_000]
    assert hours[0][1:5] == [whole[0][1], max(r[2] for r in whole), min(r[3] for r in whole), whole[-1][4]]


@check
async def books(exchange, _endpoint):
    for limit in (5, 100, 1000, None):
        book = await exchange.fetch_order_book(SYMBOL, limit)
        bids, asks = [row[0] for row in book["bids"]], [row[0] for row in book["asks"]]
        assert bids == sorted(set(bids), reverse=True)
        assert asks == sorted(set(asks))
        assert bids[0] < asks[0]
        assert len(bids) <= (limit or 100)
        assert book["nonce"] > 0
    return len(bids)


@check
async def tickers(exchange, _endpoint):
    ticker = await exchange.fetch_ticker(SYMBOL)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert ticker["bid"] < ticker["ask"]
    assert abs(ticker["vwap"] * ticker["baseVolume"] / ticker["quoteVolume"] - 1) < 1e-4
    assert set(await exchange.fetch_tickers([SYMBOL, OTHER])) == {SYMBOL, OTHER}
    assert {SYMBOL, OTHER} <= set(await exchange.fetch_tickers())
    assert set(await exchange.fetch_bids_asks([SYMBOL, OTHER])) == {SYMBOL, OTHER}
    assert {SYMBOL, OTHER} <= set(await exchange.fetch_last_prices())


@check
async def public_trades(exchange, _endpoint):
    async def enough():
        found = await exchange.fetch_trades(SYMBOL)
        return found if len(found) >= 20 else None

    trades = await until(enough, "the market prints nothing")
    ids = [int(trade["id"]) for trade in trades]
    assert all(later - earlier == 1 for earlier, later in pairwise(ids))
    assert all(trade["price"] > 0 and trade["side"] in {"buy", "sell"} for trade in trades)
    since = await exchange.fetch_trades(SYMBOL, since=trades[-20]["timestamp"])
    assert since[0]["timestamp"] >= trades[-20]["timestamp"]
    recent = await exchange.fetch_trades(SYMBOL, params={"fetchTradesMethod": "publicGetTrades"})
    assert recent[-1]["id"]


@check
async def venue_time(exchange, _endpoint):
    assert abs(await exchange.fetch_time() - exchange.milliseconds()) < 5_000


@check
async def market_order_by_amount(exchange, _endpoint):
    bought = await exchange.create_order(SYMBOL, "market", "buy", 0.03)
    assert (bought["status"], bought["filled"], bought["remaining"]) == ("closed", 0.03, 0)
    trades = await exchange.fetch_order_trades(bought["id"], SYMBOL)
    assert sum(trade["amount"] for trade in trades) == 0.03
    assert all(trade["takerOrMaker"] == "taker" for trade in trades)
    assert abs(bought["cost"] - sum(trade["cost"] for trade in trades)) < 1e-6
    fee = sum(trade["fee"]["cost"] for trade in trades)
    assert 0 < fee < 0.03 * 0.002
    return trades[0]["fee"]


@check
async def market_order_by_cost(exchange, _endpoint):
    bought = await exchange.create_market_buy_order_with_cost(SYMBOL, 700)
    assert bought["status"] == "closed"
    assert 690 < bought["cost"] <= 700
    sold = await exchange.create_order(SYMBOL, "market", "sell", None, None, {"quoteOrderQty": 300})
    assert 290 < sold["cost"] <= 300


@check
async def limit_order_that_rests(exchange, _endpoint):
    price = round(await last_price(exchange) * 0.8, 2)
    placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": "rests-1"})
    assert (placed["status"], placed["clientOrderId"], placed["price"]) == ("open", "rests-1", price)
    found = await exchange.fetch_order(placed["id"], SYMBOL)
    named = await exchange.fetch_order(None, SYMBOL, {"clientOrderId": "rests-1"})
    assert (found["status"], found["id"]) == ("open", named["id"])
    locked = (await exchange.fetch_balance())["USDT"]["used"]
    assert abs(locked - 0.01 * price) < 1e-6
    canceled = await exchange.cancel_order(placed["id"], SYMBOL)
    assert canceled["status"] == "canceled"
    assert (await exchange.fetch_balance())["USDT"]["used"] == 0


@check
async def limit_order_that_crosses(exchange, _endpoint):
    last = await last_price(exchange)
    placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.002, round(last * 1.05, 2))
    assert placed["status"] == "closed"
    assert placed["average"] < last * 1.04


@check
async def limit_order_that_is_hit(exchange, _endpoint):
    book = await exchange.fetch_order_book(SYMBOL, 5)
    placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.002, book["bids"][0][0])

    async def filled():
        order = await exchange.fetch_order(placed["id"], SYMBOL)
        return order if order["status"] == "closed" else None

    order = await until(filled, "the market never came to the order")
    assert order["average"] == order["price"]
    trades = await exchange.fetch_order_trades(placed["id"], SYMBOL)
    assert {trade["takerOrMaker"] for trade in trades} <= {"maker", "taker"}


@check
async def post_only(exchange, _endpoint):
    last = await last_price(exchange)
    placed = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.01, round(last * 0.9, 2), {"postOnly": True}
    )
    assert (placed["status"], placed["info"]["type"]) == ("open", "LIMIT_MAKER")
    await exchange.cancel_order(placed["id"], SYMBOL)
    async with denied(exchange, ccxt.OrderImmediatelyFillable, code=-2010, text="immediately match"):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.01, round(last * 1.1, 2), {"postOnly": True})


@check
async def immediate_or_cancel_and_fill_or_kill(exchange, _endpoint):
    last = await last_price(exchange)
    for time_in_force in ("IOC", "FOK"):
        far = await exchange.create_order(
            SYMBOL, "limit", "buy", 0.01, round(last * 0.9, 2), {"timeInForce": time_in_force}
        )
        assert (far["info"]["status"], far["filled"]) == ("EXPIRED", 0)
        near = await exchange.create_order(
            SYMBOL, "limit", "buy", 0.002, round(last * 1.05, 2), {"timeInForce": time_in_force}
        )
        assert (near["info"]["status"], near["filled"]) == ("FILLED", 0.002)


@check
async def stops_and_targets(exchange, _endpoint):
    last = await last_price(exchange)
    low, high = round(last * 0.7, 2), round(last * 1.3, 2)
    wanted = {
        "STOP_LOSS": ("market", {"stopLossPrice": low}),
        "STOP_LOSS_LIMIT": ("limit", {"stopLossPrice": low}),
        "TAKE_PROFIT": ("market", {"takeProfitPrice": high}),
        "TAKE_PROFIT_LIMIT": ("limit", {"takeProfitPrice": high}),
    }
    for type_, (kind, params) in wanted.items():
        price = None if kind == "market" else next(iter(params.values()))
        placed = await exchange.create_order(SYMBOL, kind, "sell", 0.005, price, params)
        found = await exchange.fetch_order(placed["id"], SYMBOL)
        assert (found["info"]["type"], found["status"]) == (type_, "open")
        assert found["info"]["isWorking"] is False
        assert found["triggerPrice"] == next(iter(params.values()))
    assert len(await exchange.fetch_open_orders(SYMBOL)) == 4
    canceled = await exchange.cancel_all_orders(SYMBOL)
    assert {order["status"] for order in canceled} == {"canceled"}
    assert await exchange.fetch_open_orders(SYMBOL) == []


@check
async def a_stop_that_triggers(exchange, _endpoint):
    """One of two stops around the price is reached soon."""
    ids = []
    for side, factor in (("sell", 0.9985), ("buy", 1.0015)):

        async def place(side=side, factor=factor):
            params = {"stopLossPrice": round(await last_price(exchange) * factor, 2)}
            return await exchange.create_order(SYMBOL, "market", side, 0.001, None, params)

        ids.append((await tried_again(ccxt.OrderImmediatelyFillable, place))["id"])

    async def triggered():
        orders = [await exchange.fetch_order(one, SYMBOL) for one in ids]
        return [order for order in orders if order["status"] == "closed"]

    done = await until(triggered, "no stop was reached")
    assert done[0]["filled"] == 0.001
    await clear(exchange)


@check
async def trailing_stops_and_icebergs(exchange, _endpoint):
    last = await last_price(exchange)
    trailing = await exchange.create_order(
        SYMBOL, "market", "sell", 0.002, None, {"trailingPercent": 2.5, "stopLossOrTakeProfit": "stopLoss"}
    )
    found = await exchange.fetch_order(trailing["id"], SYMBOL)
    assert (found["info"]["type"], int(found["info"]["trailingDelta"])) == ("STOP_LOSS", 250)
    hidden = await exchange.create_order(
        SYMBOL, "limit", "buy", 0.005, round(last * 0.8, 2), {"icebergQty": "0.001"}
    )
    assert float((await exchange.fetch_order(hidden["id"], SYMBOL))["info"]["icebergQty"]) == 0.001
    await clear(exchange)
    async with denied(exchange, ccxt.BadRequest, code=-1013, text="TRAILING_DELTA"):
        await exchange.create_order(
            SYMBOL, "market", "sell", 0.002, None, {"trailingPercent": 99, "stopLossOrTakeProfit": "stopLoss"}
        )


@check
async def edit_is_cancel_and_replace(exchange, _endpoint):
    last = await last_price(exchange)
    placed = await exchange.create_order(SYMBOL, "limit", "buy", 0.01, round(last * 0.8, 2))
    moved = await exchange.edit_order(placed["id"], SYMBOL, "limit", "buy", 0.011, round(last * 0.79, 2))
    assert moved["id"] != placed["id"]
    assert (await exchange.fetch_order(placed["id"], SYMBOL))["status"] == "canceled"
    assert (await exchange.fetch_order(moved["id"], SYMBOL))["amount"] == 0.011
    await exchange.cancel_order(moved["id"], SYMBOL)
    async with denied(exchange, ccxt.ExchangeError, code=-2022):
        await exchange.edit_order(moved["id"], SYMBOL, "limit", "buy", 0.011, round(last * 0.79, 2))


@check
async def test_order(exchange, _endpoint):
    before = await exchange.fetch_open_orders(SYMBOL)
    last = await last_price(exchange)
    await exchange.create_order(SYMBOL, "limit", "buy", 0.01, round(last * 0.8, 2), {"test": True})
    assert await exchange.fetch_open_orders(SYMBOL) == before


def bracket(exchange, last, prefix=""):
    """Parameters of two selling legs around the price."""

    def price(factor):
        return exchange.price_to_precision(SYMBOL, last * factor)

    names = {
        "aboveType": "LIMIT_MAKER",
        "abovePrice": price(1.2),
        "belowType": "STOP_LOSS",
        "belowStopPrice": price(0.8),
    }
    return {prefix + name[0].upper() + name[1:] if prefix else name: value for name, value in names.items()}


@check
async def one_cancels_the_other(exchange, _endpoint):
    last = await last_price(exchange)
    legs = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.005", **bracket(exchange, last)}
    placed = await exchange.private_post_orderlist_oco(legs)
    assert (placed["contingencyType"], placed["listOrderStatus"]) == ("OCO", "EXECUTING")
    assert len(await exchange.fetch_open_orders(SYMBOL)) == 2
    found = await exchange.private_get_orderlist({"orderListId": placed["orderListId"]})
    assert found["orders"] == placed["orders"]
    ended = await exchange.private_delete_orderlist(
        {"symbol": "BTCUSDT", "listClientOrderId": placed["listClientOrderId"]}
    )
    assert ended["listOrderStatus"] == "ALL_DONE"
    assert await exchange.fetch_open_orders(SYMBOL) == []
    async with denied(exchange, ccxt.OrderNotFound, code=-2011):
        await exchange.private_delete_orderlist(
            {"symbol": "BTCUSDT", "listClientOrderId": placed["listClientOrderId"]}
        )


@check
async def an_oco_leg_ends_the_other(exchange, _endpoint):

    async def place():
        ask = (await exchange.fetch_order_book(SYMBOL, 5))["asks"][0][0]
        return await exchange.private_post_orderlist_oco(
            {
                "symbol": "BTCUSDT",
                "side": "SELL",
                "quantity": "0.002",
                "aboveType": "LIMIT_MAKER",
                "abovePrice": exchange.price_to_precision(SYMBOL, ask * 1.001),
                "belowType": "STOP_LOSS",
                "belowStopPrice": exchange.price_to_precision(SYMBOL, ask * 0.998),
            }
        )

    placed = await tried_again(ccxt.OrderImmediatelyFillable, place)

    async def over():
        found = await exchange.private_get_orderlist({"orderListId": placed["orderListId"]})
        return found["listOrderStatus"] == "ALL_DONE"

    await until(over, "the list never ended")
    states = sorted(
        [(await exchange.fetch_order(leg["orderId"], SYMBOL))["info"]["status"] for leg in placed["orders"]]
    )
    assert states == ["EXPIRED", "FILLED"]


@check
async def one_triggers_a_pair(exchange, _endpoint):
    last = await last_price(exchange)
    entry = {
        "symbol": "BTCUSDT",
        "workingType": "LIMIT",
        "workingSide": "BUY",
        "workingTimeInForce": "GTC",
        "workingQuantity": "0.003",
        "workingPrice": exchange.price_to_precision(SYMBOL, last * 1.02),
        "pendingSide": "SELL",
        "pendingQuantity": "0.002",
        **bracket(exchange, last, "pending"),
    }
    placed = await exchange.private_post_orderlist_otoco(entry)
    assert placed["contingencyType"] == "OTO"
    reports = {one["side"]: one for one in placed["orderReports"]}
    assert reports["BUY"]["status"] == "FILLED"
    assert len(await exchange.fetch_open_orders(SYMBOL)) == 2
    await clear(exchange)


@check
async def filter_violations(exchange, _endpoint):
    last = await last_price(exchange)
    low = f"{last * 0.9:.2f}"
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    violations = {
        "PRICE_FILTER": (ccxt.InvalidOrder, {"price": low + "5", "quantity": "0.001"}),
        "LOT_SIZE": (ccxt.InvalidOrder, {"price": low, "quantity": "0.0010001"}),
        "PERCENT_PRICE_BY_SIDE": (ccxt.InvalidOrder, {"price": "1.00", "quantity": "10"}),
        "NOTIONAL": (ccxt.BadRequest, {"price": low, "quantity": "0.00001"}),
    }
    for name, (kind, amounts) in violations.items():
        async with denied(exchange, kind, code=-1013, text=f"Filter failure: {name}"):
            await exchange.private_post_order({**order, **amounts})
    stops = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_LOSS", "quantity": "0.0005"}
    low = exchange.price_to_precision(SYMBOL, last * 0.5)
    async with denied(exchange, ccxt.BadRequest, code=-1013, text="Filter failure: MAX_NUM_ALGO_ORDERS"):
        for _ in range(6):
            await exchange.private_post_order({**stops, "stopPrice": low})
    await clear(exchange)


@check
async def malformed_parameters(exchange, _endpoint):
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "30000"}
    for quantity, code in (("1e-05", -1100), ("-1", -1100), ("0.000000001", -1111), ("", -1102)):
        async with denied(exchange, ccxt.BadRequest, code=code):
            await exchange.private_post_order({**order, "quantity": quantity})
    async with denied(exchange, ccxt.BadRequest, code=-1102):
        await exchange.private_post_order({"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"})
    async with denied(exchange, ccxt.BadRequest, code=-1106):
        await exchange.private_post_order(
            {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1", "price": "3"}
        )
    async with denied(exchange, ccxt.BadRequest, code=-1116):
        await exchange.private_post_order({**order, "quantity": "1", "type": "SOMETHING"})
    async with denied(exchange, ccxt.BadRequest, code=-1117):
        await exchange.private_post_order({**order, "quantity": "1", "side": "HOLD"})
    async with denied(exchange, ccxt.BadRequest, code=-1120):
        await exchange.public_get_klines({"symbol": "BTCUSDT", "interval": "7m"})
    async with denied(exchange, ccxt.BadSymbol, code=-1121):
        await exchange.public_get_depth({"symbol": "NOSUCHUSDT"})


@check
async def unknown_and_impossible_orders(exchange, _endpoint):
    last = await last_price(exchange)
    async with denied(exchange, ccxt.InsufficientFunds, code=-2010):
        await exchange.create_order(SYMBOL, "limit", "buy", 10, round(last * 0.9, 2))
    async with denied(exchange, ccxt.OrderNotFound, code=-2011):
        await exchange.cancel_order("999999999", SYMBOL)
    async with denied(exchange, ccxt.OrderNotFound, code=-2013):
        await exchange.fetch_order("999999999", SYMBOL)
    async with denied(exchange, ccxt.OrderNotFound, code=-2011):
        await exchange.cancel_all_orders(OTHER)
    async with denied(exchange, ccxt.OrderImmediatelyFillable, code=-2010, text="trigger immediately"):
        await exchange.create_order(
            SYMBOL, "market", "sell", 0.001, None, {"stopLossPrice": round(last * 1.2, 2)}
        )
    twice = {"clientOrderId": "twice"}
    await exchange.create_order(SYMBOL, "limit", "buy", 0.001, round(last * 0.8, 2), twice)
    async with denied(exchange, ccxt.InvalidOrder, code=-2010, text="Duplicate order sent."):
        await exchange.create_order(SYMBOL, "limit", "buy", 0.001, round(last * 0.8, 2), twice)
    await clear(exchange)


@check
async def bad_signature_and_keys(_exchange, endpoint):
    async with connected(ccxt.binance, endpoint, secret="wrong") as exchange:
        async with denied(exchange, ccxt.AuthenticationError, code=-1022):
            await exchange.fetch_balance()
    async with connected(ccxt.binance, endpoint, apiKey="x" * 64) as exchange:
        async with denied(exchange, ccxt.AuthenticationError, code=-2015):
            await exchange.fetch_balance()


@check
async def old_and_early_timestamps(_exchange, endpoint):
    async with connected(ccxt.binance, endpoint) as exchange:
        exchange.nonce = lambda: exchange.milliseconds() - 60_000
        async with denied(exchange, ccxt.InvalidNonce, code=-1021, text="outside of the recvWindow"):
            await exchange.fetch_balance()
        exchange.nonce = lambda: exchange.milliseconds() + 5_000
        async with denied(exchange, ccxt.InvalidNonce, code=-1021, text="ahead of the server's time"):
            await exchange.fetch_balance()


@check
async def balances_are_conserved(exchange, _endpoint):
    await clear(exchange)
    trades = await exchange.private_get_mytrades({"symbol": "BTCUSDT", "limit": 1000})
    expected = add_trades(START["balances"], trades, "BTC", "USDT")
    assert balances_of(await exchange.private_get_account()) == expected
    return {asset: str(amount) for asset, amount in expected.items() if amount > Decimal("1e-8")}


@check
async def order_rate_limit(exchange, endpoint):
    """More than a hundred unfilled orders in ten seconds; the pause that Retry-After names helps."""
    price = exchange.price_to_precision(SYMBOL, await last_price(exchange) * 0.5)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": price}
    endpoint.pace(1)
    try:
        async with denied(exchange, ccxt.DDoSProtection, code=-1015, text="Too many new orders"):
            for _ in range(30):
                for _ in range(10):
                    await exchange.private_post_order({**order, "quantity": "0.0005"})
                await exchange.cancel_all_orders(SYMBOL)
        wait_s = int(exchange.last_response_headers["Retry-After"])
        assert 1 <= wait_s <= 10
    finally:
        endpoint.pace(FAST)

    async def allowed():
        try:
            return await exchange.private_post_order({**order, "quantity": "0.0005"})
        except ccxt.DDoSProtection:
            return None

    assert await until(allowed, "new orders stay refused")
    await clear(exchange)
    return wait_s


@check
async def weight_limit(exchange, endpoint):
    """Thirty deep books are more than a minute's weight; the header counts up to that."""
    endpoint.pace(1)
    used = []
    try:
        async with denied(exchange, ccxt.DDoSProtection, code=-1003, text="Too much request weight used"):
            for _ in range(60):
                await exchange.public_get_depth({"symbol": "BTCUSDT", "limit": 5000})
                used.append(int(exchange.last_response_headers["X-MBX-USED-WEIGHT-1M"]))
        wait_s = int(exchange.last_response_headers["Retry-After"])
        assert 1 <= wait_s <= 60
        assert used[-1] > 5_700
        async with denied(exchange, ccxt.DDoSProtection, code=-1003, text="418"):
            for _ in range(30):
                try:
                    await exchange.public_get_depth({"symbol": "BTCUSDT", "limit": 5000})
                except ccxt.DDoSProtection as error:
                    if "418" in str(error):
                        raise
        ban_s = int(exchange.last_response_headers["Retry-After"])
        assert 60 < ban_s <= 120
    finally:
        endpoint.pace(FAST)

    async def allowed():
        try:
            return await exchange.public_get_time()
        except ccxt.DDoSProtection:
            return None

    assert await until(allowed, "the weight never came back")
    return wait_s, ban_s


if __name__ == "__main__":
    main(opening)
