"""Kernels called by kernels: lowered once, optimised and compiled only as part of what Python calls.

numba compiles every function to machine code of its own, and optimises it again in each caller. Between
kernels both are waste: nobody enters at the callee, and LLVM sees the whole again at the entry. A callee
therefore ends as LLVM code, and its cache holds that. numba has no public way to say so: this module
overrides what numba 0.68 does between lowering and machine code.
"""

from __future__ import annotations

import functools
import importlib
import zlib
from typing import Any

import llvmlite.binding
from llvmlite.binding import Linkage, newpassmanagers
from numba import _dynfunc
from numba.core import caching, codegen, typed_passes
from numba.core.compiler import CompilerBase, CompileResult
from numba.core.compiler_machinery import register_pass
from numba.core.environment import lookup_environment

from bnml.kernels.shortcuts import passes, uncollected

_ENVIRONMENT = "_ZN08NumbaEnv"
_DYNAMIC = "numba.dynamic.globals"


class PartLibrary(codegen.JITCodeLibrary):  # type: ignore[misc] # numba has no types
    """LLVM code of one function, and which others it calls."""

    _linking_libraries: list[Any]

    def __init__(self, codegen: Any, name: str, kernel: Kernel) -> None:
        super().__init__(codegen, name)
        self.kernel = kernel
        self.callees: list[PartLibrary] = []

    def add_llvm_module(self, ll_module: Any) -> None:
        """Take the code as it is."""
        self._final_module = ll_module

    def finalize(self) -> None:
        """Take variables off the stack and drop what nobody reads, addresses of this process among it."""
        for library in dict.fromkeys(self._linking_libraries):
            if isinstance(library, PartLibrary):
                self.callees.append(library)
            else:
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._final_module.data_layout = self._codegen._data_layout
        _tidy().run(self._final_module, self._codegen._pass_builder(opt=0))
        self.adopt(self._final_module)

    def adopt(self, module: Any) -> None:
        """Take a finished module for the code."""
        self._final_module = module
        self._dynamic_globals += [
            one.name for one in module.global_variables if one.name.startswith(_DYNAMIC)
        ]
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """Refuse: what its parts call would be missing, and a call to it one to address 0."""
        raise AssertionError(f"{self.name} can only be called by what bnml.kernels compiles")

    def get_pointer_to_function(self, name: str) -> int:
        """No machine code: no address."""
        del name
        return 0


class EntryLibrary(codegen.JITCodeLibrary):  # type: ignore[misc]
    """Machine code of a function with all it calls."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        """Link every part once, however many call it; then optimise and compile as numba does."""
        for part in callers_first(self._linking_libraries):
            self._reload_init.update(part._reload_init)
            self._final_module.link_in(part._final_module, preserve=True)
        self._linking_libraries = [one for one in self._linking_libraries if not isinstance(one, PartLibrary)]
        super().finalize()
        for variable in self._final_module.global_variables:
            name = variable.name
            if name.startswith(_ENVIRONMENT) and (environment := lookup_environment(name)) is not None:
                self._codegen.set_env(name, environment)

    def _optimize_final_module(self) -> None:
        """Tell LLVM that nobody else calls the parts: one called in one place only is put there."""
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = Linkage.internal
        super()._optimize_final_module()

    def _verify_declare_only_symbols(self) -> None:
        """Nothing compiled by numba is missing: a call to it would be one to address 0."""
        missing = [
            one.name
            for one in self._final_module.functions
            if one.is_declaration and one.name.startswith("_ZN")
        ]
        if missing:
            raise AssertionError(f"{self.name} was linked without {', '.join(missing)}")


def callers_first(libraries: list[Any]) -> list[Any]:
    """All parts that these need. LLVM leaves out what nobody calls yet: whoever may call is linked before."""
    callees_first: dict[Any, None] = {}

    def visit(library: PartLibrary) -> None:
        if library not in callees_first:
            for callee in library.callees:
                visit(callee)
            callees_first[library] = None

    for library in libraries:
        if isinstance(library, PartLibrary):
            visit(library)
    return list(reversed(callees_first))


@functools.cache
def _tidy() -> Any:
    manager = newpassmanagers.create_new_module_pass_manager()
    manager.add_sroa_pass()
    manager.add_dead_code_elimination_pass()
    manager.add_global_dead_code_eliminate_pass()
    return manager


class Kernel:
    """Where a kernel is found again, and its version: by module, name and types of the arguments."""

    def __init__(self, module: str, name: str, types: tuple[Any, ...]) -> None:
        self.module, self.name, self.types = module, name, types

    def is_global(self) -> bool:
        """Whether another process finds it."""
        return hasattr(self._dispatcher(), "part")

    def library(self) -> Any:
        """Its code, from the cache or lowered now."""
        part = self._dispatcher().part()
        part.compile(self.types)
        return part.overloads[self.types].library

    def _dispatcher(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name, None)


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Lowers into a `PartLibrary`."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower, and make the result known to callers."""
        function = state.func_id
        kernel = Kernel(function.modname, function.func_qualname, tuple(state.args))
        state.library = PartLibrary(state.targetctx.codegen(), function.func_qualname, kernel)
        state.library.enable_object_caching()
        state.flags.no_compile = True
        super().run_pass(state)
        state.library.finalize()
        lowered = state["cr"]
        state.library._final_module.get_function(lowered.fndesc.llvm_func_name).linkage = "linkonce_odr"
        state.library._shared_module = state.library._final_module
        hollow = _hollow(lowered.fndesc, lowered.env, state.library)
        state.targetctx.insert_user_function(hollow, lowered.fndesc, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state["cr"] = lowered._replace(cfunc=hollow)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class EntryLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Lowers and compiles to an `EntryLibrary`."""

    _name = "entry_lowering"

    def run_pass(self, state: Any) -> bool:
        """As numba."""
        state.library = EntryLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


class _PartCacheImpl(caching.CompileResultCacheImpl):  # type: ignore[misc]
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return "part-" + str(super().get_filename_base(fullname, abiflags))

    def check_cachable(self, cres: Any) -> bool:
        kernels = [cres.library.kernel, *(callee.kernel for callee in cres.library.callees)]
        return all(kernel.is_global() for kernel in kernels) and bool(super().check_cachable(cres))

    def reduce(self, cres: Any) -> Any:
        fndesc, library = cres.fndesc, cres.library
        fndesc.typemap = fndesc.calltypes = None
        code = library._final_module.as_bitcode()
        callees = [callee.kernel for callee in library.callees]
        return library.kernel, code, callees, fndesc, cres.environment, cres.signature, cres.reload_init

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        kernel, code, callees, fndesc, environment, signature, reload_init = payload
        for function in reload_init:
            function()
        library = PartLibrary(target_context.codegen(), kernel.name, kernel)
        library.adopt(llvmlite.binding.parse_bitcode(code))
        library._shared_module = library._final_module
        library.callees = [callee.library() for callee in callees]
        return CompileResult(
            target_context=target_context,
            typing_context=target_context.typing_context,
            library=library,
            environment=environment,
            entry_point=_hollow(fndesc, environment, library),
            fndesc=fndesc,
            type_annotation="",
            signature=signature,
            objectmode=False,
            lifted=(),
            typing_error=None,
            call_helper=None,
            metadata=None,
            reload_init=reload_init,
            referenced_envs=(),
        )


class PartCache(caching.FunctionCache):  # type: ignore[misc]
    """Keeps LLVM code, beside what the entry of the same function keeps."""

    _impl_class = _PartCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba, without looking for new implementations of operators: the entry has done that."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def cache_lowered(dispatcher: Any) -> None:
    """Give a dispatcher with `PartCompiler` its cache."""
    dispatcher._cache = PartCache(dispatcher.py_func)


def _hollow(fndesc: Any, environment: Any, library: Any) -> Any:
    """What numba knows a compiled function by; it cannot be called."""
    return _dynfunc.make_function(
        fndesc.lookup_module(), fndesc.qualname.split(".")[-1], "", 0, environment, (library,)
    )


class EntryCompiler(CompilerBase):  # type: ignore[misc]
    """For functions called from Python."""

    lowering: Any = EntryLowering

    def define_pipelines(self) -> list[Any]:
        """The passes that kernels need."""
        return [passes(self.state, self.lowering)]

    def _compile_bytecode(self) -> Any:
        with uncollected():
            return super()._compile_bytecode()


class PartCompiler(EntryCompiler):
    """For functions called by kernels."""

    lowering = PartLowering

    def _compile_bytecode(self) -> Any:
        """Name a global function alike in every process: cached callers look for it by that name."""
        function = self.state.func_id
        if "<locals>" not in function.func_qualname:
            function.unique_id = zlib.crc32(function.code.co_code)
        return super()._compile_bytecode()
