"""Limits that every entry must pass, and the breakers that stop entries altogether."""

from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from bnml.schema import Settings, section, setting


class SymbolLimits(Settings):
    """Limits of one symbol that replace the general ones."""

    max_spread_pct: float | None = setting(None, "%", "widest spread of an entry", gt=0, le=10)
    min_depth_quote: float | None = setting(None, "quote asset", "least depth near the price", ge=0)
    max_correlation: float | None = setting(None, "correlation", "highest correlation", ge=0, le=1)


class BreakerSettings(Settings):
    """States of account and market in which nothing new is opened."""

    daily_drawdown_pct: float = setting(
        5.0, "% of the day's first equity", "loss of a day that stops entries", gt=0, le=100
    )
    max_drawdown_pct: float = setting(
        15.0,
        "% of the highest equity",
        "loss from the peak that stops entries until an operator resets it",
        gt=0,
        le=100,
    )
    loss_streak: int = setting(3, "trades", "losing trades in a row that stop entries", ge=1, le=100)
    loss_streak_pause_h: float = setting(
        12.0, "h, market time", "length of that stop; it also ends with the day", gt=0, le=720
    )
    volatility_ratio: float = setting(
        1.5, "ratio", "benchmark's ATR ratio over its median that stops entries", gt=0, le=100
    )
    volatility_window: int = setting(96, "base bars", "length of that median", ge=8, le=2000)
    drift_statistic: float = setting(
        0.24, "KS distance", "distance of recent from earlier returns that stops entries", gt=0, le=1
    )
    drift_p_value: float = setting(0.05, "probability", "and the p-value that it must not exceed", gt=0, lt=1)
    drift_volatility_ratio: float = setting(
        1.8, "ratio", "recent over earlier volatility that stops entries", gt=0, le=100
    )
    drift_recent: int = setting(64, "base bars", "length of the recent returns", ge=8, le=2000)
    drift_baseline: int = setting(240, "base bars", "length of the earlier returns", ge=16, le=5000)


class RiskSettings(Settings):
    """Every rule of the risk manager; a refusal names the rule, the measured value and the limit."""

    time_zone: str = setting("UTC", "IANA time zone", "in which a day and a week begin")
    min_confidence: float = setting(65.0, "points of 100", "lowest confidence of an entry", ge=0, le=100)
    max_spread_pct: float = setting(0.15, "%", "widest spread of an entry", gt=0, le=10)
    min_depth_quote: float = setting(50_000.0, "quote asset", "least depth within 0.5 % of the price", ge=0)
    max_benchmark_correlation: float = setting(
        0.70, "correlation", "highest correlation with the benchmark", ge=0, le=1
    )
    max_position_correlation: float = setting(
        0.85, "correlation", "highest correlation with any open position", ge=0, le=1
    )
    correlation_bars: int = setting(300, "base bars", "length of both correlations", ge=30, le=5000)
    min_expected_net_pct: float = setting(0.30, "%", "lowest expected net profit of an entry", ge=-10, le=100)
    max_positions: int = setting(5, "positions", "most positions open at once", ge=1, le=500)
    max_exposure_pct: float = setting(
        70.0, "% of active capital", "most capital in positions at once", gt=0, le=100
    )
    risk_per_trade_pct: float = setting(
        1.0, "% of equity", "what an entry may lose at its initial stop", gt=0, le=20
    )
    daily_budget_pct: float = setting(
        2.0,
        "% of the day's first equity",
        "loss of the day, with the new entry's risk, that is allowed",
        gt=0,
        le=100,
    )
    weekly_budget_pct: float = setting(
        6.0,
        "% of the week's first equity",
        "loss of the week, with the new entry's risk, that is allowed",
        gt=0,
        le=100,
    )
    major_spread_factor: float = setting(
        1.10, "factor", "max_spread_pct of majors is multiplied by this", gt=0, le=10
    )
    minor_spread_factor: float = setting(0.95, "factor", "max_spread_pct of all others", gt=0, le=10)
    major_depth_factor: float = setting(
        0.90, "factor", "min_depth_quote of majors is multiplied by this", gt=0, le=10
    )
    minor_depth_factor: float = setting(1.10, "factor", "min_depth_quote of all others", gt=0, le=10)
    major_correlation_shift: float = setting(
        0.05, "correlation", "added to max_benchmark_correlation of majors", ge=-1, le=1
    )
    minor_correlation_shift: float = setting(
        -0.05, "correlation", "added to max_benchmark_correlation of all others", ge=-1, le=1
    )
    breakers: BreakerSettings = section(BreakerSettings, "states in which nothing new is opened")
    symbols: dict[str, SymbolLimits] = setting(
        {}, "by Binance symbol", "limits of single symbols, before the factors"
    )

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f'"{name}" is no time zone: write one such as "UTC" or "Europe/Paris"'
            ) from error
        return name

    @model_validator(mode="after")
    def _budgets_nest(self) -> Self:
        if self.weekly_budget_pct < self.daily_budget_pct:
            raise ValueError("weekly_budget_pct lies below daily_budget_pct")
        return self
