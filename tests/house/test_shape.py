"""Sizes and first lines: a file and a function stay small enough to be read at once."""

import ast

from tests.house.source import PACKAGE, functions, modules

MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_METHODS = 20


def test_files_are_short():
    long = {
        name: count
        for name in modules()
        if (count := len((PACKAGE / name).read_text("utf-8").splitlines())) > MOST_FILE_LINES
    }
    assert long == {}


def test_functions_are_short():
    long = {
        f"{name}:{function.name}": length
        for name, tree in modules().items()
        for function in functions(tree)
        if (length := function.end_lineno - function.lineno + 1) > MOST_FUNCTION_LINES
    }
    assert long == {}


def test_classes_do_one_thing():
    wide = {
        f"{name}:{node.name}": len(methods)
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and len(
            methods := [
                item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
        )
        > MOST_METHODS
    }
    assert wide == {}


def test_each_module_says_its_responsibility_in_its_first_line():
    silent = [name for name, tree in modules().items() if not (ast.get_docstring(tree) or "").strip()]
    crowded = [
        name
        for name, tree in modules().items()
        if "\n" in (ast.get_docstring(tree) or "") and (ast.get_docstring(tree) or "").splitlines()[1].strip()
    ]
    assert silent == []
    assert crowded == [], "the first line is a sentence of its own"


def test_no_module_is_an_empty_room():
    empty = [
        name for name, tree in modules().items() if not name.endswith("__init__.py") and len(tree.body) < 2
    ]
    assert empty == []
