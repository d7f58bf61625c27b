"""Without a terminal the log is all there is: each scan, entry and fill is one event with units and ids."""

import pytest
from structlog.testing import capture_logs

from bnml.app.narrator import Narrator
from bnml.core.events import InstrumentUpdate, Scan
from bnml.core.orders import Side
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.kernels.records import Action, ExitReason, Reason
from bnml.trading.engine import Engine
from tests.trading import kit


class Following:
    """Remembers what was passed on."""

    def __init__(self):
        self.seen = []

    def follow(self, event, outcomes):
        self.seen.append((event, tuple(outcomes)))


@pytest.fixture
def told():
    engine = Engine(kit.config(), None)
    engine.process(InstrumentUpdate(kit.instrument(), 0), 1)
    following = Following()
    outcomes = (
        Decision("BTCUSDT", 0, Action.BUY, Reason.NONE, 0.0, 0.0, 7, 80.0, 90.0, 0.1, 0.2, 0.7, "BTCUSDT/v1"),
        Decision("BTCUSDT", 0, Action.BUY, Reason.SPREAD, 0.16, 0.15, 0, 80.0, 90.0, 0.1, 0.2, 0.7),
        Decision("BTCUSDT", 0, Action.HOLD, Reason.POLICY, 0.1, 0.2, 0, 50.0, 50.0, 0.1, 0.8, 0.1),
        Trade(
            "BTCUSDT", 0, Side.SELL, 1, 50_000, 3_000_000, 1, "USDT", ExitReason.TARGET1, 1_234_000_000, "a1"
        ),
        EquityPoint(0, 1_000_000_000_000, 900_000_000_000, 1),
    )
    scan = Scan(0, 0, ())
    with capture_logs() as lines:
        Narrator(engine, following).follow(scan, outcomes)
    assert following.seen == [(scan, outcomes)]
    return {line["event"]: line for line in lines}


def test_a_refusal_has_its_code_and_what_was_measured_against_what(told):
    refused = told["entry_refused"]
    assert (refused["reason"], refused["measured"], refused["limit"]) == ("SPREAD", 0.16, 0.15)
    assert refused["why"] == "spread 0.160 %, at most 0.150 %"
    assert told["entry_decided"]["bundle"] == "BTCUSDT/v1"


def test_a_fill_has_amounts_in_plain_decimals_and_its_order(told):
    filled = told["order_filled"]
    assert (filled["quantity"], filled["price"], filled["pnl"]) == ("0.50000", "30000.00", "12.34")
    assert (filled["why"], filled["client_order_id"], filled["side"]) == ("target 1", "a1", "SELL")


def test_a_scan_counts_its_decisions_by_reason(told):
    scan = told["scan_decided"]
    assert {name: scan[name] for name in ("symbols", "none", "spread", "policy", "positions")} == {
        "symbols": 3,
        "none": 1,
        "spread": 1,
        "policy": 1,
        "positions": 1,
    }
    assert scan["equity"] == "10000.00"
