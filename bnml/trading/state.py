"""All that the engine remembers, as data: what a snapshot holds and a restart brings back."""

from __future__ import annotations

import msgspec
import numpy as np

from bnml.core.events import Bar, OrderReport
from bnml.core.instrument import Instrument
from bnml.trading.orders import Order
from bnml.trading.portfolio import Ledger
from bnml.trading.round_trips import Ramp
from bnml.trading.universe import TRADING

HISTORY = 400
"""Closes kept per symbol: 305 are compared for drift, 301 common ones with other symbols for correlation."""
ATR_HISTORY = 96
KEPT_TOLD = 1024
"""Of orders and symbols that are not ours: others may trade on the account for ever."""
OF_SYMBOL = ":"
"""Between the name of a guard and the symbol that it is about."""
STATUS = f"status{OF_SYMBOL}"
"""Of the guard that stands while the venue does not trade a symbol; the look at the symbols ends it."""


class Activity(msgspec.Struct):
    """Whether entries are allowed at all; protection and exits ask for nothing but whether the venue takes orders."""

    halted: str = ""  # reason; not empty: no entries until the operator resumes
    is_reducing: bool = False  # operator: positions may leave, none may come
    channels_down: dict[str, str] = msgspec.field(default_factory=dict)
    guards: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """What was found around the engine: name -> (REDUCING or HALTED, detail); `stale:BTCUSDT` is about one symbol."""
    guards_over: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)
    """Halting guards whose cause is over, and what each becomes when the operator resumes."""
    guards_resumed: list[str] = msgspec.field(default_factory=list)
    """Halting guards that the operator has resumed from while their cause still stands."""
    rejects: int = 0  # requests refused in a row
    rejects_until_ns: int = 0  # end of their pause, 0 for none
    rejects_last: str = ""  # id of the last that counted

    @property
    def allows_entries(self) -> bool:
        return not (
            self.halted
            or self.is_reducing
            or self.channels_down
            or any(OF_SYMBOL not in name for name in self.guards)
        )

    def is_closed(self, instrument: Instrument) -> bool:
        """Whether the venue takes no orders of a symbol, as its last word or its last refusal has it."""
        return instrument.status != TRADING or f"{STATUS}{instrument.symbol}" in self.guards

    def allows(self, symbol: str) -> bool:
        """Whether this symbol may be entered, as far as that is not a matter of the market."""
        return self.allows_entries and not any(name.partition(OF_SYMBOL)[2] == symbol for name in self.guards)


class SymbolState(msgspec.Struct):
    """One symbol: its filters, its running features, its last bar and recent closes.

    Memories fill from their start; what is kept of them ends at `bars`, or at their length once they are full.
    """

    instrument: Instrument
    features: np.ndarray  # float64[state_size], owned by kernels.features
    row: np.ndarray  # float64[columns] of the last bar
    bar: Bar | None = None
    bars: int = 0  # bars seen, the anchor included
    close_ts_ns: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(HISTORY, np.int64))
    closes: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(HISTORY, np.int64))
    atr_ratios: np.ndarray = msgspec.field(default_factory=lambda: np.full(ATR_HISTORY, np.nan))

    @property
    def seen(self) -> int:
        """How many closes are kept: the place after the last one."""
        return min(self.bars, len(self.closes))


class EngineState(msgspec.Struct):
    """Everything mutable; predictors and records are not here, they follow from config and bundle ids."""

    ledger: Ledger
    breakers: np.ndarray  # one record of kernels.records.BREAKERS
    activity: Activity = msgspec.field(default_factory=Activity)
    now_ns: int = 0
    orders: dict[str, Order] = msgspec.field(default_factory=dict)
    symbols: dict[str, SymbolState] = msgspec.field(default_factory=dict)
    universe: tuple[str, ...] = ()
    models: dict[str, str] = msgspec.field(default_factory=dict)
    asked_to_train: list[str] = msgspec.field(default_factory=list)
    parked: list[OrderReport] = msgspec.field(default_factory=list)  # sales reported before what was bought
    told: list[str] = msgspec.field(default_factory=list)  # unknown orders and symbols, each told of once
    scanned_ns: int = 0
    last_equity_e8: int = 0
    ramp: Ramp = msgspec.field(default_factory=Ramp)
    fees_asked_ns: int = 0  # when the reserve for fees was last asked for; 0: never

    def is_news(self, name: str) -> bool:
        """Whether an unknown order or symbol is to be told of, and remember that it was; of the oldest it is forgotten."""
        if name in self.told:
            return False
        self.told.append(name)
        del self.told[:-KEPT_TOLD]
        return True
