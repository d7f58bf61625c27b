"""Decisions, exits and refusals in words, with what was measured against which limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.kernels.records import Action, ExitReason, Reason

if TYPE_CHECKING:
    from bnml.core.outcomes import Decision

_REASONS: dict[Reason, str] = {
    Reason.NONE: "taken",
    Reason.POLICY: "no signal: {measured:.4g} against {limit:.4g}",
    Reason.NO_MODEL: "no model yet",
    Reason.FEATURES_INCOMPLETE: "a feature is not known yet",
    Reason.ALREADY_HELD: "already held",
    Reason.NOT_ACTIVE: "entries are off",
    Reason.GLOBAL_SCORE: "global score {measured:.1f} below {limit:.1f}",
    Reason.NOT_IN_TOP: "rank {measured:.0f}, the best {limit:.0f} are taken",
    Reason.CONFIDENCE: "confidence {measured:.1f} below {limit:.1f}",
    Reason.SPREAD: "spread {measured:.0f} ppm above {limit:.0f} ppm",
    Reason.DEPTH: "depth {measured:.3g} below {limit:.3g}",
    Reason.EXPECTED_EDGE: "expected edge {measured:.0f} ppm not above {limit:.0f} ppm",
    Reason.MAX_POSITIONS: "{measured:.0f} positions open, {limit:.0f} allowed",
    Reason.DAILY_LOSS: "daily loss {measured:.0f} ppm, limit {limit:.0f} ppm",
    Reason.DRAWDOWN: "drawdown {measured:.0f} ppm, limit {limit:.0f} ppm",
    Reason.LOSS_STREAK: "{measured:.0f} losses in a row, limit {limit:.0f}",
    Reason.VOLATILITY: "volatility ratio {measured:.2f} above {limit:.2f}",
    Reason.DRIFT: "drift {measured:.3f} beyond {limit:.3f}",
    Reason.CORRELATION: "correlation {measured:.2f} with an open position, limit {limit:.2f}",
    Reason.DAILY_BUDGET: "daily budget used: {measured:.0f} of {limit:.0f} ppm",
    Reason.WEEKLY_BUDGET: "weekly budget used: {measured:.0f} of {limit:.0f} ppm",
    Reason.EXPOSURE: "exposure {measured:.3g}, limit {limit:.3g}",
    Reason.MINIMUM_SIZE: "size {measured:.3g} below the venue's minimum {limit:.3g}",
    Reason.CAPITAL: "capital {measured:.3g} below {limit:.3g}",
}


def reason_text(decision: Decision) -> str:
    """Why a decision ended as it did."""
    text = _REASONS[Reason(decision.reason)]
    return text.format(measured=decision.measured, limit=decision.limit)


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
