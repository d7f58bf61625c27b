"""The live view on a terminal: symbols, last decisions in words, positions, result, loop lag."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bnml.app.words import action_text, reason_text
from bnml.core.outcomes import Decision
from bnml.kernels.records import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.app.picture import Picture
    from bnml.journal.schema import Health

REFRESH_S = 0.5
MOST_ROWS = 16


async def show(
    picture: Picture, health: Callable[[], Health], training: Callable[[], tuple[str, ...]]
) -> None:
    """Repaint until cancelled; the console is stdout, logs go elsewhere meanwhile."""
    with Live(console=Console(), auto_refresh=False, transient=False) as live:
        while True:
            live.update(_screen(picture, health(), training()), refresh=True)
            await asyncio.sleep(REFRESH_S)


def _screen(picture: Picture, health: Health, training: tuple[str, ...]) -> Group:
    parts: list[Panel | Table | Text] = [_head(health, training), _symbols(picture, health)]
    if health.positions:
        parts.append(_positions(health))
    texts = picture.trade_texts()
    if texts:
        parts.append(Panel("\n".join(texts), title="last trades", title_align="left"))
    return Group(*parts)


def _head(health: Health, training: tuple[str, ...]) -> Panel:
    simulated = " SIMULATED MONEY" if health.venue in {"sim", "paper"} else ""
    lines = [
        f"{health.state}   market {health.market_time}   scans {health.scans}   trades {health.trades}",
        (
            f"equity {health.equity}   free {health.free_quote}   realised {health.realised}   "
            f"loop lag {health.loop_lag_ms:.1f} ms (p99 {health.loop_lag_p99_ms:.1f})"
        ),
    ]
    if training:
        lines.append(f"training {', '.join(training)}")
    return Panel("\n".join(lines), title=f"bnml on {health.venue}{simulated}", title_align="left")


def _symbols(picture: Picture, health: Health) -> Table:
    table = Table(expand=True)
    for name in ("symbol", "decision", "score", "confidence", "why"):
        table.add_column(name, justify="right" if name in {"score", "confidence"} else "left")
    held = {position.symbol for position in health.positions}
    ranked = sorted(
        picture.decisions.values(), key=lambda one: (one.symbol not in held, -one.score, one.symbol)
    )
    for decision in ranked[:MOST_ROWS]:
        table.add_row(
            decision.symbol,
            Text(action_text(decision), style=_style(decision)),
            f"{decision.score:.1f}",
            f"{decision.confidence:.0f}",
            reason_text(decision),
        )
    return table


def _positions(health: Health) -> Table:
    table = Table(expand=True)
    for name in ("position", "quantity", "entry", "last", "stops", "result"):
        table.add_column(name)
    for one in health.positions:
        table.add_row(one.symbol, one.quantity, one.entry_price, one.last_price, " ".join(one.stops), one.pnl)
    return table


def _style(decision: Decision) -> str:
    if decision.action == Action.BUY:
        return "green" if decision.quantity_lots else "yellow"
    return "red" if decision.action == Action.SELL else "dim"
