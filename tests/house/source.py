"""The package as text and trees, for the tests that keep the house rules."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "bnml"


@cache
def modules() -> dict[str, ast.Module]:
    """Parsed modules of the package by path relative to it, such as `core/clock.py`."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions and methods, nested ones too."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the imported packages, `bnml.x` as `bnml.x`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {
        ".".join(name.split(".")[:2]) if name.startswith("bnml") else name.split(".")[0] for name in names
    }
