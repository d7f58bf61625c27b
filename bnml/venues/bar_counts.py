"""What some recordings tell of a bar besides its prices: how many trades it had, and what takers bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np

from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Misconfigured
from bnml.core.instrument import E8
from bnml.venues.history import recorded_symbols
from bnml.venues.sim.bar_detail import Counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bnml.core.instrument import Instrument

TRADES: Final = "trades"
TAKER_VOLUME: Final = "taker_volume"
_UNKNOWN: Final = Counted()


def load_counts(folder: Path, instruments: Mapping[str, Instrument]) -> Callable[[str, int], Counted] | None:
    """Asks by symbol and open time, from the columns `trades` and `taker_volume` (in base units); None without any."""
    known: dict[str, dict[int, Counted]] = {}
    files = recorded_symbols(folder)
    with duckdb.connect(":memory:") as connection:
        for symbol, instrument in instruments.items():
            for path in files[symbol]:
                known.setdefault(symbol, {}).update(_counts(connection, path, instrument))
    if not any(known.values()):
        return None
    return lambda symbol, open_ns: known[symbol].get(open_ns, _UNKNOWN)


def _counts(connection: duckdb.DuckDBPyConnection, path: Path, instrument: Instrument) -> dict[int, Counted]:
    try:
        relation = connection.read_parquet(str(path))
        if TRADES not in relation.columns and TAKER_VOLUME not in relation.columns:
            return {}
        shown = [
            f"CAST({name} AS DOUBLE)" if name in relation.columns else "CAST(-1 AS DOUBLE)"
            for name in (TRADES, TAKER_VOLUME)
        ]
        columns = f"CAST(open_time AS BIGINT), COALESCE({shown[0]}, -1), COALESCE({shown[1]}, -1)"
        rows = relation.project(columns).fetchall()
    except duckdb.Error as error:
        raise Misconfigured(
            f"{path} has no readable columns {TRADES} and {TAKER_VOLUME} ({error}); mend or remove them"
        ) from error
    lots_per_unit = E8 / instrument.lot_e8
    return {
        open_ms * NS_PER_MS: Counted(int(trades), -1 if bought < 0 else int(np.rint(bought * lots_per_unit)))
        for open_ms, trades, bought in rows
    }
