import numpy as np
import pytest

from bnml.kernels import outcomes
from bnml.kernels.records import BAR, COSTS, INSTRUMENT, RULES, record
from tests.twins import outcomes as twin

HOUR = 3_600_000_000_000
COST_FIELDS = {
    "tier": 1, "seed": 7, "maker_ppm": 1000, "taker_ppm": 1000, "slippage_ppm": 200, "spread_floor_ppm": 100,
    "spread_range_ppm": 5000, "spread_cap_ppm": 1500, "volume_share_ppm": 100_000, "touch_ppm": 500_000,
}  # fmt: skip
RULE_FIELDS = {
    "price_cap_ppm": 5000, "stop_atr_ppm": 1_500_000, "hard_stop_ppm": 30_000, "trail_start_ppm": 20_000,
    "trail_atr_ppm": 1_000_000, "trail_step_ppm": 1000, "target1_ppm": 20_000, "target2_ppm": 40_000,
    "share1_ppm": 500_000, "share2_ppm": 300_000, "time_stop_ns": 48 * HOUR, "time_stop_band_ppm": 5000,
    "dust_ppm": 10_000, "exit_on_sell": 0,
}  # fmt: skip


def filled(dtype, fields):
    made = record(dtype)
    for name, value in fields.items():
        made[name] = value
    return made


def bars_of(rows):
    bars = np.zeros(len(rows), dtype=BAR)
    for index, (opened, high, low, close) in enumerate(rows):
        bars[index] = (index * HOUR, opened, high, low, close, 1000)
    return bars


def walk(count, seed, size=0.01):
    generator = np.random.default_rng(seed)
    close = 10_000 * np.exp(np.cumsum(generator.normal(0, size, count)))
    opened = np.concatenate([[10_000], close[:-1]]) * np.exp(generator.normal(0, size / 5, count))
    spread = np.abs(generator.normal(0, size / 2, (2, count)))
    high = np.maximum(opened, close) * (1 + spread[0])
    low = np.minimum(opened, close) * (1 - spread[1])
    return bars_of(np.rint(np.column_stack([opened, high, low, close])).astype(int).tolist())


def outcome(bars, row, atr_ratio=0.01, costs=None, rules=None):
    out = np.zeros(2)
    outcomes.entry_outcome(
        bars, row, atr_ratio, HOUR,
        filled(INSTRUMENT, {"tick_e8": 1, "symbol_key": 99})[0],
        filled(RULES, RULE_FIELDS | (rules or {}))[0], filled(COSTS, COST_FIELDS | (costs or {}))[0], out,
    )  # fmt: skip
    return out


FREE = dict.fromkeys(COST_FIELDS, 0)


@pytest.mark.parametrize(("seed", "tier"), [(1, 0), (2, 1), (3, 1)])
def test_twin_agrees_on_every_bar_of_a_walk(seed, tier):
    bars = walk(300, seed)
    costs = COST_FIELDS | {"tier": tier}
    out = np.zeros((len(bars), 2))
    outcomes.entry_outcomes(
        bars, np.arange(len(bars)), np.full(len(bars), 0.012), HOUR,
        filled(INSTRUMENT, {"symbol_key": 99})[0], filled(RULES, RULE_FIELDS)[0], filled(COSTS, costs)[0], out,
    )  # fmt: skip
    for row in range(len(bars)):
        expected = twin.entry(bars, row, 0.012, HOUR, {"symbol_key": 99}, RULE_FIELDS, costs)
        if expected is None:
            assert np.isnan(out[row, 0])
        else:
            assert out[row] == pytest.approx(expected, abs=1e-6)


def test_both_targets_and_a_trailed_runner_without_costs():
    rise = [
        (10_000, 10_000, 10_000, 10_000),
        (10_000, 10_500, 10_000, 10_500),
        (10_500, 10_500, 10_300, 10_300),
    ]
    net, held = outcome(bars_of(rise), 0, costs=FREE)
    # 50 % at +2 %, 30 % at +4 %, 20 % at the stop that trails one ATR (100) below the high of 10,500.
    assert net == pytest.approx(500_000 * 0.02 + 300_000 * 0.04 + 200_000 * 0.04)
    assert held == 2


def test_a_gap_below_the_stop_is_filled_at_the_open():
    fall = [(10_000, 10_000, 10_000, 10_000), (10_000, 10_000, 9_990, 9_990), (9_500, 9_600, 9_400, 9_600)]
    net, held = outcome(bars_of(fall), 0, costs=FREE)
    assert net == pytest.approx(-50_000)
    assert held == 2


def test_costs_of_a_flat_round_trip_by_the_time_stop():
    flat = bars_of([(10_000, 10_000, 10_000, 10_000)] * 60)
    net, held = outcome(flat, 0)
    assert held == 49  # decided on the close that is 48 h old, sold at the next open
    # Prices round to whole ticks against the taker: 10,003 paid, 9,997 got; two commissions of 0.1 %.
    assert net == pytest.approx(1e6 * (9_997 * 0.999 * 0.999 / 10_003 - 1))


def test_an_entry_beyond_the_price_cap_does_not_fill():
    jump = bars_of([(10_000, 10_000, 10_000, 10_000), (10_060, 10_060, 10_060, 10_060)])
    assert np.isnan(outcome(jump, 0)[0])


def test_the_last_bar_has_no_outcome():
    assert np.isnan(outcome(walk(5, 1), 4)[0])
