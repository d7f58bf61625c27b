"""A scene as one page of text of a given size: nothing wraps, every section gets the rows that are left for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from bnml.app.spool import way_out
from bnml.app.words import action_text, foreign_text, grouped, percent_of, reason_text, signed
from bnml.kernels.records import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.app.logs import Line
    from bnml.app.picture import Fill
    from bnml.app.scene import Scene
    from bnml.core.outcomes import Decision
    from bnml.journal.schema import Health, Position

TITLE = "reverse"
WIDE = 96  # from here on there is room for chances and times
STATES = {"running": "bold green", "halted": "bold white on red", "failed": "bold white on red"}
LEVELS = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
GROWTH = (  # section, rows it may have at this stage
    ("positions", 5),
    ("symbols", 8),
    ("log", 2),
    ("fills", 2),
    ("positions", 99),
    ("symbols", 16),
    ("log", 4),
    ("fills", 6),
    ("symbols", 999),
    ("fills", 20),
    ("log", 12),
)


class Section(NamedTuple):
    """A titled list of lines."""

    name: str
    title: Text
    rows: Sequence[Text]


def page(scene: Scene, width: int, height: int) -> Text:
    """The whole screen: `height` lines of at most `width` cells."""
    head = _head(scene, width)
    sections = _sections(scene, width, height)
    free = height - len(head) - 1 - len(sections)
    granted = allot(free, {one.name: len(one.rows) for one in sections})
    spare = free - sum(granted.values())
    lines = list(head)
    for one in sections:
        if spare > 0:
            lines.append(Text())
            spare -= 1
        lines += [one.title, *one.rows[: granted[one.name]]]
    lines += [Text()] * (height - 1 - len(lines))
    lines = [*lines[: height - 1], _footer(scene.log_file, width)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def allot(free: int, wanted: dict[str, int]) -> dict[str, int]:
    """Rows for each section: what is held before what is ranked, that before what has been."""
    granted = dict.fromkeys(wanted, 0)
    for name, most in GROWTH:
        if name in wanted:
            more = min(wanted[name], most) - granted[name]
            more = max(0, min(more, free))
            granted[name] += more
            free -= more
    return granted


def _head(scene: Scene, width: int) -> list[Text]:
    health = scene.health
    word, detail = _state(scene)
    where = f"{health.market_time[:16].replace('T', ' ')} UTC" if health is not None else ""
    first = Text.assemble(
        " ", ("bnml ", "bold"), (f" {word} ", STATES.get(word.lower(), "bold yellow")), "  "
    )
    first.append(scene.market, style="bold red" if "REAL" in scene.market else "magenta")
    room = width - first.cell_len - len(where) - 1
    first.append(" " * room + where if room > 1 else "")
    lines = [first]
    if detail:
        lines.append(
            Text(f" {detail}", style="yellow" if health is None or "halted" not in health.state else "red")
        )
    if health is not None:
        lines += _ramp(health, width)
        lines += [_money(health, width), _work(health, width)]
        others = "; ".join(foreign_text(health))
        lines += [Text(f" not ours: {others}")] if others else []
    models = _models(scene)
    if models:
        lines.append(Text(f" {models}", style="yellow"))
    return lines


def _state(scene: Scene) -> tuple[str, str]:
    """One word, and what there is to add."""
    if scene.is_stopping:
        return "STOPPING", "requests under way end; then the summary"
    if scene.health is None or scene.health.state == "starting":
        return "STARTING", (
            f"{scene.elapsed_s:.0f} s; a first start compiles the kernels, which takes a minute or two"
        )
    word, _, detail = scene.health.state.partition(" ")
    if word == "waiting":
        return "WAITING", f"{scene.health.state}; no entries, protection rests at the exchange"
    return word.strip(":").upper(), "; ".join(filter(None, (detail, way_out(scene.health.state))))


def _money(health: Health, width: int) -> Text:
    start = float(health.equity) - float(health.session_pnl)
    change = percent_of(health.session_pnl, f"{start:.2f}")
    return Text(
        _fitting(
            width,
            f"equity {grouped(health.equity)} {health.quote}",
            f"session {signed(health.session_pnl)} ({change})" if change else "",
            f"realised {signed(health.realised)}",
            f"cash {grouped(health.free_quote)}",
        ),
        style="bold",
    )


def _ramp(health: Health, width: int) -> list[Text]:
    """All of it, in as many lines as that takes."""
    made: list[str] = []
    for part in health.ramp.split("; ") if health.ramp else ():
        if made and len(made[-1]) + len(part) + 2 <= width:
            made[-1] += f"; {part}"
        else:
            made.append(f"       {part}" if made else f" ramp: {part}")
    return [Text(line, style="yellow") for line in made]


def _work(health: Health, width: int) -> Text:
    return Text(
        _fitting(
            width,
            f"scans {health.scans:,}",
            f"fills {health.trades:,}",
            f"positions {len(health.positions)}",
            f"orders {len(health.open_orders)}",
            f"loop lag {health.loop_lag_ms:.1f} ms, p99 {health.loop_lag_p99_ms:.1f} ms",
            f"mood {health.mood}" if health.mood else "",
            f"memory {health.resident_bytes >> 20:,} MiB",
        )
    )


def _models(scene: Scene) -> str:
    parts = []
    if scene.failure:
        parts.append(f"training failed: {scene.failure}")
    if scene.is_training_waiting:
        parts.append("training waits for room on the disk")
    if scene.training:
        parts.append(f"training models: {scene.training[0]} now, {len(scene.training) - 1} waiting")
    if scene.refused:
        parts.append(f"models refused (no gain out of fold): {', '.join(scene.refused)}")
    return "; ".join(parts)


def _sections(scene: Scene, width: int, height: int) -> list[Section]:
    made = []
    health, wide = scene.health, width >= WIDE
    if health is not None and health.positions:
        title = _position_row(
            "POSITION",
            "QUANTITY",
            "ENTRY",
            "NOW",
            "STOP",
            f"P&L {health.quote}",
            "P&L %",
            "OPENED" if wide else "",
        )
        made.append(
            _section("positions", title, width, [_position(one, wide=wide) for one in health.positions])
        )
    if scene.decisions:
        count = f"WHY ({len(scene.decisions)} symbols)"
        chances = "SELL/HOLD/BUY" if wide else None
        title = _symbol_row("SYMBOL", "PRICE", "DECISION", "SCORE", "CONF.", chances, count)
        rows = [_symbol(one, scene, wide=wide) for one in scene.decisions[:height]]
        made.append(_section("symbols", title, width, rows))
    if scene.fills:
        title = _fill_row("FILLED UTC", "SYMBOL", "SIDE", "QUANTITY", "PRICE", "P&L", "WHY")
        made.append(_section("fills", title, width, [_fill(one) for one in scene.fills]))
    if scene.lines:
        title = f" {'LOG UTC':<11} EVENT"
        made.append(_section("log", title, width, [_line(one) for one in reversed(scene.lines)]))
    return made


def _section(name: str, title: str, width: int, rows: Sequence[Text]) -> Section:
    return Section(name, Text(f"{title:<{width}}", style=TITLE), rows)


def _symbol_row(
    symbol: str, price: str, action: str, score: str, confidence: str, chances: str | None, why: str
) -> str:
    extra = "" if chances is None else f"{chances:>13}  "
    return f" {symbol:<9} {price:>10}  {action:<11} {score:>5} {confidence:>5}  {extra}{why}"


def _symbol(decision: Decision, scene: Scene, *, wide: bool) -> Text:
    known = decision.reason not in {Reason.NO_MODEL, Reason.FEATURES_INCOMPLETE}
    why = reason_text(decision)
    if decision.reason == Reason.NO_MODEL and decision.symbol in scene.refused:
        why = "its model was refused"
    chances = (
        "/".join(f"{100 * one:.0f}" for one in (decision.p_sell, decision.p_hold, decision.p_buy)) + " %"
    )
    row = _symbol_row(
        decision.symbol,
        scene.prices.get(decision.symbol, ""),
        action_text(decision),
        f"{decision.score:.1f}" if known else "-",
        f"{decision.confidence:.0f} %" if known else "-",
        (chances if known else "-") if wide else None,
        why,
    )
    return Text(row, style=_decision_style(decision))


def _decision_style(decision: Decision) -> str:
    if decision.action == Action.BUY:
        return "bold green" if decision.quantity_lots else "yellow"
    return "red" if decision.action == Action.SELL else ""


def _position_row(
    symbol: str, quantity: str, entry: str, last: str, stop: str, pnl: str, percent: str, opened: str
) -> str:
    row = f" {symbol:<9} {quantity:>10} {entry:>10} {last:>10} {stop:>10} {pnl:>9} {percent:>8}"
    return f"{row}  {opened}" if opened else row


def _position(one: Position, *, wide: bool) -> Text:
    stop = one.stops[-1] if one.stops else "none"
    row = _position_row(
        one.symbol,
        one.quantity,
        one.entry_price,
        one.last_price,
        stop,
        signed(one.pnl),
        percent_of(one.pnl, one.cost or "0"),
        one.opened[5:16].replace("T", " ") if wide else "",
    )
    return Text(row, style=_result_style(one.pnl))


def _fill_row(time: str, symbol: str, side: str, quantity: str, price: str, pnl: str, why: str) -> str:
    return f" {time:<11} {symbol:<10} {side:<4} {quantity:>12} {price:>11} {pnl:>9}  {why}"


def _fill(one: Fill) -> Text:
    time = one.time[5:16].replace("T", " ")
    pnl = signed(one.pnl) if one.pnl else ""
    row = _fill_row(time, one.symbol, one.side, one.quantity, one.price, pnl, one.why)
    return Text(row, style=_result_style(one.pnl))


def _line(one: Line) -> Text:
    return Text(f" {one.time:<11} {one.text}".replace("\n", " "), style=LEVELS.get(one.level, "dim"))


def _result_style(pnl: str) -> str:
    if not pnl or not float(pnl):
        return ""
    return "red" if pnl.startswith("-") else "green"


def _footer(log_file: str, width: int) -> Text:
    """How to stop, and where the whole log is; of a long path the end."""
    how = " Ctrl-C: stop (protection stays at the exchange)  log: "
    room = width - len(how)
    path = log_file if len(log_file) <= room else f"…{log_file[len(log_file) - room + 1 :]}"
    return Text(f"{how}{path}", style="dim")


def _fitting(width: int, *parts: str) -> str:
    """As many parts as have room, two blanks between them; the first always."""
    line = f" {parts[0]}"
    for part in parts[1:]:
        if part and len(line) + 2 + len(part) <= width:
            line += f"  {part}"
    return line
