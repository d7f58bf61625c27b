"""The arithmetic: numpy and numba only; one function object for live, batch and backtest.

numba keys its cache by the file of the compiled function alone, so an edited step would still be run
from a stale caller. The cache folder is therefore named by the content of all kernel files, the
versions of numba and numpy, and the processor; it is set here before the first decorator runs.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import llvmlite.binding
import numba
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

if TYPE_CHECKING:
    from collections.abc import Callable


def _set_up_arrays() -> None:
    """Load numba's array functions without scipy.linalg.

    They would import it, 0.3 s of every start, only to know whether covariances can be compiled.
    """
    if "scipy.linalg" in sys.modules or "numba.np.arraymath" in sys.modules:
        return
    sys.modules["scipy.linalg"] = None  # type: ignore[assignment] # "cannot be imported", in Python's own words
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules["scipy.linalg"]


_set_up_arrays()

from bnml.kernels.deferred import EntryCompiler, PartCompiler, cache_lowered  # noqa: E402 - numba's arrays are set up first
from bnml.kernels.shortcuts import (  # noqa: E402
    compile_nested,
    compute_in_place,
    list_variables,
    name_records,
    open_cache_once,
    remember_operators,
    remember_sizes,
    time_no_calls,
)

name_records()
list_variables()
remember_operators()
compute_in_place()
remember_sizes()
open_cache_once()
time_no_calls()


def _content_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    for part in (numba.__version__, np.__version__, llvmlite.binding.get_host_cpu_name()):
        digest.update(part.encode())
    return digest.hexdigest()[:16]


KERNEL_HASH = _content_hash()
"""Names the arithmetic: equal hashes promise equal bits on one machine."""

CACHE_DIR = Path(os.environ.get("BNML_NUMBA_CACHE", "state/numba")).resolve() / KERNEL_HASH
numba.config.CACHE_DIR = str(CACHE_DIR)


_OPTIONS: dict[str, bool | str] = {
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "forceinline": False,  # said, because else it is inherited from the caller that happens to be first
}


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile without fast-math, without the GIL, cached by content; called by kernels, become part of them."""
    compiled: Callable[P, R] = _two_doors(function, _OPTIONS)
    return compiled


def part(function: Callable[P, R]) -> Callable[P, R]:
    """As `njit`, for functions that neither make nor return an array.

    References to arrays are not counted: where many arrays are handed down through small steps, the atomic
    counts take longer than the steps.
    """
    compiled: Callable[P, R] = _two_doors(function, {**_OPTIONS, "_nrt": False})
    return compiled


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """As `part`, for steps of a few nanoseconds and their batches: never left as a call."""
    compiled: Callable[P, R] = _two_doors(function, {**_OPTIONS, "_nrt": False, "forceinline": True})
    return compiled


def _two_doors(function: Callable[P, R], options: dict[str, bool | str]) -> Any:
    """Compiled where Python calls it; where a kernel calls it, lowered for that kernel.

    There is one version per type: otherwise each constant at a call site would be compiled on its own.
    """
    if numba.config.DISABLE_JIT:
        return function
    entry = numba.njit(**options, cache=True, pipeline_class=EntryCompiler)(function)
    parts: list[Any] = []  # made when a kernel first asks: most are only ever called from one side

    def part() -> Any:
        if not parts:
            made = numba.njit(**options, no_cpython_wrapper=True, pipeline_class=PartCompiler)(function)
            cache_lowered(made)
            made.compile = functools.partial(compile_nested, made)
            parts.append(made)
        return parts[0]

    def template(args: Any, kws: Any) -> Any:
        args = tuple(numba.types.unliteral(arg) for arg in args)
        return part().get_call_template(args, {name: numba.types.unliteral(arg) for name, arg in kws.items()})

    entry.part = part
    entry.get_call_template = template
    entry.get_overload = lambda signature: part().get_overload(signature)
    return entry


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Put a function's body where it is called: for those that return records, which a call cannot return."""
    compiled: Callable[P, R] = numba.njit(inline="always", _nrt=False)(function)
    return compiled


def plain(kernel: Any) -> Any:
    """The Python function that a kernel was made of: for a few integers it is cheaper than the way into compiled code."""
    return getattr(kernel, "py_func", kernel)
