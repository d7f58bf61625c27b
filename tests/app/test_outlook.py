"""What is coming: a delisting, a peg that slips, fees that run out; and what a venue does not tell."""

import asyncio
import json

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app.executor import Executor
from bnml.app.inbox import LiveInbox
from bnml.app.outlook import Outlook, Peg
from bnml.app.refusals import after_steps
from bnml.core.commands import Submit
from bnml.core.errors import AccessRefused, Rejected, Retryable
from bnml.core.events import FeePurchase, InstrumentUpdate, OperatorCommand
from bnml.core.instrument import DELISTED
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.trading.engine import Engine
from bnml.trading.positions import Position, Tranche
from bnml.trading.settings import CapitalSettings
from bnml.venues.binance.budget import Lane
from bnml.venues.binance.errors import ErrorBody, error_of
from bnml.venues.binance.outcomes import Step
from tests.trading.kit import config, instrument
from tests.virtual_time import in_virtual_time

E8 = 10**8
MINUTE_NS, HOUR_NS, DAY_MS = 60 * 10**9, 3_600 * 10**9, 86_400_000


class Venue:
    """Answers by path; an exception is raised."""

    def __init__(self, **prices):
        self.rest = self
        self.instruments = {"BTCUSDT": instrument(), "ETHUSDT": instrument("ETHUSDT")}
        self.schedule = []
        self.prices = prices
        self.asked = []
        self.now = dict(self.instruments)

    async def read_instruments(self, symbols):
        return {name: self.now[name] for name in symbols if name in self.now}

    async def read(self, path, params, lane):
        """The schedule wants a signature by one page of Binance's, a key by the other."""
        assert (path, params, lane) == ("/sapi/v1/spot/delist-schedule", {}, Lane.DATA)
        self.asked.append(path)
        if isinstance(self.schedule, Exception):
            raise self.schedule
        return json.dumps(self.schedule).encode()

    async def public(self, path, params):
        assert not path.startswith("/sapi/v1/spot")
        self.asked.append(path)
        return json.dumps({"symbol": params["symbol"], "price": self.prices[params["symbol"]]}).encode()


class Guards:
    def __init__(self):
        self.levels = {}

    def report(self, name, level, detail=""):
        self.levels[name] = (level, detail)

    def level(self, name):
        return self.levels.get(name, ("ACTIVE", ""))[0]

    def standing(self, prefix):
        return [
            name for name, (level, _) in self.levels.items() if name.startswith(prefix) and level != "ACTIVE"
        ]


class Case:
    def __init__(self, venue, **settings):
        self.venue, self.guards, self.fed, self.now_ns = venue, Guards(), [], 0
        self.engine = Engine(config(), None)
        self.outlook = Outlook(
            venue,
            self.engine,
            self.guards,
            CapitalSettings(**settings),
            now_ns=lambda: self.now_ns,
            followed=lambda: ("BTCUSDT", "ETHUSDT"),
            feed=self.fed.append,
        )

    def hold(self, symbol):
        self.engine.portfolio.positions[symbol] = Position(symbol, 0, 1, 1, 1, b"", [])


async def test_a_symbol_to_be_delisted_is_not_bought_and_leaves_a_day_before():
    case = Case(Venue())
    case.hold("BTCUSDT")
    case.venue.schedule = [{"delistTime": 10 * DAY_MS, "symbols": ["BTCUSDT", "UNKNOWNUSDT"]}]
    await case.outlook.look()
    level, detail = case.guards.levels["delist:BTCUSDT"]
    assert (level, "1970-01-11" in detail) == ("REDUCING", True)
    assert "delist:UNKNOWNUSDT" not in case.guards.levels
    assert case.fed == []
    case.now_ns = 9 * 24 * HOUR_NS
    await case.outlook.look()
    await case.outlook.look()
    assert [(one.name, one.argument) for one in case.fed] == [("flatten", "BTCUSDT")], "told once"


async def test_a_delisting_that_is_called_off_lets_entries_come_again():
    case = Case(Venue())
    case.venue.schedule = [{"delistTime": 10 * DAY_MS, "symbols": ["BTCUSDT"]}]
    await case.outlook.look()
    case.venue.schedule = []
    await case.outlook.look()
    assert case.guards.levels["delist:BTCUSDT"][0] == "ACTIVE"


async def test_a_venue_that_does_not_tell_is_asked_on_and_spoken_of_once():
    """One refusal once ended that look for the session: no delisting, no stopped symbol was seen any more."""
    case = Case(Venue())
    case.venue.schedule = Rejected("404")
    with capture_logs() as logs:
        for _ in range(3):
            await case.outlook.look()
        case.venue.schedule = [{"delistTime": 10 * DAY_MS, "symbols": ["BTCUSDT"]}]
        await case.outlook.look()
        case.venue.schedule = Rejected("404")
        await case.outlook.look()
    assert [one["event"] for one in logs] == ["outlook_not_told", "outlook_told_again", "outlook_not_told"]
    assert "nothing is sold before a delisting" in logs[0]["note"]
    assert case.guards.level("delist:BTCUSDT") == "REDUCING"


async def test_a_guard_that_is_off_is_told_when_it_lasts():
    """A schedule that failed each minute for hours was a line of the log each time, and nobody was told."""
    case = Case(Venue())
    case.venue.schedule = Retryable("503")
    with capture_logs() as logs:
        for _ in range(9):
            await case.outlook.look()
        assert {one["event"] for one in logs} == {"outlook_postponed"}
        for _ in range(30):
            await case.outlook.look()
        case.venue.schedule = []
        await case.outlook.look()
    told = [one["event"] for one in logs if one["event"] != "outlook_postponed"]
    assert told == ["outlook_not_told", "outlook_told_again"]


async def test_a_key_that_may_not_read_the_schedule_is_told_at_once_and_asked_on():
    case = Case(Venue())
    case.venue.schedule = AccessRefused("-2015", code=-2015)
    with capture_logs() as logs:
        for _ in range(3):
            await case.outlook.look()
    assert [one["event"] for one in logs if one["event"] != "outlook_postponed"] == ["outlook_not_told"]
    assert len(case.venue.asked) == 3


@pytest.mark.parametrize("answer", [Retryable("503"), {"code": 0}, [{"delistTime": "soon"}]])
async def test_a_venue_that_cannot_tell_now_is_asked_again(answer):
    """An answer of another shape once ended the daemon."""
    case = Case(Venue())
    case.venue.schedule = answer
    await case.outlook.look()
    await case.outlook.look()
    assert len(case.venue.asked) == 2


@pytest.mark.parametrize("price", ["n/a", "1e-2"])
async def test_f12_a_number_that_is_none_ends_nothing_and_is_asked_for_again(price):
    """It ended the daemon."""
    case = Case(Venue(USDCUSDT=price), depeg_symbol="USDCUSDT")
    with capture_logs() as logs:
        await case.outlook.look()
    assert [(one["event"], one["what"]) for one in logs] == [("outlook_postponed", "peg")]


async def test_f12_a_schedule_that_cannot_be_read_ends_nothing_and_is_asked_for_again():
    venue = Venue()
    case = Case(venue)
    venue.schedule = [{"delistTime": "soon", "symbols": None}]
    await case.outlook.look()
    venue.schedule = [{"delistTime": 3 * DAY_MS, "symbols": ["ETHUSDT"]}]
    await case.outlook.look()
    assert case.guards.level("delist:ETHUSDT") == "REDUCING"


async def test_what_is_followed_no_longer_leaves_no_reason_behind():
    """Remembered over restarts, it stood in the status of a daemon that had long forgotten the symbol."""
    case = Case(Venue())
    for name in ("status:LEFTUSDT", "filters:LEFTUSDT"):
        case.guards.report(name, "REDUCING", "was so")
    case.venue.now["ETHUSDT"] = msgspec.structs.replace(instrument("ETHUSDT"), status="BREAK")
    await case.outlook.look()
    assert [one for one, (level, _) in case.guards.levels.items() if level != "ACTIVE"] == ["status:ETHUSDT"]


async def test_ten_minutes_off_the_peg_stop_entries_and_ten_within_let_them_come():
    case = Case(Venue(USDCUSDT="1.0150"), depeg_symbol="USDCUSDT")
    for minute in range(10):
        case.now_ns = minute * MINUTE_NS
        await case.outlook.look()
        assert case.guards.levels["depeg"][0] == "ACTIVE", minute
    case.now_ns = 10 * MINUTE_NS
    await case.outlook.look()
    level, detail = case.guards.levels["depeg"]
    assert level == "REDUCING"
    assert "USDCUSDT is 1.0150" in detail
    case.venue.prices["USDCUSDT"] = "0.9999"
    for minute in range(11, 21):
        case.now_ns = minute * MINUTE_NS
        await case.outlook.look()
        assert case.guards.levels["depeg"][0] == "REDUCING", minute
    case.now_ns = 21 * MINUTE_NS
    await case.outlook.look()
    assert case.guards.levels["depeg"][0] == "ACTIVE"


async def test_a_restart_does_not_forget_that_the_peg_is_off():
    """It once let entries come for ten minutes, until it had seen as much again."""
    case = Case(Venue(USDCUSDT="0.90"), depeg_symbol="USDCUSDT")
    case.guards.report("depeg", "REDUCING", "of the session before")
    for minute in range(12):
        case.now_ns = minute * MINUTE_NS
        await case.outlook.look()
        assert case.guards.level("depeg") == "REDUCING", minute
    case.venue.prices["USDCUSDT"] = "1.0001"
    for minute in range(12, 23):
        case.now_ns = minute * MINUTE_NS
        await case.outlook.look()
    assert case.guards.level("depeg") == "ACTIVE"


async def test_a_peg_that_is_not_watched_any_more_ends_its_guard():
    case = Case(Venue())
    case.guards.report("depeg", "REDUCING", "of the session before")
    await case.outlook.look()
    assert case.guards.level("depeg") == "ACTIVE"


@pytest.mark.parametrize(("price", "is_off"), [(1.02, True), (0.98, True), (1.01, False), (0.9901, False)])
def test_the_limit_holds_on_both_sides(price, is_off):
    peg = Peg(E8 // 100, 5)
    assert [peg.take(at, round(price * E8)) for at in (0, 5)] == [False, is_off]


def test_one_good_look_is_no_end_and_one_bad_look_no_beginning():
    peg = Peg(E8 // 100, 10)
    for at, price in ((0, 1.02), (5, 1.0), (10, 1.02), (15, 1.02)):
        assert not peg.take(at, round(price * E8))
    assert peg.take(20, round(1.02 * E8))
    assert peg.take(25, E8)


async def test_f67_without_any_setting_it_is_told_before_the_fees_run_out():
    """The account pays 0.001 BNB an hour; a deposit of BNB is no spending, and ends the warning."""
    case, told = Case(Venue()), []
    held = 40 * 10**5
    for hour in range(36):
        case.now_ns = hour * HOUR_NS
        case.engine.state.ledger.totals = {"BNB": held}
        with capture_logs() as logs:
            await case.outlook.look()
        told += [(hour, one["text"]) for one in logs if one["event"] == "fees_run_out"]
        held -= 10**5
    assert [hour for hour, _ in told] == [17], "a day before: at 40 of them, sixteen and a bit are gone"
    assert told[0][1].startswith("0.02300000 BNB pay the commissions for 23.0 h more")
    case.engine.state.ledger.totals = {"BNB": 10**9}
    await case.outlook.look()
    case.engine.state.ledger.totals = {"BNB": 0}
    with capture_logs() as logs:
        await case.outlook.look()
    assert "fees_run_out" in [one["event"] for one in logs], "refilled, and gone again"


async def test_what_is_bought_to_be_sold_is_no_reserve():
    case = Case(Venue())
    with capture_logs() as logs:
        for hour in range(10):
            case.now_ns = hour * HOUR_NS
            case.engine.state.ledger.totals = {"BNB": 10**8 * (hour % 2) + 10**6}
            case.engine.portfolio.positions.clear()
            if hour % 2:
                case.hold("BNBUSDT")
                tranche = Tranche(1, 0, 1, 3, base_e8=10**8)
                case.engine.portfolio.positions["BNBUSDT"].tranches.append(tranche)
            await case.outlook.look()
    assert logs == []


async def test_a_holding_that_pays_nothing_is_no_reserve():
    case = Case(Venue())
    case.engine.state.ledger.totals = {"BNB": 10**5}
    with capture_logs() as logs:
        for hour in range(50):
            case.now_ns = hour * HOUR_NS
            await case.outlook.look()
    assert logs == []


async def test_fees_that_run_out_are_told_once_and_again_after_a_refill():
    case = Case(Venue(BNBUSDT="500"), fee_reserve_quote=20)
    case.engine.state.ledger.totals = {"BNB": 3 * 10**6}
    with capture_logs() as logs:
        await case.outlook.look()
        await case.outlook.look()
        case.engine.state.ledger.totals = {"BNB": 5 * 10**6}
        await case.outlook.look()
        case.engine.state.ledger.totals = {"BNB": 1 * 10**6}
        await case.outlook.look()
    told = [one["text"] for one in logs if one["event"] == "fee_reserve_low"]
    assert len(told) == 2
    assert "0.03000000 BNB are worth 15.00 USDT" in told[0]


async def test_what_was_bought_to_be_sold_is_no_reserve():
    """Its stops lock it: the reserve was called full while commissions were taken from what is bought."""
    case = Case(Venue(BNBUSDT="500"), fee_reserve_quote=20)
    case.engine.state.ledger.totals = {"BNB": 10**8 + 3 * 10**6}
    case.hold("BNBUSDT")
    case.engine.portfolio.positions["BNBUSDT"].tranches.append(Tranche(1, 0, 1, 3, base_e8=10**8))
    with capture_logs() as logs:
        await case.outlook.look()
    told = [one["text"] for one in logs if one["event"] == "fee_reserve_low"]
    assert len(told) == 1
    assert "0.03000000 BNB are worth 15.00 USDT" in told[0]


class TopUp(Case):
    """A reserve of 20 USDT, a BNB at 500, in steps of 0.001 BNB, at least 5 USDT an order."""

    def __init__(self, held_e8, *, quote=1000, **settings):
        super().__init__(Venue(BNBUSDT="500"), fee_reserve_quote=20, fee_top_up=True, **settings)
        self.now_ns = 10**18
        bnb = instrument("BNBUSDT", lot_e8=10**5)
        self.venue.instruments["BNBUSDT"] = bnb
        self.engine.process(InstrumentUpdate(bnb, 0), 1)
        self.engine.state.ledger.totals = {"BNB": held_e8, "USDT": quote * E8}

    async def asked(self):
        """The lots that one look asks for."""
        await self.outlook.see_fee_reserve()
        found = [one.lots for one in self.fed if isinstance(one, FeePurchase)]
        self.fed.clear()
        return found


@pytest.mark.parametrize(
    ("held_e8", "settings", "lots"),
    [
        (4 * 10**6, {}, []),  # worth 20: enough
        (3 * 10**6, {}, [11]),  # 5 missing: an order must be worth 5.10 to be taken, so 0.011
        (1 * 10**6, {}, [30]),  # 15 missing
        (0, {}, [40]),
        (0, {"fee_top_up_max_quote": 12.3}, [24]),
        (0, {"fee_top_up_max_quote": 5.05}, []),  # below the least order
        (0, {"quote": 19}, []),  # not enough money
        (0, {"quote": 20}, [40]),
    ],
)
async def test_what_is_missing_is_bought(held_e8, settings, lots):
    assert await TopUp(held_e8, **settings).asked() == lots


async def test_what_stands_against_a_purchase_is_told_once():
    case = TopUp(0)
    case.engine.process(OperatorCommand("halt", 0), 2)
    with capture_logs() as logs:
        assert [await case.asked() for _ in range(3)] == [[], [], []]
        case.engine.process(OperatorCommand("resume", 0), 3)
        assert await case.asked() == [40]
        case.hold("BNBUSDT")
        assert await case.asked() == []
    told = [one["text"] for one in logs if one["event"] == "fee_reserve_not_bought"]
    assert told == [
        "entries are off",
        "BNBUSDT is held as a position, which it must not be mixed with",
    ]


def test_a_top_up_needs_a_level():
    with pytest.raises(ValueError, match="write what shall be held as fee_reserve_quote"):
        CapitalSettings(fee_top_up=True)


def changed(**fields):
    return msgspec.structs.replace(instrument(), **fields)


async def test_f25_a_symbol_that_stops_is_not_bought_until_it_trades_again():
    case = Case(Venue())
    await case.outlook.look()
    assert case.fed == []
    case.venue.now["BTCUSDT"] = changed(status="BREAK")
    await case.outlook.look()
    await case.outlook.look()
    assert case.guards.levels["status:BTCUSDT"] == ("REDUCING", "is BREAK at the venue")
    assert [(type(one).__name__, one.instrument.status) for one in case.fed] == [
        ("InstrumentUpdate", "BREAK")
    ]
    case.venue.now["BTCUSDT"] = instrument()
    await case.outlook.look()
    assert case.guards.levels["status:BTCUSDT"][0] == "ACTIVE"
    assert case.fed[-1].instrument.status == "TRADING"
    assert "status:ETHUSDT" not in case.guards.levels, "the others go on"


async def test_f25_a_stepped_session_looks_each_hour_of_the_market_at_what_is_closed_and_at_nothing_else():
    case = Case(Venue())
    assert not await case.outlook.look_at_closed()
    case.venue.now["BTCUSDT"] = changed(status="BREAK")
    await case.outlook.look()
    case.venue.now["BTCUSDT"], asked = instrument(), len(case.venue.asked)
    assert await case.outlook.look_at_closed()
    assert case.guards.levels["status:BTCUSDT"][0] == "ACTIVE"
    assert len(case.venue.asked) == asked
    case.guards.report("status:BTCUSDT", "REDUCING")
    assert not await case.outlook.look_at_closed()
    case.now_ns += HOUR_NS
    assert await case.outlook.look_at_closed()


async def test_f25_a_symbol_that_is_gone_is_parked_and_comes_back():
    case = Case(Venue())
    del case.venue.now["BTCUSDT"]
    await case.outlook.look()
    assert case.fed[-1].instrument.status == DELISTED
    assert case.guards.levels["status:BTCUSDT"][0] == "REDUCING"
    case.venue.now["BTCUSDT"] = instrument()
    await case.outlook.look()
    assert case.fed[-1].instrument == instrument()


class Refusing:
    """A venue for orders that answers -1121, as to a symbol that is gone."""

    def writes_together(self, _spares=0):
        return False

    def window_ms(self, _command, _attempt=1):
        return 1000

    async def execute(self, _command, *, attempt=1):
        raise error_of(400, ErrorBody(-1121, "Invalid symbol."), f"order, attempt {attempt}")


class Journal:
    async def barrier(self):
        await asyncio.sleep(0)


@in_virtual_time
async def test_f25_an_order_for_a_symbol_that_is_gone_parks_it_at_once():
    case, rechecks = Case(Venue()), []
    looking = asyncio.create_task(case.outlook.run())
    await asyncio.sleep(1)
    assert not case.guards.levels.get("status:BTCUSDT")
    del case.venue.now["BTCUSDT"]
    executor = Executor(
        Refusing(),
        Journal(),
        LiveInbox(),
        now_ns=lambda: case.now_ns,
        request_training=lambda *_: None,
        sequential=False,
        on_step=after_steps(lambda: rechecks.append(1), case.guards, case.outlook.look_soon),
    )
    acting = asyncio.create_task(executor.run())
    ticket = OrderTicket("BTCUSDT", "x", Side.BUY, OrderType.MARKET, 100)
    executor.submit(1, [Submit(ApprovedOrder(ticket, "entry"))])
    while not executor.idle:  # noqa: ASYNC110 - the executor has no event for tests
        await asyncio.sleep(0)
    level, detail = case.guards.levels["status:BTCUSDT"]
    assert (level, "Invalid symbol" in detail, rechecks) == ("REDUCING", True, [1])
    await asyncio.sleep(1)
    assert [one.instrument.status for one in case.fed] == [DELISTED], "the look did not wait for its minute"
    case.venue.now["BTCUSDT"] = instrument()
    await asyncio.sleep(61)
    assert case.guards.levels["status:BTCUSDT"][0] == "ACTIVE"
    assert case.fed[-1].instrument.status == "TRADING"
    acting.cancel()
    looking.cancel()


@in_virtual_time
@pytest.mark.parametrize("step", [Step.QUARANTINE, Step.PAUSE_SYMBOL])
async def test_f25_a_wrong_word_of_a_symbol_that_trades_is_over_with_the_look(step):
    case = Case(Venue())
    looking = asyncio.create_task(case.outlook.run())
    await asyncio.sleep(1)
    after = after_steps(lambda: None, case.guards, case.outlook.look_soon)
    after(step, "BTCUSDT", "no")
    assert case.guards.levels["status:BTCUSDT"][0] == "REDUCING"
    await asyncio.sleep(1)
    assert case.guards.levels["status:BTCUSDT"][0] == "ACTIVE"
    assert case.fed == []
    asked = len(case.venue.asked)
    for _ in range(100):
        after(step, "BTCUSDT", "no")
        await asyncio.sleep(0.01)
    assert len(case.venue.asked) - asked <= 3, "a venue that keeps saying so is not asked each time"
    looking.cancel()


async def test_f71_filters_that_change_are_taken_over_and_other_units_wait_for_a_restart():
    case = Case(Venue())
    case.venue.now["BTCUSDT"] = changed(min_notional_e8=20 * E8)
    await case.outlook.look()
    assert case.fed[-1].instrument.min_notional_e8 == 20 * E8
    assert "filters:BTCUSDT" not in case.guards.levels
    coarse = changed(tick_e8=10 * instrument().tick_e8)
    case.venue.now["BTCUSDT"] = coarse
    await case.outlook.look()
    told = case.fed[-1].instrument
    assert (told.tick_e8, told.price_step) == (instrument().tick_e8, 10)
    assert case.guards.levels["filters:BTCUSDT"][0] == "REDUCING"
    count = len(case.fed)
    await case.outlook.look()
    assert len(case.fed) == count, "told once"
    assert case.venue.instruments["BTCUSDT"] == told, "what leaves is counted in the same ticks"


@in_virtual_time
async def test_f71_an_order_that_a_filter_refuses_has_all_filters_read_at_once():
    """The request itself was fitted to them; entries went on being bought and sold until the minute was over."""
    case = Case(Venue())
    looking = asyncio.create_task(case.outlook.run())
    await asyncio.sleep(1)
    case.venue.now["BTCUSDT"] = changed(tick_e8=10 * instrument().tick_e8)
    after_steps(lambda: None, case.guards, case.outlook.look_soon)(Step.REFILTER, "BTCUSDT", "PRICE_FILTER")
    await asyncio.sleep(1)
    assert case.guards.levels["filters:BTCUSDT"][0] == "REDUCING"
    assert case.fed[-1].instrument.price_step == 10
    looking.cancel()
