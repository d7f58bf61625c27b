"""The arithmetic: numpy and numba only; one function object for live, batch and backtest.

numba keys its cache by the file of the compiled function alone, so an edited step would still be run
from a stale caller. The cache folder is therefore named by the content of all kernel files, the
versions of numba and numpy, and the processor; it is set here before the first decorator runs.
"""

from __future__ import annotations

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


def njit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile without fast-math, without the GIL, cached by content."""
    options = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    return _unspecialised(numba.njit(**options)(function))


def part(function: Callable[P, R]) -> Callable[P, R]:
    """As `njit`, for functions that only kernels call and that neither make nor return an array.

    References to arrays are not counted: where many arrays are handed down through small steps, the atomic
    counts take longer than the steps. Without a door to Python it is compiled in half the time.
    """
    options = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    return _unspecialised(numba.njit(**options, no_cpython_wrapper=True, _nrt=False)(function))


def _unspecialised(compiled: Any) -> Any:
    """One version per type: otherwise each constant at a call site is compiled on its own."""
    if not numba.config.DISABLE_JIT:
        template = compiled.get_call_template

        def unspecialised(args: Any, kws: Any) -> Any:
            return template(
                tuple(numba.types.unliteral(arg) for arg in args),
                {name: numba.types.unliteral(arg) for name, arg in kws.items()},
            )

        compiled.get_call_template = unspecialised
    return compiled


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """As `njit`, for steps of a few nanoseconds and their batches, which allocate nothing.

    They are written into their callers, and references to arrays are not counted: a call and two atomic
    counts cost more than such a step. Only for functions that return no array.
    """
    compiled: Callable[P, R] = numba.njit(
        cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True, inline="always", _nrt=False
    )(function)
    return compiled


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Put a function's body where it is called: for those that return records, which a call cannot return."""
    compiled: Callable[P, R] = numba.njit(inline="always", _nrt=False)(function)
    return compiled


def plain(kernel: Any) -> Any:
    """The Python function that a kernel was made of: for a few integers it is cheaper than the way into compiled code."""
    return getattr(kernel, "py_func", kernel)
