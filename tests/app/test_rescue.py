"""What is ours without the daemon: what fees are paid in is not among what is sold."""

import asyncio
import sqlite3
from contextlib import closing

import msgspec
import pytest

from bnml.app.folder import StateFolder
from bnml.app.panic import Clearance, Left
from bnml.app.rescue import PAGE, Rescue, VenueOrder, booked_fills
from bnml.config import load
from bnml.core.errors import Rejected, Retryable, UnknownOutcome
from bnml.core.events import InstrumentUpdate, Timer
from bnml.core.ids import IdSource
from bnml.core.orders import Side
from bnml.core.outcomes import Trade
from bnml.journal.writer import JournalWriter
from bnml.options import PanicOptions
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.rest import Answer
from tests.journal.kit import header
from tests.trading.kit import instrument
from tests.virtual_time import in_virtual_time


class Rest:
    """Answers every read with the same orders."""

    def __init__(self, *legs):
        self.orders = [
            {
                "symbol": "BTCUSDT",
                "clientOrderId": IdSource("ab12", 3).client_order_id(77, number, leg),
                "orderId": number + 1,
                "status": "FILLED",
                "side": "BUY",
                "type": "MARKET",
                "origQty": "0.5",
                "executedQty": "0.5",
            }
            for number, leg in enumerate(legs)
        ]

    async def read(self, path, *_):
        return b"[]" if path == "/api/v3/myTrades" else msgspec.json.encode(self.orders)


async def test_the_fee_reserve_is_no_holding_with_a_journal_or_without():
    for booked in ({}, None):
        rescue = Rescue(Rest("w", "f"), "ab12", booked)
        rescue.instruments["BTCUSDT"] = instrument()
        assert await rescue.held_e8("BTCUSDT") == 5 * 10**7


class Market(Rest):
    """Holds what was bought; sales fill, and are read as late as `lag_s` says. `answers`: what becomes of each sale."""

    def __init__(self, *answers, lag_s=0.0):
        super().__init__("w")
        self.answers, self.lag_s, self.asked = list(answers), lag_s, []
        self.sales = {}  # name -> (order, shown from)

    async def signed(self, method, path, params, lane, *, order, window_ms):
        now_s = asyncio.get_running_loop().time()
        self.asked.append(params["newClientOrderId"])
        answer = self.answers.pop(0) if self.answers else "done"
        if answer != "lost":
            sold = {
                **self.orders[0],
                "clientOrderId": params["newClientOrderId"],
                "orderId": 99,
                "side": "SELL",
                "origQty": params["quantity"],
                "executedQty": params["quantity"],
            }
            self.sales[params["newClientOrderId"]] = (sold, now_s + self.lag_s)
        if answer == "done":
            return Answer(msgspec.json.encode(sold))
        if answer == "garbled":
            return Answer(b"[]")
        raise UnknownOutcome("no answer")

    async def read(self, path, params, *_):
        now_s = asyncio.get_running_loop().time()
        shown = {name: sold for name, (sold, from_s) in self.sales.items() if from_s <= now_s}
        if path == "/api/v3/order":
            name = params["origClientOrderId"]
            if name not in shown:
                raise Rejected("Order does not exist.", code=-2013)
            return msgspec.json.encode(shown[name])
        return b"[]" if path == "/api/v3/myTrades" else msgspec.json.encode([*self.orders, *shown.values()])


@pytest.mark.parametrize(
    ("answers", "asked"),
    [(["silent"], 1), (["garbled"], 1), (["lost", "done"], 2), (["lost", "silent"], 2)],
)
@in_virtual_time
async def test_a_sale_without_an_answer_is_looked_for_before_it_is_sent_again(answers, asked):
    """In between nothing else tells: coins of the operator's would be sold in its place."""
    rest = Market(*answers, lag_s=3.5)
    rescue = Rescue(rest, "ab12", {})
    rescue.instruments["BTCUSDT"] = instrument()
    sold = await Clearance._steady(lambda: rescue.sell("BTCUSDT", 50_000, "bnab12-p"))
    assert sold.executed_qty == "0.50000"
    assert len(rest.asked) == asked
    assert len(rest.sales) == 1
    assert await rescue.held_e8("BTCUSDT") == 0


@in_virtual_time
async def test_a_sale_that_was_answered_counts_though_no_read_shows_it_yet():
    rescue = Rescue(Market(lag_s=60), "ab12", {})
    rescue.instruments["BTCUSDT"] = instrument()
    assert await rescue.held_e8("BTCUSDT") == 5 * 10**7
    await rescue.sell("BTCUSDT", 50_000, "bnab12-p")
    assert await rescue.held_e8("BTCUSDT") == 0


@in_virtual_time
async def test_a_sale_that_cannot_be_read_up_is_never_sent_again():
    rest = Market("silent")
    rescue = Rescue(rest, "ab12", {})
    rescue.instruments["BTCUSDT"] = instrument()
    read = rest.read

    async def out_of_reach(path, *more):
        if rest.asked:
            raise Retryable("no route")
        return await read(path, *more)

    rest.read = out_of_reach
    with pytest.raises(Rejected, match="cannot be read"):
        await Clearance._steady(lambda: rescue.sell("BTCUSDT", 50_000, "bnab12-p"))
    assert len(rest.asked) == 1


async def all_free(_rescue):
    return {"BTC": 10**8}


async def cleared(
    monkeypatch, tmp_path, rest, symbol="", answers=(), free_e8=all_free, resting=(), **filters
):
    """What a panic without the daemon leaves; `answers`: errors to the first looks at the filters."""
    waiting = list(answers)

    async def learn(self, symbols):
        if waiting:
            raise waiting.pop()
        self.instruments = {name: msgspec.structs.replace(instrument(name), **filters) for name in symbols}

    async def open_orders(_self):
        return msgspec.json.decode(msgspec.json.encode(resting), type=list[VenueOrder])

    monkeypatch.setattr(Rescue, "learn", learn)
    monkeypatch.setattr(Rescue, "free_e8", free_e8)
    monkeypatch.setattr(Rescue, "open_orders", open_orders)
    settings = load(
        None, {}, {"app.state_dir": (tmp_path / "state", ""), "universe.symbols": (("BTCUSDT",), "")}
    )
    with StateFolder(tmp_path / "state"):
        options = PanicOptions(symbol=symbol, instance="", yes=True, force=False)
        left = Left()
        await Clearance(settings, options, rest, "ab12", None, left).run()
        return left


@in_virtual_time
async def test_a_venue_that_is_busy_when_asked_for_filters_ends_no_panic(monkeypatch, tmp_path, capsys):
    """One 503 there once ended it with entries cancelled and nothing sold."""
    rest = Market()
    left = await cleared(monkeypatch, tmp_path, rest, answers=[Retryable("503", retry_after_s=7.0)])
    assert left.words == []
    assert len(rest.sales) == 1
    assert "again in 7.0 s" in capsys.readouterr().out


def sold(rest):
    return [order["origQty"] for order, _ in rest.sales.values()]


@in_virtual_time
async def test_coins_of_the_operator_that_are_free_as_well_are_not_sold(monkeypatch, tmp_path):
    rest = Market()
    left = await cleared(monkeypatch, tmp_path, rest)
    assert (sold(rest), left.words) == (["0.50000"], [])


@in_virtual_time
async def test_more_than_one_sale_can_take_is_sold_in_several_of_different_names(monkeypatch, tmp_path):
    rest = Market()
    left = await cleared(monkeypatch, tmp_path, rest, market_max_lots=30_000)
    assert (sold(rest), left.words) == (["0.30000", "0.20000"], [])


@in_virtual_time
async def test_a_symbol_that_does_not_trade_keeps_its_protection(monkeypatch, tmp_path):
    rest = Market()
    left = await cleared(monkeypatch, tmp_path, rest, status="BREAK")
    assert (sold(rest), left.words) == ([], ["BTCUSDT is in BREAK: its protection is left as it is"])


@in_virtual_time
async def test_what_the_venue_has_of_that_name_is_not_sold_again():
    rest = Market()
    for _ in range(2):  # the second is another process, after the first has died
        rescue = Rescue(rest, "ab12", {})
        rescue.instruments["BTCUSDT"] = instrument()
        assert (await rescue.sell("BTCUSDT", 50_000, "bnab12-p")).executed_qty == "0.50000"
    assert rest.asked == ["bnab12-p"]


@pytest.mark.parametrize(("booked", "held_lots"), [(None, 1500), ({}, 1000)])
async def test_without_a_journal_all_orders_that_there_ever_were_are_counted(booked, held_lots):
    class Paged(Rest):
        async def read(self, path, params, *_):
            if path == "/api/v3/myTrades":
                return b"[]"
            first = int(params.get("orderId", len(self.orders) - PAGE + 1))
            return msgspec.json.encode(self.orders[first - 1 :][:PAGE])

    rest = Paged(*["w"] * 1500)
    for order in rest.orders:
        order["executedQty"] = "0.00001"
    rescue = Rescue(rest, "ab12", booked)
    rescue.instruments["BTCUSDT"] = instrument()
    assert await rescue.held_e8("BTCUSDT") == held_lots * instrument().lot_e8


@in_virtual_time
async def test_a_misspelt_symbol_is_not_called_sold(monkeypatch, tmp_path):
    rest = Market()
    left = await cleared(monkeypatch, tmp_path, rest, symbol="BTC/USDT")
    assert left.words == ["nothing of ours was ever in BTC/USDT; what may be ours: BTCUSDT"]
    assert not rest.sales


@pytest.mark.parametrize(
    ("free_s", "left"), [(2.5, []), (1e9, ["BTCUSDT: 0.50000 of ours is not free"]), (None, [])]
)
@in_virtual_time
async def test_what_is_not_free_yet_is_waited_for_and_never_called_gone(
    monkeypatch, tmp_path, capsys, free_s, left
):
    """The account is read late after the stop was withdrawn: that was "done, nothing of ours is left", and bare."""
    rest, began_s = Market(), asyncio.get_running_loop().time()

    async def free_e8(_self):
        is_free = free_s is not None and asyncio.get_running_loop().time() - began_s >= free_s
        return {"BTC": 10**8 if is_free else 999}

    async def public(*_):
        return msgspec.json.encode({"price": "0.01" if free_s is None else "30000.00"})

    rest.public = public
    found = await cleared(monkeypatch, tmp_path, rest, free_e8=free_e8)
    assert [words.partition(";")[0] for words in found.words] == left
    assert len(rest.sales) == (free_s == 2.5)
    if free_s is None:
        assert "less than the venue sells" in capsys.readouterr().out


async def test_what_was_booked_in_other_lots_is_still_as_much(tmp_path):
    """After a lot had become ten times as large, panic took ten times the rest of all old trips for ours."""
    path = tmp_path / "journal.db"
    writer = await JournalWriter.open(path, "process")
    for epoch, lot_e8 in ((1, 1_000), (2, 10_000)):
        await writer.begin_session(header(epoch), epoch)
        writer.append_event(InstrumentUpdate(instrument("ETHUSDT"), epoch))
        writer.append_event(InstrumentUpdate(msgspec.structs.replace(instrument(), lot_e8=lot_e8), epoch))
        seq = writer.append_event(Timer("x", epoch))
        fill = Trade("BTCUSDT", epoch, Side.BUY, 1, 500, 1, 7, "BTC", 0, 0, f"bnab12-{epoch}")
        writer.append_outcomes(seq, [fill], {})
        await writer.barrier()
    await writer.close()
    booked = booked_fills(path)
    assert {name: (one.amount_e8, one.commission) for name, one in booked.items()} == {
        "bnab12-1": (500_000, {"BTC": 7}),
        "bnab12-2": (5_000_000, {"BTC": 7}),
    }
    rest = Rest()
    rest.orders = []  # of old orders the venue shows none any more
    rescue = Rescue(rest, "ab12", booked)
    rescue.instruments["BTCUSDT"] = msgspec.structs.replace(instrument(), lot_e8=10_000)
    assert await rescue.held_e8("BTCUSDT") == 5_500_000 - 14


async def test_fills_of_what_joined_late_are_found_without_reading_the_prices_before(tmp_path):
    """Panic waited for seconds until it had read all prices of a day, and one damaged row of them hid all fills."""
    path = tmp_path / "journal.db"
    writer = await JournalWriter.open(path, "process")
    await writer.begin_session(header(1), 1)
    price = writer.append_event(Timer("x", 1))
    writer.append_event(InstrumentUpdate(instrument(), 1))
    seq = writer.append_event(Timer("x", 2))
    fill = Trade("BTCUSDT", 1, Side.BUY, 1, 500, 1, 7, "BTC", 0, 0, "bnab12-1")
    writer.append_outcomes(seq, [fill], {})
    await writer.barrier()
    await writer.close()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE event SET payload = 'x' WHERE seq = ?", (price,))
    assert list(booked_fills(path)) == ["bnab12-1"]


@in_virtual_time
async def test_a_symbol_whose_coins_are_not_free_keeps_no_other_waiting(monkeypatch, tmp_path):
    """Each that was sold by hand held up the sale of all after it for five seconds."""
    rest, began_s = Market(), asyncio.get_running_loop().time()
    sell, sold_s = Rescue.sell, []

    async def symbols(*_):
        return ["ADAUSDT", "AVAXUSDT", "BTCUSDT"]

    async def held_e8(self, symbol):
        return 0 if symbol == "BTCUSDT" and sold_s else 5 * 10**7

    async def timed(self, *arguments):
        sold_s.append(asyncio.get_running_loop().time() - began_s)
        return await sell(self, *arguments)

    async def public(*_):
        return msgspec.json.encode({"price": "30000.00"})

    rest.public = public
    monkeypatch.setattr(Rescue, "symbols", symbols)
    monkeypatch.setattr(Rescue, "held_e8", held_e8)
    monkeypatch.setattr(Rescue, "sell", timed)
    left = await cleared(monkeypatch, tmp_path, rest)
    assert [words.partition(":")[0] for words in left.words] == ["ADAUSDT", "AVAXUSDT"]
    assert sold_s == [0]


@pytest.mark.parametrize("only", ["", "BTCUSDT"])
@in_virtual_time
async def test_what_is_meant_is_cancelled_once_and_sold_under_names_of_its_own_and_nothing_else(
    monkeypatch, tmp_path, only
):
    """One that cannot be read keeps no other from being sold; with one symbol the others keep their stops and entries."""
    names = ["ADAUSDT", "BTCUSDT", "ETHUSDT"]
    rows = [
        {**Market().orders[0], "symbol": symbol, "side": side, "clientOrderId": f"{symbol}{side}"}
        for symbol in names
        for side in ("BUY", "SELL")
    ]
    cancelled, sales = [], {}

    async def symbols(*_):
        return names

    async def held_e8(_self, symbol):
        if symbol == "ADAUSDT":
            raise Rejected("it cannot be read")
        return 0 if symbol in sales else 10**7

    async def cancel(_self, order):
        cancelled.append(order.client_order_id)
        return True

    async def sell(_self, symbol, _lots, name):
        sales[symbol] = name
        return msgspec.convert(rows[0], VenueOrder, strict=False)

    async def free_e8(_self):
        return dict.fromkeys(("ADA", "BTC", "ETH"), 10**8)

    for one in (symbols, held_e8, cancel, sell):
        monkeypatch.setattr(Rescue, one.__name__, one)
    left = await cleared(monkeypatch, tmp_path, Market(), symbol=only, free_e8=free_e8, resting=rows)
    meant = [only] if only else names
    assert sorted(cancelled) == [f"{symbol}{side}" for symbol in meant for side in ("BUY", "SELL")]
    assert sorted(sales) == [symbol for symbol in meant if symbol != "ADAUSDT"]
    assert len(set(sales.values())) == len(sales)
    assert left.words == ([] if only else ["ADAUSDT: it cannot be read"])


@pytest.mark.parametrize(("count", "requests"), [(10, 10), (11, 1)])
async def test_the_filters_of_many_symbols_cost_no_minute_of_weight(count, requests):
    """Without a journal each asset of the account may be ours: one by one they used up what a minute has."""
    names, asked = [f"A{number:02d}USDT" for number in range(count)], []

    class Info:
        async def public(self, path, params, lane):
            asked.append((path, lane))
            rows = [
                {"symbol": name, "status": "TRADING", "baseAsset": name[:3], "quoteAsset": "USDT"}
                for name in [*names, "OTHERUSDT"]
                if params.get("symbol", name) == name
            ]
            return msgspec.json.encode({"symbols": rows})

    rescue = Rescue(Info(), "ab12", None)
    await rescue.learn(names)
    assert sorted(rescue.instruments) == names
    assert asked == [("/api/v3/exchangeInfo", Lane.EXIT)] * requests


async def test_a_journal_that_was_begun_anew_and_not_filled_from_the_venue_yet_says_nothing_of_what_is_ours(
    tmp_path,
):
    """Beside a daemon that died in between, a position without an order was none: neither sold nor told of."""
    folder = StateFolder(tmp_path)
    writer = await JournalWriter.open(folder.journal, "process")
    await writer.begin_session(header(), 1)
    await writer.close()
    assert booked_fills(folder.journal) == {}
    folder.note_rebuild("journal.db.damaged")
    assert booked_fills(folder.journal) is None
    folder.forget_rebuild()
    assert booked_fills(folder.journal) == {}
