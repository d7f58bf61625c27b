"""Everything that can enter the engine: a closed union of immutable messages.

Times are UTC nanoseconds, prices ticks, quantities lots, money 1e-8 (see `bnml.core`).
"""

from __future__ import annotations

import msgspec

from bnml.core.instrument import Instrument
from bnml.core.orders import OrderState, OrderType, Side


class Bar(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """One closed candle of the base frame; `ts_close_ns` = open + frame, exclusive."""

    symbol: str
    ts_open_ns: int
    ts_close_ns: int
    open: int
    high: int
    low: int
    close: int
    volume_lots: int
    trades: int = 0


class Book(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Top of book and quote depth (1e-8) within the configured band, as last seen before a scan."""

    symbol: str
    bid: int
    ask: int
    depth_e8: int


class Scan(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Decide all symbols whose bar of `ts_close_ns` has arrived; fired once per closing time."""

    ts_close_ns: int
    ts_ns: int
    books: tuple[Book, ...]


class Slice(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Prints of one symbol since its last slice; only for symbols with something at stake."""

    symbol: str
    ts_ns: int
    last: int
    high: int
    low: int
    quantity_lots: int


class OrderReport(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """What the venue (or the executor, for a request that failed) says of one order.

    `trade_id` > 0 marks a fill of `last_lots` at `last_ticks`; duplicates share it. `cumulative_lots`
    is the venue's running total. `code` is the venue's error code for a rejection, else 0.
    """

    symbol: str
    client_order_id: str
    ts_ns: int
    state: OrderState
    side: Side
    cumulative_lots: int = 0
    trade_id: int = 0
    last_lots: int = 0
    last_ticks: int = 0
    commission_e8: int = 0
    commission_asset: str = ""
    is_maker: bool = False
    venue_order_id: int = 0
    quantity_lots: int = 0
    code: int = 0
    text: str = ""


class CancelFailed(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A cancel (or the cancel half of a replacement) did not happen; -2011 usually means: already over."""

    symbol: str
    client_order_id: str
    ts_ns: int
    code: int
    text: str


class Balances(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The account as the venue shows it: asset -> (free, locked) in 1e-8; sent at start and by reconciliation."""

    ts_ns: int
    assets: dict[str, tuple[int, int]]


class CapitalFlow(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A deposit (positive) or withdrawal (negative); changes equity without being a result.

    `is_compared`: it is what the account has more or less than the ledger, not what the venue told of one payment.
    `strange_e8`: nothing is booked yet, but the account's events show so much more than the ledger knows.
    """

    asset: str
    amount_e8: int
    ts_ns: int
    is_compared: bool = False
    strange_e8: int = 0


class FreeCoins(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """So much of an asset the account shows free; read where the venue has refused what protects or sells for want of it."""

    asset: str
    free_e8: int
    ts_ns: int


class FeePurchase(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """The reserve that fees are paid of is short of `lots`, at a price of about `ticks`; the operator wants it bought."""

    symbol: str
    lots: int
    ticks: int
    ts_ns: int


class InstrumentUpdate(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """Filters or status of a symbol, at start and whenever they change."""

    instrument: Instrument
    ts_ns: int


class UniverseUpdate(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The tradable symbols from now on, in the operator's or the volume ranking's order.

    Journaled at the start and with each day: who was tradable then. `turnover_e8` is the quote turnover of the
    24 h before for each symbol, in 1e-8; empty for a list that the operator wrote.
    """

    symbols: tuple[str, ...]
    ts_ns: int
    turnover_e8: tuple[int, ...] = ()


class VenueStatus(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A channel (`market`, `user`, `orders`) went up or down; down blocks entries, never exits."""

    channel: str
    up: bool
    ts_ns: int
    detail: str = ""


class Stranger(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An order under our name that the journal does not know, as the venue shows it; `list_id` is empty outside a list."""

    client_order_id: str
    list_id: str
    side: Side
    type: OrderType
    state: OrderState
    quantity_lots: int
    executed_lots: int
    ticks: int  # trigger of a stop, else the limit


class Adoption(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Orders of ours in one symbol that the journal does not know, and what they filled, oldest first.

    Of a journal that is older than the account, or one that was made anew. `known` is what the venue says at
    the same time of orders that the journal does know: nothing may be placed on half of the truth.
    """

    symbol: str
    ts_ns: int
    orders: tuple[Stranger, ...]
    fills: tuple[OrderReport, ...]
    known: tuple[OrderReport, ...] = ()


class Timer(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A named moment derived from event time (day roll, reconcile, retrain check)."""

    name: str
    ts_ns: int


class ModelPublished(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A verified bundle is loaded under `bundle_id`; predictions use it from the next scan. Empty: none any more."""

    symbol: str
    bundle_id: str
    ts_ns: int


class Guard(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A reason to trade less that was found around the engine; the same name speaks again when it is over.

    `level` is ACTIVE (over), REDUCING (no entries, exits go on) or HALTED (no entries until the cause is over
    and the operator has resumed).
    """

    name: str
    level: str
    ts_ns: int
    detail: str = ""


class OperatorCommand(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """`halt`, `resume`, `reduce`, `flatten`, `panic`, `enable_entries`; `argument` is a symbol, the reason of a halt, or empty.

    `rotate_keys` (with the path of the new key) and `reload` change what is around the engine.
    """

    name: str
    ts_ns: int
    argument: str = ""


Event = (
    Bar
    | Scan
    | Slice
    | OrderReport
    | CancelFailed
    | Balances
    | CapitalFlow
    | InstrumentUpdate
    | UniverseUpdate
    | VenueStatus
    | Timer
    | ModelPublished
    | OperatorCommand
    | Guard
    | Adoption
    | FeePurchase
    | FreeCoins
)
