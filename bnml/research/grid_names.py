"""Which numbers can be axes of a grid, and of the others why they cannot."""

from __future__ import annotations

from types import UnionType
from typing import get_args

import msgspec

from bnml.config import Settings
from bnml.explain import fields_of
from bnml.research.rules import Rules

SECTIONS = ("scanner", "decision", "entry", "exits", "capital", "risk", "costs")
"""Sections of the settings that decide how a market is traded with given models."""
CHOSEN = ("decision.min_buy", "decision.min_sell", "decision.min_margin", "decision.hold_bias")
"""Settings that only the absolute rule of decision reads."""
_TRAINED = "decides what is trained; train with each value (`bnml train`) and search each folder of models"
_SETTINGS_WHY = {
    "scanner.grace_ms": "waits for late bars of a running daemon, a backtest has none",
    "decision.cut_quantile": _TRAINED,
    "features.history_bars": "decides from where on running values are counted, so what models are given",
    "venue.sim.initial_quote": "is what returns are measured by; vary capital.active_pct or capital.max_quote",
    "learning": _TRAINED,
    "universe": "decides which pairs a venue offers, not how they are traded",
}
_OTHER_SETTING = "decides how the daemon runs, not what it trades"
_RULES_WHY = {
    "tick": "says what the market is",
    "lot": "says what the market is",
    "min_notional": "says what the market is",
    "initial_quote": "is what returns are measured by; vary share_pct or fixed_quote",
}


def rule_axes() -> tuple[str, ...]:
    """Keys of the rules file that can be axes; switches take 0 and 1."""
    fields = msgspec.structs.fields(Rules)
    return tuple(one.name for one in fields if _is_number(type(one.default)) and one.name not in _RULES_WHY)


def rules_refused() -> dict[str, str]:
    """Why the other keys of the rules file are none."""
    axes = rule_axes()
    fields = [one.name for one in msgspec.structs.fields(Rules)]
    return {name: _RULES_WHY.get(name, "is no number") for name in fields if name not in axes}


def setting_axes() -> tuple[str, ...]:
    """Settings that can be axes; switches take 0 and 1."""
    return tuple(
        name
        for name, kind in _settings()
        if name.partition(".")[0] in SECTIONS and _is_number(kind) and name not in _SETTINGS_WHY
    )


def settings_refused() -> dict[str, str]:
    """Why the other settings are none."""
    axes = setting_axes()
    refused = {}
    for name, kind in _settings():
        section = name.partition(".")[0]
        words = _SETTINGS_WHY.get(name) or _SETTINGS_WHY.get(section) or _OTHER_SETTING
        if name not in axes:
            refused[name] = words if _is_number(kind) else "is no number"
    return refused


def _settings() -> list[tuple[str, object]]:
    return [(".".join(keys), field.annotation) for keys, field in fields_of(Settings) if len(keys) > 1]


def _is_number(kind: object) -> bool:
    kinds = set(get_args(kind)) - {type(None)} if isinstance(kind, UnionType) else {kind}
    return bool(kinds) and kinds <= {int, float, bool}
