"""`bnml status`: what the daemon is doing, read from its journal while it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from bnml.app.folder import is_locked
from bnml.app.spool import way_out
from bnml.app.words import foreign_text, grouped, signed
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import Misconfigured
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.config import Settings
    from bnml.journal.schema import Health
    from bnml.options import StatusOptions

STALE_S = 15


def status(settings: Settings, options: StatusOptions) -> int:
    """Print the newest health row; exit code 0 also when the daemon has stopped."""
    with JournalReader(settings.app.state_dir / JOURNAL_FILE) as journal:
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
    """Lines of a label and what belongs to it, then a table of positions and one of orders."""
    quote = f" {health.quote}" if health.quote else ""
    lines = [
        f"{'state':<14}{state}",
        *([f"{'':<14}{way_out(state)}"] if way_out(state) else []),
        f"{'entries':<14}{'allowed' if health.trading == 'ACTIVE' else health.trading}",
        *(f"{'  because':<14}{reason}" for reason in health.reasons),
        f"{'venue':<14}{health.venue}, {health.mode}" + (f"; {health.market}" if health.market else ""),
        f"{'market time':<14}{health.market_time}",
        (
            f"{'equity':<14}{grouped(health.equity)}{quote}, session {signed(health.session_pnl)}, "
            f"realised {signed(health.realised)}, cash {grouped(health.free_quote)}"
        ),
        f"{'session':<14}{health.session}: {health.scans:,} scans, {health.trades:,} fills",
        (
            f"{'loop lag':<14}{health.loop_lag_ms:.1f} ms, p99 {health.loop_lag_p99_ms:.1f} ms, "
            f"longest {health.loop_lag_max_ms:.1f} ms"
        ),
        f"{'protected':<14}{health.covered_pct:g} % by stops at the exchange; longest without {health.longest_bare_s:g} s",
        *(f"{'dust':<14}{one}" for one in health.dust),
        *(f"{'not ours':<14}{one}" for one in foreign_text(health)),
        *([f"{'ramp':<14}{health.ramp}"] if health.ramp else []),
        f"{'candles':<14}{health.bars_checked:,} held against their trades, {health.bars_differing:,} differ",
        *([f"{'market mood':<14}{health.mood}"] if health.mood else []),
        f"{'last decision':<14}{_last_decision(health)}",
    ]
    down = sorted(name for name, up in health.links.items() if not up)
    if down:
        lines.append(f"{'down':<14}{', '.join(down)}")
    rows = [
        (
            one.symbol,
            one.quantity,
            one.entry_price,
            one.last_price,
            " ".join(one.stops) or "none",
            signed(one.pnl),
        )
        for one in health.positions
    ]
    lines += _table(("position", "quantity", "entry", "now", "stop", f"result{quote}"), rows)
    lines += _table(
        ("order", "side", "role", "state", "client order id"),
        [tuple(one.split(" ")) for one in health.open_orders],
        side="<",
    )
    return "\n".join(lines) + "\n"


def _last_decision(health: Health) -> str:
    last = health.last_decision
    return (
        "none yet" if last is None else f"{last['symbol']} {last['time']} {last['action']}: {last['words']}"
    )


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], side: str = ">") -> list[str]:
    """Columns as wide as their content, the first to the left; nothing without rows."""
    if not rows:
        return [f"{titles[0] + 's':<14}none"]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return [""] + [
        "  ".join(f"{cell:{'<' if n == 0 else side}{widths[n]}}" for n, cell in enumerate(row)).rstrip()
        for row in (titles, *rows)
    ]
