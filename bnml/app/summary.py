"""What a session came to, said once at its end: as one JSON object or as a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.app.words import grouped, percent_of, signed
from bnml.core.instrument import plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bnml.app.compose import Parts
    from bnml.app.runtime import Daemon


def summarize(parts: Parts, daemon: Daemon) -> dict[str, object]:
    """The figures of a session that has ended; amounts are decimal texts of the quote asset."""
    health, picture = daemon.health(), daemon.picture
    return {
        "session": parts.journal.session,
        "venue": health.venue,
        "market": health.market,
        "mode": parts.header.mode,
        "symbols": list(parts.symbols),
        "scans": picture.scans,
        "trades": picture.trade_count,
        "decisions": dict(picture.counts),
        "quote": health.quote,
        "equity_start": plain(picture.first_equity_e8, 2),
        "equity_end": health.equity,
        "flows": health.flows,
        "realised": health.realised,
        "trading": health.trading,
        "reasons": list(health.reasons),
        "positions": len(health.positions),
        "open_orders": len(health.open_orders),
        "covered_pct": health.covered_pct,
        "longest_bare_s": health.longest_bare_s,
        "bare_spells": health.bare_spells,
        "dust": list(health.dust),
        "loop_lag_p99_ms": health.loop_lag_p99_ms,
    }


def as_json(summary: Mapping[str, object]) -> str:
    """One line."""
    return msgspec.json.encode(summary).decode() + "\n"


def as_text(summary: Mapping[str, object], log_file: Path | None) -> str:
    """Short lines that fit 80 columns."""
    if not summary["session"]:
        return "bnml stopped before trading began\n"
    quote, start, end = summary["quote"], str(summary["equity_start"]), str(summary["equity_end"])
    if not float(start):  # no scan came before the end
        start = end
    flows = str(summary["flows"])
    change = percent_of(f"{float(end) - float(flows) - float(start):.2f}", start)
    moved = f", of it {signed(flows)} paid in" if float(flows) else ""
    lines = [
        f"bnml stopped: session {summary['session']}, {_duration(summary['elapsed_s'])}; {summary['market']}",
        f"  scans {summary['scans']}, fills {summary['trades']}",
        f"  equity {grouped(start)} -> {grouped(end)} {quote}{moved} ({change}), realised {signed(str(summary['realised']))}",
        f"  {_left_behind(summary)}",
        *(f"  {reason}" for reason in _texts(summary.get("reasons"))),
    ]
    if log_file is not None:
        lines.append(f"  log {log_file}")
    return "\n".join(lines) + "\n"


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _left_behind(summary: Mapping[str, object]) -> str:
    if not summary["positions"]:
        return "no position is open"
    count = f"{summary['positions']} position{'' if summary['positions'] == 1 else 's'}"
    return f"{count} open, protected by {summary['open_orders']} orders at the exchange"


def _duration(elapsed_s: object) -> str:
    minutes, seconds = divmod(round(float(str(elapsed_s))), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
