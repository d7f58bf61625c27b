"""Kernels called by kernels: lowered once, optimised and compiled only as part of what Python calls.

numba compiles every function to machine code of its own, and optimises it again in each caller. Between
kernels both are waste: nobody enters at the callee, and LLVM sees the whole again at the entry. A callee
therefore ends as LLVM code, and its cache holds that. numba has no public way to say so: this module
overrides what numba 0.68 does between lowering and machine code.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
from llvmlite.binding import newpassmanagers
from numba import _dynfunc
from numba.core import caching, codegen, typed_passes
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.environment import lookup_environment

_ENVIRONMENT = "_ZN08NumbaEnv"


class PartLibrary(codegen.JITCodeLibrary):  # type: ignore[misc] # numba has no types
    """LLVM code of a function and all it calls, as lowered."""

    def _optimize_functions(self, ll_module: Any) -> None:
        """Take variables off the stack and drop what nobody reads, addresses of this process among it."""
        ll_module.data_layout = self._codegen._data_layout
        manager = newpassmanagers.create_new_function_pass_manager()
        manager.add_sroa_pass()
        manager.add_simplify_cfg_pass()
        manager.add_dead_code_elimination_pass()
        builder = self._codegen._pass_builder(opt=0)
        for function in ll_module.functions:
            manager.run(function, builder)

    def _optimize_final_module(self) -> None:
        """Left to the entry."""
        manager = newpassmanagers.create_new_module_pass_manager()
        manager.add_global_dead_code_eliminate_pass()
        manager.run(self._final_module, self._codegen._pass_builder(opt=0))

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """No machine code: no address."""
        del name
        return 0


@register_pass(mutates_CFG=True, analysis_only=False)
class PartLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Lowers into a `PartLibrary`."""

    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower, and make the result known to callers."""
        state.library = PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        hollow = _hollow(lowered.fndesc, lowered.env, state.library)
        state.targetctx.insert_user_function(hollow, lowered.fndesc, [state.library])
        state.reload_init.extend(state.library._reload_init)
        state["cr"] = lowered._replace(cfunc=hollow)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class EntryLowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Compiles to machine code, with all parts."""

    _name = "entry_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower and compile, then give each part its environment, as its own compilation would have."""
        super().run_pass(state)
        library = state.library
        for variable in library._final_module.global_variables:
            name = variable.name
            if name.startswith(_ENVIRONMENT) and (environment := lookup_environment(name)) is not None:
                library.codegen.set_env(name, environment)
        return True


class _PartCacheImpl(caching.CompileResultCacheImpl):  # type: ignore[misc]
    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return "part-" + str(super().get_filename_base(fullname, abiflags))

    def reduce(self, cres: Any) -> Any:
        fndesc, library = cres.fndesc, cres.library
        fndesc.typemap = fndesc.calltypes = None
        code = library._get_module_for_linking().as_bitcode()
        environments = tuple(cres._find_referenced_environments())
        return library.name, code, fndesc, cres.environment, cres.signature, cres.reload_init, environments

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        name, code, fndesc, environment, signature, reload_init, environments = payload
        for function in reload_init:
            function()
        library = PartLibrary(target_context.codegen(), name)
        library._final_module = llvmlite.binding.parse_bitcode(code)
        library._finalize_final_module()
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
            referenced_envs=environments,
        )


class PartCache(caching.FunctionCache):  # type: ignore[misc]
    """Keeps LLVM code, beside what the entry of the same function keeps."""

    _impl_class = _PartCacheImpl


def cache_lowered(dispatcher: Any) -> None:
    """Give a dispatcher with `PartCompiler` its cache."""
    dispatcher._cache = PartCache(dispatcher.py_func)


def _hollow(fndesc: Any, environment: Any, library: Any) -> Any:
    """What numba knows a compiled function by; it cannot be called."""
    return _dynfunc.make_function(
        fndesc.lookup_module(), fndesc.qualname.split(".")[-1], "", 0, environment, (library,)
    )


class _Compiler(CompilerBase):  # type: ignore[misc]
    lowering: Any

    def define_pipelines(self) -> list[Any]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [
            (self.lowering, text) if one is typed_passes.NativeLowering else (one, text)
            for one, text in manager.passes
        ]
        manager._finalized = False
        manager.finalize()
        return [manager]


class PartCompiler(_Compiler):
    """For functions called by kernels."""

    lowering = PartLowering


class EntryCompiler(_Compiler):
    """For functions called from Python."""

    lowering = EntryLowering
