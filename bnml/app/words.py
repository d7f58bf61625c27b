"""Decisions, exits and refusals in words, with what was measured against which limit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bnml.kernels.mood import index_of
from bnml.kernels.records import Action, ExitReason, MoodRegime, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.config import Settings
    from bnml.core.outcomes import Decision
    from bnml.journal.schema import Health
    from bnml.trading.filling import Record

SHOWN_OF_FOREIGN: Final = 3

# Units are those of `kernels.limits`: shares in percent, money in quote units, scores in points of 100.
_REASONS: dict[Reason, str] = {
    Reason.NONE: "taken",
    Reason.POLICY: "no signal: {measured:.3f}, needs {limit:.3f}",
    Reason.NO_MODEL: "no model yet",
    Reason.FEATURES_INCOMPLETE: "a feature is not known yet",
    Reason.ALREADY_HELD: "already held",
    Reason.NOT_ACTIVE: "entries are off",
    Reason.GLOBAL_SCORE: "score {measured:.1f}, needs {limit:.1f}",
    Reason.NOT_IN_TOP: "rank {measured:.0f}, only the best {limit:.0f}",
    Reason.CONFIDENCE: "confidence {measured:.1f}, needs {limit:.1f}",
    Reason.SPREAD: "spread {measured:.3f} %, at most {limit:.3f} %",
    Reason.DEPTH: "depth {measured:,.0f}, needs {limit:,.0f}",
    Reason.EXPECTED_EDGE: "edge {measured:+.3f} %, needs {limit:.3f} %",
    Reason.MAX_POSITIONS: "{measured:.0f} positions open, at most {limit:.0f}",
    Reason.DAILY_LOSS: "daily loss {measured:.2f} %, limit {limit:.2f} %",
    Reason.DRAWDOWN: "drawdown {measured:.2f} %, limit {limit:.2f} %",
    Reason.LOSS_STREAK: "{measured:.0f} losses in a row, limit {limit:.0f}",
    Reason.VOLATILITY: "volatility x{measured:.2f}, at most x{limit:.2f}",
    Reason.DRIFT: "drifted: {measured:.3f}, limit {limit:.3f}",
    Reason.MARKET_SELL: "market says sell: {measured:.0f}, limit {limit:.0f}",
    Reason.MARKET_RISK_OFF: "market risk x{measured:.2f}, at most x{limit:.2f}",
    Reason.MARKET_SCORE: "market mood {measured:+.2f}, limit {limit:+.2f}",
    Reason.CORRELATION: "correlation {measured:.2f}, at most {limit:.2f}",
    Reason.DAILY_BUDGET: "daily risk {measured:.2f} %, limit {limit:.2f} %",
    Reason.WEEKLY_BUDGET: "weekly risk {measured:.2f} %, limit {limit:.2f} %",
    Reason.EXPOSURE: "exposure {measured:.1f} %, at most {limit:.1f} %",
    Reason.MINIMUM_SIZE: "size {measured:,.2f}, needs {limit:,.2f}",
    Reason.CAPITAL: "free {measured:,.2f}, needs {limit:,.2f}",
}

_MARKETS: dict[str, str] = {
    "generated": "simulated market, simulated money",
    "recorded": "recorded market, simulated money",
    "paper": "live prices, simulated money",
    "testnet": "Binance testnet, test money",
    "live": "Binance, REAL MONEY",
}


def reason_text(decision: Decision) -> str:
    """Why a decision ended as it did."""
    if decision.action == Action.SELL and decision.reason == Reason.POLICY:
        return f"expects a fall: {decision.measured:.3f}"
    text = _REASONS[Reason(decision.reason)]
    return text.format(measured=decision.measured, limit=decision.limit)


def mood_text(breakers: Record) -> str:
    """`41 of 100, bear pressure`; empty while fewer than three symbols speak, or nobody listens."""
    regime = MoodRegime(int(breakers["mood_regime"][0]))
    if regime == MoodRegime.INSUFFICIENT_DATA:
        return ""
    return f"{index_of(float(breakers['mood_score'][0])):.0f} of 100, {regime.name.lower().replace('_', ' ')}"


def action_text(decision: Decision) -> str:
    """`BUY`, `HOLD`, `SELL`, or `buy refused`."""
    if decision.action == Action.BUY and decision.quantity_lots == 0:
        return "buy refused"
    return Action(decision.action).name


def exit_text(reason: int) -> str:
    """`target 1`, `hard stop`, ..."""
    name = ExitReason(reason).name
    return {"NONE": "entry", "TARGET1": "target 1", "TARGET2": "target 2"}.get(
        name, name.lower().replace("_", " ")
    )


def market_of(settings: Settings) -> str:
    """What is real in a session: prices, money, and whether models had to earn money out of fold."""
    venue = settings.venue.kind
    text = _MARKETS[settings.venue.sim.feed if venue == "sim" else venue]
    return text if settings.learning.gate else f"{text}, gate off"


def foreign_text(health: Health) -> list[str]:
    """What of the account is not ours, a few of each: orders by symbol, and coins."""
    orders = [f"{symbol} {count}" for symbol, count in health.foreign_orders.items()]
    found = (("open orders", orders), ("coins", list(health.foreign_coins)))
    return [f"{name}: {', '.join(few(rows, SHOWN_OF_FOREIGN))}" for name, rows in found if rows]


def few(texts: Sequence[str], shown: int) -> list[str]:
    """The first ones, and how many there are beyond them."""
    more = [f"and {len(texts) - shown} more"] if len(texts) > shown else []
    return [*texts[:shown], *more]


def grouped(amount: str) -> str:
    """A decimal text with its thousands apart: `10,012.34`."""
    return f"{Decimal(amount):,}"


def signed(amount: str) -> str:
    """The same for a result, which always shows its sign."""
    return f"{Decimal(amount):+,}"


def percent_of(part: str, whole: str) -> str:
    """`+0.12 %`; empty where there is no whole."""
    return f"{100 * Decimal(part) / Decimal(whole):+.2f} %" if Decimal(whole) else ""
