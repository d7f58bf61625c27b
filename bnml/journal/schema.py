"""The journal's tables, its header, and how events, commands and outcomes become rows."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from bnml.core.commands import Command
from bnml.core.events import Event
from bnml.core.outcomes import Decision, EquityPoint, Trade

JOURNAL_FILE: Final = "journal.db"
"""Its name in a state folder."""

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS session (
    id INTEGER PRIMARY KEY, started_ns INTEGER NOT NULL, first_seq INTEGER NOT NULL, header BLOB NOT NULL,
    ended_ns INTEGER, ending TEXT);
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, kind TEXT NOT NULL, symbol TEXT NOT NULL,
    ts_ns INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS instruments ON event (session) WHERE kind = 'InstrumentUpdate';
CREATE TABLE IF NOT EXISTS command (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, kind TEXT NOT NULL, client_id TEXT NOT NULL,
    payload BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS decision (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, symbol TEXT NOT NULL, ts_close_ns INTEGER NOT NULL,
    action INTEGER NOT NULL, reason INTEGER NOT NULL, payload BLOB NOT NULL, features BLOB,
    PRIMARY KEY (seq, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trade (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, symbol TEXT NOT NULL, ts_ns INTEGER NOT NULL,
    payload BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS equity (seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS bareness (
    seq INTEGER NOT NULL, n INTEGER NOT NULL, symbol TEXT NOT NULL, ts_ns INTEGER NOT NULL,
    payload BLOB NOT NULL, PRIMARY KEY (seq, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS snapshot (
    seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, version TEXT NOT NULL, engine BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS health (ts_ns INTEGER PRIMARY KEY, payload BLOB NOT NULL);
"""

INSERTS: dict[str, str] = {
    "event": "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)",
    "command": "INSERT INTO command VALUES (?, ?, ?, ?, ?)",
    "decision": "INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "trade": "INSERT INTO trade VALUES (?, ?, ?, ?, ?)",
    "equity": "INSERT OR REPLACE INTO equity VALUES (?, ?, ?)",
    "bareness": "INSERT INTO bareness VALUES (?, ?, ?, ?, ?)",
    "snapshot": "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?, ?)",
    "health": "INSERT OR REPLACE INTO health VALUES (?, ?)",
}

Row = tuple[Any, ...]

encode = msgspec.msgpack.Encoder().encode
decode_event = msgspec.msgpack.Decoder(Event).decode
decode_command = msgspec.msgpack.Decoder(Command).decode
decode_decision = msgspec.msgpack.Decoder(Decision).decode
decode_trade = msgspec.msgpack.Decoder(Trade).decode
decode_equity = msgspec.msgpack.Decoder(EquityPoint).decode


class SessionHeader(msgspec.Struct, kw_only=True):
    """Everything that a replay of a session needs beside the market data themselves."""

    venue: str
    mode: str  # stepped, live, once
    symbols: tuple[str, ...]
    base_frame: str
    higher_frames: tuple[str, ...]
    instance: str
    epoch: int
    config_hash: str
    kernel_hash: str
    code_version: str
    tier: str
    seed: int
    config: str  # all settings as JSON
    arguments: tuple[str, ...] = ()
    data_dir: str = ""
    from_ns: int | None = None
    to_ns: int | None = None
    anchors: dict[str, int] = {}  # open time of the first bar fed, by symbol
    initial_balances: dict[str, tuple[int, int]] = {}  # asset -> (free, locked) in 1e-8
    bundles: dict[str, str] = {}
    resumed_seq: int = 0  # last event of the sessions before, 0 for a fresh start


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One open position as shown to operators; amounts are decimal texts."""

    symbol: str
    quantity: str
    entry_price: str
    last_price: str
    pnl: str
    stops: tuple[str, ...] = ()
    opened: str = ""
    cost: str = ""  # of all that was bought, also what is sold already, at the price of the entry's decision
    covered_pct: float = 100.0  # of the quantity, by live stops at the exchange
    bare_s: float = 0.0  # since when it has been less than all
    longest_bare_s: float = 0.0


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What `bnml status` shows; written beside the event order, so that it never changes a replay."""

    mode: str
    venue: str
    state: str
    ts_ns: int
    session: int
    equity: str
    free_quote: str
    realised: str
    positions: tuple[Position, ...]
    open_orders: tuple[str, ...]
    last_decision: dict[str, str | float | int] | None
    decisions: dict[str, int]
    scans: int
    trades: int
    loop_lag_ms: float
    loop_lag_p99_ms: float
    inbox: int
    market_time: str
    links: dict[str, bool]
    bars_checked: int = 0  # closed candles that were held against their trades
    bars_differing: int = 0
    loop_lag_max_ms: float = 0.0  # of the session, as are the next three: within a second of a scan
    scan_lag_p50_ms: float = 0.0
    scan_lag_p99_ms: float = 0.0
    scan_lag_max_ms: float = 0.0
    bars: int = 0  # fed to the engine in this session, history included
    cpu_s: float = 0.0
    resident_bytes: int = 0
    market: str = ""  # what is real of prices and money, in words
    quote: str = ""
    mood: str = ""  # of the whole market: index and regime; empty when too few symbols speak
    trading: str = "ACTIVE"  # or REDUCING, HALTED: the worst of all reasons
    reasons: tuple[str, ...] = ()  # `name LEVEL: what was found`
    session_pnl: str = "0"  # equity now less that of the session's first scan and less flows
    flows: str = "0"  # deposits less withdrawals since then
    covered_pct: float = 100.0  # of the quantity of all positions, weighed by what they are worth
    longest_bare_s: float = 0.0  # without full protection, of any position of this session
    bare_spells: int = 0  # that have ended in this session
    dust: tuple[str, ...] = ()  # remainders too small to sell alone, in words
    foreign_orders: dict[str, int] = {}  # open in the account and not ours, by symbol; never touched
    foreign_coins: tuple[str, ...] = ()  # of traded bases, beside positions and dust; never sold
    ramp: str = ""  # how far the live ramp has come; empty when it is not in use


def event_row(seq: int, session: int, event: Event) -> Row:
    """An event as a row; `ts_ns` is the event's own time, not that of writing."""
    ts_ns = getattr(event, "ts_ns", None)
    if ts_ns is None:
        ts_ns = getattr(event, "ts_close_ns", 0)
    return (seq, session, type(event).__name__, getattr(event, "symbol", ""), ts_ns, encode(event))


def command_row(seq: int, n: int, command: Command) -> Row:
    """A command as a row."""
    return (seq, n, type(command).__name__, client_id_of(command), encode(command))


def client_id_of(command: Command) -> str:
    """The id under which the venue will know what this command makes or ends, else ""."""
    order = getattr(command, "order", None)
    ticket = getattr(command, "ticket", None) if order is None else order.ticket
    for holder in (ticket, command):
        for name in ("list_client_order_id", "client_order_id"):
            found = getattr(holder, name, "")
            if found:
                return str(found)
    return ""
