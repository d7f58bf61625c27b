"""Asking for memory before it is needed: the one thing that plain numba cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

READ, LEVEL_2, DATA = 0, 2, 1
"""Arguments of `llvm.prefetch`. The second cache level takes many more requests at a time than the first."""


def _prefetch(words: NDArray[np.uint32], index: np.uint64) -> None:
    """Begin to load the cache line of `words[index]`; needs no answer, changes no value."""


def _typed(_context: Any, words: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        data = context.make_array(words)(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [address.type], ir.FunctionType(ir.VoidType(), [address.type, *[number] * 3])
        )
        builder.call(function, [address, number(READ), number(LEVEL_2), number(DATA)])
        return context.get_dummy_value()

    return types.void(words, index), generate


prefetch: Any = _prefetch if numba.config.DISABLE_JIT else intrinsic(_typed)
