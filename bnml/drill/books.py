"""Both books of one account side by side: what the daemon's journal says, and what the venue says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from bnml.app.models import make_bundles
from bnml.app.strangers import intended, name_of
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Bar
from bnml.core.ids import PREFIX, IdSource
from bnml.core.orders import OrderState, Side
from bnml.journal.reader import JournalReader
from bnml.journal.recover import recover
from bnml.journal.schema import JOURNAL_FILE
from bnml.trading.compile import compile_engine
from bnml.trading.coverage import held_lots
from bnml.venues.binance.numbers import e8

if TYPE_CHECKING:
    from collections.abc import Container

    from bnml.core.instrument import Instrument
    from bnml.drill.stage import Stage
    from bnml.trading.engine import Engine
    from bnml.trading.positions import Position

STOPS = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
MOST_ROWS = 1000
_UNDECIDED = frozenset({OrderState.PENDING, OrderState.UNKNOWN})
_CARRIED_OUT = frozenset({OrderState.SLEEPING, OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.FILLED})
_LATER_EPOCH = 10**6  # of an engine that is only looked at: its ids never meet those of the daemon


class Books(msgspec.Struct):
    """How both sides agree; every tuple is empty when they do."""

    doubled: tuple[str, ...]  # client order ids that the venue holds more than once
    unknown_to_us: tuple[str, ...]  # orders of ours that rest at the venue and not in the engine
    unknown_to_venue: tuple[str, ...]
    balances: dict[str, int]  # venue less ours, in 1e-8
    bare: tuple[str, ...]  # positions that no resting stop covers wholly
    unintended: tuple[str, ...] = ()  # orders at the venue that no intent of their session stands for
    unsettled: tuple[str, ...] = ()  # intents of which nobody knows whether there is an order
    lost: tuple[str, ...] = ()  # intents that the engine calls carried out, without an order at the venue
    orders: int = 0
    fills: int = 0
    positions: int = 0

    @property
    def agree(self) -> bool:
        by_name = self.doubled, self.unknown_to_us, self.unknown_to_venue
        by_intent = self.unintended, self.unsettled, self.lost
        return not (any(by_name) or any(by_intent) or self.balances)

    def words(self) -> str:
        """One line of evidence."""
        if self.agree:
            return (
                f"{self.orders} orders, {self.fills} fills and {self.positions} open positions: ledger, orders and balances "
                "equal the venue's to the last unit; no id twice; each order has its intent, and each intent its outcome"
            )
        return (
            f"doubled {list(self.doubled)}, resting there only {list(self.unknown_to_us)}, here only "
            f"{list(self.unknown_to_venue)}, balances off by {self.balances} (1e-8), "
            f"without an intent {list(self.unintended)}, outcome unknown {list(self.unsettled)}, lost {list(self.lost)}"
        )


async def compare(stage: Stage) -> Books:
    """Read both; the market should stand, else what is under way shows as a difference."""
    account = await stage.exchange.read("/api/v3/account", {"omitZeroBalances": "true"})
    resting = await stage.exchange.read("/api/v3/openOrders", {})
    engine = recovered_engine(stage)
    totals = {row["asset"]: e8(row["free"]) + e8(row["locked"]) for row in account["balances"]}
    history = await _history(stage, engine)
    names = Counter(row["clientOrderId"] for rows in history.values() for row in rows)
    theirs = {row["clientOrderId"] for row in resting if row["clientOrderId"].startswith(PREFIX)}
    ours = {order.client_order_id for order in engine.book.open()}
    with JournalReader(stage.state / JOURNAL_FILE) as journal:
        fills = sum(1 for _ in journal.trades())
        intents = {name for _, command in journal.commands() for name in intended(command)}
        sessions = {(one.header.instance, one.header.epoch) for one in journal.sessions()}
    held = engine.state.ledger.totals
    return Books(
        doubled=tuple(sorted(name for name, count in names.items() if count > 1)),
        unknown_to_us=tuple(sorted(theirs - ours)),
        unknown_to_venue=tuple(sorted(ours - theirs)),
        balances={
            name: totals.get(name, 0) - held.get(name, 0)
            for name in sorted(set(totals) | set(held))
            if totals.get(name, 0) != held.get(name, 0)
        },
        bare=tuple(_bare(engine, resting)),
        unintended=tuple(sorted(name for name in names if _is_of(sessions, name) and name not in intents)),
        unsettled=tuple(sorted(name for name in intents if _state(engine, name) in _UNDECIDED)),
        lost=tuple(_lost(engine, intents, history, theirs)),
        orders=len(names),
        fills=fills,
        positions=len(engine.portfolio.positions),
    )


async def _history(stage: Stage, engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """By symbol, the newest orders of the account."""
    return {
        symbol: await stage.exchange.read("/api/v3/allOrders", {"symbol": symbol, "limit": str(MOST_ROWS)})
        for symbol in traded_symbols(engine)
    }


def traded_symbols(engine: Engine) -> list[str]:
    """Of which the engine remembers an order, or holds something."""
    return sorted({order.symbol for order in engine.state.orders.values()} | set(engine.portfolio.positions))


def _is_of(sessions: Container[tuple[str, int]], client_order_id: str) -> bool:
    """Whether an order was made by one of these; those of `bnml panic`, or of a journal set aside, have none here."""
    name = name_of(client_order_id)
    return name is not None and (name.instance, name.epoch) in sessions


def _state(engine: Engine, client_order_id: str) -> OrderState | None:
    """None for what is settled so long that the engine has forgotten it."""
    order = engine.state.orders.get(client_order_id)
    return None if order is None else order.state


def _lost(
    engine: Engine, intents: set[str], history: dict[str, list[dict[str, Any]]], resting: set[str]
) -> list[str]:
    """Where the venue shows all that a symbol ever had; of more it shows the newest alone."""
    whole = {symbol for symbol, rows in history.items() if len(rows) < MOST_ROWS}
    shown = {row["clientOrderId"] for rows in history.values() for row in rows} | resting
    return sorted(
        name
        for name in intents - shown
        if _state(engine, name) in _CARRIED_OUT and engine.state.orders[name].symbol in whole
    )


async def compare_bars(stage: Stage) -> tuple[int, int]:
    """How many bars of the newest session the venue still shows, and how many of them it shows otherwise."""
    with JournalReader(stage.state / JOURNAL_FILE) as journal:
        session = journal.session().id
        bars = [event for _, event in journal.events(session=session) if isinstance(event, Bar)]
    engine = recovered_engine(stage)
    checked = differing = 0
    for symbol in sorted({bar.symbol for bar in bars}):
        instrument = engine.state.symbols[symbol].instrument
        rows = await stage.exchange.read_public(
            "/api/v3/klines", {"symbol": symbol, "interval": "1m", "limit": "1000"}
        )
        shown = {
            int(row[0]) * NS_PER_MS: [e8(text) // instrument.tick_e8 for text in row[1:5]] for row in rows
        }
        for bar in bars:
            if bar.symbol == symbol and (theirs := shown.get(bar.ts_open_ns)) is not None:
                checked += 1
                differing += theirs != [bar.open, bar.high, bar.low, bar.close]
    return checked, differing


def recovered_engine(stage: Stage) -> Engine:
    """The engine as the daemon's journal has it, brought back by the code that a restart uses."""
    settings = stage.settings
    config = compile_engine(settings, IdSource("look", _LATER_EPOCH))
    with JournalReader(stage.state / JOURNAL_FILE) as journal:
        found = recover(journal, config, make_bundles(settings), settings.content_hash())
    if found is None:
        raise RecoveryNeeded(f"the journal of {stage.state} holds nothing to bring back")
    return found.engine


def held_e8(position: Position, instrument: Instrument) -> int:
    """What of a position a stop can be for, in 1e-8; what the venue's step leaves over is dust."""
    return sum(held_lots(one, instrument) for one in position.tranches) * instrument.lot_e8


def _bare(engine: Engine, resting: list[dict[str, Any]]) -> list[str]:
    """Positions whose lots are not all covered by stops that rest at the venue."""
    covered: Counter[str] = Counter()
    for row in resting:
        if row["type"] in STOPS and row["side"] == Side.SELL and row["status"] != "PENDING_NEW":
            covered[row["symbol"]] += e8(row["origQty"]) - e8(row["executedQty"])
    found = []
    for symbol, position in sorted(engine.portfolio.positions.items()):
        instrument = engine.state.symbols[symbol].instrument
        if held_e8(position, instrument) > covered[symbol]:
            found.append(symbol)
    return found
