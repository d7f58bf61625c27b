"""The dead-man's watch: a heart that stops is noticed once in a while, a farewell is none."""

import contextlib
import subprocess
import sys

import msgspec
import pytest

from bnml.app import deadman as module
from bnml.app import direct
from bnml.app.deadman import Watch, check
from bnml.app.deployment import Deployment
from bnml.app.folder import StateFolder
from bnml.app.heartbeat import Heartbeat, beat, last_beat
from bnml.app.limits import make_budget
from bnml.app.panic import panic
from bnml.app.rescue import Booked, Rescue, VenueOrder
from bnml.config import load
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import Misconfigured, Rejected, Retryable, UnknownOutcome
from bnml.core.ids import IdSource
from bnml.core.orders import Side
from bnml.journal.writer import JournalWriter
from bnml.options import DeadmanOptions, PanicOptions
from bnml.venues.binance.venue_clock import VenueClock
from tests.journal.kit import header
from tests.trading.kit import instrument
from tests.venues.binance.web import web


def alive(ts_ns, state="running"):
    return Heartbeat(1, ts_ns, state, 0)


def test_a_heart_that_stops_is_acted_upon_and_again_later():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    due = [second for second in range(700) if watch.is_due(alive(min(second, 100)), second * NS_PER_S)]
    assert due == [130, 430]


def test_one_that_beats_again_begins_anew():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    beats = [min(second, 10) if second < 60 else 60 for second in range(120)]
    assert [second for second in range(120) if watch.is_due(alive(beats[second]), second * NS_PER_S)] == [
        40,
        90,
    ]


def test_who_said_farewell_or_never_began_is_not_dead():
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    assert not any(watch.is_due(alive(1, "stopped"), second * NS_PER_S) for second in range(100))
    assert not any(watch.is_due(None, second * NS_PER_S) for second in range(100, 200))


@pytest.mark.parametrize("state", ["failed", "stopping"])
def test_one_that_failed_and_was_not_started_again_is_dead(state):
    """It once counted as a farewell, although its own alerts had ended before its error was known."""
    watch = Watch(30 * NS_PER_S, 300 * NS_PER_S)
    assert [s for s in range(100) if watch.is_due(alive(1, state), s * NS_PER_S)] == [30]


def test_the_sign_of_life_comes_back_as_written(tmp_path):
    assert last_beat(tmp_path) is None
    beat(tmp_path, 77, "running", 5)
    assert (last_beat(tmp_path).ts_ns, last_beat(tmp_path).state, last_beat(tmp_path).scans) == (
        77,
        "running",
        5,
    )


@pytest.mark.parametrize("content", [b"{", b'{"pid":1,"ts_ns":1,"state":"\xff","scans":0}'])
def test_a_sign_of_life_that_cannot_be_read_is_told_and_ends_no_watch(tmp_path, content):
    (tmp_path / "heartbeat.json").write_bytes(content)
    with pytest.raises(Misconfigured, match="cannot be read"):
        last_beat(tmp_path)


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("BINANCE_API_KEY", "k" * 64)
    monkeypatch.setenv("BINANCE_API_SECRET", "s" * 64)


@pytest.mark.usefixtures("key")
async def test_f13_the_watch_and_panic_reach_the_venue_by_its_other_addresses(tmp_path):
    async with web(reply=lambda _: (200, {}, b'{"serverTime":1}')) as place:
        settings = load(
            None,
            {
                "BNML_VENUE__KIND": "testnet",
                "BNML_VENUE__TESTNET__REST_URL": "http://127.0.0.1:9",
                "BNML_VENUE__TESTNET__MORE_REST_URLS": f'["{place.http}"]',
                "BNML_APP__STATE_DIR": str(tmp_path),
            },
        )
        async with direct.direct(settings) as rest:
            assert await rest.read("/api/v3/openOrders", {}) == b'{"serverTime":1}'


@pytest.mark.usefixtures("key")
async def test_f06_the_watch_and_panic_share_the_bans_of_the_daemon(tmp_path):
    """Each question would make a ban longer; the watch says so instead of standing still until it is over."""
    async with web(reply=lambda _: (418, {"Retry-After": "600"}, b'{"code":-1003,"msg":"banned"}')) as place:
        settings = load(
            None,
            {
                "BNML_VENUE__KIND": "testnet",
                "BNML_VENUE__TESTNET__REST_URL": place.http,
                "BNML_APP__STATE_DIR": str(tmp_path),
            },
        )
        with pytest.raises(Retryable, match="banned"):
            async with direct.direct(settings, waits=False):
                raise AssertionError("its clock cannot be set")
        assert len(place.requests) == 1
        with pytest.raises(Retryable, match="has banned this address for"):
            await check(settings)
        assert len(place.requests) == 1
        deployment = Deployment(place.http, "", "", "k" * 64, "s" * 64)
        clock = LiveClock()
        assert make_budget(settings, deployment, clock, VenueClock(clock)).banned_s > 590


def test_the_deadman_carries_no_kernels_and_no_models():
    code = "import sys, bnml.app.deadman as _; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numba", "xgboost", "sklearn", "scipy", "duckdb", "bnml.trading.engine"} & set(loaded)


class Rest:
    """Two entries and a bare holding of ours; what `fails` names is refused."""

    NAMES = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")

    def __init__(self, *fails):
        self.fails, self.cancelled = fails, []
        ids = IdSource("ab12", 3)
        self.orders = [
            {
                "symbol": symbol,
                "clientOrderId": ids.client_order_id(number, 0, "w"),
                "orderId": number + 1,
                "status": "NEW" if number < 2 else "FILLED",
                "side": "BUY",
                "type": "LIMIT",
                "origQty": "0.5",
                "executedQty": "0" if number < 2 else "0.5",
            }
            for number, symbol in enumerate(self.NAMES)
        ]

    async def signed(self, _method, _path, params, *_, **__):
        if params["symbol"] in self.fails:
            raise UnknownOutcome("no answer to the cancel")
        self.cancelled.append(params["symbol"])

    async def read(self, path, params, *_):
        if path == "/api/v3/myTrades":
            return b"[]"
        if path == "/api/v3/account":
            return b'{"balances":[{"asset":"DDD","free":"0.5","locked":"0"},{"asset":"USDT","free":"1","locked":"0"}]}'
        if params.get("symbol") in self.fails:
            raise Retryable("no answer to the look")
        return msgspec.json.encode(
            [one for one in self.orders if params.get("symbol", one["symbol"]) == one["symbol"]]
        )

    async def public(self, *_):
        return b'{"price": "30000.00"}'


ALL_BOOKED = {name: Booked(name, Side.BUY) for name in Rest.NAMES}


async def found_by_the_deadman(monkeypatch, tmp_path, rest, booked=ALL_BOOKED):
    @contextlib.asynccontextmanager
    async def straight(_settings, **_):
        yield rest

    async def learn(self, symbols):
        self.instruments = {name: instrument(name) for name in symbols}

    monkeypatch.setattr(module, "direct", straight)
    monkeypatch.setattr(module, "booked_fills", lambda _: booked)
    monkeypatch.setattr(module, "instance_of", lambda _: "ab12")
    monkeypatch.setattr(Rescue, "open_orders", lambda self: resting(self, rest))
    monkeypatch.setattr(Rescue, "learn", learn)
    return await check(load(None, {}, {"app.state_dir": (tmp_path, "")}))


async def resting(rescue, rest):
    return rescue._ours(msgspec.json.encode([one for one in rest.orders if one["status"] == "NEW"]))


async def test_a_cancel_and_a_look_that_fail_keep_no_other_from_being_made(monkeypatch, tmp_path):
    """The first one that failed once ended the look: nothing was said of what had no stop."""
    rest = Rest("AAAUSDT", "CCCUSDT")
    found = await found_by_the_deadman(monkeypatch, tmp_path, rest)
    assert rest.cancelled == ["BBBUSDT"]
    assert "WITHOUT A STOP: 0.50000000 DDD" in found.text()
    assert "AAAUSDT" in found.text().partition("NOT DONE")[2]
    assert "CCCUSDT is not verified" in found.text()


@pytest.mark.parametrize(
    ("kind", "price", "bare"),
    [
        ("STOP_LOSS", "30000.00", []),
        ("LIMIT_MAKER", "30000.00", ["0.50000000 DDD"]),
        ("LIMIT_MAKER", "0.01", []),
    ],
)
async def test_what_sells_is_never_cancelled_and_only_stops_protect(monkeypatch, tmp_path, kind, price, bare):
    """A target alone leaves a holding bare; what is worth less than the venue sells has no stop to miss."""
    rest = Rest()

    async def public(*_):
        return msgspec.json.encode({"price": price})

    rest.public = public
    sale = {
        "symbol": "DDDUSDT",
        "clientOrderId": IdSource("ab12", 3).client_order_id(9, 0, "s"),
        "orderId": 9,
        "status": "NEW",
        "side": "SELL",
        "type": kind,
        "origQty": "0.5",
        "executedQty": "0",
    }
    rest.orders = [one for one in rest.orders if one["symbol"] == "DDDUSDT"] + [sale]
    found = await found_by_the_deadman(monkeypatch, tmp_path, rest)
    assert rest.cancelled == []
    assert found.bare == bare


async def test_another_venue_than_the_folders_is_not_looked_at(tmp_path):
    """`panic` without `--venue` would have found nothing of ours there, and called that done."""
    with StateFolder(tmp_path / "state") as folder:
        writer = await JournalWriter.open(folder.journal, "process")
        await writer.begin_session(msgspec.structs.replace(header(), venue="live"), 1)
        await writer.close()
    settings = load(None, {}, {"app.state_dir": (tmp_path / "state", "")})
    for command in (
        lambda: panic(settings, PanicOptions(symbol="", instance="", yes=True, force=False)),
        lambda: module.deadman(settings, DeadmanOptions(once=True)),
    ):
        with pytest.raises(Rejected, match=r"belongs to --venue live.*add --venue live"):
            command()
    (tmp_path / "state" / "journal.db").write_bytes(b"torn")
    direct.check_venue(settings)


async def test_without_a_journal_nothing_is_said_to_be_held_of_which_nothing_is_known(monkeypatch, tmp_path):
    """Its stop gone and the journal damaged, a holding shows in no open order: that was "nothing is held"."""
    rest = Rest()
    rest.orders = [one for one in rest.orders if one["status"] == "FILLED"]
    found = await found_by_the_deadman(monkeypatch, tmp_path, rest, booked=None)
    assert "the journal cannot be read" in found.text().partition("NOT DONE")[2]
    assert found.bare == ["0.50000000 DDD"]


@pytest.mark.parametrize(
    ("found", "code"), [({}, 0), ({"bare": ["1 BTC"]}, 4), ({"unknown": ["BTCUSDT"]}, 4)]
)
def test_one_look_is_good_only_when_all_was_verified(monkeypatch, tmp_path, found, code):
    async def check(_settings):
        return module.Findings(**found)

    monkeypatch.setattr(module, "check", check)
    settings = load(None, {}, {"app.state_dir": (tmp_path, "")})
    assert module.deadman(settings, DeadmanOptions(once=True)) == code


async def test_what_is_likely_held_comes_before_all_that_was_ever_traded():
    """By name, what is held waited behind the requests for two hundred symbols that were sold months ago."""
    traded = ["AAVEUSDT", "BNBUSDT", "ETHUSDT", "AAVEUSDT", "XRPUSDT", "ETHUSDT"]
    booked = {str(number): Booked(symbol, Side.BUY) for number, symbol in enumerate(traded)}
    order = VenueOrder("BTCUSDT", "bnab121-1-0t", 1, "NEW", "SELL", "LIMIT_MAKER", "0.5", "0")
    found = await Rescue(None, "ab12", booked).symbols([order], "USDT")
    assert found == ["BTCUSDT", "ETHUSDT", "XRPUSDT", "AAVEUSDT", "BNBUSDT"]
