import numpy as np

from bnml.kernels.features import FeatureLayout, bar_floats, features_batch, new_state
from bnml.kernels.history import remember_step
from tests.trading.kit import HOUR_NS, instrument, random_bars

LAYOUT = FeatureLayout(HOUR_NS, (4 * HOUR_NS,))
ATR = LAYOUT.column("atr_ratio_14")


def test_each_bar_leaves_the_row_of_the_batch_and_the_last_values_in_their_order():
    one, bars = instrument(), random_bars(300, 4, gaps=5)
    rows = np.full((len(bars), LAYOUT.count), np.nan)
    floats = bar_floats(bars, one.tick_e8, one.lot_e8)
    features_batch(new_state(LAYOUT), LAYOUT.frames_ns, bars["ts_open_ns"].copy(), *floats, rows)
    state, row = new_state(LAYOUT), np.full(LAYOUT.count, np.nan)
    times, closes, ratios = np.zeros(50, np.int64), np.zeros(50, np.int64), np.full(20, np.nan)
    for index, bar in enumerate(bars):
        ts_open_ns, *numbers = bar.item()
        remember_step(
            state, LAYOUT.frames_ns, ts_open_ns, ts_open_ns + HOUR_NS, *numbers, one.tick_e8, one.lot_e8,
            row, index, times, closes, ratios, ATR,
        )  # fmt: skip
        assert row.tobytes() == rows[index].tobytes()
        kept, few = min(index + 1, 50), min(index + 1, 20)
        assert closes[:kept].tolist() == bars["close"][index + 1 - kept : index + 1].tolist()
        assert times[kept - 1] == ts_open_ns + HOUR_NS
        assert np.array_equal(ratios[:few], rows[index + 1 - few : index + 1, ATR], equal_nan=True)
