"""Binance's own SDK against the exchange; every answer and event must fit the types that Binance declares."""

import contextlib
import logging
from decimal import Decimal
from itertools import pairwise

from binance_common import utils
from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import (
    BadRequestError,
    RateLimitBanError,
    TooManyRequestsError,
    UnauthorizedError,
)
from binance_sdk_spot.spot import Spot
from checks import FAST, add_trades, balances_of, check, main, step_down, until

SYMBOL = "BTCUSDT"
START = {}


class Complaints(logging.Handler):
    """What the SDK says about answers that are not of the declared types."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.heard = []

    def emit(self, record):
        text = record.getMessage()
        if "did not match" in text or "Failed to parse" in text or "Error in callback" in text:
            self.heard.append(text)


COMPLAINTS = Complaints()
logging.getLogger().addHandler(COMPLAINTS)


def spot_of(endpoint, **more):
    keys = {"api_key": endpoint.api_key, "api_secret": endpoint.secret, **more}
    return Spot(
        ConfigurationRestAPI(base_path=endpoint.base, retries=0, timeout=10_000, **keys),
        ConfigurationWebSocketAPI(stream_url=f"{endpoint.sockets}/ws-api/v3", **keys),
        ConfigurationWebSocketStreams(stream_url=endpoint.sockets),
    )


@contextlib.asynccontextmanager
async def opening(endpoint):
    yield spot_of(endpoint)


@contextlib.contextmanager
def failing(kind, code, text=""):
    """Raises this class of the SDK with this code."""
    caught = None
    try:
        yield
    except kind as error:
        caught = error
    assert caught is not None, f"not refused; expected {code}"
    assert caught.status_code == code, repr(caught)
    assert text in caught.error_message, caught.error_message


def last_price(client):
    return float(raw(client.rest_api.ticker_price(symbol=SYMBOL))["price"])


def raw(answer):
    """The wire's names and values again."""
    data = answer.data()
    if isinstance(data, list):
        return [one if isinstance(one, list) else one.to_dict() for one in data]
    shown = data.to_dict() if hasattr(data, "to_dict") else data
    return shown if shown is not None else {}


def at(price):
    return float(step_down(price, "0.01"))


def clear(client):
    if raw(client.rest_api.get_open_orders(symbol=SYMBOL)):
        client.rest_api.delete_open_orders(symbol=SYMBOL)


@check
async def markets(client, _endpoint):
    rest = client.rest_api
    rest.ping()
    assert rest.time().data().server_time > 0
    info = rest.exchange_info().data()
    assert {"BTCUSDT", "ETHUSDT"} <= {one.symbol for one in info.symbols}
    one = rest.exchange_info(symbol=SYMBOL).data().symbols[0]
    assert one.base_asset == "BTC"
    START["balances"] = balances_of(raw(rest.get_account()))
    return len(one.filters)


@check
async def candles_books_tickers_trades(client, _endpoint):
    rest = client.rest_api
    rows = rest.klines(symbol=SYMBOL, interval="1m", limit=200).data()
    assert [later[0] - earlier[0] for earlier, later in pairwise(rows)] == [60_000] * 199
    assert rest.ui_klines(symbol=SYMBOL, interval="1m", limit=5).data()
    book = rest.depth(symbol=SYMBOL, limit=5).data()
    assert float(book.bids[0][0]) < float(book.asks[0][0])
    assert float(rest.avg_price(symbol=SYMBOL).data().price) > 0
    day = raw(rest.ticker24hr(symbol=SYMBOL))
    assert float(day["lowPrice"]) <= float(day["lastPrice"]) <= float(day["highPrice"])
    best = raw(rest.ticker_book_ticker(symbol=SYMBOL))
    assert float(best["bidPrice"]) < float(best["askPrice"])

    async def enough():
        found = raw(rest.get_trades(symbol=SYMBOL, limit=50))
        return found if len(found) >= 20 else None

    trades = await until(enough, "the market prints nothing")
    assert [later["id"] - earlier["id"] for earlier, later in pairwise(trades)] == [1] * (len(trades) - 1)
    assert raw(rest.agg_trades(symbol=SYMBOL, limit=10))[0]["a"] > 0
    assert raw(rest.historical_trades(symbol=SYMBOL, limit=10))


@check
async def windows_of_statistics(client, _endpoint):
    rest = client.rest_api
    for answer in (
        rest.ticker(symbol=SYMBOL, window_size="1h"),
        rest.ticker_trading_day(symbol=SYMBOL),
    ):
        window = raw(answer)
        assert float(window["lowPrice"]) <= float(window["lastPrice"]) <= float(window["highPrice"])
    rows = rest.klines(symbol=SYMBOL, interval="1d", limit=3, time_zone="8").data()
    assert all((row[0] // 3_600_000) % 24 == 16 for row in rows)


@check
async def a_session_with_an_ed25519_key(_client, endpoint):
    """Logged on once, requests go without signatures; without a session they are refused."""
    made = endpoint.control("/sim/keys", {"account": "main", "kind": "ED25519", "trading": True})
    keys = {"api_key": made["apiKey"], "api_secret": None, "private_key": made["privateKey"]}
    client = spot_of(endpoint, **keys)
    assert raw(client.rest_api.get_account())["canTrade"]
    connection = await client.websocket_api.create_connection()
    try:
        logged = (await connection.session_logon()).data().result
        assert logged.api_key == made["apiKey"]
        assert (await connection.session_status()).data().result.api_key == made["apiKey"]
        placed = (
            await connection.order_place(
                symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.002,
                price=at(last_price(client) * 0.8),
            )
        ).data()  # fmt: skip
        assert placed.result.status == "NEW"
        canceled = (await connection.order_cancel(symbol=SYMBOL, order_id=placed.result.order_id)).data()
        assert canceled.result.status == "CANCELED"
        assert (await connection.session_logout()).data().result.api_key is None
    finally:
        await connection.close_connection(close_session=True)


@check
async def every_order_type(client, _endpoint):
    rest = client.rest_api
    last = last_price(client)
    bought = rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.03).data()
    assert (bought.status, Decimal(bought.executed_qty)) == ("FILLED", Decimal("0.03"))
    assert sum(Decimal(fill.qty) for fill in bought.fills) == Decimal("0.03")
    by_cost = rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quote_order_qty=250).data()
    assert 245 < Decimal(by_cost.cummulative_quote_qty) <= 250
    resting = {
        "LIMIT": {"side": "BUY", "time_in_force": "GTC", "price": at(last * 0.8)},
        "LIMIT_MAKER": {"side": "BUY", "price": at(last * 0.8)},
        "STOP_LOSS": {"side": "SELL", "stop_price": at(last * 0.7)},
        "STOP_LOSS_LIMIT": {
            "side": "SELL",
            "time_in_force": "GTC",
            "stop_price": at(last * 0.7),
            "price": at(last * 0.69),
        },
        "TAKE_PROFIT": {"side": "SELL", "stop_price": at(last * 1.3)},
        "TAKE_PROFIT_LIMIT": {
            "side": "SELL",
            "time_in_force": "GTC",
            "stop_price": at(last * 1.3),
            "price": at(last * 1.31),
        },
    }
    for type_, params in resting.items():
        rest.order_test(symbol=SYMBOL, type=type_, quantity=0.002, **params)
        placed = rest.new_order(symbol=SYMBOL, type=type_, quantity=0.002, **params).data()
        found = rest.get_order(symbol=SYMBOL, order_id=placed.order_id).data()
        assert (found.type, found.status) == (type_, "NEW")
    assert len(raw(rest.get_open_orders(symbol=SYMBOL))) == len(resting)
    assert len(raw(rest.delete_open_orders(symbol=SYMBOL))) == len(resting)
    for time_in_force, status in (("IOC", "FILLED"), ("FOK", "FILLED")):
        sold = rest.new_order(
            symbol=SYMBOL, side="SELL", type="LIMIT", time_in_force=time_in_force, quantity=0.002,
            price=at(last * 0.95),
        ).data()  # fmt: skip
        assert sold.status == status
    assert len(raw(rest.all_orders(symbol=SYMBOL))) >= 10
    assert len(raw(rest.rate_limit_order())) == 2
    assert raw(rest.account_commission(symbol=SYMBOL))["symbol"] == SYMBOL


@check
async def microseconds(_client, endpoint):
    client = spot_of(endpoint, time_unit="MICROSECOND")
    assert client.rest_api.time().data().server_time > 10**15
    assert raw(client.rest_api.get_trades(symbol=SYMBOL, limit=1))[0]["time"] > 10**15
    account = raw(client.rest_api.get_account())
    assert account["updateTime"] > 10**15


@check
async def cancel_and_replace(client, _endpoint):
    rest = client.rest_api
    last = last_price(client)
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.002}
    placed = rest.new_order(**order, price=at(last * 0.8)).data()
    done = rest.order_cancel_replace(
        **order, price=at(last * 0.79), cancel_replace_mode="STOP_ON_FAILURE", cancel_order_id=placed.order_id
    ).data()
    assert (done.cancel_result, done.new_order_result) == ("SUCCESS", "SUCCESS")
    with failing(BadRequestError, -2022):
        rest.order_cancel_replace(
            **order,
            price=at(last * 0.79),
            cancel_replace_mode="STOP_ON_FAILURE",
            cancel_order_id=placed.order_id,
        )
    left = raw(rest.get_open_orders(symbol=SYMBOL))
    canceled = rest.delete_order(symbol=SYMBOL, order_id=left[0]["orderId"]).data()
    assert canceled.status == "CANCELED"
    assert canceled.orig_client_order_id == left[0]["clientOrderId"]


@check
async def order_lists(client, _endpoint):
    rest = client.rest_api
    last = last_price(client)
    placed = rest.order_list_oco(
        symbol=SYMBOL, side="SELL", quantity=0.002, above_type="LIMIT_MAKER", above_price=at(last * 1.2),
        below_type="STOP_LOSS", below_stop_price=at(last * 0.8),
    ).data()  # fmt: skip
    assert (placed.contingency_type, len(placed.order_reports)) == ("OCO", 2)
    assert len(raw(rest.open_order_list())) == 1
    assert rest.get_order_list(order_list_id=placed.order_list_id).data().list_order_status == "EXECUTING"
    ended = rest.delete_order_list(symbol=SYMBOL, order_list_id=placed.order_list_id).data()
    assert ended.list_order_status == "ALL_DONE"
    entry = {
        "symbol": SYMBOL, "working_type": "LIMIT", "working_side": "BUY", "working_time_in_force": "GTC",
        "working_quantity": 0.003, "working_price": at(last * 0.9), "pending_side": "SELL",
    }  # fmt: skip
    oto = rest.order_list_oto(
        **entry,
        pending_quantity=0.002,
        pending_type="LIMIT",
        pending_time_in_force="GTC",
        pending_price=at(last * 1.2),
    ).data()
    assert sorted(one.status for one in oto.order_reports) == ["NEW", "PENDING_NEW"]
    legs = {
        "pending_above_type": "LIMIT_MAKER", "pending_above_price": at(last * 1.2),
        "pending_below_type": "STOP_LOSS", "pending_below_stop_price": at(last * 0.8),
    }  # fmt: skip
    otoco = rest.order_list_otoco(**entry, pending_quantity=0.002, **legs).data()
    assert len(otoco.order_reports) == 3
    assert len(raw(rest.all_order_list())) == 3
    clear(client)


@check
async def orders_on_orders(client, _endpoint):
    """OPO and OPOCO: what the working order buys is what the pending ones sell."""
    rest = client.rest_api
    last = last_price(client)
    entry = {
        "symbol": SYMBOL, "working_type": "LIMIT", "working_side": "BUY", "working_time_in_force": "GTC",
        "working_quantity": 0.003, "pending_side": "SELL",
    }  # fmt: skip
    placed = rest.order_list_opo(
        **entry, working_price=at(last * 1.02), pending_type="LIMIT_MAKER", pending_price=at(last * 1.2)
    ).data()
    found = {one["side"]: one for one in raw(rest.all_orders(symbol=SYMBOL))[-2:]}
    bought = found["BUY"]
    assert (placed.contingency_type, bought["status"], found["SELL"]["status"]) == ("OTO", "FILLED", "NEW")
    assert Decimal("0.0029") < Decimal(found["SELL"]["origQty"]) <= Decimal("0.003")
    clear(client)
    waiting = rest.order_list_opoco(
        **entry, working_price=at(last * 0.9), pending_above_type="LIMIT_MAKER",
        pending_above_price=at(last * 1.2), pending_below_type="STOP_LOSS",
        pending_below_stop_price=at(last * 0.8),
    ).data()  # fmt: skip
    assert sorted(one.status for one in waiting.order_reports) == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    clear(client)


@check
async def amend_trailing_iceberg_and_self_trades(client, _endpoint):
    rest = client.rest_api
    last = last_price(client)
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.004}
    placed = rest.new_order(**order, price=at(last * 0.8)).data()
    amended = raw(rest.order_amend_keep_priority(symbol=SYMBOL, order_id=placed.order_id, new_qty=0.003))
    assert Decimal(amended["amendedOrder"]["qty"]) == Decimal("0.003")
    with failing(BadRequestError, -2038):
        rest.order_amend_keep_priority(symbol=SYMBOL, order_id=placed.order_id, new_qty=0.005)
    (change,) = raw(rest.order_amendments(symbol=SYMBOL, order_id=placed.order_id))
    assert (Decimal(change["origQty"]), Decimal(change["newQty"])) == (Decimal("0.004"), Decimal("0.003"))
    hidden = rest.new_order(**order, price=at(last * 0.8), iceberg_qty=0.001).data()
    assert Decimal(raw(rest.get_order(symbol=SYMBOL, order_id=hidden.order_id))["icebergQty"]) == Decimal(
        "0.001"
    )
    trailing = rest.new_order(
        symbol=SYMBOL, side="SELL", type="STOP_LOSS", quantity=0.002, trailing_delta=200
    ).data()
    assert raw(rest.get_order(symbol=SYMBOL, order_id=trailing.order_id))["trailingDelta"] == 200
    guarded = rest.new_order(**order, price=at(last * 0.8), self_trade_prevention_mode="EXPIRE_BOTH").data()
    assert guarded.self_trade_prevention_mode == "EXPIRE_BOTH"
    assert raw(rest.my_prevented_matches(symbol=SYMBOL, order_id=guarded.order_id)) == []
    filters = raw(rest.my_filters(symbol=SYMBOL))
    assert "MAX_NUM_ORDERS" in {one["filterType"] for one in filters["symbolFilters"]}
    clear(client)


@check
async def filter_violations(client, _endpoint):
    rest = client.rest_api
    last = last_price(client)
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC"}
    for name, amounts in {
        "PRICE_FILTER": {"price": f"{last * 0.9:.2f}5", "quantity": 0.001},
        "LOT_SIZE": {"price": at(last * 0.9), "quantity": 0.0010001},
        "PERCENT_PRICE_BY_SIDE": {"price": 1.0, "quantity": 10},
        "NOTIONAL": {"price": at(last * 0.9), "quantity": "0.00001"},
    }.items():
        with failing(BadRequestError, -1013, f"Filter failure: {name}"):
            rest.new_order(**order, **amounts)
    with failing(BadRequestError, -1100):  # the SDK writes a small float with an exponent
        rest.new_order(**order, price=at(last * 0.9), quantity=0.00001)
    with failing(BadRequestError, -2010, "insufficient balance"):
        rest.new_order(**order, price=at(last * 0.9), quantity=50)
    with failing(BadRequestError, -2011):
        rest.delete_order(symbol=SYMBOL, order_id=999_999_999)
    with failing(BadRequestError, -2013):
        rest.get_order(symbol=SYMBOL, order_id=999_999_999)
    with failing(BadRequestError, -1121):
        rest.depth(symbol="NOSUCHUSDT")


@check
async def signatures_and_times(client, endpoint):
    with failing(BadRequestError, -1022):
        spot_of(endpoint, api_secret="wrong").rest_api.get_account()
    with failing(UnauthorizedError, -2015):
        spot_of(endpoint, api_key="x" * 64).rest_api.get_account()
    told = utils.get_timestamp
    try:
        for shift_ms, text in ((-60_000, "outside of the recvWindow"), (5_000, "ahead of the server's time")):
            utils.get_timestamp = lambda shift_ms=shift_ms: told() + shift_ms
            with failing(BadRequestError, -1021, text):
                client.rest_api.get_account()
    finally:
        utils.get_timestamp = told


@check
async def market_streams(client, _endpoint):
    heard = {}
    connection = await client.websocket_streams.create_connection()
    try:
        opened = {
            "trade": await connection.trade(symbol="btcusdt"),
            "aggTrade": await connection.agg_trade(symbol="btcusdt"),
            "kline": await connection.kline(symbol="btcusdt", interval="1m"),
            "depth": await connection.diff_book_depth(symbol="btcusdt", update_speed="100ms"),
            "book5": await connection.partial_book_depth(symbol="btcusdt", levels="5"),
            "best": await connection.book_ticker(symbol="btcusdt"),
            "mini": await connection.mini_ticker(symbol="btcusdt"),
        }
        for name, stream in opened.items():
            stream.on("message", lambda event, name=name: heard.setdefault(name, []).append(event))

        async def all_spoke():
            return heard.keys() == opened.keys() and len(heard["depth"]) >= 10 and len(heard["trade"]) >= 10

        await until(all_spoke, f"silent: {opened.keys() - heard.keys()}")
    finally:
        await connection.close_connection(close_session=True)
    ids = [event.t for event in heard["trade"]]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(earlier.u + 1 == later.U for earlier, later in pairwise(heard["depth"]))
    assert float(heard["best"][0].b) < float(heard["best"][0].a)
    return {name: len(events) for name, events in heard.items()}


@check
async def websocket_api_and_user_events(client, endpoint):
    """NEW, TRADE..., balances; NEW, CANCELED; each event typed, `I` rising."""
    events, position = [], "OutboundAccountPosition"
    connection = await client.websocket_api.create_connection()
    try:
        opened = await connection.user_data_stream_subscribe_signature()
        opened.stream.on("message", lambda event: events.append(event.actual_instance))
        last = last_price(client)
        bought = (
            await connection.order_place(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.002)
        ).data()
        placed = (
            await connection.order_place(
                symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.002,
                price=at(last * 0.8),
            )
        ).data()  # fmt: skip
        status = (await connection.order_status(symbol=SYMBOL, order_id=placed.result.order_id)).data()
        assert status.result.status == "NEW"
        await connection.order_cancel(symbol=SYMBOL, order_id=placed.result.order_id)
        refused = await connection.order_place(symbol=SYMBOL, side="BUY", type="MARKET", quantity=500)
        assert refused.data()["error"]["code"] == -2010
        assert (await connection.account_status()).data().result.account_type == "SPOT"
        assert len((await connection.klines(symbol=SYMBOL, interval="1m", limit=5)).data().result) == 5
        endpoint.control("/sim/deposit", {"asset": "USDT", "amount": "3"})
        START["balances"]["USDT"] += 3

        async def deposited():
            return [type(event).__name__ for event in events[-2:]] == ["BalanceUpdate", position]

        await until(deposited, "the deposit was never told")
    finally:
        await connection.close_connection(close_session=True)
    assert bought.result.status == "FILLED"
    kinds = [getattr(event, "x", None) or type(event).__name__ for event in events]
    fills = kinds.count("TRADE")
    assert kinds[: fills + 2] == ["NEW", *["TRADE"] * fills, position]
    assert kinds[fills + 2 : fills + 6] == ["NEW", position, "CANCELED", position]
    ids = [event.I for event in events if getattr(event, "x", None)]
    assert ids == sorted(set(ids))
    return kinds


@check
async def balances_are_conserved(client, _endpoint):
    clear(client)
    trades = raw(client.rest_api.my_trades(symbol=SYMBOL, limit=1000))
    expected = add_trades(START["balances"], trades, "BTC", "USDT")
    assert balances_of(raw(client.rest_api.get_account())) == expected


@check
async def rate_limits(client, endpoint):
    rest = client.rest_api
    price = at(last_price(client) * 0.5)
    order = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "time_in_force": "GTC", "quantity": 0.001}
    endpoint.pace(1)
    waits = []
    try:
        for action in (
            lambda: rest.new_order(**order, price=price),
            lambda: rest.depth(symbol=SYMBOL, limit=5000),
        ):
            try:
                for count in range(300):
                    action()
                    if count % 50 == 49:
                        clear(client)
            except TooManyRequestsError as error:
                waits.append((error.status_code, error.retry_after))
        banned = None
        for _ in range(30):
            try:
                rest.depth(symbol=SYMBOL, limit=5000)
            except RateLimitBanError as error:
                banned = error
            except TooManyRequestsError:
                continue
    finally:
        endpoint.pace(FAST)
    assert banned.status_code == -1003
    assert 60 < banned.retry_after <= 120
    assert [code for code, _ in waits] == [-1015, -1003]
    assert 1 <= waits[0][1] <= 10
    assert 1 <= waits[1][1] <= 60


@check
async def every_answer_was_of_the_declared_types(_client, _endpoint):
    assert COMPLAINTS.heard == [], COMPLAINTS.heard[:3]


if __name__ == "__main__":
    main(opening)
