"""Limits of risk under which nearly every BUY is approved: to measure and to test, never for money."""

from __future__ import annotations

from typing import Final

EAGER_RISK: Final = {
    "min_ml_confidence": 0,
    "min_depth_quote": 0,
    "max_spread_pct": 10,
    "drift_p": 0.0001,
    "drift_ks": 1,
    "drift_volatility_ratio": 100,
    "max_volatility_ratio": 100,
    "min_expected_edge_pct": -10,
}
