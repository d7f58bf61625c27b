"""What `status` and the end of a session print: labels, units, aligned columns, at most 80 of them."""

from pathlib import Path

import msgspec
import pytest

from bnml.app.status import _text
from bnml.app.summary import as_text
from bnml.journal.schema import Health, Position

HEALTH = Health(
    mode="timed",
    venue="sim",
    state="running",
    ts_ns=0,
    session=3,
    equity="10012.34",
    free_quote="8790.00",
    realised="1.00",
    positions=(),
    open_orders=(),
    last_decision=None,
    decisions={},
    scans=1234,
    trades=12,
    loop_lag_ms=0.2345,
    loop_lag_p99_ms=4.0,
    inbox=0,
    market_time="2025-06-01T12:00:00Z",
    links={"market": True, "user": False},
    market="simulated market, simulated money",
    quote="USDT",
    session_pnl="12.34",
)
SUMMARY = {
    "flows": "0",
    "session": 2,
    "market": "simulated market, simulated money",
    "scans": 14,
    "trades": 6,
    "quote": "USDT",
    "equity_start": "10000.00",
    "equity_end": "10012.34",
    "realised": "-1.00",
    "positions": 1,
    "open_orders": 5,
    "elapsed_s": 82.4,
}


def test_the_mood_of_the_market_is_told_where_it_is_known():
    lines = _text(msgspec.structs.replace(HEALTH, mood="41 of 100, bear pressure"), "running").splitlines()
    assert "market mood   41 of 100, bear pressure" in lines
    assert not any(line.startswith("market mood") for line in _text(HEALTH, "running").splitlines())


def test_what_is_not_ours_is_told_where_there_is_any():
    coins = tuple(f"{number} C{number}" for number in range(1, 6))
    found = msgspec.structs.replace(HEALTH, foreign_orders={"BTCUSDT": 2, "ETHUSDT": 1}, foreign_coins=coins)
    lines = _text(found, "running").splitlines()
    assert "not ours      open orders: BTCUSDT 2, ETHUSDT 1" in lines
    assert "not ours      coins: 1 C1, 2 C2, 3 C3, and 2 more" in lines
    assert not any(line.startswith("not ours") for line in _text(HEALTH, "running").splitlines())


def test_how_far_the_ramp_has_come_is_told_while_it_is_in_use():
    lines = _text(msgspec.structs.replace(HEALTH, ramp="step 3 of 3, full size"), "running").splitlines()
    assert "ramp          step 3 of 3, full size" in lines
    assert not any(line.startswith("ramp") for line in _text(HEALTH, "running").splitlines())


def test_labels_and_units():
    lines = _text(HEALTH, "running").splitlines()
    assert "venue         sim, timed; simulated market, simulated money" in lines
    assert "equity        10,012.34 USDT, session +12.34, realised +1.00, cash 8,790.00" in lines
    assert "session       3: 1,234 scans, 12 fills" in lines
    assert "down          user" in lines
    assert "last decision none yet" in lines
    assert "positions     none" in lines
    assert max(map(len, lines)) <= 80


def test_positions_and_orders_are_tables():
    health = msgspec.structs.replace(
        HEALTH,
        positions=(
            Position(
                symbol="SOLUSDT",
                quantity="8.951",
                entry_price="133.01",
                last_price="135.37",
                pnl="19.34",
                stops=("131.11",),
            ),
            Position(
                symbol="BTCUSDT", quantity="0.1", entry_price="58000.00", last_price="1.00", pnl="-3.00"
            ),
        ),
        open_orders=("SOLUSDT SELL STOP NEW a1-1", "BTCUSDT SELL TARGET PARTIALLY_FILLED a1-2"),
    )
    lines = _text(health, "running").splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("position "))
    assert [len(line) for line in lines[at : at + 3]] == [len(lines[at])] * 3
    assert lines[at + 1].split() == ["SOLUSDT", "8.951", "133.01", "135.37", "131.11", "+19.34"]
    assert lines[at + 2].split()[-2:] == ["none", "-3.00"]
    at = next(n for n, line in enumerate(lines) if line.startswith("order "))
    assert lines[at + 1].index("a1-1") == lines[at + 2].index("a1-2") == lines[at].index("client")


def test_a_halt_is_followed_by_the_way_out():
    assert "bnml resume" in _text(HEALTH, "halted: operator").splitlines()[1]


def test_a_row_of_an_older_daemon_is_shown_too():
    old = msgspec.structs.replace(HEALTH, market="", quote="", session_pnl="0")
    assert "equity        10,012.34, session +0, realised" in _text(old, "running")


@pytest.mark.parametrize(("elapsed_s", "text"), [(9.4, "9 s"), (82.4, "1 min 22 s"), (7300, "2 h 1 min")])
def test_the_end_of_a_session(elapsed_s, text):
    lines = as_text({**SUMMARY, "elapsed_s": elapsed_s}, Path("state/daemon.log")).splitlines()
    assert lines[0] == f"bnml stopped: session 2, {text}; simulated market, simulated money"
    assert lines[2] == "  equity 10,000.00 -> 10,012.34 USDT (+0.12 %), realised -1.00"
    assert lines[3] == "  1 position open, protected by 5 orders at the exchange"
    assert lines[4] == "  log state/daemon.log"
    assert max(map(len, lines)) <= 80


def test_an_end_before_the_first_scan_has_no_gain():
    assert "10,012.34 -> 10,012.34 USDT (+0.00 %)" in as_text({**SUMMARY, "equity_start": "0.00"}, None)
    assert as_text({**SUMMARY, "session": 0}, None) == "bnml stopped before trading began\n"
