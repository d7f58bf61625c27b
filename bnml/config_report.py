"""Writes the configuration down: the commented template of all keys, and the result of `config check`."""

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from bnml.config import Settings, load, load_credentials
from bnml.explain import range_of, unit_of

HEAD = """\
# Configuration of bnml. Every key with its default; leave out what you do not change.
# Unknown keys are refused. Secrets do not belong here: set BINANCE_API_KEY and BINANCE_API_SECRET,
# or give them as systemd credentials. A variable such as BNML_VENUE__SIM__SPEED=60 replaces venue.sim.speed.
"""
WIDTH = 110


def template() -> str:
    """Return `config.yaml` as text: what a new operator is given, and equal to the defaults."""
    return HEAD + "\n".join(_lines(Settings(), 0)) + "\n"


def check(config: Path | None, *, json: bool) -> int:
    """Read settings and credentials as the daemon would and report; raises Misconfigured as `load` does."""
    settings = load(config)
    present = load_credentials().present
    report = {
        "valid": True,
        "config_hash": settings.content_hash(),
        "venue": settings.venue.kind,
        "credentials": present,
        "changed": _changed(
            settings.to_be_shown().model_dump(mode="json"), Settings().model_dump(mode="json")
        ),
    }
    if json:
        text = json_module.dumps(report)
    else:
        changes = "".join(f"\n  {key}: {value}" for key, value in report["changed"].items())  # type: ignore[attr-defined]
        text = (
            f"The configuration is valid (hash {report['config_hash']}). Venue: {settings.venue.kind}. "
            f"API key: {'present' if present else 'none'}. "
            f"{'Differs from the defaults in:' + changes if changes else 'Every value is the default.'}"
        )
    sys.stdout.write(text + "\n")
    return 0


def _lines(group: BaseModel, depth: int) -> Iterator[str]:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        indent = "  " * depth
        if isinstance(value, BaseModel):
            if depth == 0:
                yield ""
            yield f"{indent}# {field.description}"
            yield f"{indent}{name}:"
            yield from _lines(value, depth + 1)
        else:
            yield from _wrapped(_comment(field), f"{indent}# ")
            yield f"{indent}{name}: {_yaml(value)}".rstrip()


def _comment(field: FieldInfo) -> str:
    facts = [part for part in (unit_of(field), range_of(field)) if part]
    return f"{field.description} [{'; '.join(facts)}]"


def _wrapped(text: str, prefix: str) -> Iterator[str]:
    line = prefix
    for word in text.split(" "):
        if len(line) + len(word) > WIDTH and line != prefix:
            yield line.rstrip()
            line = prefix + "  "
        line += word + " "
    yield line.rstrip()


def _yaml(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(_yaml(item) for item in value)}]"
        case str() | Path():
            plain = str(value)
            safe = (
                plain
                and plain[0].isalpha()
                and not set(plain) & set(":#{}[],&*?|>%@`\"'")
                and plain not in {"on", "off"}
            )
            return plain if safe else json_module.dumps(plain)
        case float() if value.is_integer():
            return f"{value:.1f}"
        case _:
            return str(value)


def _changed(now: dict[str, Any], default: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in now.items():
        if isinstance(value, dict):
            changed |= _changed(value, default[key], f"{prefix}{key}.")
        elif value != default[key]:
            changed[prefix + key] = value
    return changed
