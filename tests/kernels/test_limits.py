import numpy as np
import pytest

from bnml.kernels import breakers, limits, records
from bnml.kernels.records import MoodRegime, Reason
from tests.twins import random_market as market

E8 = 10**8
HOUR_NS = market.HOUR_NS
LIMITS = {**market.LIMITS, "min_global_score": 50.0, "top_n": 3}
GOOD = {
    "ts_ns": 100 * HOUR_NS,
    "held": 0,
    "active": 1,
    "global_score": 50.0,
    "rank": 3,
    "confidence": 65.0,
    "spread_ppm": 1_500,
    "depth_e8": 50_000 * E8,
    "expected_edge_ppm": 0.5,
    "open_positions": 4,
    "equity_e8": 9_850 * E8,
    "day_start_equity_e8": 10_000 * E8,
    "week_start_equity_e8": 10_400 * E8,
    "drawdown_until_ns": 100 * HOUR_NS,
    "drawdown_ppm": 210_000,
    "losses_in_row": 3,
    "loss_until_ns": 100 * HOUR_NS,
    "volatility_ratio": 1.5,
    "ks": 0.5,
    "ks_p": 0.051,
    "drift_volatility_ratio": 1.79,
    "mood_score": -0.34,
    "mood_confidence": 69.9,
    "mood_side": -1,
    "mood_risk": 1.2,
    "mood_regime": MoodRegime.BEAR_PRESSURE,
    "correlation": 0.85,
    "active_e8": 6_000 * E8,
    "exposure_e8": 4_194 * E8,
    "wanted_e8": 6 * E8,
    "size_e8": 6 * E8,
    "minimum_e8": 6 * E8,
    "risk_e8": 50 * E8,
}
"""A candidate at the very edge of every limit: it passes all of them, and none has room left."""

BAD = {  # reason: (what is changed, measured, limit)
    Reason.ALREADY_HELD: ({"held": 1}, 1.0, 0.0),
    Reason.NOT_ACTIVE: ({"active": 0}, 0.0, 1.0),
    Reason.GLOBAL_SCORE: ({"global_score": 49.9}, 49.9, 50.0),
    Reason.NOT_IN_TOP: ({"rank": 4}, 4.0, 3.0),
    Reason.CONFIDENCE: ({"confidence": 64.9}, 64.9, 65.0),
    Reason.SPREAD: ({"spread_ppm": 1_501}, 0.1501, 0.15),
    Reason.DEPTH: ({"depth_e8": 50_000 * E8 - 1}, 49_999.99999999, 50_000.0),
    Reason.EXPECTED_EDGE: ({"expected_edge_ppm": 0.0}, 0.0, 0.0),
    Reason.MAX_POSITIONS: ({"open_positions": 5}, 5.0, 5.0),
    Reason.DAILY_LOSS: ({"equity_e8": 9_500 * E8}, 5.0, 5.0),
    Reason.DRAWDOWN: ({"drawdown_until_ns": 100 * HOUR_NS + 1}, 21.0, 20.0),
    Reason.LOSS_STREAK: ({"loss_until_ns": 100 * HOUR_NS + 1}, 3.0, 3.0),
    Reason.VOLATILITY: ({"volatility_ratio": 1.51}, 1.51, 1.5),
    Reason.DRIFT: ({"ks_p": 0.05}, 0.5, 0.24),
    Reason.MARKET_SELL: ({"mood_confidence": 70.0}, 70.0, 70.0),
    Reason.MARKET_RISK_OFF: ({"mood_regime": MoodRegime.RISK_OFF}, 1.2, 1.0),
    Reason.MARKET_SCORE: ({"mood_score": -0.35}, -0.35, -0.35),
    Reason.CORRELATION: ({"correlation": 0.86}, 0.86, 0.85),
    Reason.DAILY_BUDGET: ({"risk_e8": 51 * E8}, 2.01, 2.0),
    Reason.WEEKLY_BUDGET: ({"week_start_equity_e8": 10_500 * E8}, 700 / 105, 6.0),
    Reason.EXPOSURE: ({"exposure_e8": 4_194 * E8 + 1}, 70.0, 70.0),
    Reason.MINIMUM_SIZE: ({"wanted_e8": 6 * E8 - 1}, 5.99999999, 6.0),
    Reason.CAPITAL: ({"size_e8": 6 * E8 - 1}, 5.99999999, 6.0),
}
ORDER = list(BAD)


def refusal(**changes):
    facts = market.filled(records.FACTS, {**GOOD, **changes})
    return limits.first_refusal(facts[0], market.filled(records.LIMITS, LIMITS)[0])


def test_a_candidate_at_the_edge_of_every_limit_passes():
    assert refusal() == (Reason.NONE, 0.0, 0.0)


@pytest.mark.parametrize("reason", ORDER)
def test_each_rule_refuses_one_step_beyond_with_value_and_limit(reason):
    changes, measured, limit = BAD[reason]
    assert refusal(**changes) == (reason, pytest.approx(measured), pytest.approx(limit))


def test_every_refusing_reason_has_a_rule_and_they_are_asked_in_their_order():
    assert [*ORDER] == [reason for reason in Reason if reason >= Reason.ALREADY_HELD]
    everything = {}
    for reason in reversed(ORDER):
        everything = {**everything, **BAD[reason][0]}
        assert refusal(**everything)[0] == reason


def test_drift_is_also_a_change_of_volatility():
    assert refusal(drift_volatility_ratio=1.8) == (Reason.DRIFT, 1.8, 1.8)


@pytest.mark.parametrize("side", [0, 1])
def test_a_market_that_does_not_say_sell_may_be_as_sure_as_it_likes(side):
    assert refusal(mood_side=side, mood_confidence=100.0)[0] == Reason.NONE


def test_a_market_of_too_few_voices_refuses_nothing():
    nothing = {"mood_regime": 0, "mood_side": 0, "mood_confidence": 0.0, "mood_risk": 0.0}
    assert refusal(**nothing, mood_score=-1.0)[0] == Reason.NONE


def test_an_edge_that_nobody_knows_passes():
    assert refusal(expected_edge_ppm=np.nan)[0] == Reason.NONE


class Memory:
    """A BREAKERS record and the limits it is moved by."""

    def __init__(self, **changes):
        self.limits = market.filled(records.LIMITS, {**market.LIMITS, **changes})[0]
        self.record = records.record(records.BREAKERS)

    def roll(self, hour, equity):
        ts_ns = market.START_NS + hour * HOUR_NS
        breakers.roll(self.record[0], ts_ns, ts_ns // (24 * HOUR_NS), equity, self.limits)
        return self

    def __getattr__(self, name):
        return int(self.record[name][0])


def test_days_and_weeks_begin_with_their_first_scan():
    memory = Memory().roll(5, 1_000)  # Saturday 2023-07-01, 05:00
    assert (memory.day_start_equity_e8, memory.week_start_equity_e8) == (1_000, 1_000)
    memory.roll(23, 990)
    assert memory.day_start_equity_e8 == 1_000
    memory.roll(24, 980)
    assert (memory.day_start_equity_e8, memory.week_start_equity_e8) == (980, 1_000)
    memory.roll(48, 970)  # Monday
    assert (memory.day_start_equity_e8, memory.week_start_equity_e8) == (970, 970)


def test_a_drawdown_pauses_and_then_the_peak_starts_anew():
    memory = Memory().roll(0, 1_000_000).roll(1, 1_200_000)
    memory.roll(2, 960_001)
    assert memory.drawdown_until_ns == 0
    memory.roll(3, 960_000)
    assert memory.drawdown_ppm == 240_000
    until = market.START_NS + (3 + 168) * HOUR_NS
    assert memory.drawdown_until_ns == until
    memory.roll(50, 1_300_000)
    assert memory.peak_equity_e8 == 1_200_000
    memory.roll(3 + 168, 900_000)
    assert (memory.drawdown_until_ns, memory.peak_equity_e8) == (0, 900_000)
    memory.roll(4 + 168, 720_001)
    assert memory.drawdown_until_ns == 0


def test_losses_in_a_row_pause_from_the_last_one_and_then_count_from_zero():
    memory = Memory()
    for hour in (1, 2, 3):
        breakers.note_closed(memory.record[0], -1, market.START_NS + hour * HOUR_NS, memory.limits)
    assert (memory.losses_in_row, memory.loss_until_ns) == (3, market.START_NS + 15 * HOUR_NS)
    assert memory.roll(14, 100).losses_in_row == 3
    assert memory.roll(15, 100).losses_in_row == 0


def test_two_losses_are_not_forgotten_and_a_result_of_zero_ends_the_streak():
    memory = Memory()
    for hour in (1, 2):
        breakers.note_closed(memory.record[0], -1, market.START_NS + hour * HOUR_NS, memory.limits)
    assert memory.roll(40, 100).losses_in_row == 2
    breakers.note_closed(memory.record[0], 0, market.START_NS + 41 * HOUR_NS, memory.limits)
    assert memory.losses_in_row == 0


@pytest.mark.parametrize(("day", "week"), [(0, 0), (3, 0), (4, 1), (10, 1), (11, 2), (19_539, 2_791)])
def test_weeks_begin_on_monday(day, week):
    assert breakers.week_of_day(day) == week
