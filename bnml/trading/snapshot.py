"""Engine state as bytes and back, with a schema number; a restored engine behaves as the one that was saved."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from bnml.core.errors import RecoveryNeeded
from bnml.kernels.records import BREAKERS
from bnml.trading.state import EngineState, SymbolState

SCHEMA = 1
"""Grows with every change of what `EngineState` holds or means."""


_RECORDS = {"BREAKERS": BREAKERS}
"""One of each is kept. They grow at their end, where zero means nothing: an older one is filled up with zeros."""


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    content: bytes


class _Snapshot(msgspec.Struct, array_like=True):
    schema: int
    kernel_hash: str
    state: msgspec.Raw


class _Whole(msgspec.Struct, array_like=True):
    """The same on the way out, encoded in one go: with hundreds of symbols each further copy is a stall."""

    schema: int
    kernel_hash: str
    state: EngineState


def encode(state: EngineState, kernel_hash: str) -> bytes:
    """Freeze a state; `kernel_hash` says with which arithmetic its running values were made."""
    return msgspec.msgpack.encode(_Whole(SCHEMA, kernel_hash, state), enc_hook=_encode_array)


def decode(content: bytes) -> tuple[EngineState, str]:
    """A state and the kernel hash it was saved with; RecoveryNeeded for another schema or damaged bytes."""
    try:
        snapshot = msgspec.msgpack.decode(content, type=_Snapshot)
        if snapshot.schema == SCHEMA:
            state = msgspec.msgpack.decode(snapshot.state, type=EngineState, dec_hook=_decode_array)
            for symbol in state.symbols.values():
                _begin_at_start(symbol)
            return state, snapshot.kernel_hash
    except msgspec.MsgspecError as error:
        raise RecoveryNeeded(
            f"the engine's snapshot is damaged ({error}); replay the journal instead"
        ) from error
    raise RecoveryNeeded(
        f"the engine's snapshot has schema {snapshot.schema}, this version reads {SCHEMA}; replay the journal instead"
    )


def _begin_at_start(symbol: SymbolState) -> None:
    """Memories that are not full yet were kept at their end once; now they fill from their start."""
    if 0 < symbol.bars < len(symbol.closes) and symbol.closes[-1]:
        for memory in (symbol.close_ts_ns, symbol.closes, symbol.atr_ratios):
            memory[:] = np.roll(memory, min(symbol.bars, len(memory)) - len(memory))


def _encode_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        names = [name for name, dtype in _RECORDS.items() if dtype == value.dtype]
        content = np.ascontiguousarray(value).view(np.uint8).data
        return names[0] if names else value.dtype.str, content  # as an `_Array`, without a copy
    raise NotImplementedError(f"a snapshot cannot hold {type(value).__name__}")


def _decode_array(kind: type, value: Any) -> Any:
    if kind is np.ndarray:
        array = msgspec.convert(value, _Array)
        dtype = _RECORDS.get(array.dtype)
        if dtype is None:
            return np.frombuffer(array.content, dtype=array.dtype).copy()
        return np.frombuffer(array.content.ljust(dtype.itemsize, b"\0"), dtype=dtype).copy()
    raise NotImplementedError(f"a snapshot cannot hold {kind.__name__}")
