"""The axes of a grid: `name=from:to:step` or `name=a,b,c`, and combinations numbered in row-major order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bnml.core.errors import Misconfigured

MOST_VALUES = 10_000
MOST_COMBINATIONS = 10**12

Axes = dict[str, tuple[float, ...]]
"""Values of each axis, ascending; the last axis changes fastest."""


def parse_axes(texts: Iterable[str], file: Path | None = None) -> Axes:
    """Axes of the options and of a YAML file (`name: from:to:step`, `name: [a, b]`); Misconfigured if they are none."""
    given: list[tuple[str, str, Any]] = [] if file is None else _read(file)
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name.strip():
            raise Misconfigured(f"--axis {text} names no values; write it as in --axis stop_pct=0.5:2:0.5")
        given.append((f"--axis {text}", name.strip(), values))
    axes: Axes = {}
    for where, name, values in given:
        if name in axes:
            raise Misconfigured(f"{where}: {name} is already an axis; give all its values at once")
        axes[name] = _values(where, values)
    if not axes:
        raise Misconfigured("a grid needs at least one axis; write one as in --axis stop_pct=0.5:2:0.5")
    if count(axes) > MOST_COMBINATIONS:
        raise Misconfigured(f"{count(axes):,} combinations are more than any search ends; take fewer values")
    return axes


def check_names(
    axes: Iterable[str], known: Sequence[str], kind: str, refused: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Refuse an axis that is none of `known`, with the reason in `refused` or the nearest one; `kind` says what they are."""
    for name in axes:
        if name in known:
            continue
        if name in refused:
            raise Misconfigured(f"--axis {name}: {name} is no axis: it {refused[name]}")
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        last = [one for one in known if one.rpartition(".")[2] == name.rpartition(".")[2]]
        nearest = (last or near or ["none"])[0]
        raise Misconfigured(f"--axis {name}: there is no such {kind}; the nearest is {nearest}")


def count(axes: Mapping[str, Sequence[float]]) -> int:
    """Number of combinations."""
    return prod(len(values) for values in axes.values())


def shape(axes: Mapping[str, Sequence[float]]) -> tuple[int, ...]:
    """Number of values of each axis."""
    return tuple(len(values) for values in axes.values())


def point(axes: Mapping[str, Sequence[float]], combination: int) -> dict[str, float]:
    """Value of each axis in one combination."""
    place = np.unravel_index(combination, shape(axes))
    return {name: values[int(i)] for (name, values), i in zip(axes.items(), place, strict=True)}


def columns(axes: Mapping[str, Sequence[float]], start: int, stop: int) -> dict[str, NDArray[np.float64]]:
    """Value of each axis in the combinations from `start` to before `stop`."""
    places = np.unravel_index(np.arange(start, stop), shape(axes))
    return {name: np.array(values)[i] for (name, values), i in zip(axes.items(), places, strict=True)}


def _read(file: Path) -> list[tuple[str, str, Any]]:
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"the grid file {file} cannot be read: {error}") from error
    if not isinstance(data, dict) or not data:
        raise Misconfigured(f"the grid file {file} must hold lines such as `stop_pct: 0.5:2:0.5`")
    return [(f"{file.name}: {name}", str(name), values) for name, values in data.items()]


def _values(where: str, values: Any) -> tuple[float, ...]:
    if isinstance(values, str):
        found = _range(where, values) if ":" in values else _list(where, values.split(","))
    else:
        found = _list(where, values if isinstance(values, list) else [values])
    if len(set(found)) != len(found):
        raise Misconfigured(f"{where} holds a value twice; give each once")
    return tuple(float(value) for value in sorted(found))


def _list(where: str, values: Sequence[Any]) -> list[Decimal]:
    return [_number(where, value) for value in values]


def _range(where: str, text: str) -> list[Decimal]:
    parts = [_number(where, part) for part in text.split(":")]
    if len(parts) != 3 or parts[2] <= 0 or parts[0] > parts[1]:
        raise Misconfigured(f"{where} is no range; write from:to:step with a step above 0, as in 0.5:2:0.5")
    first, last, step = parts
    steps = int((last - first) / step)
    if steps >= MOST_VALUES:
        raise Misconfigured(f"{where} has {steps + 1:,} values, more than {MOST_VALUES:,}; take a wider step")
    return [first + step * k for k in range(steps + 1)]


def _number(where: str, value: Any) -> Decimal:
    """Decimals, so that 0.1:0.5:0.1 ends at 0.5."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite():
        raise Misconfigured(f"{where}: {str(value).strip() or 'nothing'} is no number")
    return number
