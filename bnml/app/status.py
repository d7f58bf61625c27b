"""`bnml status`: what the daemon is doing, read from its journal while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from bnml.app.folder import is_locked
from bnml.app.spool import way_out
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import Misconfigured
from bnml.journal.reader import JournalReader

if TYPE_CHECKING:
    from bnml.config import Settings
    from bnml.journal.schema import Health
    from bnml.options import StatusOptions

STALE_S = 15


def status(settings: Settings, options: StatusOptions) -> int:
    """Print the newest health row; exit code 0 also when the daemon has stopped."""
    with JournalReader(settings.app.state_dir / "journal.db") as journal:
        health = journal.status()
    if health is None:
        raise Misconfigured(
            "the journal holds no status yet: the daemon is still starting, or its start was refused; ask again in a moment"
        )
    state = shown_state(settings, health)
    if options.json:
        content = msgspec.to_builtins(health)
        content["state"] = state
        content["way_out"] = way_out(state)
        sys.stdout.write(msgspec.json.encode(content).decode() + "\n")
    else:
        sys.stdout.write(_text(health, state))
    return 0


def shown_state(settings: Settings, health: Health) -> str:
    """The state as journaled, unless the process is gone or has been silent."""
    if health.state.startswith(("stopped", "failed")):
        return health.state
    if not is_locked(settings.app.state_dir):
        return "killed"
    age_s = (LiveClock().now_ns() - health.ts_ns) // NS_PER_S
    return health.state if age_s <= STALE_S else f"{health.state} (silent for {age_s} s)"


def _text(health: Health, state: str) -> str:
    lines = [
        f"{state} on {health.venue} ({health.mode}), market time {health.market_time}",
        *([way_out(state)] if way_out(state) else []),
        f"equity {health.equity}, free {health.free_quote}, realised {health.realised}",
        f"scans {health.scans}, trades {health.trades}, loop lag {health.loop_lag_ms} ms",
        f"candles held against their trades {health.bars_checked}, differing {health.bars_differing}",
    ]
    lines += [
        f"position {one.symbol} {one.quantity} from {one.entry_price}, now {one.last_price}, result {one.pnl}"
        for one in health.positions
    ]
    lines += [f"order {one}" for one in health.open_orders]
    if health.last_decision is not None:
        last = health.last_decision
        lines.append(f"last decision {last['symbol']} {last['time']} {last['action']}: {last['words']}")
    return "\n".join(lines) + "\n"
