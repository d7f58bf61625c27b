"""Runs again: nothing changed gives the same, chance is seeded, and break-even is where nothing is left."""

import numpy as np
import pytest

from bnml.kernels.records import FillTier
from bnml.research.market import Market
from bnml.research.models import Models
from bnml.research.reruns import model_reruns, quantiles, sampled
from bnml.research.runs import run_sweep
from bnml.research.sensitivity import PRECISION_PPM, _last_profit, scaled, sensitivity
from tests.trading.kit import EAGER, HOUR_NS, START_NS, instrument, lively_bars, settings

E8 = 10**8
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def reruns():
    made = Market(
        {name: instrument(name) for name in SYMBOLS},
        {name: lively_bars(900, 20 + seed) for seed, name in enumerate(SYMBOLS)},
        HOUR_NS,
        START_NS + 500 * HOUR_NS,
    )
    return model_reruns(settings(**EAGER, decision={"without_model": "rule"}), made, Models(None, {}))


@pytest.fixture(scope="module")
def hours(reruns):
    return np.arange(reruns.market.first_ns, reruns.market.end_ns + 1, HOUR_NS)


def test_the_run_again_is_the_run(reruns, hours):
    chosen = settings(**EAGER, decision={"without_model": "rule"})
    again = reruns.again(reruns.config.costs, hours)
    run = run_sweep(chosen, reruns.market, Models(None, {}))
    assert again.trades == run.trades
    assert {trade.symbol for trade in run.trades} == set(SYMBOLS)
    assert again.final_pnl_e8 == run.final_equity_e8 - 10_000 * E8
    assert again.pnl_e8[0] == 0
    assert again.pnl_e8[-1] == again.final_pnl_e8
    assert again.pnl_e8[77] == run.equity[76].equity_e8 - 10_000 * E8


def test_random_entries_are_seeded_and_no_more_than_asked_for(reruns, hours):
    first, same = (sampled(reruns, {"BTCUSDT": 12}, hours, 3, seed=5) for _ in range(2))
    other = sampled(reruns, {"BTCUSDT": 12}, hours, 3, seed=6)
    assert [one.final_pnl_e8 for one in first] == [one.final_pnl_e8 for one in same]
    assert [one.final_pnl_e8 for one in first] != [one.final_pnl_e8 for one in other]
    for one in first:
        entries = {trade.ts_ns for trade in one.trades if trade.pnl_e8 == 0 and trade.side.value == "BUY"}
        assert 6 <= len(entries) <= 12
        assert {trade.symbol for trade in one.trades} == {"BTCUSDT"}
    low, high = quantiles([one.pnl_e8 for one in first], (0.0, 1.0))
    assert (low <= high).all()
    assert high[-1] == max(one.final_pnl_e8 for one in first)


def test_the_initial_risk_is_what_the_loop_puts_at_risk(reruns, hours):
    """A position that was stopped at its level lost about one R before costs."""
    assert reruns.initial_risk("BTCUSDT", 0) == 0
    bars = reruns.market.bars["BTCUSDT"]
    risk = reruns.initial_risk("BTCUSDT", int(bars["ts_open_ns"][700]))
    ratio = reruns.config.rules["hard_stop_ppm"][0] / 1e6
    assert 0 < risk <= bars["close"][699] * ratio + 1


def test_costs_take_what_they_are(reruns, hours):
    found = sensitivity(reruns, hours, 10_000 * E8)
    rows = {row["case"]: row for row in found.table.records()}
    own = FillTier(int(reruns.config.costs["tier"][0])).name
    as_configured = rows[f"{own}, 1x costs (as configured)"]
    again = reruns.again(reruns.config.costs, hours)
    assert as_configured["net_return"] == again.final_pnl_e8 / (10_000 * E8)
    assert rows[f"{own}, no costs"]["cost_bps"] == 0
    assert rows[f"{own}, no costs"]["net_return"] > as_configured["net_return"]
    assert rows[f"{own}, 2x costs"]["cost_bps"] == pytest.approx(2 * as_configured["cost_bps"], rel=0.1)
    assert as_configured["cost_bps"] == found.cost_bps


def test_another_tier_fills_otherwise(reruns, hours):
    """Nothing of a bar's volume may be taken: F1 enters nothing, F0 does not look at volume."""
    bought = {}
    for tier in FillTier:
        costs = scaled(reruns.config.costs, 1.0, tier)
        costs["volume_share_ppm"] = 0
        bought[tier] = len(reruns.again(costs, hours).trades)
    assert bought[FillTier.F1] == 0
    assert bought[FillTier.F0] > 0


@pytest.mark.parametrize(("seed", "drift", "is_found"), [(23, 0.0005, True), (21, -0.002, False)])
def test_at_break_even_nothing_is_left(seed, drift, is_found):
    """A market that rises pays who is in it, until commission eats it; one that falls pays nobody."""
    bars = lively_bars(900, seed)
    trend = np.exp(drift * np.arange(len(bars)))
    for name in ("open", "high", "low", "close"):
        bars[name] = np.rint(bars[name] * trend)
    made = Market({"BTCUSDT": instrument("BTCUSDT")}, {"BTCUSDT": bars}, HOUR_NS, START_NS + 500 * HOUR_NS)
    again = model_reruns(settings(**EAGER, decision={"without_model": "rule"}), made, Models(None, {}))
    ends = np.array([made.end_ns])
    found = sensitivity(again, ends, 10_000 * E8).break_even_bps
    assert (found is not None) == is_found
    if is_found:
        costs = scaled(again.config.costs, 1.0, FillTier.F1)
        whole = again.again(costs, ends).final_pnl_e8
        rest = found - sensitivity(again, ends, 10_000 * E8).cost_bps
        costs["maker_ppm"] = costs["taker_ppm"] = round(100 * (10 + rest))
        assert abs(again.again(costs, ends).final_pnl_e8) < 0.1 * abs(whole)


@pytest.mark.parametrize("edge", [40, 900, 3_300, 20_000])
@pytest.mark.parametrize("curve", [1.0, 0.5, 3.0])
def test_the_last_profit_is_found_on_any_falling_curve(edge, curve):
    asked = []

    def pnl(ppm):
        asked.append(ppm)
        return round(1e12 * (1 - (ppm / edge) ** curve))

    found = _last_profit(pnl)
    assert pnl(found) > 0
    assert pnl(found + PRECISION_PPM) <= 0
    assert len(asked) < 24
    assert _last_profit(lambda _ppm: -5) is None
    assert _last_profit(lambda _ppm: 5) is None
