"""The live view at fixed sizes, drawn from a picture: nothing wraps, every state and reason is in words."""

import io

import msgspec
import pytest
from rich.console import Console

from bnml.app import picture as picture_module
from bnml.app.health import LoopLag
from bnml.app.logs import Line
from bnml.app.narrator import Narrator
from bnml.app.picture import Picture
from bnml.app.scene import Scene, add_session, ranked
from bnml.app.view_page import allot, page
from bnml.app.words import market_of
from bnml.core.clock import ManualClock
from bnml.core.events import Balances, Bar, InstrumentUpdate, Scan
from bnml.core.orders import Side
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.kernels.records import Action, ExitReason, Reason
from bnml.trading.crosscheck import CrossCheck
from bnml.trading.engine import Engine
from bnml.trading.portfolio import Dust
from bnml.trading.positions import Position, Tranche
from bnml.trading.round_trips import Trip
from bnml.venues.binance.wire import OrderAnswer
from tests.trading import kit

SIZES = ((80, 24), (100, 30), (120, 40))
NAMES = ("BTCUSDT", "ETHUSDT", "DOGEUSDT")


class NoModels:
    """Nothing is predicted here."""

    def predictor(self, bundle_id):
        raise LookupError(bundle_id)


class Training:
    """What a trainer tells the view."""

    training: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    failure = ""
    is_waiting = False


def decided(symbol, action=Action.HOLD, reason=Reason.POLICY, measured=0.1234, limit=0.2, lots=0, score=50.0):
    return Decision(symbol, kit.START_NS, action, reason, measured, limit, lots, score, 81.0, 0.1, 0.6, 0.3)


def fill(symbol, side, reason, pnl_e8):
    return Trade(symbol, kit.START_NS, side, 1, 50_000, 3_000_000, 1, "USDT", reason, pnl_e8, "id")


@pytest.fixture
def picture():
    """A session of three symbols: one held, one refused, one without a signal; a win and a loss before."""
    engine = Engine(kit.config(), NoModels())
    picture = Picture(engine, "timed", "sim", 7, market_of(kit.settings()))
    follower = Narrator(engine, picture)
    first = [InstrumentUpdate(kit.instrument(name), 0) for name in NAMES]
    first += [Balances(0, {"USDT": (1_000_000_000_000, 0)})]
    first += [Bar(name, kit.START_NS, kit.START_NS + kit.HOUR_NS, *[3_000_000] * 4, 10) for name in NAMES]
    for number, event in enumerate(first, start=1):
        engine.process(event, number)
        follower.follow(event, engine.drain())
    outcomes = [
        decided("BTCUSDT", Action.BUY, Reason.NONE, lots=50_000, score=81.0),
        decided("ETHUSDT", Action.BUY, Reason.SPREAD, 0.16, 0.15),
        decided("DOGEUSDT", Action.SELL, measured=-0.25),
        fill("ETHUSDT", Side.BUY, ExitReason.NONE, 0),
        fill("ETHUSDT", Side.SELL, ExitReason.TARGET1, 1_234_000_000),
        fill("DOGEUSDT", Side.SELL, ExitReason.HARD_STOP, -500_000_000),
        EquityPoint(kit.START_NS, 1_000_000_000_000, 1_000_000_000_000, 1),
    ]
    follower.follow(Scan(kit.START_NS + kit.HOUR_NS, kit.START_NS + kit.HOUR_NS, ()), outcomes)
    tranche = Tranche(
        1, 3_060_000, 2_950_000, 0, bought_lots=50_000, base_e8=50_000_000, cost_e8=1_500_000_000_000
    )
    sold = Tranche(2, 3_060_000, 2_950_000, 0, bought_lots=50_000, pnl_e8=30_000_000_000)
    engine.state.ledger.positions["BTCUSDT"] = Position(
        "BTCUSDT", kit.START_NS, 3_000_000, 10_000, 3_060_000, b"", [tranche, sold]
    )
    picture.state = "running"
    return picture


def drawn(scene, width, height):
    """The lines that a terminal of this size shows; rich would add lines if one wrapped."""
    console = Console(file=io.StringIO(), record=True, width=width, height=height, force_terminal=True)
    console.print(page(scene, width, height), end="")
    lines = console.export_text(styles=False).split("\n")
    assert len(lines) == height
    assert max(map(len, lines)) <= width
    return lines


def scene_of(picture, trainer=None, **changes):
    lag = LoopLag(ManualClock(), lambda: 0)
    scene = Scene(market="simulated market, simulated money", log_file="state/daemon.log", **changes)
    health = picture.health(0, lag, 0, CrossCheck(kit.HOUR_NS))
    add_session(scene, picture, health, trainer or Training())
    return scene


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_running_session_at_a_glance(picture, width, height):
    lines = drawn(scene_of(picture), width, height)
    text = "\n".join(lines)
    assert "RUNNING" in lines[0]
    assert "simulated market, simulated money" in lines[0]
    assert lines[0].endswith("UTC")
    assert "equity 15,000.00 USDT" in lines[1] or "USDT" in lines[1]
    assert "ms, p99" in text
    assert "spread 0.160 %, at most 0.150 %" in text
    assert "expects a fall: -0.250" in text
    assert "target 1" in text
    assert "+12.34" in text
    assert "hard stop" in text
    assert "-5.00" in text
    assert "log: state/daemon.log" in lines[-1]
    assert lines[-1].startswith(" Ctrl-C: stop")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_numbers_stand_under_their_titles(picture, width, height):
    lines = drawn(scene_of(picture), width, height)
    for title, ends in (("POSITION", ("QUANTITY", "ENTRY", "NOW", "STOP")), ("SYMBOL ", ("PRICE", "SCORE"))):
        at = next(n for n, line in enumerate(lines) if line.startswith(f" {title}"))
        for name in ends:
            end = lines[at].index(name) + len(name)
            assert lines[at + 1][end - 1].isdigit()
            assert lines[at + 1][end] == " "


def test_positions_show_what_protects_them(picture):
    line = next(line for line in drawn(scene_of(picture), 120, 40) if line.startswith(" BTCUSDT"))
    assert line.split() == [
        "BTCUSDT",
        "0.50000",
        "30000.00",
        "30000.00",
        "29500.00",
        "+300.00",
        "+1.00",
        "%",
        "08-01",
        "00:00",
    ]


@pytest.mark.parametrize(
    ("state", "word", "says"),
    [
        ("starting", "STARTING", "compiles the kernels"),
        ("stopping", "STOPPING", ""),
        ("failed", "FAILED", ""),
    ],
)
def test_states(picture, state, word, says):
    picture.state = state
    lines = drawn(scene_of(picture), 80, 24)
    assert f" {word} " in lines[0]
    assert says in lines[1]


def test_a_halt_names_its_reason_and_the_way_out(picture):
    picture._engine.state.activity.halted = "order x was filled twice"
    lines = drawn(scene_of(picture), 120, 24)
    assert " HALTED " in lines[0]
    assert "order x was filled twice" in lines[1]
    assert "bnml resume" in "\n".join(lines[:4])


def test_a_lost_connection_is_said(picture):
    picture._engine.state.activity.channels_down["orders"] = "gone"
    lines = drawn(scene_of(picture), 80, 24)
    assert " WAITING " in lines[0]
    assert "waiting for orders; no entries" in lines[1]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_live_ramp_shows_its_step_and_what_it_waits_for(picture, width, height):
    assert "ramp" not in "\n".join(drawn(scene_of(picture), width, height))
    ramp = picture._engine.state.ramp
    ramp.round_trips, ramp.counted = 10, 3
    ramp.closed = [Trip("BTCUSDT", 1, 0, 1)]
    ramp.outside = 2
    lines = drawn(scene_of(picture), width, height)
    shown = next(n for n, line in enumerate(lines) if line.startswith(" equity"))
    said = " ".join(" ".join(lines[1:shown]).replace(";", "").split())
    assert said == (
        "ramp: step 1 of 3, smallest orders 3 of 10 round trips until 10 % of each order "
        "1 to be compared with the account 2 in a row outside the cost model"
    )
    ramp.step, ramp.closed, ramp.outside = 2, [], 0
    assert drawn(scene_of(picture), width, height)[1].rstrip() == " ramp: step 3 of 3, full size"


def test_what_is_not_ours_is_shown(picture):
    """It was one line of the log at the start; coins of others were nowhere."""
    assert not any("not ours" in line for line in drawn(scene_of(picture), 80, 24))
    ours, theirs = (OrderAnswer("BTCUSDT", name, status="NEW") for name in ("bna1zz1-2-0s", "web_1"))
    picture.see_orders("a1zz", [ours, theirs, msgspec.structs.replace(theirs, client_order_id="web_2")])
    totals = picture._engine.state.ledger.totals
    totals |= {"BTC": 125_000_000, "ETH": 7, "XRP": 5}  # half a BTC is a position of ours
    scene = scene_of(picture)
    assert scene.health.foreign_orders == {"BTCUSDT": 2}
    assert scene.health.foreign_coins == ("0.75 BTC", "0.00000007 ETH")
    lines = drawn(scene, 80, 24)
    assert " not ours: open orders: BTCUSDT 2; coins: 0.75 BTC, 0.00000007 ETH" in [
        one.rstrip() for one in lines
    ]
    picture.see_orders("a1zz", [ours])
    picture._engine.state.ledger.dust["ETHUSDT"] = Dust("ETH", 7, 1)
    health = scene_of(picture).health
    assert (health.foreign_orders, health.foreign_coins) == ({}, ("0.75 BTC",))


def test_the_reserve_that_was_bought_for_fees_is_nobody_elses(monkeypatch, picture):
    """Nobody can say how much of it is whose once it is bought here."""
    monkeypatch.setattr(picture_module, "FEE_ASSET", "ETH")  # as BNB is, of a symbol that is followed
    state = picture._engine.state
    state.ledger.totals["ETH"] = 80_000_000
    assert scene_of(picture).health.foreign_coins == ("0.8 ETH",)
    state.fees_asked_ns = 1
    assert scene_of(picture).health.foreign_coins == ()


def test_before_there_is_a_session_and_while_it_stops():
    scene = Scene(
        market="Binance, REAL MONEY",
        log_file="state/daemon.log",
        elapsed_s=12.3,
        lines=(Line("12:00:01", "info", "exchange_started process=1"),),
    )
    lines = drawn(scene, 80, 24)
    assert "STARTING" in lines[0]
    assert "Binance, REAL MONEY" in lines[0]
    assert lines[1].startswith(" 12 s;")
    assert any("exchange_started" in line for line in lines)
    scene.is_stopping = True
    assert "STOPPING" in drawn(scene, 80, 24)[0]


def test_training_refused_models_and_a_failed_training(picture):
    picture.follow(Scan(0, 0, ()), [decided("DOGEUSDT", reason=Reason.NO_MODEL, score=0.0)])
    trainer = Training()
    trainer.training = ("ETHUSDT", "BTCUSDT")
    trainer.refused = ("DOGEUSDT",)
    text = "\n".join(drawn(scene_of(picture, trainer), 120, 30))
    assert "training models: ETHUSDT now, 1 waiting" in text
    assert "its model was refused" in text
    trainer.failure = "no such folder"
    assert "training failed: no such folder" in "\n".join(drawn(scene_of(picture, trainer), 120, 30))
    trainer.is_waiting = True
    assert "training waits for room on the disk" in "\n".join(drawn(scene_of(picture, trainer), 120, 30))


def test_many_symbols_and_long_lines_stay_inside(picture):
    every = [decided(f"{n:03d}LONGNAMEUSDT", score=n / 4) for n in range(400)]
    picture.follow(Scan(0, 0, ()), [])
    scene = scene_of(picture, lines=tuple(Line("12:00:00", "error", "x" * 500 + "\ny") for _ in range(40)))
    scene.decisions = ranked(every, {"007LONGNAMEUSDT"})
    for width, height in SIZES:
        lines = drawn(scene, width, height)
        at = next(n for n, line in enumerate(lines) if line.startswith(" SYMBOL"))
        assert "(400 symbols)" in lines[at]
        assert lines[at + 1].startswith(" 007LONG")
        assert lines[at + 2].startswith(" 399LONG")


def test_a_tiny_terminal_is_cut_not_wrapped(picture):
    assert len(drawn(scene_of(picture), 40, 10)) == 10


def test_rows_go_to_what_is_held_first():
    wanted = {"positions": 5, "symbols": 150, "fills": 20, "log": 40}
    assert allot(7, wanted) == {"positions": 5, "symbols": 2, "fills": 0, "log": 0}
    assert sum(allot(30, wanted).values()) == 30
    assert allot(15, {"symbols": 8, "fills": 6, "log": 40}) == {"symbols": 8, "fills": 3, "log": 4}
    assert allot(0, wanted) == dict.fromkeys(wanted, 0)


def test_equity_right_after_a_restart_counts_what_is_held(picture):
    picture.last_ticks.clear()
    lag = LoopLag(ManualClock(), lambda: 0)
    health = picture.health(0, lag, 0, CrossCheck(kit.HOUR_NS))
    assert health.equity == "25000.00"
    assert msgspec.structs.asdict(health.positions[0])["last_price"] == "30000.00"


def test_the_last_decision_of_a_scan_is_the_telling_one(picture):
    assert picture.last_decision.symbol == "BTCUSDT"
    later = [
        msgspec.structs.replace(one, ts_close_ns=kit.START_NS + kit.HOUR_NS)
        for one in (
            decided("ETHUSDT", score=10.0),
            decided("DOGEUSDT", score=90.0),
            decided("BTCUSDT", score=20.0),
        )
    ]
    picture.follow(Scan(0, 0, ()), later)
    assert picture.last_decision.symbol == "DOGEUSDT"
