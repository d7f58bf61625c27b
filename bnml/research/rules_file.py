"""The rules file: YAML to checked rules, what is wrong with it in sentences, and its commented template."""

import difflib
import math
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Meta

from bnml.core.clock import frame_ns
from bnml.core.errors import Misconfigured
from bnml.research.rules import TOP, Rules

SMALLEST = {"pct": 1e-4, "bps": 1e-2, "atr": 1e-6, "r": 1e-6}
"""What a value of this unit is counted in: millionths."""
GROUPS = {
    "stop_pct": "How a position is left",
    "entry": "How it is entered",
    "initial_quote": "How large it is",
    "tier": "What fills cost",
    "frame": "The market, where the bars do not say it",
}
"""Headings of the template, by the key they stand above."""


def load_rules(path: Path) -> Rules:
    """Read a rules file; raises Misconfigured with one sentence a fault."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(
            f"the rules file {path} cannot be read ({error}); `bnml backtest --rules-template` prints one"
        ) from error
    return parse_rules(text, path.name)


def parse_rules(text: str, where: str = "rules") -> Rules:
    """Rules from YAML text; a key left out has its default."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Rules()
        if not isinstance(node, yaml.MappingNode):
            raise Misconfigured(f"{where} must hold keys such as `stop_pct: 2`, it holds a single value")
        lines = _lines(node, where)
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" line {mark.line + 1}" if mark else ""
        raise Misconfigured(f"{where}{at} is not valid YAML: {getattr(error, 'problem', error)}") from error
    faults = [
        fault for key, value in values.items() if (fault := _fault(key, value, lines.get(str(key), where)))
    ]
    if faults:
        raise Misconfigured("\n".join(faults))
    return checked(msgspec.convert(values, Rules), where)


def changed(rules: Rules, **values: Any) -> Rules:
    """These rules with other values, checked as those of a file are; Misconfigured as `parse_rules`."""
    faults = [fault for key, value in values.items() if (fault := _fault(key, value, "rules"))]
    if faults:
        raise Misconfigured("\n".join(faults))
    return checked(msgspec.convert(msgspec.structs.asdict(rules) | values, Rules), "rules")


def checked(rules: Rules, where: str = "rules") -> Rules:
    """The rules themselves, if they do not contradict each other, else Misconfigured."""
    faults = [sentence for holds, sentence in _contradictions(rules) if holds]
    if faults:
        raise Misconfigured("\n".join(f"{where}: {fault}" for fault in faults))
    return rules


def rules_template() -> str:
    """A rules file with every key explained; it equals the defaults."""
    lines = [
        "# Rules for `bnml backtest --signals`. Every key with its default; leave out what you do not change.",
        "# Shares and distances are counted in millionths. A bar is walked open, low, high, close.",
    ]
    for field in msgspec.structs.fields(Rules):
        if field.name in GROUPS:
            lines += ["", f"# {GROUPS[field.name]}"]
        meta = _meta(field.name)
        facts = "; ".join(filter(None, (meta.title, _allowed(field.name))))
        lines += [f"# {meta.description} [{facts}]", f"{field.name}: {_yaml(field.default)}"]
    return "\n".join(lines) + "\n"


def _lines(node: yaml.MappingNode, where: str) -> dict[str, str]:
    lines: dict[str, str] = {}
    for key, _ in node.value:
        line = f"{where} line {key.start_mark.line + 1}"
        if key.value in lines:
            raise Misconfigured(f"{line}: {key.value} stands twice, first in {lines[key.value]}; keep one")
        lines[str(key.value)] = line
    return lines


def _fault(key: Any, value: Any, where: str) -> str:
    """What is wrong with one key and its value; empty where nothing is."""
    names = Rules.__struct_fields__
    if key not in names:
        near = difflib.get_close_matches(str(key), names, n=1, cutoff=0.0)[0]
        return f"{where}: there is no key {key}; the nearest valid key is {near}"
    annotation = Rules.__annotations__[key]
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        good = False
    else:
        good = not isinstance(value, float) or math.isfinite(value)
    unit = _meta(key).title
    shown = f"{where}: {key} is {_yaml(value)}{f' ({unit})' if unit else ''}"
    if not good:
        return f"{shown}; allowed: {_allowed(key)}"
    smallest = SMALLEST.get(key.rpartition("_")[2])
    if smallest and 0 < value < smallest / 2:
        return f"{shown}, less than can be counted; write 0 or at least {smallest:g}"
    if key == "frame" and value:
        return _frame_fault(value, shown)
    if key in {"tick", "lot"} and value and not _is_power(value):
        return f"{shown}; write a power of ten from 0.00000001 on, such as 0.01"
    return ""


def _frame_fault(value: str, shown: str) -> str:
    try:
        frame_ns(value)
    except Misconfigured:
        return f"{shown}; write a number and s, m, h, d or w, such as 5m"
    return ""


def _is_power(value: float) -> bool:
    return any(value == float(f"1e{k}") for k in range(-8, 1))


def _contradictions(r: Rules) -> tuple[tuple[bool, str], ...]:
    has_stop = r.stop_pct > 0 or r.stop_atr > 0
    has_target, has_second = r.target_pct > 0 or r.target_r > 0, r.target2_pct > 0 or r.target2_r > 0
    pairs = (
        ("target_pct", "target_r"),
        ("target2_pct", "target2_r"),
        ("trail_pct", "trail_atr"),
        ("time_stop_h", "max_hold_bars"),
        ("fixed_quote", "risk_pct"),
        ("latency_bars", "latency_ms"),
    )
    twice = [
        (bool(getattr(r, a) and getattr(r, b)), f"{a} and {b} are both given; set one to 0") for a, b in pairs
    ]
    return (
        *twice,
        (
            (r.target_r > 0 or r.target2_r > 0 or r.risk_pct > 0) and not has_stop,
            "target_r, target2_r and risk_pct are measured by the stop; write stop_pct or stop_atr",
        ),
        (
            r.trail_start_pct > 0 and not (r.trail_pct or r.trail_atr),
            "trail_start_pct has nothing to start; write trail_pct or trail_atr",
        ),
        (
            has_second and not has_target,
            "there is a second target and no first; write target_pct or target_r",
        ),
        (
            has_second != (r.target2_share_pct > 0),
            "a second target needs target2_share_pct, and the other way round; write both or neither",
        ),
        (
            r.target_share_pct + r.target2_share_pct > 100,
            "target_share_pct and target2_share_pct add up to more than 100; lower one of them",
        ),
        (r.spread_cap_bps < r.spread_floor_bps, "spread_cap_bps lies below spread_floor_bps; raise it"),
    )


def _meta(key: str) -> Meta:
    meta: Meta = Rules.__annotations__[key].__metadata__[0]
    return meta


def _allowed(key: str) -> str:
    kind, meta = Rules.__annotations__[key].__origin__, _meta(key)
    if kind is bool:
        return "true | false"
    if kind is str:
        return "text"
    if kind not in {int, float}:
        return " | ".join(kind.__args__)
    words = "whole numbers " if kind is int else ""
    high = "or more" if meta.le == TOP else f"to {meta.le:.10g}"
    return f"{words}{meta.ge:.10g} {high}"


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(value)
