"""What numba does anew for every function, and need not: types of operators, passes without work."""

from __future__ import annotations

import functools
import gc
import hashlib
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import BuiltinFunctionType, CodeType
from typing import Any

import llvmlite.ir
from llvmlite.binding import ffi
from numba import types
from numba.core import caching, event, ir, typed_passes, untyped_passes
from numba.core.base import BaseContext
from numba.core.compiler import DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.imputils import lower_builtin
from numba.core.types.functions import BaseFunction
from numba.core.typing.templates import signature
from numba.cpython.builtins import do_minmax

_IDLE = {
    untyped_passes.WithLifting,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    untyped_passes.LiteralPropagationSubPipelinePass,
    typed_passes.NoPythonSupportedFeatureValidation,
    typed_passes.DumpParforDiagnostics,
}
"""Passes for what kernels do not have: `with` blocks, closures, literal arguments, parallel loops."""


@register_pass(mutates_CFG=True, analysis_only=False)
class ArrayRewrites(typed_passes.NopythonRewrites):  # type: ignore[misc]
    """Fuses expressions of arrays, where there are any."""

    _name = "array_rewrites"

    def run_pass(self, state: Any) -> bool:
        """Look at what is assigned first: most functions have numbers only."""
        for block in state.func_ir.blocks.values():
            for assigned in block.find_insts(ir.Assign):
                if isinstance(assigned.value, ir.Expr) and _concerns_arrays(assigned, state.typemap):
                    return bool(super().run_pass(state))
        return False


def _concerns_arrays(assigned: Any, typemap: Any) -> bool:
    expression = assigned.value
    if expression.op == "getitem":
        return isinstance(typemap[expression.index.name], types.StringLiteral)
    if expression.op in {"static_getitem", "getattr", "cast"}:
        return False
    return isinstance(typemap[assigned.target.name], types.Array)


def passes(state: Any, lowering: Any) -> Any:
    """The passes of numba that can have work, with another last one."""
    kinds = _has_closures(state.func_id.code), lowering
    if kinds not in _MANAGERS:
        _MANAGERS[kinds] = _chosen(DefaultPassBuilder.define_nopython_pipeline(state), *kinds)
    return _MANAGERS[kinds]


_MANAGERS: dict[Any, Any] = {}


def _chosen(manager: Any, has_closures: bool, lowering: Any) -> Any:
    replaced = {typed_passes.NativeLowering: lowering, typed_passes.NopythonRewrites: ArrayRewrites}
    idle = _IDLE if has_closures else _IDLE | {untyped_passes.InlineClosureLikes}
    manager.passes = [(replaced.get(one, one), text) for one, text in manager.passes if one not in idle]
    manager._finalized = False
    manager.finalize()
    return manager


def _has_closures(code: Any) -> bool:
    return "array" in code.co_names or any(isinstance(constant, CodeType) for constant in code.co_consts)


def remember_operators() -> None:
    """Types of operators, by the types of their operands: otherwise numba tries all it knows, at each place.

    Only what numba itself implements is remembered, none of its functions written in Python: their
    versions depend on the options of the caller.
    """
    work_out = BaseFunction.get_call_type
    known: dict[Any, Any] = {}

    def get_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        key = (id(self), args)
        if not kws and key in known:
            return known[key][1]
        found = work_out(self, context, args, kws)
        if found is not None and not kws and self._impl_keys.get(found.args) is self.typing_key:
            known[key] = self, found  # with itself: its identity is not given to another
        return found

    BaseFunction.get_call_type = get_call_type  # type: ignore[method-assign]


def compute_in_place() -> None:
    """Put `max`, `min` and `int` of numbers of one type where they stand, by numba's own lowering.

    numba compiles a function for each, of each type and for each kind of caller.
    """
    work_out = BaseFunction.get_call_type
    keys = {function: ("in place", function.__name__) for function in (max, min, int)}
    for function, compare in ((max, operator.gt), (min, operator.lt)):
        lower_builtin(keys[function], types.VarArg(types.Any))(_lower_extreme(compare))
    lower_builtin(keys[int], types.Any)(_lower_whole)

    def get_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        if kws or self.typing_key not in keys or (len(args) == 1) is not (self.typing_key is int):
            return work_out(self, context, args, kws)
        kind, *others = {types.unliteral(one) for one in args}
        if others or not isinstance(kind, types.Integer | types.Float):
            return work_out(self, context, args, kws)
        is_cut = self.typing_key is int and isinstance(kind, types.Float)
        found = signature(types.intp if is_cut else kind, *[kind] * len(args))
        self._impl_keys[found.args] = keys[self.typing_key]
        return found

    BaseFunction.get_call_type = get_call_type  # type: ignore[method-assign]


def _lower_extreme(compare: Any) -> Any:
    def lower(context: Any, builder: Any, found: Any, args: Any) -> Any:
        kind = found.return_type
        if isinstance(kind, types.Float):
            return do_minmax(context, builder, found.args, args, compare)
        name = f"llvm.{'s' if kind.signed else 'u'}{'max' if compare is operator.gt else 'min'}"
        of = args[0].type
        both = builder.module.declare_intrinsic(name, [of], llvmlite.ir.FunctionType(of, [of, of]))
        return functools.reduce(lambda one, other: builder.call(both, [one, other]), args)

    return lower


def _lower_whole(context: Any, builder: Any, found: Any, args: Any) -> Any:
    return context.cast(builder, args[0], found.args[0], found.return_type)


def name_records() -> None:
    """Name a record type in symbols by what it holds, and a tuple of records as shortly.

    numba names a record by a count of the types that the process has met. Code of one process is linked with
    code of others here, so that name would miss what is there, or find the code of another record. A tuple it
    names by all fields of all its records: thousands of letters in each symbol of each call.
    """

    @functools.cache
    def digest(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()[:16]

    def mangling_args(self: Any) -> tuple[str, tuple[str]]:
        return type(self).__name__, (digest(self.name),)

    for kind in (types.Record, types.NamedTuple, types.NamedUniTuple):
        kind.mangling_args = property(mangling_args)


def list_variables() -> None:
    """Variables that an instruction names, which each of many passes asks of each: by the kinds of its fields."""
    work_out = ir.Inst._rec_list_vars
    nothing = {str, int, float, bool, type(None), BuiltinFunctionType, ir.Loc}
    several = {dict, list, tuple}

    def list_vars(self: Any, value: Any) -> list[Any]:
        kind = type(value)
        if kind is ir.Var:
            return [value]
        if kind not in several:
            return [] if kind in nothing else list(work_out(self, value))
        found = []
        for one in value.values() if kind is dict else value:
            kind = type(one)
            if kind is ir.Var:
                found.append(one)
            elif kind not in nothing:
                found += list_vars(self, one)
        return found

    ir.Inst._rec_list_vars = list_vars


def remember_sizes() -> None:
    """Sizes of types: numba has LLVM parse a module for each."""
    work_out = BaseContext.get_abi_sizeof
    known: dict[Any, int] = {}

    def get_abi_sizeof(self: Any, kind: Any) -> int:
        if kind not in known:
            known[kind] = work_out(self, kind)
        return known[kind]

    BaseContext.get_abi_sizeof = get_abi_sizeof


def open_cache_once() -> None:
    """Whether a folder can be written to: numba makes a file in it for each function that it decorates, and each saved."""
    work_out = caching._CacheLocator.ensure_cache_path
    known: set[str] = set()

    def ensure_cache_path(self: Any) -> None:
        path = self.get_cache_path()
        if path not in known or not Path(path).is_dir():
            work_out(self)
            known.add(path)

    caching._CacheLocator.ensure_cache_path = ensure_cache_path


def time_no_calls() -> None:
    """Events of each call into LLVM, which nobody listens to."""
    ffi.lib._lock._cblist.clear()


@contextmanager
def uncollected() -> Iterator[None]:
    """Search for no garbage meanwhile: what a compilation makes lives until its end, and is looked through in vain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def compile_nested(dispatcher: Any, args: Any) -> Any:
    """As `Dispatcher.compile`, within the compilation of a caller: its lock is held and its timers run.

    Timers of its own would hear of each call into LLVM, on each level of nested calls.
    """
    args = tuple(args)
    if args not in dispatcher.overloads:
        result = dispatcher._cache.load_overload(args, dispatcher.targetctx)
        if result is None:
            with event.trigger_event("numba:compile", data={"dispatcher": dispatcher, "args": args}):
                result = dispatcher._compiler.compile(args, None)
            dispatcher.add_overload(result)
            dispatcher._cache.save_overload(args, result)
        else:
            dispatcher.targetctx.insert_user_function(result.entry_point, result.fndesc, [result.library])
            dispatcher.add_overload(result)
    return dispatcher.overloads[args].entry_point
