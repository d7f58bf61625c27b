"""Whether entries may come, and every reason why not: operator, books, channels, guards and breakers in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.kernels.records import FACTS, MoodRegime, Reason, record
from bnml.trading.guarding import ACTIVE, HALTED, LEVELS, REDUCING
from bnml.trading.risk import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.trading.compile import EngineConfig
    from bnml.trading.risk.breakers import Breakers
    from bnml.trading.state import EngineState


class Standing(msgspec.Struct, frozen=True):
    """One reason: its name, how much it stops (REDUCING or HALTED), and what was found."""

    name: str
    level: str
    detail: str


class _Breaker(msgspec.Struct, frozen=True):
    """A rule of every entry that asks nothing of the candidate, and the facts with which it would not refuse."""

    name: str
    words: str
    over: dict[str, float]


_BREAKERS = {
    Reason.DAILY_LOSS: _Breaker(
        "daily_loss",
        "loss of the day {:.2f} %, limit {:.2f} %; ends with the day",
        {"day_start_equity_e8": 0},
    ),
    Reason.DRAWDOWN: _Breaker(
        "drawdown", "{:.2f} %, limit {:.2f} %; ends by itself, or `bnml resume`", {"drawdown_until_ns": 0}
    ),
    Reason.LOSS_STREAK: _Breaker(
        "loss_streak",
        "{:.0f} losses in a row, limit {:.0f}; ends by itself, or `bnml resume`",
        {"losses_in_row": 0},
    ),
    Reason.VOLATILITY: _Breaker(
        "volatility", "of the benchmark x{:.2f}, limit x{:.2f}", {"volatility_ratio": 0}
    ),
    Reason.DRIFT: _Breaker(
        "drift",
        "returns of the benchmark have changed: {:.3f}, limit {:.3f}",
        {"ks": -1, "drift_volatility_ratio": 0},
    ),
    Reason.MARKET_SELL: _Breaker(
        "market_sell", "the market says sell: {:.0f}, limit {:.0f}", {"mood_side": 0}
    ),
    Reason.MARKET_RISK_OFF: _Breaker(
        "market_risk_off",
        "risk of the market x{:.2f}, limit x{:.2f}",
        {"mood_regime": int(MoodRegime.NEUTRAL)},
    ),
    Reason.MARKET_SCORE: _Breaker("market_score", "mood {:+.2f}, limit {:+.2f}", {"mood_score": 2}),
}
_FREE = {"active": 1, "global_score": 1e9, "confidence": 1e9, "depth_e8": 2**62, "expected_edge_ppm": 1e12}
"""A candidate that no rule of its own refuses."""


def standings(state: EngineState, config: EngineConfig, breakers: Breakers) -> tuple[Standing, ...]:
    """All reasons of this moment, the operator's first."""
    activity = state.activity
    found = [Standing("operator", HALTED, activity.halted)] if activity.halted else []
    if activity.is_reducing:
        found.append(Standing("operator", REDUCING, "`bnml reduce`"))
    found += [
        Standing(f"channel:{name}", REDUCING, detail or "down")
        for name, detail in activity.channels_down.items()
    ]
    found += [Standing(name, level, detail) for name, (level, detail) in activity.guards.items()]
    return (*found, *_tripped(state, config, breakers))


def worst(reasons: Sequence[Standing]) -> str:
    """ACTIVE, REDUCING or HALTED."""
    return max((one.level for one in reasons), key=LEVELS.index, default=ACTIVE)


def _tripped(state: EngineState, config: EngineConfig, breakers: Breakers) -> list[Standing]:
    """What the rules of every entry would say of the account and the market now."""
    if not state.scanned_ns:
        return []
    facts = record(FACTS)
    facts["ts_ns"], facts["equity_e8"] = state.now_ns, state.last_equity_e8
    breakers.write_facts(facts)
    benchmark = config.benchmark if config.benchmark in state.universe else min(state.universe, default="")
    breakers.write_regime(facts, state.symbols.get(benchmark))
    for field, value in _FREE.items():
        facts[field] = value
    found: list[Standing] = []
    for _ in _BREAKERS:
        refusal = limits.first_refusal("", facts, config.limits)
        breaker = _BREAKERS.get(Reason(refusal.code)) if refusal is not None else None
        if refusal is None or breaker is None:
            break
        words = breaker.words.format(refusal.measured, refusal.limit)
        found.append(Standing(breaker.name, REDUCING, words))
        for field, neutral in breaker.over.items():
            facts[field] = neutral
    return found
