"""Bars thought of in blocks say what each of them says alone, to the last bit."""

import numpy as np
import pytest

from bnml.bench.inputs import one_capital
from bnml.kernels.chorus import _millionth, _quotient, fits, new_chorus
from bnml.kernels.mood import BLOCK, SUMS, VOICE
from bnml.kernels.opining import Terms, _speak_alone, speak
from bnml.kernels.policy import sell_rank
from bnml.research.sweep_world import mind_of

BARS = 2 * BLOCK + 150


def market(seed, scale=1):
    """One symbol of the benchmark, with values missing here and there, scores in heaps, and prices and volumes scaled."""
    (data,), config = one_capital(1, BARS)
    random = np.random.default_rng(seed)
    bars = data.bars.copy()
    for name in ("open", "high", "low", "close"):
        bars[name] = np.maximum(1, bars[name] * scale // 1000)
    bars["volume_lots"] = bars["volume_lots"] * random.choice([0, 1, 1000], BARS)
    for column in data.columns.values():
        column[random.random(BARS) < 0.02] = np.nan
    data.probabilities[random.random(BARS) < 0.02, 1] = np.nan
    heaps = random.random(BARS) < 0.3
    data.probabilities[heaps] = random.choice([0.1, 0.3, 0.9], (int(heaps.sum()), 3))
    data.policy["score_quantiles"] = np.sort(
        random.choice([-0.8, -0.6, 0.0, 0.2, *random.normal(0, 0.3, 60)], (1, 101))
    )
    data.policy["cut"] = 0.3
    return data, bars, config


def crowds_of(data, bars, config, start, *, together):
    mind = mind_of(data, config)
    base_ns = int(bars["ts_open_ns"][0]) + data.frame_ns
    terms = Terms(data.instrument_record[0], config.costs[0], base_ns, data.frame_ns)
    crowds = np.zeros(-(-BARS // BLOCK) * SUMS * BLOCK)
    nobody = np.empty(0, dtype=np.int64), np.empty(0, dtype=VOICE)
    if together:
        speak(mind, bars, terms, start, BARS - 1, crowds, new_chorus(), *nobody)
    else:
        for t in range(start, BARS - 1):
            _speak_alone(mind, bars, terms, sell_rank(mind.policy), t, crowds, 0, *nobody)
    return crowds


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("scale", "start"), [(1, 0), (1000, 1), (50_000, 3)])
def test_blocks_say_what_each_bar_says(seed, scale, start):
    data, bars, config = market(seed, scale)
    together = crowds_of(data, bars, config, start, together=True)
    assert together[:BLOCK].sum() > BLOCK / 2
    assert together.tobytes() == crowds_of(data, bars, config, start, together=False).tobytes()


def test_only_values_whose_quotients_are_exact_are_thought_of_together():
    data, bars, config = market(1, 1000)
    rest = data.frame_ns, config.costs[0], new_chorus()
    assert fits(bars, 0, BLOCK, *rest)
    bars["volume_lots"][5] = 1 << 50
    assert not fits(bars, 0, BLOCK, *rest)


def test_a_bar_that_is_missing_makes_those_around_it_speak_alone():
    data, bars, config = market(1, 1000)
    assert not fits(np.delete(bars, 7), 0, BLOCK, data.frame_ns, config.costs[0], new_chorus())


def test_quotients_are_exact_where_floats_are_not():
    random = np.random.default_rng(5)
    for _ in range(2000):
        by = int(random.integers(1, 1 << 34))
        found = int(random.integers(0, min(1 << 50, (1 << 62) // by)))
        for amount in (found * by - 1, found * by, found * by + 1):
            if amount >= 0:
                assert _quotient(amount, by) == amount // by
        million = int(random.integers(0, 1 << 42)) * 1_000_000
        for amount in (million, million + 999_999):
            assert _millionth(amount) == amount // 1_000_000
