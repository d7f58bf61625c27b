"""Reading fault scripts, YAML or JSON: shape, keys and values, each fault of theirs as a sentence with its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import yaml

from bnml.core.errors import Misconfigured
from bnml.venues.sim.faults.actions import AnyAction
from bnml.venues.sim.faults.checks import contradictions
from bnml.venues.sim.faults.rules import Match, Rule, Script, When
from bnml.venues.sim.faults.words import Words, allowed, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bnml.venues.sim.faults.words import Place

ACTIONS = {str(one.__struct_config__.tag): one for one in get_args(AnyAction)}
_TEMPLATE_HINT = "`bnml exchange --faults-template` prints a script"


def load_script(path: Path) -> tuple[Script, Words]:
    """Read a script file; raises Misconfigured with one sentence a fault."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the fault script {path} cannot be read ({error}); {_TEMPLATE_HINT}") from error
    return parse_script(text, path.name)


def parse_script(text: str, where: str = "faults") -> tuple[Script, Words]:
    """A script from YAML or JSON, with the words for its places; raises Misconfigured with one sentence a fault."""
    tree, words = _tree(text, where)
    faults = list(_mapping_faults(tree, Script, (), words))
    if faults:
        raise Misconfigured("\n".join(faults))
    try:
        script = msgspec.convert(_plain(tree), Script)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"{words.at(())}: {error}") from error
    faults = [f"{words.at(place)}: {fault}" for place, fault in contradictions(script)]
    if faults:
        raise Misconfigured("\n".join(faults))
    return script, words


def _tree(text: str, where: str) -> tuple[dict[str, Any], Words]:
    try:
        tree, words = msgspec.json.decode(text), Words(where)
    except msgspec.DecodeError:
        tree, words = _yaml_tree(text, where)
    if not isinstance(tree, dict):
        raise Misconfigured(
            f"{where} must hold the keys `seed` and `rules`, it holds something else; {_TEMPLATE_HINT}"
        )
    return tree, words


def _yaml_tree(text: str, where: str) -> tuple[Any, Words]:
    lines: dict[Place, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return {}, Words(where)
        _note_lines(node, (), lines, where, set())
        return loader.construct_document(node), Words(where, lines)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise Misconfigured(
            f"{where}{at} is neither JSON nor valid YAML: {problem}; {_TEMPLATE_HINT}"
        ) from error


def _note_lines(node: yaml.Node, place: Place, lines: dict[Place, int], where: str, seen: set[int]) -> None:
    line = node.start_mark.line + 1
    if id(node) in seen:
        raise Misconfigured(f"{where} line {line}: aliases (*) are not understood; write the thing out")
    seen.add(id(node))
    lines.setdefault(place, line)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                raise Misconfigured(
                    f"{where} line {key.start_mark.line + 1}: {key.value} stands twice, first in line "
                    f"{lines[inner]}; keep one"
                )
            lines[inner] = key.start_mark.line + 1
            _note_lines(value, inner, lines, where, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            _note_lines(value, (*place, number), lines, where, seen)


def _mapping_faults(tree: Any, kind: type[msgspec.Struct], place: Place, words: Words) -> Iterator[str]:
    """What is wrong with one mapping that should become a struct."""
    if not isinstance(tree, dict):
        yield f"{words.at(place)} is {shown(tree)}; write keys there: {', '.join(_keys(kind))}"
        return
    hints = get_type_hints(kind, include_extras=True)
    for key, value in tree.items():
        inner = (*place, str(key))
        if key not in _keys(kind):
            near = nearest(str(key), _keys(kind))
            yield f"{words.at(inner)}: there is no key {key} here; the nearest valid key is {near}"
        elif key != "action":
            yield from _value_faults(value, hints[key], inner, words)
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in tree:
            example = "drop" if field.name == "do" else allowed(hints[field.name])
            yield f"{words.at(place)}: {field.name} is missing; write {field.name}: {example}"


def _value_faults(value: Any, hint: Any, place: Place, words: Words) -> Iterator[str]:
    if hint in {When, Match}:
        yield from _mapping_faults(value, hint, place, words)
    elif hint == tuple[Rule, ...]:
        yield from _rules_faults(value, place, words)
    elif hint == tuple[AnyAction, ...]:
        yield from _actions_faults(value, place, words)
    elif not _fits(value, hint):
        yield f"{words.at(place)} is {shown(value)}; allowed: {allowed(hint)}"


def _rules_faults(tree: Any, place: Place, words: Words) -> Iterator[str]:
    if not isinstance(tree, list):
        yield f"{words.at(place)} is {shown(tree)}; write a list of rules, each beginning with `- `"
        return
    for number, one in enumerate(tree):
        yield from _mapping_faults(one, Rule, (*place, number), words)


def _actions_faults(tree: Any, place: Place, words: Words) -> Iterator[str]:
    for number, one in enumerate(tree if isinstance(tree, list) else [tree]):
        inner = (*place, number) if isinstance(tree, list) else place
        name = one.get("action", "") if isinstance(one, dict) else one
        kind = ACTIONS.get(name) if isinstance(name, str) else None
        if kind is None:
            near = nearest(str(name), ACTIONS)
            yield f"{words.at(inner)}: there is no action {shown(name)}; the nearest valid action is {near}"
        else:
            yield from _mapping_faults(one if isinstance(one, dict) else {}, kind, inner, words)
    if tree == []:
        yield f"{words.at(place)} is empty; write at least one action, such as `do: drop`"


def _plain(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with each short form written out: `do: drop` is a list of one action without parameters."""
    rules = []
    for rule in tree.get("rules", ()):
        do = rule["do"] if isinstance(rule["do"], list) else [rule["do"]]
        rules.append({**rule, "do": [{"action": one} if isinstance(one, str) else one for one in do]})
    return {**tree, "rules": rules}


def _keys(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return (*(("action",) if kind in ACTIONS.values() else ()), *kind.__struct_fields__)


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError:
        return False
    return True
