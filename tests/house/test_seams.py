"""Seams: who may read the clock, print, swallow an error, or import what."""

import ast
import re
import sys

import pytest

from tests.house.source import PACKAGE, functions, imported, modules

MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
STANDARD = set(sys.stdlib_module_names)


def test_only_core_clock_reads_the_wall_clock():
    readers = {name for name, tree in modules().items() if imported(tree) & {"time", "datetime", "calendar"}}
    assert readers == {"core/clock.py"}


def test_nothing_prints():
    printers = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "breakpoint"}
    ]
    assert printers == []


def test_no_exception_is_swallowed():
    silent = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and all(isinstance(item, ast.Pass | ast.Continue) for item in node.body)
    ]
    assert silent == []


def test_nothing_is_left_for_later():
    marked = [name for name in modules() if MARKERS.search((PACKAGE / name).read_text("utf-8"))]
    assert marked == []


@pytest.mark.parametrize(
    ("folder", "foreign"),
    [
        ("core", {"msgspec", "numpy", "bnml.core"}),
        ("kernels", {"numpy", "numba", "llvmlite", "bnml.kernels"}),
    ],
)
def test_ring_zero_imports_only_its_own(folder, foreign):
    strangers = {
        f"{name} imports {package}"
        for name, tree in modules().items()
        if name.startswith(f"{folder}/")
        for package in imported(tree) - STANDARD - foreign
    }
    assert strangers == set()


def test_nothing_is_ever_unpickled_but_by_the_tests():
    readers = {
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("pickle", "load"), ("pickle", "loads"), ("joblib", "load")}
    }
    assert readers == set()


def test_no_process_is_given_all_of_our_environment_unasked():
    """It holds the key where no credentials folder does, and every process of the user may read that of a child."""
    starts = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "check_output", "check_call"}
    found = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr in starts or ast.unparse(node.func) == "subprocess.run")
        and "env" not in {keyword.arg for keyword in node.keywords}
    ]
    assert found == []


def test_no_function_hides_its_work_in_a_mutable_default():
    shared = [
        f"{name}:{function.name}"
        for name, tree in modules().items()
        for function in functions(tree)
        for default in [*function.args.defaults, *function.args.kw_defaults]
        if isinstance(default, ast.List | ast.Dict | ast.Set)
    ]
    assert shared == []
