"""Answers that are cut short, are no JSON, or trickle: a write is then unknown, a read is to be repeated, nothing breaks."""

import asyncio
import itertools
import random
from functools import partial
from types import SimpleNamespace

import msgspec
import pytest
from aiohttp import web

from bnml.core.clock import LiveClock
from bnml.core.commands import CancelOrder, ReplaceOrder, Submit
from bnml.core.errors import BnmlError, Retryable, UnknownOutcome
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.errors import ErrorBody, ReplacementFailed, error_of
from bnml.venues.binance.rest import Answer, RestClient, error_body
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from tests.venues.binance.kit import ALL

SALE = Submit(ApprovedOrder(OrderTicket("BTCUSDT", "x", Side.SELL, OrderType.MARKET, 100), "exit"))
GOOD = {
    "symbol": "BTCUSDT",
    "clientOrderId": "x",
    "orderId": 5,
    "status": "FILLED",
    "side": "SELL",
    "origQty": "1.00000",
    "executedQty": "1.00000",
    "transactTime": 1,
    "fills": [{"price": "10.00", "qty": "1.0", "commission": "0", "commissionAsset": "USDT", "tradeId": 3}],
}
PAGES = (
    b"",
    b"null",
    b"[]",
    b"3",
    b'""',
    b"<html><body>Sign in to the network</body></html>",
    b"\xff\xfe",
    b"{}",
)


class Down:
    up = False


class Rest:
    """Answers every request with one body."""

    signer = None
    body = b""
    clock = SimpleNamespace(round_trip_ns=0)

    async def signed(self, *_arguments, **_options):
        return Answer(self.body)

    async def read(self, *_arguments, **_options):
        return self.body


def garbled(draw):
    body = bytearray(msgspec.json.encode(GOOD))
    match draw.randrange(5):
        case 0:
            return bytes(body[: draw.randrange(len(body))])
        case 1:
            return draw.choice(PAGES)
        case 2:
            for _ in range(draw.randrange(1, 6)):
                body[draw.randrange(len(body))] = draw.randrange(256)
            return bytes(body)
        case 3:
            changed = {
                **GOOD,
                draw.choice(list(GOOD)): draw.choice([None, -1, "", "NaN", [], {}, "1e400", True]),
            }
            return msgspec.json.encode(changed)
        case _:
            return bytes(draw.randrange(256) for _ in range(draw.randrange(60)))


@pytest.mark.parametrize("count", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_f12_no_body_breaks_anything_and_an_unreadable_answer_to_a_write_is_unknown(count):
    draw, rest = random.Random(12), Rest()
    venue, unknown, retried = BinanceVenue(rest, Down(), dict(ALL)), 0, 0
    for _ in range(count):
        rest.body = garbled(draw)
        try:
            await venue.execute(SALE)
        except UnknownOutcome:
            unknown += 1
        try:
            await venue.order_reports("BTCUSDT", "x")
        except Retryable:
            retried += 1
        status = draw.choice([400, 403, 404, 409, 500, 502, 503, 504])
        assert isinstance(error_of(status, error_body(rest.body), "order.place"), BnmlError)
    assert unknown > count // 3
    assert retried > count // 3


OLD = {**GOOD, "origClientOrderId": "old", "status": "CANCELED", "executedQty": "0.00000", "fills": []}
NEW = {**GOOD, "clientOrderId": "new", "status": "NEW", "executedQty": "0.00000", "fills": []}
DONE = {
    "cancelResult": "SUCCESS",
    "newOrderResult": "SUCCESS",
    "cancelResponse": OLD,
    "newOrderResponse": NEW,
}
MOVE = ReplaceOrder("old", OrderTicket("BTCUSDT", "new", Side.SELL, OrderType.STOP_LOSS, 100, 0, 40), "moves")


class Up:
    """A connection that answers everything with one body."""

    up = True

    def __init__(self):
        self.numbers = []
        self.on_number = self.numbers.append
        self.body = b""

    async def request(self, *_arguments, **_options):
        return Answer(self.body, 7)


@pytest.mark.parametrize("transport", [Up, Down])
@pytest.mark.parametrize("name", sorted(DONE))
@pytest.mark.parametrize("word", [None, "missing", {}, "FAILURE", {"code": -2011, "msg": "no"}])
async def test_f74_a_good_answer_without_both_halves_is_unknown(transport, name, word):
    api, rest = transport(), Rest()
    venue = BinanceVenue(rest, api, dict(ALL))
    rest.body = api.body = msgspec.json.encode(DONE)
    done = await venue.execute(MOVE)
    if transport is Down:
        assert [one.client_order_id for one in done.reports] == ["old", "new"]
    body = {**DONE, name: word}
    if word == "missing":
        del body[name]
    rest.body = api.body = msgspec.json.encode(body)
    with pytest.raises(UnknownOutcome):
        await venue.execute(MOVE)
    assert getattr(api, "numbers", [7]) == [7], "a stepped market does not wait for its consequences"


@pytest.mark.parametrize(("status", "told"), [("CANCELED", [3]), ("PARTIALLY_FILLED", [])])
async def test_that_an_order_half_filled_is_cancelled_is_told_by_the_answer(status, told):
    """Its user event may be lost, and the rest of what it sold had no stop until the account was looked at again."""
    order = {"symbol": "BTCUSDT", "orderId": 1, "clientOrderId": "x", "origClientOrderId": "old"}
    order |= {"status": status, "side": "SELL", "origQty": "0.00005", "executedQty": "0.00003"}
    rest = Rest()
    rest.body = msgspec.json.encode(order | {"transactTime": 5})
    done = await BinanceVenue(rest, Down(), dict(ALL)).execute(CancelOrder("BTCUSDT", "old", "moves"))
    assert [one.cumulative_lots for one in done.reports] == told


@pytest.mark.parametrize(
    ("status", "lots", "told"), [("CANCELED", 0, [0]), ("CANCELED", 3, [3]), ("FILLED", 5, [])]
)
async def test_what_half_a_replacement_has_cancelled_is_told_also_when_a_part_of_it_had_filled(
    status, lots, told
):
    """With its user event lost, what the old stop had still to sell stayed bare until the account was looked at again."""

    class Half(Rest):
        async def signed(self, *_arguments, **_options):
            raise error_of(
                409, ErrorBody(-2021, "", msgspec.Raw(msgspec.json.encode(halves))), "order.cancelReplace"
            )

    old = {**OLD, "status": status, "origQty": "0.00005", "executedQty": f"0.0000{lots}"}
    refused = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
    halves = {**DONE, "newOrderResult": "FAILURE", "cancelResponse": old, "newOrderResponse": refused}
    with pytest.raises(ReplacementFailed) as failed:
        await BinanceVenue(Half(), Down(), dict(ALL)).execute(MOVE)
    assert [one.cumulative_lots for one in failed.value.reports] == told


def test_a_body_that_is_no_json_says_what_it_was():
    assert error_body(b"<html>") == ErrorBody(0, "<html>")
    assert error_body(b'{"msg":"\xff"}') == ErrorBody(0, '{"msg":"�"}')


@pytest.mark.parametrize("body", [b"[[1]]", b"7", b'{"symbols":[{"symbol":"\xff"}],"serverTime":"now"}'])
async def test_f12_a_read_whose_answer_is_of_another_kind_is_to_be_repeated(body):
    rest = RestClient(
        "https://api.example", Signer("k", "s"), LiveClock(), timeout_s=1, receive_window_ms=5000
    )
    rest._session = SimpleNamespace(request=lambda *_, **__: _Response(body))
    venue = BinanceVenue(rest, Down(), dict(ALL))
    for read in (
        rest.synchronise_clock,
        partial(venue.bars, "BTCUSDT", "1h", 3_600 * 10**9, 0),
        partial(venue.book, "BTCUSDT"),
        venue.turnover,
        partial(venue.load_instruments, ["BTCUSDT"], "USDT"),
        venue.balances,
        venue.open_orders,
    ):
        with pytest.raises(Retryable):
            await read()


async def trickling(request):
    response = web.StreamResponse()
    response.content_length = 1_000
    await response.prepare(request)
    for _ in range(100):
        await response.write(b" ")
        await asyncio.sleep(0.05)
    return response


async def test_f11_a_body_that_trickles_is_given_up_after_its_total_time_and_the_loop_goes_on():
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", trickling)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    beats, loop = [], asyncio.get_running_loop()

    async def beat():
        while True:
            beats.append(loop.time())
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(beat())
    client = RestClient(
        url, Signer("k", "s"), LiveClock(), timeout_s=0.6, data_timeout_s=0.3, receive_window_ms=5000
    )
    try:
        async with client as rest:
            venue = BinanceVenue(rest, Down(), dict(ALL))
            for call, limit_s, kind in (
                (venue.execute(CancelOrder("BTCUSDT", "a", "")), 0.6, UnknownOutcome),
                (venue.order_reports("BTCUSDT", "a"), 0.3, Retryable),
            ):
                began = loop.time()
                with pytest.raises(kind):
                    await call
                assert limit_s * 0.9 <= loop.time() - began < limit_s + 2.0
    finally:
        beating.cancel()
        await runner.cleanup()
    assert (
        max(later - earlier for earlier, later in itertools.pairwise(beats)) < 2.0
    )  # a loop that is held waits for 5


class _Response:
    status, headers = 200, {}

    def __init__(self, body):
        self._body = body

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def read(self):
        return self._body


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>Sign in to the network</body></html>", b'{"balances":[', b"\xff"]
)
async def test_a_page_in_place_of_an_answer_can_be_asked_for_again_and_leaves_an_order_unknown(body):
    """Whatever is read: the account, too, whose reader knows nothing of proxies."""
    rest = RestClient(
        "https://api.example", Signer("k", "s"), LiveClock(), timeout_s=1, receive_window_ms=5000
    )
    rest._session = SimpleNamespace(request=lambda *_, **__: _Response(body))
    with pytest.raises(Retryable, match="not JSON") as raised:
        await BinanceVenue(rest, Down(), dict(ALL)).balances()
    assert not isinstance(raised.value, UnknownOutcome)
    with pytest.raises(UnknownOutcome):
        await rest.signed("POST", "/api/v3/order", {}, Lane.EXIT, order=True)
