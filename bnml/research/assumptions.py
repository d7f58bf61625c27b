"""What the figures of a run rest on: market, fills, costs, decisions, exits, risk, models."""

from __future__ import annotations

from bnml import __version__
from bnml.config import Settings
from bnml.core.clock import format_utc
from bnml.kernels import KERNEL_HASH
from bnml.research.market import Market
from bnml.research.models import Models
from bnml.research.tables import Column, Table
from bnml.venues.bar_tables import frame_text


def models_table(models: Models, market: Market) -> Table:
    """The bundle of each symbol and up to when it learned."""
    columns = (
        Column("symbol", "Symbol"),
        Column("bundle", "Model"),
        Column("trained_to", "Trained to (UTC)", "time"),
        Column("gate", "Gate"),
    )
    rows = []
    for symbol in market.symbols:
        predictor = models.predictor(symbol)
        refused = "refused: holds" if symbol in models.refused else "no model"
        rows.append(
            (symbol, None, None, refused)
            if predictor is None
            else (symbol, predictor.bundle_id, predictor.metadata.trained_to_ns, "in use")
        )
    return Table("models", "Models", columns, tuple(rows))


def assumptions(settings: Settings, market: Market, engine: str) -> tuple[tuple[str, str], ...]:
    """What the figures rest on, as label and sentence."""
    costs, exits, risk = settings.costs, settings.exits, settings.risk
    tier = {
        "F0": "F0: a touched limit fills, taking orders fill whole",
        "F1": f"F1: a touched limit fills with {costs.touch_chance_pct:g} % chance, slippage grows beyond "
        f"{costs.volume_share_pct:g} % of a bar's volume",
    }[costs.tier]
    frames = ", ".join((settings.features.base_frame, *settings.features.frames_above_base))
    return (
        ("Market", f"{market.source}, bars of {frame_text(market.frame_ns)}"),
        ("Period", f"{_minute(market.first_ns)} to {_minute(market.end_ns)} UTC"),
        ("Engine", f"{engine}, one capital for all symbols"),
        ("Frames of the features", frames),
        ("Fills", tier),
        (
            "Path inside a bar",
            "open, low, high, close; a stop jumped over fills at the first price beyond it",
        ),
        ("Commission", f"{costs.maker_bps:g} bps maker, {costs.taker_bps:g} bps taker"),
        (
            "Spread and slippage",
            (
                f"half spread {costs.spread_floor_bps:g} bps + {costs.spread_range_bps_per_pct:g} bps per % of the bar's "
                f"range, at most {costs.spread_cap_bps:g} bps; slippage {costs.slippage_bps:g} bps"
            ),
        ),
        ("Latency", "none: orders of a scan meet the first price after the close"),
        (
            "Decision",
            (
                f"{settings.decision.rule.replace('_', ' ')}; gate {'on' if settings.learning.gate else 'OFF'}; "
                f"without a model: {settings.decision.without_model}"
            ),
        ),
        (
            "Exits",
            (
                f"stop {exits.stop_atr:g} ATR, at most {exits.hard_stop_pct:g} %; targets {exits.target1_pct:g} % and "
                f"{exits.target2_pct:g} %; trailing {exits.trail_atr:g} ATR from {exits.trail_start_pct:g} %; "
                f"time stop {exits.time_stop_h:g} h"
            ),
        ),
        (
            "Risk",
            (
                f"{risk.risk_per_trade_pct:g} % of equity a position, at most {risk.max_positions} positions and "
                f"{risk.max_exposure_pct:g} % of the active capital ({settings.capital.active_pct:g} % of equity)"
            ),
        ),
        ("Names", f"settings {settings.content_hash()}, kernels {KERNEL_HASH}, bnml {__version__}"),
    )


def _minute(ts_ns: int) -> str:
    return format_utc(ts_ns)[:16].replace("T", " ")
