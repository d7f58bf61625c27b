"""Turns a fault in the settings into one sentence: where, what it is, what is allowed, what to write instead."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

SECRET_KEY = re.compile(r"(^|_)(api_?key|secret|password|passphrase|token|private_?key)", re.IGNORECASE)
SECRET_VALUE = re.compile(r"[A-Za-z0-9]{64}|-----BEGIN .*")
ENVIRONMENT_ONLY = (
    "secrets are read only from the variables BINANCE_API_KEY and BINANCE_API_SECRET or from systemd credentials; "
    "remove it here, and replace the key if this file was ever shared"
)


def explain_error(root: type[BaseModel], fault: ErrorDetails, origins: Mapping[tuple[str, ...], str]) -> str:
    """Say one fault that pydantic found in `root`; `origins` names the place each key was read from."""
    keys = tuple(str(part) for part in fault["loc"])
    known = next((keys[:n] for n in range(len(keys), 0, -1) if keys[:n] in origins), ())
    where = origins.get(known, "settings")
    name = ".".join(keys) or "settings"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no key {name}; {_nearest(root, keys)}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "value_error":
        return f"{where}: {name}: {message}" if keys else f"{where}: {message}"
    field = _field(root, keys)
    if isinstance(fault["input"], Mapping) or field is None:
        return f"{where}: {name}: {message}"
    if fault["type"] in {"model_type", "model_attributes_type"}:
        return f"{where}: {name} is {_shown(fault['input'])}, but it is a section; write its keys below it"
    unit = unit_of(field)
    return f"{where}: {name} is {_shown(fault['input'])}{f' ({unit})' if unit else ''}; allowed: {range_of(field)}"


def looks_like_secret(keys: tuple[str, ...], value: str) -> bool:
    """Whether a key's name or a value's form says that this should not stand in a file."""
    named = bool(keys) and bool(SECRET_KEY.search(keys[-1])) and bool(value.strip())
    return named or bool(SECRET_VALUE.fullmatch(value.strip()))


def secret_sentence(where: str, keys: tuple[str, ...]) -> str:
    """Refuse a secret without repeating it."""
    return f"{where}: {'.'.join(keys)} looks like a secret; {ENVIRONMENT_ONLY}"


def unit_of(field: FieldInfo) -> str:
    """Return the unit a value was declared with, or an empty text."""
    extra = field.json_schema_extra
    return str(extra.get("unit", "")) if isinstance(extra, dict) else ""


def range_of(field: FieldInfo) -> str:
    """Say which values a field takes, in words an operator can act on."""
    choices = literals(field.annotation)
    if choices:
        return " | ".join(choices)
    words = _kind(field.annotation)
    low, high = _bounds(field)
    if low and not high and "number" in words and not low.startswith("above"):
        high = "or more"
    text = " ".join(part for part in (low, high) if part)
    return f"whole numbers {text}".strip() if words == "whole number" else text or words


def _bounds(field: FieldInfo) -> tuple[str, str]:
    low = high = ""
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge():
                low = f"{bound.ge}"
            case annotated_types.Gt():
                low = f"above {bound.gt}"
            case annotated_types.Le():
                high = f"to {bound.le}"
            case annotated_types.Lt():
                high = f"to below {bound.lt}"
            case annotated_types.MinLen():
                low = f"at least {bound.min_length} of them"
            case _ if getattr(bound, "pattern", None):
                low = f"text of the form {bound.pattern}"
            case _:
                continue
    return low, high


def literals(annotation: Any) -> tuple[str, ...]:
    """Return the choices of a closed set, also inside a tuple; empty for everything else."""
    if get_origin(annotation) is Literal:
        return tuple(str(choice) for choice in get_args(annotation))
    for inner in get_args(annotation):
        if get_origin(inner) is Literal:
            return literals(inner)
    return ()


def fields_of(
    model: type[BaseModel], keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Walk all values and sections of a model, parents first, with their full keys."""
    for name, field in model.model_fields.items():
        yield (*keys, name), field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, (*keys, name))


def _kind(annotation: Any) -> str:
    kinds: dict[Any, str] = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    if annotation in kinds:
        return kinds[annotation]
    inner = [kinds[part] for part in get_args(annotation) if part in kinds]
    if get_origin(annotation) is tuple:
        return "a list"
    return inner[0] if inner else "text"


def _field(root: type[BaseModel], keys: tuple[str, ...]) -> FieldInfo | None:
    fields = dict(fields_of(root))
    return next((fields[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in fields), None)


def _nearest(root: type[BaseModel], keys: tuple[str, ...]) -> str:
    siblings = [path for path, _ in fields_of(root) if path[:-1] == keys[:-1]]
    close = difflib.get_close_matches(keys[-1], [path[-1] for path in siblings], n=1, cutoff=0.6)
    if close:
        return f"the nearest valid key is {'.'.join((*keys[:-1], close[0]))}"
    everywhere = [path for path, _ in fields_of(root)]
    same = [path for path in everywhere if path[-1] == keys[-1]]
    anywhere = same or [
        path
        for name in difflib.get_close_matches(keys[-1], [path[-1] for path in everywhere], n=1, cutoff=0.6)
        for path in everywhere
        if path[-1] == name
    ]
    if anywhere:
        return f"the nearest valid key is {'.'.join(anywhere[0])}"
    dotted = [".".join(path) for path in everywhere if len(path) >= len(keys)]
    return f"the nearest valid key is {difflib.get_close_matches('.'.join(keys), dotted, n=1, cutoff=0.0)[0]}"


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    return (
        f'"{value}"'
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
