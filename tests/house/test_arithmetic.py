"""Arithmetic: batches are bare loops around the step, money is never a float, nothing is fast and loose."""

import ast

import pytest

from tests.house.source import functions, modules

KERNELS = {name: tree for name, tree in modules().items() if name.startswith("kernels/")}
LEDGERS = ["core/orders.py", "trading/portfolio.py", "trading/positions.py", "venues/sim/accounts.py"]


def batches():
    return [
        (name, function)
        for name, tree in KERNELS.items()
        for function in functions(tree)
        if function.name.endswith("_batch")
    ]


def test_there_are_batches_to_judge():
    assert len(batches()) >= 2


@pytest.mark.parametrize(("name", "batch"), [pytest.param(n, f, id=f.name) for n, f in batches()])
def test_a_batch_is_a_bare_loop_around_the_step(name, batch):
    body = batch.body[1:] if ast.get_docstring(batch) else batch.body
    loops = [statement for statement in body if isinstance(statement, ast.For)]
    others = [statement for statement in body if not isinstance(statement, ast.For | ast.Assign | ast.Return)]
    assert len(loops) == 1, f"{name}: one loop"
    assert others == [], f"{name}: nothing but the loop and what it is set up with"
    stem = batch.name.removesuffix("_batch")
    inside = loops[0].body
    assert all(isinstance(statement, ast.Expr | ast.Assign) for statement in inside), (
        "no branch, no second loop"
    )
    called = {
        node.func.id
        for statement in inside
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert called & {f"{stem}_step", f"{stem}_row"}, f"{name}: the loop calls {stem}_step or {stem}_row"


def test_kernels_use_the_one_decorator():
    strange = {
        f"{name}:{node.lineno}"
        for name, tree in KERNELS.items()
        if name != "kernels/__init__.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"njit", "jit", "prange", "vectorize", "guvectorize"}
    }
    assert strange == set(), "bnml.kernels.njit keys the cache by content and forbids fast-math"


def test_no_kernel_trades_exactness_for_speed():
    loose = {
        f"{name}:{keyword.value.lineno}"
        for name, tree in KERNELS.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg in {"fastmath", "parallel"}
    }
    assert loose == set()


@pytest.mark.parametrize("name", LEDGERS)
def test_money_is_counted_in_integers(name):
    floats = [
        f"{name}:{node.lineno}"
        for node in ast.walk(modules()[name])
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
    ]
    assert floats == []
