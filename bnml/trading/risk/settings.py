"""Limits that every entry must pass, and the breakers that stop entries altogether."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from bnml.schema import Settings, setting

MarketMood = Literal["off", "defensive", "neutral", "aggressive"]


class MoodProfile(NamedTuple):
    """When the market as a whole speaks against entries; `kernels.records.LIMITS` says what each number is."""

    smoothing: float
    sell_score: float
    max_volatility: float  # ratio
    max_spread_pct: float
    sell_confidence: float
    min_score: float


MOOD_PROFILES: Final[Mapping[MarketMood, MoodProfile]] = {
    "off": MoodProfile(0.0, -1.0, 1e9, 100.0, 101.0, -2.0),
    "defensive": MoodProfile(0.22, -0.28, 1.2, 0.12, 64.0, -0.28),
    "neutral": MoodProfile(0.30, -0.22, 1.35, 0.18, 70.0, -0.35),
    "aggressive": MoodProfile(0.45, -0.14, 1.5, 0.30, 78.0, -0.45),
}

OVERRIDABLE = ("max_spread_pct", "min_depth_quote", "max_correlation")


def parse_override(line: str) -> tuple[str, str, float]:
    """`DOGEUSDT max_spread_pct 0.3` as (symbol, limit, value); ValueError says what is wrong with it."""
    words = line.split()
    if len(words) != 3 or words[1] not in OVERRIDABLE:
        raise ValueError(
            f'"{line}" is no override; write a symbol, one of {", ".join(OVERRIDABLE)}, and a number'
        )
    try:
        value = float(words[2])
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f'"{line}": {words[2]} is not a number of 0 or more')
    return words[0], words[1], value


class RiskSettings(Settings):
    """Every rule of the risk manager; a refusal names the rule, the measured value and the limit."""

    benchmark: str = setting(
        "BTCUSDT",
        "Binance symbol",
        "stands for the market in volatility and drift; if absent, the first symbol",
    )
    time_zone: str = setting("UTC", "IANA time zone", "in which a day and a week begin")
    risk_per_trade_pct: float = setting(
        0.5, "% of equity", "what an entry may lose at its initial stop", gt=0, le=20
    )
    max_position_pct: float = setting(20.0, "% of active capital", "largest position", gt=0, le=100)
    max_exposure_pct: float = setting(
        70.0, "% of active capital", "most capital in positions at once", gt=0, le=100
    )
    max_positions: int = setting(5, "positions", "most positions open at once", ge=1, le=500)
    min_ml_confidence: float = setting(65.0, "points of 100", "lowest confidence of an entry", ge=0, le=100)
    max_spread_pct: float = setting(0.15, "%", "widest spread of an entry", gt=0, le=10)
    min_depth_quote: float = setting(
        50_000.0, "quote asset", "least depth within 0.5 % of the price", ge=0, le=1e9
    )
    max_correlation: float = setting(
        0.85, "correlation", "highest correlation of 300 returns with any open position", ge=0, le=1
    )
    major_bases: tuple[str, ...] = setting(
        ("BTC", "ETH", "BNB", "SOL", "XRP"), "assets", "deep markets: the factors below widen their limits"
    )
    major_spread_factor: float = setting(1.1, "factor", "of max_spread_pct for majors", gt=0, le=10)
    other_spread_factor: float = setting(0.95, "factor", "of max_spread_pct for all others", gt=0, le=10)
    major_depth_factor: float = setting(0.9, "factor", "of min_depth_quote for majors", ge=0, le=10)
    other_depth_factor: float = setting(1.1, "factor", "of min_depth_quote for all others", ge=0, le=10)
    major_correlation_add: float = setting(
        0.05, "correlation", "added to max_correlation for majors", ge=-1, le=1
    )
    other_correlation_add: float = setting(
        -0.05, "correlation", "added to max_correlation for all others", ge=-1, le=1
    )
    overrides: tuple[str, ...] = setting(
        (),
        "such as [DOGEUSDT max_spread_pct 0.3]",
        "limits of single symbols instead of the above: max_spread_pct, min_depth_quote or max_correlation",
    )
    min_expected_edge_pct: float = setting(
        0.0, "%", "an entry's expected profit after costs must exceed this", ge=-10, le=100
    )
    max_daily_loss_pct: float = setting(
        5.0, "% of the day's first equity", "loss of a day that stops entries", gt=0, le=100
    )
    max_drawdown_pct: float = setting(
        20.0, "% of the highest equity", "loss that stops entries", gt=0, le=100
    )
    drawdown_pause_h: float = setting(
        168.0, "h, market time", "length of that stop; the peak starts anew", gt=0, le=8760
    )
    max_losses_in_row: int = setting(
        3, "positions", "losing positions in a row that stop entries", ge=1, le=100
    )
    loss_pause_h: float = setting(
        12.0, "h, market time", "length of that stop; the count starts anew", gt=0, le=8760
    )
    max_rejects_in_row: int = setting(
        5,
        "requests",
        "refused by the venue in a row that stop entries; three times as many halt",
        ge=2,
        le=1000,
    )
    rejects_pause_min: int = setting(15, "min, market time", "length of that stop", ge=1, le=10_080)
    max_volatility_ratio: float = setting(
        1.5, "ratio", "benchmark's ATR ratio over its median of 96 bars that stops entries", gt=0, le=100
    )
    drift_ks: float = setting(
        0.24,
        "KS distance",
        "benchmark's last 64 returns against 240 before: distance that stops entries",
        gt=0,
        le=1,
    )
    drift_p: float = setting(0.05, "probability", "with a p-value not above this", gt=0, lt=1)
    drift_volatility_ratio: float = setting(
        1.8, "ratio", "volatility of the same windows, recent over earlier, that stops entries", gt=0, le=100
    )
    market_mood: MarketMood = setting(
        "neutral",
        "profile",
        "how easily a market that turns against all symbols at once stops entries; needs three symbols",
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

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(
                f'"{name}" is no time zone; write one such as "UTC" or "Europe/Paris"'
            ) from error
        return name

    @field_validator("market_mood", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        """YAML reads an unquoted `off` as false."""
        return "off" if value is False else value

    @field_validator("overrides")
    @classmethod
    def _overrides_can_be_read(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            parse_override(line)
        return lines

    @model_validator(mode="after")
    def _budgets_nest(self) -> Self:
        if self.weekly_budget_pct < self.daily_budget_pct:
            raise ValueError("weekly_budget_pct lies below daily_budget_pct")
        return self
