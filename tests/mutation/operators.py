"""Single defects in a Python source, as a person makes them: a wrong comparison, a sign, a field, a lost line."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
}
SWAPPED = {
    "bids": "asks",
    "asks": "bids",
    "BUY": "SELL",
    "SELL": "BUY",
    "maker_ppm": "taker_ppm",
    "taker_ppm": "maker_ppm",
    "base": "quote",
    "quote": "base",
    "price_ticks": "stop_price_ticks",
    "stop_price_ticks": "price_ticks",
    "quantity_lots": "executed_lots",
    "executed_lots": "quantity_lots",
    "remaining_lots": "quantity_lots",
    "min_lots": "max_lots",
    "max_lots": "min_lots",
    "FILLED": "CANCELED",
    "CANCELED": "EXPIRED",
    "EXPIRED": "CANCELED",
    "min": "max",
    "max": "min",
}

LONGEST = 90


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect: where it is, what the line said and says now, and the whole source with it."""

    path: str
    function: str
    operator: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """The same over edits elsewhere in the file: no line number."""
        return f"{self.path}::{self.function}: {self.before} -> {self.after}"


def mutants(path: str, source: str) -> Iterator[Mutant]:
    """Every defect that the operators can make in the functions of a source, in its order."""
    tree = ast.parse(source)
    for name, function in _functions(tree):
        for place, node in enumerate(ast.walk(function)):
            for operator, before, after, replacement in _changes(node):
                text = ast.unparse(_replaced(tree, function, place, replacement))
                yield Mutant(path, name, operator, getattr(node, "lineno", 0), before, after, text)


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}", inner


Change = tuple[str, str, str, ast.AST]
"""Operator, the text before and after, and what stands in the node's place."""


def _changes(node: ast.AST) -> Iterator[Change]:
    """What can be done to one node."""
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.While | ast.With):
        yield from _losses(node)
        return
    changed = copy.deepcopy(node)
    match changed:
        case ast.Compare(ops=[operator]) if type(operator) in COMPARISONS:
            changed.ops = [COMPARISONS[type(operator)]()]
            kind = "comparison"
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in ARITHMETIC:
            changed.op = ARITHMETIC[type(operator)]()
            kind = "sign"
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            changed, kind = operand, "sign"
        case ast.BoolOp(op=operator):
            changed.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
            kind = "logic"
        case ast.Constant(value=bool(value)):
            changed.value, kind = not value, "constant"
        case ast.Constant(value=int(value)):
            changed.value, kind = value + 1, "off by one"
        case ast.Attribute(attr=name, ctx=ast.Load()) if name in SWAPPED:
            changed.attr, kind = SWAPPED[name], "field"
        case ast.Name(id=name, ctx=ast.Load()) if name in SWAPPED:
            changed.id, kind = SWAPPED[name], "field"
        case _:
            return
    yield kind, _short(node), _short(changed), changed


def _losses(node: ast.FunctionDef | ast.If | ast.For | ast.While | ast.With) -> Iterator[Change]:
    for place, statement in enumerate(node.body):
        if _can_be_lost(statement):
            changed = copy.deepcopy(node)
            changed.body[place] = ast.Pass()
            yield "statement", _short(statement), "(nothing)", changed


def _can_be_lost(statement: ast.stmt) -> bool:
    """A call, an assignment to a field or an early end: without it the function still runs."""
    match statement:
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            return True
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript(), *_]):
            return True
        case ast.Return(value=None) | ast.Continue():
            return True
    return False


class _Replacer(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return self._new
        self.generic_visit(node)
        return node


def _replaced(tree: ast.Module, function: ast.FunctionDef, place: int, new: ast.AST) -> ast.AST:
    """A copy of the tree in which the node at this place of the function is another one."""
    at = [node is function for node in ast.walk(tree)].index(True)
    copied = copy.deepcopy(tree)
    twin = next(node for number, node in enumerate(ast.walk(copied)) if number == at)
    old = next(node for number, node in enumerate(ast.walk(twin)) if number == place)
    return ast.fix_missing_locations(_Replacer(old, new).visit(copied))


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
