"""Records read where they lie, by address: arrays of many symbols need not be copied into one.

Whoever gives an address keeps what is there alive and in its place for as long as kernels run.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 1 << 40
"""Length of a borrowed array: nobody knows how long it is, the caller stays within it."""


def address_of(records: NDArray[np.void], number: int) -> int:
    """Address at which a record of this number would be `records[0]`: numbers are then those of all arrays joined."""
    if not records.flags.c_contiguous:
        raise ValueError("only an array without gaps can be borrowed")
    return int(records.ctypes.data) - number * records.itemsize


def _borrowed(like: NDArray[np.void], address: int) -> NDArray[np.void]:
    """Records like those of an array, from an address on."""
    place = (ctypes.c_char * (MOST * like.itemsize)).from_address(int(address))
    return np.frombuffer(memoryview(place), dtype=like.dtype)


def _typed(_context: Any, like: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        made = context.make_array(like)(context, builder)
        size = context.get_constant(types.intp, like.dtype.size)
        made.data = builder.inttoptr(arguments[1], made.data.type)
        made.shape = context.make_tuple(
            builder, types.UniTuple(types.intp, 1), [context.get_constant(types.intp, MOST)]
        )
        made.strides = context.make_tuple(builder, types.UniTuple(types.intp, 1), [size])
        made.itemsize = size
        made.nitems = context.get_constant(types.intp, MOST)
        return made._getvalue()  # noqa: SLF001 - numba's own way

    return like(like, address), generate


borrowed: Any = _borrowed if numba.config.DISABLE_JIT else intrinsic(_typed)
