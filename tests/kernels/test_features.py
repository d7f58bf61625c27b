import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from bnml.kernels.features import FORMULAS, FeatureLayout, features_step, features_step_many, new_state
from tests.kernels.features_kit import (
    DEFAULT,
    HOUR_NS,
    HOURLY,
    invented,
    part,
    recorded,
    rows_of,
    same_bytes,
)
from tests.twins.frames import feature_columns

ROOT = Path(__file__).resolve().parents[2]
FRAMES = [("mtf_4h_", 4 * HOUR_NS), ("mtf_1d_", 24 * HOUR_NS)]


def assert_equals_twin(layout, bars, frames):
    rows = rows_of(layout, bars)
    twin = feature_columns(
        [tuple(x) for x in zip(*(c.tolist() for c in bars), strict=True)], layout.base_frame_ns, frames
    )
    assert set(twin) == set(layout.names)
    for index, name in enumerate(layout.names):
        mine, naive = rows[:, index], np.array(twin[name], dtype=float)
        known = ~np.isnan(mine)
        # A base column appears exactly with its warm-up; a higher one with the candle that completes it.
        first = int(known.argmax()) if known.any() else len(known)
        assert known[first:].all(), name
        if not name.startswith("mtf_"):
            assert first == min(layout.warmups[index] - 1, len(known)), name
        else:
            assert first <= layout.warmups[index] - 1 or not known.any(), name
        gap = np.abs(mine - naive) / np.maximum(1.0, np.abs(naive))
        assert not (gap[known] > 1e-9).any(), f"{name}: {np.nanmax(gap[known])}"
        if name.startswith(("mtf_4h_", "mtf_1d_")):
            assert (np.isnan(naive) == np.isnan(mine)).all(), name


def test_equals_the_naive_twin_on_a_recording_with_outages(data_dir):
    bars = recorded(data_dir, rows=slice(101, 3201))
    assert (np.diff(bars[0]) > 4 * HOUR_NS).any()
    assert_equals_twin(HOURLY, bars, FRAMES)


def test_equals_the_naive_twin_on_dull_and_jumping_prices():
    ts, o, h, low, c, v = invented(900)
    for column in (o, h, low, c):
        column[300:450] = 50.0  # nobody trades, then one jump, then nobody again
        column[450:600] = 75.0
    v[300:600] = 0.0
    v[450] = 3.0
    assert_equals_twin(HOURLY, (ts, o, h, low, c, v), FRAMES)


def test_without_higher_frames_the_base_votes_alone():
    layout = FeatureLayout(HOUR_NS)
    assert_equals_twin(layout, invented(700), [])
    assert (rows_of(layout, invented(700))[-1, layout.column("mtf_trend_strength_std")]) == 0.0


def test_step_equals_batch_bit_for_bit_at_every_index(data_dir):
    bars = recorded(data_dir, "ADAUSDT", "15m", slice(9, 5500))
    rows = rows_of(DEFAULT, bars)
    state, row = new_state(DEFAULT), np.empty(DEFAULT.count)
    columns = [column.tolist() for column in bars]
    for i, values in enumerate(zip(*columns, strict=True)):
        features_step(state, DEFAULT.frames_ns, *values, row)
        assert same_bytes(row, rows[i]), i


def test_many_symbols_in_one_call_equal_one_at_a_time():
    symbols = [invented(300, seed) for seed in range(5)]
    states = np.stack([new_state(HOURLY) for _ in symbols])
    rows = np.empty((len(symbols), HOURLY.count))
    for i in range(300):
        bar = tuple(np.array([bars[field][i] for bars in symbols]) for field in range(6))
        features_step_many(states, HOURLY.frames_ns, *bar, rows)
    for row, bars in zip(rows, symbols, strict=True):
        assert same_bytes(row, rows_of(HOURLY, bars)[-1])


def test_later_bars_never_change_an_earlier_row(data_dir):
    bars = recorded(data_dir, rows=slice(20_000, 24_000))
    rows = rows_of(HOURLY, bars)
    generator = np.random.default_rng(11)
    for cut in [1, 2, 3, *range(3000, 3030), *generator.integers(4, 4000, 30).tolist()]:
        assert same_bytes(rows_of(HOURLY, part(bars, slice(0, cut))), rows[:cut]), cut


def test_another_future_leaves_the_past_as_it_was(data_dir):
    bars = recorded(data_dir, rows=slice(20_000, 23_000))
    rows = rows_of(HOURLY, bars)
    for cut in range(2900, 2930):
        other = tuple(column.copy() for column in bars)
        for column in other[1:]:
            column[cut:] *= 3.0
        assert same_bytes(rows_of(HOURLY, other)[:cut], rows[:cut])


@pytest.mark.parametrize(
    ("layout", "symbol", "frame", "later"),
    [(DEFAULT, "ADAUSDT", "15m", 1013), (DEFAULT, "SOLUSDT", "15m", 90), (HOURLY, "ETHUSDT", "1h", 777)],
)
def test_a_value_does_not_depend_on_where_the_window_begins(data_dir, layout, symbol, frame, later):
    bars = recorded(data_dir, symbol, frame, slice(0, 9000))
    early, late = rows_of(layout, bars)[later:], rows_of(layout, part(bars, slice(later, None)))
    for index, name in enumerate(layout.names):
        left, right = early[layout.warmups[index] - 1 :, index], late[layout.warmups[index] - 1 :, index]
        assert np.isfinite(right).all(), name
        assert (np.abs(left - right) <= 1e-9 * np.maximum(1.0, np.abs(left))).all(), name
    # Windows do not remember at all: once sums were added up anew, the bytes agree.
    windows = [
        i for i, name in enumerate(layout.names) if name.startswith(("mtf_1", "mtf_4", "vwap", "vol", "roc"))
    ]
    assert same_bytes(early[layout.warmup_bars + 64 :, windows], late[layout.warmup_bars + 64 :, windows])


def test_values_are_finite_on_every_recording(data_dir):
    for path in sorted((data_dir / "binance_spot" / "1h").glob("*.parquet")):
        rows = rows_of(HOURLY, recorded(data_dir, path.stem))
        assert np.isfinite(rows[HOURLY.warmup_bars - 1 :]).all(), path.stem
        assert not np.isinf(rows).any(), path.stem


def test_a_market_without_life_has_the_stated_values():
    count = HOURLY.warmup_bars + 200
    flat = np.full(count, 2.5)
    bars = (np.arange(count) * HOUR_NS, flat, flat.copy(), flat.copy(), flat.copy(), np.zeros(count))
    row = dict(zip(HOURLY.names, rows_of(HOURLY, bars)[-1].tolist(), strict=True))
    stated = {
        "rsi_14": 50, "rsi_divergence": 0, "adx_14": 0, "stochastic_k": 50, "williams_r_14": -50, "cci_20": 0,
        "mfi_14": 50, "atr_acceleration": 0, "bollinger_b": 0.5, "keltner_position": 0.5, "volume_ratio_20": 1,
        "volatility_regime_14_96": 1, "variance_ratio_14_56": 1, "volume_balance_20": 0, "vwap_distance_96": 0,
        "efficiency_ratio_96": 0, "candle_body": 0, "mtf_4h_rsi_simple_14": 50, "mtf_1d_bollinger_b": 0.5,
        "mtf_1d_volatility_regime_14_48": 1, "mtf_trend_conflict": 1, "mtf_confluence_score": 0,
    }  # fmt: skip
    assert {name: pytest.approx(value, abs=1e-12) for name, value in stated.items()} == {
        n: row[n] for n in stated
    }
    assert np.isfinite(list(row.values())).all()


def test_one_bar_gives_the_shape_of_its_candle_and_nothing_else():
    row = rows_of(DEFAULT, tuple(np.array(x) for x in ([HOUR_NS], [2.0], [4.0], [1.0], [3.0], [0.0])))[0]
    known = {name for name, value in zip(DEFAULT.names, row, strict=True) if not np.isnan(value)}
    assert known == {"candle_body", "upper_shadow", "lower_shadow"}
    assert row[DEFAULT.column("candle_body")] == pytest.approx(1 / 3)


def higher_part(layout, rows, prefix):
    return rows[:, [i for i, name in enumerate(layout.names) if name.startswith(prefix)]]


def test_a_higher_candle_shows_only_when_it_is_closed():
    bars = invented(600)
    ts = bars[0]
    values = higher_part(HOURLY, rows_of(HOURLY, bars), "mtf_4h_")
    changed = [i for i in range(400, 600) if not same_bytes(values[i], values[i - 1])]
    ends = [(t + HOUR_NS) % (4 * HOUR_NS) == 0 for t in ts]
    for i in changed:
        closed_late = ts[i] // (4 * HOUR_NS) > ts[i - 1] // (4 * HOUR_NS) and not ends[i - 1]
        assert ends[i] or closed_late, i
    assert any(not ends[i] for i in changed), "a candle whose last bar is missing closes with the next bar"
    assert sum(ends[400:]) <= len(changed)


def test_an_unfinished_candle_is_never_seen():
    bars = invented(600)
    ts = bars[0]
    rows = higher_part(HOURLY, rows_of(HOURLY, bars), "mtf_1d_")
    inside = next(i for i in range(500, 600) if (ts[i] // HOUR_NS) % 24 == 5)
    wild = tuple(column.copy() for column in bars)
    for column in wild[1:]:
        column[inside] *= 10
    other = higher_part(HOURLY, rows_of(HOURLY, wild), "mtf_1d_")
    day = ts // (24 * HOUR_NS)
    still_open = (day == day[inside]) & ((ts + HOUR_NS) % (24 * HOUR_NS) != 0)
    assert same_bytes(other[still_open], rows[still_open])
    assert not same_bytes(other[day == day[inside] + 1], rows[day == day[inside] + 1])


def test_the_candle_in_which_the_recording_begins_is_left_out():
    bars = invented(300)
    whole = part(bars, slice(int(np.argmax(bars[0] % (24 * HOUR_NS) == 0)), None))
    cut = part(whole, slice(1, None))
    known = ~np.isnan(higher_part(HOURLY, rows_of(HOURLY, whole), "mtf_1d_roc_4")[1:, 0])
    later = ~np.isnan(higher_part(HOURLY, rows_of(HOURLY, cut), "mtf_1d_roc_4")[:, 0])
    assert 20 <= known.sum() - later.sum() <= 24


def test_the_step_allocates_nothing():
    def allocations(count):
        bars = invented(count)
        rows_of(HOURLY, bars)
        _nrt_python.memsys_enable_stats()
        try:
            before = rtsys.get_allocation_stats().alloc
            rows_of(HOURLY, bars)
            return rtsys.get_allocation_stats().alloc - before
        finally:
            _nrt_python.memsys_disable_stats()

    assert allocations(500) == allocations(50), "only the arguments of the call, none for a bar"


def test_a_fresh_process_gives_the_same_bytes():
    assert fresh_process("") == digest(rows_of(DEFAULT, invented(900, frame_ns=HOUR_NS // 4)))


def test_interpreted_and_compiled_agree():
    rows = rows_of(DEFAULT, invented(900, frame_ns=HOUR_NS // 4))
    script = "rows = rows_of(DEFAULT, tuple(c[:260] for c in bars)); print(repr(rows[-1].tolist()))"
    values = eval(fresh_process(script, NUMBA_DISABLE_JIT="1"), {"nan": np.nan})
    assert values == pytest.approx(rows[259].tolist(), rel=1e-12, abs=1e-12, nan_ok=True)


def digest(rows):
    return hashlib.sha256(rows.tobytes()).hexdigest()


def fresh_process(script, **environment):
    code = (
        "from tests.kernels.features_kit import *\n"
        "import hashlib\n"
        "bars = invented(900, frame_ns=HOUR_NS // 4)\n"
    ) + (script or "print(hashlib.sha256(rows_of(DEFAULT, bars).tobytes()).hexdigest())")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def test_changed_formulas_have_a_new_number():
    row = rows_of(DEFAULT, invented(5200, frame_ns=HOUR_NS // 4))[-1]
    text = " ".join(f"{value:.6g}" for value in row)
    assert (FORMULAS, hashlib.sha256(text.encode()).hexdigest()[:12]) == (1, "18325028c045"), (
        "the value of a column changed: raise FORMULAS and note the new hash"
    )


def test_default_layout_warms_up_within_sixty_days():
    assert DEFAULT.warmup_bars <= 60 * 96
    assert DEFAULT.count == len(set(DEFAULT.names)) == 50 + 3 * 18 + 8


def test_columns_that_decisions_read_exist():
    needed = {
        "rsi_14",
        "macd_histogram",
        "bollinger_b",
        "roc_4",
        "roc_16",
        "volume_ratio_20",
        "atr_ratio_14",
        "log_return_1",
    }
    assert needed <= set(FeatureLayout(HOUR_NS).names)


def test_versions_tell_layouts_apart():
    layouts = [DEFAULT, HOURLY, FeatureLayout(HOUR_NS), FeatureLayout(HOUR_NS // 4)]
    assert len({layout.version for layout in layouts}) == len(layouts)
    assert DEFAULT.version == FeatureLayout(DEFAULT.base_frame_ns, DEFAULT.higher_frames_ns).version


@pytest.mark.parametrize(
    "higher", [(HOUR_NS,), (HOUR_NS // 2,), (4 * HOUR_NS, 2 * HOUR_NS), (5 * HOUR_NS,), (7 * 24 * HOUR_NS,)]
)
def test_frames_that_do_not_nest_are_refused(higher):
    with pytest.raises(ValueError, match="higher frames ascend"):
        FeatureLayout(HOUR_NS, higher)
