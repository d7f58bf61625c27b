"""The one place where settings become records: percent to ppm, hours to ns, frames to a feature layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bnml.core.clock import frame_ns
from bnml.core.ids import IdSource
from bnml.core.instrument import E8
from bnml.kernels.features import FeatureLayout
from bnml.kernels.records import LIMITS, RULES
from bnml.trading.filling import Record, compile_costs, filled, from_bps, from_hours, from_percent, ppm
from bnml.trading.instruments import (
    instrument_record as instrument_record,  # noqa: PLC0414 - one of the records made here
)
from bnml.trading.risk.settings import MOOD_PROFILES, RiskSettings, parse_override
from bnml.trading.settings import (
    CapitalSettings,
    CostSettings,
    DecisionSettings,
    EntrySettings,
    ExitSettings,
    FeatureSettings,
    ScannerSettings,
    UniverseSettings,
)


class TradingSettings(Protocol):
    """The sections that decide; the composed settings of the program have them."""

    @property
    def universe(self) -> UniverseSettings: ...
    @property
    def features(self) -> FeatureSettings: ...
    @property
    def scanner(self) -> ScannerSettings: ...
    @property
    def decision(self) -> DecisionSettings: ...
    @property
    def entry(self) -> EntrySettings: ...
    @property
    def exits(self) -> ExitSettings: ...
    @property
    def capital(self) -> CapitalSettings: ...
    @property
    def risk(self) -> RiskSettings: ...
    @property
    def costs(self) -> CostSettings: ...


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything that decides and does not change while an engine lives; records have one element each."""

    quote: str
    layout: FeatureLayout
    rules: Record
    limits: Record  # of the account, and of a symbol that has none of its own
    risk: RiskSettings
    costs: Record
    weights: tuple[float, float, float]  # model, technical, momentum
    has_rule_strategy: bool  # symbols without a model follow the RSI and MACD rule
    benchmark: str
    time_zone: str
    ids: IdSource

    def limits_of(self, symbol: str) -> Record:
        """The limits that an entry in this symbol is held against."""
        return limits_of(symbol, self.quote, self.limits, self.risk)


def compile_engine(settings: TradingSettings, ids: IdSource) -> EngineConfig:
    """Settings as an engine takes them; `ids` names the orders of this session."""
    scanner = settings.scanner
    return EngineConfig(
        quote=settings.universe.quote,
        layout=compile_layout(settings.features),
        rules=compile_rules(settings.entry, settings.exits),
        limits=compile_limits(settings.risk, settings.capital, scanner),
        risk=settings.risk,
        costs=compile_costs(settings.costs),
        weights=(scanner.weight_ml, scanner.weight_technical, scanner.weight_momentum),
        has_rule_strategy=settings.decision.without_model == "rule",
        benchmark=settings.risk.benchmark,
        time_zone=settings.risk.time_zone,
        ids=ids,
    )


def compile_layout(features: FeatureSettings) -> FeatureLayout:
    """Columns of the feature row for the configured frames."""
    higher = tuple(frame_ns(frame) for frame in features.frames_above_base)
    return FeatureLayout(frame_ns(features.base_frame), higher)


def compile_rules(entry: EntrySettings, exits: ExitSettings) -> Record:
    """How positions are entered, protected and left: `kernels.records.RULES`."""
    return filled(
        RULES,
        price_cap_ppm=from_bps(entry.price_cap_bps),
        stop_atr_ppm=ppm(exits.stop_atr),
        hard_stop_ppm=from_percent(exits.hard_stop_pct),
        trail_start_ppm=from_percent(exits.trail_start_pct),
        trail_atr_ppm=ppm(exits.trail_atr),
        trail_step_ppm=from_bps(exits.trail_step_bps),
        target1_ppm=from_percent(exits.target1_pct),
        target2_ppm=from_percent(exits.target2_pct),
        share1_ppm=from_percent(exits.target1_share_pct),
        share2_ppm=from_percent(exits.target2_share_pct),
        time_stop_ns=from_hours(exits.time_stop_h),
        time_stop_band_ppm=from_percent(exits.time_stop_band_pct),
        dust_ppm=from_percent(exits.dust_pct),
        exit_on_sell=int(exits.exit_on_sell),
        trail_ppm=0,
        target1_r_ppm=0,
        target2_r_ppm=0,
        from_fill=0,
        entry_taking=0,
    )


def compile_limits(risk: RiskSettings, capital: CapitalSettings, scanner: ScannerSettings) -> Record:
    """What entries are held against: `kernels.records.LIMITS`."""
    mood = MOOD_PROFILES[risk.market_mood]
    max_quote_e8 = 0 if capital.max_quote is None else round(capital.max_quote * E8)
    return filled(
        LIMITS,
        active_ppm=from_percent(capital.active_pct),
        max_quote_e8=max_quote_e8,
        risk_per_trade_ppm=from_percent(risk.risk_per_trade_pct),
        max_position_ppm=from_percent(risk.max_position_pct),
        max_exposure_ppm=from_percent(risk.max_exposure_pct),
        max_positions=risk.max_positions,
        min_confidence=risk.min_ml_confidence,
        min_global_score=scanner.min_global_score,
        top_n=scanner.top_n,
        max_spread_ppm=from_percent(risk.max_spread_pct),
        min_depth_e8=round(risk.min_depth_quote * E8),
        max_correlation=risk.max_correlation,
        min_expected_edge_ppm=from_percent(risk.min_expected_edge_pct),
        max_daily_loss_ppm=from_percent(risk.max_daily_loss_pct),
        max_drawdown_ppm=from_percent(risk.max_drawdown_pct),
        drawdown_pause_ns=from_hours(risk.drawdown_pause_h),
        max_losses_in_row=risk.max_losses_in_row,
        loss_pause_ns=from_hours(risk.loss_pause_h),
        max_volatility_ratio=risk.max_volatility_ratio,
        drift_ks=risk.drift_ks,
        drift_p=risk.drift_p,
        drift_volatility_ratio=risk.drift_volatility_ratio,
        daily_budget_ppm=from_percent(risk.daily_budget_pct),
        weekly_budget_ppm=from_percent(risk.weekly_budget_pct),
        mood_smoothing=mood.smoothing,
        mood_sell_score=mood.sell_score,
        mood_max_volatility=mood.max_volatility,
        mood_max_spread_ppm=from_percent(mood.max_spread_pct),
        mood_sell_confidence=mood.sell_confidence,
        mood_min_score=mood.min_score,
        max_cost_e8=max_quote_e8,
    )


def limits_of(symbol: str, quote: str, limits: Record, risk: RiskSettings) -> Record:
    """`limits` with spread, depth and correlation as they hold for one symbol: majors, others, overrides."""
    is_major = symbol.removesuffix(quote) in risk.major_bases
    spread = risk.major_spread_factor if is_major else risk.other_spread_factor
    depth = risk.major_depth_factor if is_major else risk.other_depth_factor
    correlation = risk.major_correlation_add if is_major else risk.other_correlation_add
    own = limits.copy()
    own["max_spread_ppm"] = round(int(limits["max_spread_ppm"][0]) * spread)
    own["min_depth_e8"] = round(int(limits["min_depth_e8"][0]) * depth)
    own["max_correlation"] = min(1.0, max(0.0, float(limits["max_correlation"][0]) + correlation))
    for name, limit, value in map(parse_override, risk.overrides):
        if name != symbol:
            continue
        if limit == "max_spread_pct":
            own["max_spread_ppm"] = from_percent(value)
        elif limit == "min_depth_quote":
            own["min_depth_e8"] = round(value * E8)
        else:
            own["max_correlation"] = value
    return own
