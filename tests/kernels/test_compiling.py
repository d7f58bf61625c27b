import gc
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba import types
from numba.core import caching, event, ir
from numba.core.compiler import run_frontend

from bnml.kernels import lean, njit, part
from bnml.kernels.deferred import PartLibrary, callers_first
from bnml.kernels.shortcuts import uncollected


def test_constants_at_call_sites_share_one_version():
    @njit
    def shifted(value: int, bars: int) -> int:
        return value + bars

    for bars in (1, 2, 96):
        template, *_ = shifted.get_call_template((types.int64, types.literal(bars)), {})
        assert [version.args for version in template.cases] == [(types.int64, types.int64)]
    assert shifted(1, 2) == 3


def test_a_kernel_called_by_kernels_is_compiled_only_within_them():
    @part
    def doubled(value: int) -> int:
        return value + value

    @lean
    def tripled(value: int) -> int:
        return doubled(value) + value

    @njit
    def entry(value: int) -> int:
        return tripled(value) - doubled(value)

    assert entry(5) == 5
    assert list(entry.overloads) == [(types.int64,)]
    assert not doubled.overloads
    assert not tripled.overloads
    assert doubled(4) == 8  # from Python it is an entry like any other
    assert list(doubled.overloads) == [(types.int64,)]


def test_only_what_is_lean_has_to_be_inlined_whoever_calls_first():
    @part
    def doubled(value: int) -> int:
        return value + value

    @lean
    def tripled(value: int) -> int:
        return doubled(value) + value

    @njit
    def entry(value: int) -> int:
        return tripled(value)

    assert entry(5) == 15
    for kernel, is_lean in ((doubled, False), (tripled, True)):
        lowered = kernel.part().overloads[types.int64,]
        attributes = lowered.library.get_function(lowered.fndesc.llvm_func_name).attributes
        assert (b"alwaysinline" in attributes) is is_lean


def test_what_numba_compiles_alone_is_told_that_it_cannot_call_a_kernel():
    @part
    def doubled(value: int) -> int:
        return value + value

    @numba.njit
    def alone(value: int) -> int:
        return doubled(value)

    with pytest.raises(AssertionError, match=r"can only be called by what bnml\.kernels compiles"):
        alone(2)


NAN = float("nan")


@pytest.mark.parametrize(
    "numbers",
    [
        (3, -7),
        (-7, 3, 5),
        (1.5, NAN),
        (NAN, 1.5),
        (1.5, NAN, 2.5),
        (0.0, -0.0),
        (-0.0, 0.0),
        (np.uint64(2**64 - 1), np.uint64(1)),
        (np.uint64(1), np.uint64(2**64 - 1)),
        (3, 2.5),
        (True, 7),
    ],
)
def test_extremes_and_whole_numbers_are_those_of_python(numbers):
    @njit
    def highest(values):
        return max(*values)

    @njit
    def lowest(values):
        return min(*values)

    for kernel, python in ((highest, max), (lowest, min)):
        assert repr(float(kernel(numbers))) == repr(float(python(numbers)))


@pytest.mark.parametrize("number", [2.9, -2.9, 0.0, 7, -7, np.uint64(2**64 - 1), np.uint64(3)])
def test_a_number_is_cut_as_in_python(number):
    @njit
    def cut(value):
        return int(value)

    assert cut(number) == int(number)


def test_no_function_is_compiled_for_an_extreme():
    heard = []

    class Heard(event.Listener):
        def on_start(self, event):
            heard.append(event.data["dispatcher"].__name__)

        def on_end(self, event):
            pass

    @lean
    def bounded(value: int, share: float) -> float:
        return max(int(min(share, 0.5)), value, 1)

    @njit
    def entry(value: int, share: float) -> float:
        return bounded(min(value, 7), share)

    with event.install_listener("numba:compile", Heard()):
        assert entry(9, 0.25) == 7
    assert heard == ["entry", "bounded"]


def test_variables_of_instructions_are_those_that_numba_lists():
    def mixed(rows, limit):
        total, seen = 0.0, {}
        for place in range(len(rows)):
            first, _, _ = (rows[place], [limit, place], rows[place:limit])
            if first > limit and place not in seen:
                seen[place] = total = total + min(first, limit, key=abs)
        return total, seen

    def by_numba(value):
        if isinstance(value, ir.Var):
            return [value.name]
        if isinstance(value, ir.Expr):
            return by_numba(value._kws)
        if isinstance(value, ir.Inst):
            return by_numba(value.__dict__)
        if isinstance(value, dict):
            value = list(value.values())
        return [name for one in value for name in by_numba(one)] if isinstance(value, list | tuple) else []

    statements = [one for block in run_frontend(mixed).blocks.values() for one in block.body]
    assert len(statements) > 40
    for statement in statements:
        assert [variable.name for variable in statement.list_vars()] == by_numba(statement)


def test_garbage_is_searched_for_again_after_a_compilation():
    assert gc.isenabled()
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_cache_folder_that_was_removed_is_made_again(tmp_path):
    locator = SimpleNamespace(get_cache_path=lambda: str(tmp_path / "kernels"))
    for _ in range(2):
        caching._CacheLocator.ensure_cache_path(locator)
        (tmp_path / "kernels").rmdir()


def test_a_part_is_linked_after_all_that_may_call_it():
    first, second, third, shared = parts = [PartLibrary.__new__(PartLibrary) for _ in range(4)]
    for part_of, callees in zip(parts, ([shared], [third], [shared], []), strict=True):
        part_of.callees = callees
    order = callers_first([first, second])
    assert len(order) == 4
    assert order[-1] is shared
    assert order.index(second) < order.index(third)


KERNELS = """
from bnml.kernels import njit

@njit
def halved(value):
    if value % 2:
        raise ValueError("odd", value)
    return value // 2

@njit
def quartered(value):
    return halved(halved(value))

@njit
def first(value):
    return quartered(value)

@njit
def second(value):
    return quartered(value) + halved(value)
"""

USE = """
import sys, kernels
from numba.core import event

class Heard(event.Listener):
    def on_start(self, event):
        print(event.data["dispatcher"].__name__)

    def on_end(self, event):
        pass

with event.install_listener("numba:compile", Heard()):
    for name in sys.argv[1:]:
        print(getattr(kernels, name)(8))
        try:
            getattr(kernels, name)(6)
        except ValueError as error:
            print(error.args)
"""


def test_what_one_process_lowered_the_next_one_takes_from_the_cache(tmp_path):
    (tmp_path / "kernels.py").write_text(textwrap.dedent(KERNELS))
    (tmp_path / "use.py").write_text(textwrap.dedent(USE))

    def use(*names):
        environment = {"BNML_NUMBA_CACHE": str(tmp_path / "cache"), "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "use.py", *names]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    odd = "('odd', 3)"
    assert use("first") == ["first", "quartered", "halved", "2", odd]
    assert use("second") == ["second", "6", odd]
    assert use("second", "first") == ["6", odd, "2", odd]


RECORDS = """
import os
import numpy as np
from numba import from_dtype
from bnml.kernels import njit

for met_before in range(int(os.environ["MET_BEFORE"])):
    from_dtype(np.dtype([(f"other{met_before}", "i8")]))

PAIR = np.dtype([("one", "i8"), ("two", "i8")])

@njit
def total(pair):
    return pair["one"] + pair["two"]

@njit
def twice(pair):
    return 2 * total(pair)

@njit
def entry(pair):
    return twice(pair) + total(pair)

if __name__ == "__main__":
    import kernels
    print(kernels.entry(np.array([(1, 2)], kernels.PAIR)[0]))
"""


def test_code_of_processes_that_met_other_types_before_is_linked_with_one_another(tmp_path):
    (tmp_path / "kernels.py").write_text(textwrap.dedent(RECORDS))
    cache = tmp_path / "cache"

    def use(met_before):
        environment = {
            "BNML_NUMBA_CACHE": str(cache),
            "PYTHONPATH": ":".join(sys.path),
            "MET_BEFORE": str(met_before),
        }
        done = subprocess.run(
            [sys.executable, "kernels.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert use(0) == "9"
    lost = [file for file in cache.rglob("*") if file.is_file() and "twice" not in file.name]
    assert len(lost) > 1
    for file in lost:  # the caller of `total` stays; `total` itself is lowered by another process
        file.unlink()
    assert use(3) == "9"
