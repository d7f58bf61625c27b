"""Settings become records completely and in the right units; every reason has words."""

import pytest
from pydantic import ValidationError

from bnml.config import Settings
from bnml.kernels.records import COSTS, INSTRUMENT, LIMITS, RULES, FillTier, Reason
from bnml.trading.compile import compile_engine, compile_layout, compile_limits, instrument_record, limits_of
from bnml.trading.risk.limits import WORDS, explain
from bnml.trading.risk.settings import RiskSettings
from bnml.trading.settings import CapitalSettings, ScannerSettings
from tests.trading.kit import config, instrument, settings

RESEARCH_ONLY = ("trail_ppm", "target1_r_ppm", "target2_r_ppm", "from_fill", "entry_taking")
HOUR_NS = 3_600_000_000_000


def test_every_field_of_every_record_is_set():
    made = config(settings(capital={"max_quote": 5000.5}))
    for record, dtype, may_be_zero in (
        (made.rules, RULES, {"exit_on_sell", *RESEARCH_ONLY}),
        (made.limits, LIMITS, {"min_expected_edge_ppm"}),
        (made.costs, COSTS, set()),
    ):
        assert record.dtype == dtype
        assert {name for name in dtype.names if record[name][0] == 0} <= may_be_zero


@pytest.mark.parametrize(
    ("record", "field", "value"),
    [
        ("rules", "price_cap_ppm", 5_000),
        ("rules", "stop_atr_ppm", 1_500_000),
        ("rules", "hard_stop_ppm", 30_000),
        ("rules", "trail_step_ppm", 1_000),
        ("rules", "share2_ppm", 300_000),
        ("rules", "time_stop_ns", 48 * HOUR_NS),
        ("limits", "active_ppm", 600_000),
        ("limits", "max_quote_e8", 0),
        ("limits", "max_cost_e8", 0),
        ("limits", "max_spread_ppm", 1_500),
        ("limits", "mood_max_spread_ppm", 1_800),
        ("limits", "mood_min_score", -0.35),
        ("limits", "min_depth_e8", 50_000 * 10**8),
        ("limits", "min_confidence", 65.0),
        ("limits", "drawdown_pause_ns", 168 * HOUR_NS),
        ("limits", "daily_budget_ppm", 20_000),
        ("costs", "tier", FillTier.F1),
        ("costs", "taker_ppm", 1_000),
        ("costs", "spread_floor_ppm", 100),
        ("costs", "spread_range_ppm", 5_000),  # half a basis point per percent of range
        ("costs", "volume_share_ppm", 100_000),
    ],
)
def test_defaults_have_these_units(record, field, value):
    assert getattr(compile_engine(Settings(), config().ids), record)[field][0] == value


def test_frames_at_or_below_the_base_are_left_out():
    layout = compile_layout(
        settings(features={"base_frame": "4h", "higher_frames": ["1h", "4h", "1d"]}).features
    )
    assert [int(frame) for frame in layout.frames_ns] == [4 * HOUR_NS, 24 * HOUR_NS]


def test_an_instrument_record_repeats_the_instrument():
    one = instrument("DOGEUSDT", 1_000, 100_000_000)
    made = instrument_record(one)
    assert made.dtype == INSTRUMENT
    assert all(made[name][0] == getattr(one, name) for name in INSTRUMENT.names if name != "symbol_key")
    assert made["symbol_key"][0] != instrument_record(instrument())["symbol_key"][0]


def test_every_reason_has_words_and_measured_rules_show_their_value():
    assert set(WORDS) == set(Reason)
    assert explain(Reason.SPREAD, 0.2, 0.15) == "spread too wide (%): 0.2, limit 0.15"
    assert explain(Reason.NO_MODEL, 0.0, 0.0) == "no model"


def limits_for(symbol: str, **risk: object) -> tuple[int, int, float]:
    settings = RiskSettings(max_spread_pct=0.2, min_depth_quote=1_000, max_correlation=0.8, **risk)
    shared = compile_limits(settings, CapitalSettings(), ScannerSettings())
    own = limits_of(symbol, "USDT", shared, settings)
    return (
        int(own["max_spread_ppm"][0]),
        int(own["min_depth_e8"][0]),
        round(float(own["max_correlation"][0]), 9),
    )


def test_a_mood_that_is_off_is_heard_by_nobody_and_a_stricter_one_stops_entries_sooner():
    def limits(profile):
        return compile_limits(RiskSettings(market_mood=profile), CapitalSettings(), ScannerSettings())[0]

    assert limits("off")["mood_smoothing"] == 0.0
    for strict, free in (("defensive", "neutral"), ("neutral", "aggressive")):
        one, other = limits(strict), limits(free)
        assert one["mood_min_score"] > other["mood_min_score"]
        for name in ("mood_max_volatility", "mood_max_spread_ppm", "mood_sell_confidence"):
            assert one[name] < other[name]


def test_deep_markets_have_wider_limits_than_the_others():
    assert limits_for("BTCUSDT") == (2_200, 900 * 10**8, 0.85)
    assert limits_for("DOGEUSDT") == (1_900, 1_100 * 10**8, 0.75)


def test_an_override_replaces_one_limit_of_one_symbol():
    lines = ("DOGEUSDT max_spread_pct 0.5", "DOGEUSDT max_correlation 1", "ADAUSDT min_depth_quote 7")
    assert limits_for("DOGEUSDT", overrides=lines) == (5_000, 1_100 * 10**8, 1.0)
    assert limits_for("ADAUSDT", overrides=lines) == (1_900, 7 * 10**8, 0.75)
    assert limits_for("XRPUSDT", overrides=lines) == limits_for("BTCUSDT")


@pytest.mark.parametrize(
    "line", ["DOGEUSDT", "DOGEUSDT max_spred_pct 1", "DOGEUSDT max_spread_pct wide", "X max_correlation -1"]
)
def test_an_override_that_cannot_be_read_is_refused(line):
    with pytest.raises(ValidationError, match=r"is no override|is not a number"):
        RiskSettings(overrides=(line,))
