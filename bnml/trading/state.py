"""All that the engine remembers, as data: what a snapshot holds and a restart brings back."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Bar, Book
from bnml.core.instrument import Instrument
from bnml.trading.orders import Order
from bnml.trading.portfolio import Ledger
from bnml.trading.risk.breakers import BreakerState

FloatArray = np.ndarray
HISTORY = 304
"""Log returns kept per symbol: 64 recent and 240 before for drift, the last 300 for correlation."""
ATR_HISTORY = 96


class Activity(msgspec.Struct):
    """Whether entries are allowed at all; protection and exits never ask."""

    halted: str = ""  # reason; not empty: no entries until the operator resumes
    is_reducing: bool = False  # operator: positions may leave, none may come
    channels_down: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def allows_entries(self) -> bool:
        return not (self.halted or self.is_reducing or self.channels_down)


class SymbolState(msgspec.Struct):
    """One symbol: its filters, its running features, its last bar and returns."""

    instrument: Instrument
    features: np.ndarray  # type: ignore[type-arg] # float64[state_size], owned by kernels.features
    row: np.ndarray  # type: ignore[type-arg] # float64[columns] of the last bar
    bar: Bar | None = None
    book: Book | None = None
    return_ts_ns: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(HISTORY, np.int64))  # type: ignore[type-arg]
    log_returns: np.ndarray = msgspec.field(default_factory=lambda: np.full(HISTORY, np.nan))  # type: ignore[type-arg]
    atr_ratios: np.ndarray = msgspec.field(default_factory=lambda: np.full(ATR_HISTORY, np.nan))  # type: ignore[type-arg]


class EngineState(msgspec.Struct):
    """Everything mutable; predictors and records are not here, they follow from config and bundle ids."""

    ledger: Ledger
    breakers: BreakerState
    activity: Activity
    now_ns: int = 0
    orders: dict[str, Order] = msgspec.field(default_factory=dict)
    symbols: dict[str, SymbolState] = msgspec.field(default_factory=dict)
    universe: tuple[str, ...] = ()
    models: dict[str, str] = msgspec.field(default_factory=dict)
    asked_to_train: list[str] = msgspec.field(default_factory=list)
    unknown: list[str] = msgspec.field(default_factory=list)  # symbols and orders reported once
    scanned_ns: int = 0
    last_equity_e8: int = 0
