import numpy as np
import pytest

from bnml.kernels import limits, mood
from bnml.kernels.breakers import copy_to_facts
from bnml.kernels.records import BREAKERS, FACTS, LIMITS, Action, MoodRegime, Reason, record
from tests.twins import random_market as market
from tests.twins.mood_twin import Mood

E8 = 10**8
CALM = {
    "spoke": 1,
    "action": Action.HOLD,
    "confidence": 50.0,
    "score": 50.0,
    "momentum": 50.0,
    "spread_ppm": 300,
    "depth_e8": 100_000 * E8,
    "atr_ratio": 0.01,
    "direction": 0,
}
FALL = {"action": Action.SELL, "confidence": 0.0, "score": 10.0, "momentum": 10.0}
RISE = {"action": Action.BUY, "confidence": 100.0, "score": 90.0, "momentum": 90.0}
NAMES = ("scans", "atr", "score", "confidence", "side", "risk")


class Market:
    """A memory and the limits it is moved by."""

    def __init__(self, **changes):
        self.limits = market.filled(LIMITS, {**market.LIMITS, **changes})[0]
        self.memory = record(BREAKERS)

    def hear(self, *voices, times=1):
        rows = np.zeros(len(voices), dtype=mood.VOICE)
        for row, voice in zip(rows, voices, strict=True):
            for name, value in {**CALM, **voice}.items():
                row[name] = value
        for _ in range(times):
            crowd = np.zeros(mood.SUMS)
            mood.add_voices(crowd, rows, len(rows))
            mood.hear(crowd, 1, 0, len(rows), self.memory[0], self.limits)
        return self

    def refusal(self):
        """The first of the market's rules that refuses, and the regime."""
        facts = record(FACTS)
        copy_to_facts(self.memory[0], facts[0])
        rules = {
            Reason.MARKET_SELL: limits.market_sell,
            Reason.MARKET_RISK_OFF: limits.market_risk_off,
            Reason.MARKET_SCORE: limits.market_score,
        }
        refused = (reason for reason, rule in rules.items() if rule(facts[0], self.limits)[0])
        return next(refused, Reason.NONE), MoodRegime(self.regime)

    def __getattr__(self, name):
        return self.memory[f"mood_{name}"][0].item()


def test_a_calm_market_has_a_neutral_mood_and_refuses_nothing():
    calm = Market().hear({}, {}, {}, times=5)
    assert (calm.score, calm.side, calm.refusal()) == (0.0, 0, (Reason.NONE, MoodRegime.MEAN_REVERSION))
    assert mood.index_of(calm.score) == 50.0


@pytest.mark.parametrize("voices", [(), (FALL,), (FALL, FALL), (FALL, FALL, {**FALL, "spoke": 0})])
def test_fewer_than_three_voices_know_nothing(voices):
    silent = Market().hear(*voices, times=5)
    assert silent.refusal() == (Reason.NONE, MoodRegime.INSUFFICIENT_DATA)
    assert (silent.score, silent.confidence, silent.scans) == (0.0, 0.0, 0)


def test_three_voices_are_enough_unless_most_are_silent():
    mute = [{"spoke": 0}] * 6
    assert Market().hear(FALL, FALL, FALL, *mute[:5]).regime != MoodRegime.INSUFFICIENT_DATA
    assert Market().hear(FALL, FALL, FALL, *mute).regime == MoodRegime.INSUFFICIENT_DATA


def test_silence_forgets_the_score_and_nobody_listens_when_it_is_off():
    falling = Market().hear(FALL, FALL, FALL, times=4)
    assert falling.refusal()[0] == Reason.MARKET_SELL
    assert falling.hear(FALL).refusal() == (Reason.NONE, MoodRegime.INSUFFICIENT_DATA)
    falling.hear(FALL, FALL, FALL)
    assert falling.side == 0, "one scan is no streak"
    off = Market(mood_smoothing=0.0).hear(FALL, FALL, FALL, times=4)
    assert off.refusal() == (Reason.NONE, MoodRegime.INSUFFICIENT_DATA)


def test_a_market_where_all_sell_stops_entries_from_its_second_scan_on():
    falling = Market().hear(FALL, FALL, FALL)
    assert falling.refusal() == (Reason.MARKET_SCORE, MoodRegime.NEUTRAL), "sure, but only once"
    assert falling.confidence > 70.0
    assert falling.hear(FALL, FALL, FALL).refusal() == (Reason.MARKET_SELL, MoodRegime.BEAR_PRESSURE)


def test_a_market_that_sells_without_being_sure_is_refused_by_its_score_only():
    divided = [FALL, *[{"confidence": 10.0, "momentum": 20.0, "score": 50.0}] * 2]
    falling = Market().hear(*divided, times=9)
    assert -0.6 < falling.score < -0.4
    assert 0.0 < falling.confidence < 70.0
    assert falling.refusal() == (Reason.MARKET_SCORE, MoodRegime.BEAR_PRESSURE)
    assert Market(mood_min_score=-0.6).hear(*divided, times=9).refusal()[0] == Reason.NONE


def test_a_rising_market_refuses_nothing():
    rising = Market().hear(RISE, RISE, RISE, times=3)
    assert rising.refusal() == (Reason.NONE, MoodRegime.BULL_ACCELERATION)
    assert rising.score > 0.8


def test_a_wide_market_is_risk_off_unless_buyers_are_the_stronger_side():
    wide = {"spread_ppm": 1_800}
    assert Market().hear(wide, wide, wide).refusal() == (Reason.MARKET_RISK_OFF, MoodRegime.RISK_OFF)
    assert Market().hear(wide, wide, {**wide, "spread_ppm": 1_790}).refusal()[0] == Reason.NONE
    assert Market().hear(wide, wide, {**wide, **RISE}).refusal()[0] == Reason.NONE
    both = Market().hear({**wide, **FALL}, {**wide, **RISE}, wide)
    assert both.refusal()[0] == Reason.MARKET_RISK_OFF


def test_a_market_more_volatile_than_its_own_mean_is_risk_off_once_that_mean_is_known():
    wild = {"atr_ratio": 0.0136}
    early = Market().hear({}, {}, {}, times=95)
    assert early.hear(wild, wild, wild).refusal()[0] == Reason.NONE
    late = Market().hear({}, {}, {}, times=96)
    assert late.atr == pytest.approx(0.01)
    assert late.hear(wild, wild, wild).refusal() == (Reason.MARKET_RISK_OFF, MoodRegime.RISK_OFF)
    assert late.risk == pytest.approx(1.36 / 1.35)


def test_high_risk_with_buyers_is_named():
    wild = {**CALM, "spread_ppm": 7_200, "direction": 1}
    high = Market().hear(wild, wild, {**wild, "action": Action.BUY})
    assert high.refusal()[1] == MoodRegime.HIGH_RISK_NEUTRAL


def test_depth_weighs_and_a_book_without_depth_hardly_speaks():
    deep, thin = {**FALL, "depth_e8": 10**6 * E8}, {**RISE, "depth_e8": 0}
    assert Market().hear(deep, thin, thin).score < -0.5
    assert Market().hear({**deep, "depth_e8": 0}, {**thin, "depth_e8": 10**6 * E8}, thin).score > 0.5


def test_moving_together_counts_from_three_quarters_on():
    def pressed(ups, downs):
        voices = [{"direction": 1}] * ups + [{"direction": -1}] * downs
        return Market().hear(*voices).score

    assert pressed(7, 1) == 0.0
    assert pressed(8, 0) == pressed(0, 8) == pytest.approx(-0.3 * 0.2)


def test_the_twin_hears_the_same():
    draw = np.random.default_rng(1)
    regimes = set()
    heard, twin = Market(), Mood(market.LIMITS)
    lean = 0.0
    for _ in range(3_000):
        lean = 0.97 * lean + draw.normal(0, 0.25)
        wide = 5 * (draw.random() < 0.1)
        voices = [random_voice(draw, lean, wide) for _ in range(draw.integers(2, 9))]
        heard.hear(*voices)
        twin.hear(voices)
        for name in NAMES:
            assert getattr(heard, name) == pytest.approx(getattr(twin, name), abs=1e-9), name
        assert MoodRegime(heard.regime).name == twin.regime
        regimes.add(twin.regime)
    assert len(regimes) == 7


def random_voice(draw, lean, wide):
    belief = float(np.tanh(lean + draw.normal(0, 0.5)))
    return {
        "spoke": int(draw.random() < 0.85),
        "action": int(draw.choice([0, 1, 2], p=[0.1, 0.2, 0.7] if belief > 0.2 else [0.5, 0.4, 0.1])),
        "confidence": 50 + 50 * belief,
        "score": 50 + 40 * belief,
        "momentum": 50 + 45 * belief,
        "spread_ppm": int(draw.integers(100, 1_500) * (1 + wide)),
        "depth_e8": int(draw.integers(0, 10**6)) * E8,
        "atr_ratio": float(np.exp(draw.normal(-4.6, 0.4))),
        "direction": int(np.sign(draw.normal(lean, 0.3))),
    }
