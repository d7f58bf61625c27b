"""Every reason has words with the units of `kernels.limits`, short enough for the view; amounts are grouped."""

import pytest

from bnml.app.words import (
    action_text,
    exit_text,
    grouped,
    market_of,
    mood_text,
    percent_of,
    reason_text,
    signed,
)
from bnml.config import Settings
from bnml.core.outcomes import Decision
from bnml.kernels.records import BREAKERS, Action, ExitReason, MoodRegime, Reason, record


def decision(reason=Reason.NONE, measured=0.0, limit=0.0, action=Action.BUY, lots=0):
    return Decision("BTCUSDT", 0, action, reason, measured, limit, lots, 50.0, 50.0, 0.2, 0.5, 0.3)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_fits_the_narrow_view(reason):
    assert 4 < len(reason_text(decision(reason, 1.2345, 2.3456))) <= 32


@pytest.mark.parametrize(
    ("reason", "measured", "limit", "text"),
    [
        (Reason.SPREAD, 0.16, 0.15, "spread 0.160 %, at most 0.150 %"),
        (Reason.DEPTH, 43_210.9, 50_000.0, "depth 43,211, needs 50,000"),
        (Reason.DAILY_LOSS, 5.25, 5.0, "daily loss 5.25 %, limit 5.00 %"),
        (Reason.EXPOSURE, 70.4, 70.0, "exposure 70.4 %, at most 70.0 %"),
        (Reason.MARKET_SCORE, -0.3611, -0.35, "market mood -0.36, limit -0.35"),
        (Reason.POLICY, 0.02222, 0.2011, "no signal: 0.022, needs 0.201"),
    ],
)
def test_units_are_those_of_the_limits(reason, measured, limit, text):
    assert reason_text(decision(reason, measured, limit)) == text


def test_the_mood_of_the_market_is_an_index_and_a_regime_once_enough_have_spoken():
    memory = record(BREAKERS)
    assert mood_text(memory) == ""
    memory["mood_score"], memory["mood_regime"] = -0.18, MoodRegime.BEAR_PRESSURE
    assert mood_text(memory) == "41 of 100, bear pressure"


def test_a_fall_is_not_called_a_missing_signal():
    assert reason_text(decision(Reason.POLICY, -0.25, 0.2, Action.SELL)) == "expects a fall: -0.250"
    assert action_text(decision(Reason.SPREAD)) == "buy refused"
    assert action_text(decision(lots=3)) == "BUY"


def test_every_exit_has_words():
    assert [exit_text(one) for one in (ExitReason.NONE, ExitReason.TARGET2)] == ["entry", "target 2"]
    assert all("_" not in exit_text(one) for one in ExitReason)


def test_amounts_are_grouped_and_signed():
    assert grouped("1234567.80") == "1,234,567.80"
    assert signed("-1234.50") == "-1,234.50"
    assert signed("0.00") == "+0.00"
    assert percent_of("-12.5", "1000") == "-1.25 %"
    assert percent_of("1", "0") == ""


@pytest.mark.parametrize(
    ("venue", "feed", "gate", "text"),
    [
        ("sim", "generated", True, "simulated market, simulated money"),
        ("sim", "recorded", False, "recorded market, simulated money, gate off"),
        ("testnet", "generated", True, "Binance testnet, test money"),
        ("live", "generated", True, "Binance, REAL MONEY"),
    ],
)
def test_what_is_real_is_said(venue, feed, gate, text):
    tree = {"venue": {"kind": venue, "sim": {"feed": feed}}, "learning": {"gate": gate}}
    assert market_of(Settings.model_validate(tree)) == text
