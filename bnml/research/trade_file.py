"""The trade list as CSV: one line per fill, amounts as decimals of their asset."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from bnml.core.clock import format_utc
from bnml.core.errors import Misconfigured
from bnml.core.instrument import plain
from bnml.kernels.records import ExitReason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bnml.core.instrument import Instrument
    from bnml.core.outcomes import Trade

HEADER = (
    "time",
    "symbol",
    "side",
    "tranche",
    "quantity",
    "price",
    "commission",
    "asset",
    "reason",
    "pnl",
)


def write_trades(path: Path, trades: Sequence[Trade], instruments: Mapping[str, Instrument]) -> None:
    """Write the file anew; Misconfigured if it cannot be written."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(trade_line(trade, instruments[trade.symbol]) for trade in trades)
    except OSError as error:
        raise Misconfigured(
            f"{path} cannot be written ({error}); choose another file with --trades"
        ) from error


def trade_line(trade: Trade, instrument: Instrument) -> tuple[str, ...]:
    """The fields of `HEADER`."""
    return (
        format_utc(trade.ts_ns),
        trade.symbol,
        trade.side.value,
        str(trade.tranche),
        instrument.quantity_text(trade.quantity_lots),
        instrument.price_text(trade.price_ticks),
        plain(trade.commission_e8),
        trade.commission_asset,
        ExitReason(trade.reason).name.lower(),
        plain(trade.pnl_e8),
    )
