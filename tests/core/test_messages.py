"""Every event and command survives the journal: encode, decode, equal."""

from __future__ import annotations

import msgspec
import pytest

from bnml.core.commands import Alert, CancelList, Command, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import Balances, Bar, Book, Event, InstrumentUpdate, OrderReport, Scan
from bnml.core.instrument import Instrument
from bnml.core.orders import (
    ApprovedOrder,
    ListKind,
    ListTicket,
    OrderState,
    OrderTicket,
    OrderType,
    Side,
    TimeInForce,
)

WORKING = OrderTicket(
    "BTCUSDT", "w", Side.BUY, OrderType.LIMIT, 5, price_ticks=9, time_in_force=TimeInForce.FOK
)
STOP = OrderTicket("BTCUSDT", "s", Side.SELL, OrderType.STOP_LOSS, 5, stop_price_ticks=7)
EVENTS = [
    Bar("BTCUSDT", 0, 60, 1, 3, 1, 2, 10),
    Scan(60, 61, (Book("BTCUSDT", 1, 2, 10**12),)),
    OrderReport("BTCUSDT", "w", 5, OrderState.FILLED, Side.BUY, cumulative_lots=5, trade_id=1),
    Balances(5, {"USDT": (1, 2)}),
    InstrumentUpdate(Instrument("BTCUSDT", "BTC", "USDT", 1_000_000, 1_000), 5),
]
COMMANDS = [
    Submit(ApprovedOrder(ListTicket("BTCUSDT", "l", ListKind.OPO, WORKING, (STOP,)), "entry")),
    Submit(ApprovedOrder(WORKING, "exit")),
    ReplaceOrder("s", STOP, "trail"),
    CancelList("BTCUSDT", "l", "exit"),
    QueryOrder("BTCUSDT", "w"),
    Alert("warning", "name", "text"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_round_trip(event: Event) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_round_trip(command: Command) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=Command) == command
