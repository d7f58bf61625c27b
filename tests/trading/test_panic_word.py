"""The word panic in the engine: entries withdrawn, positions marked for sale, halted; all that of one symbol alone if named."""

import pytest

from bnml.core.commands import Alert, CancelList, CancelOrder
from bnml.core.events import OperatorCommand
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.trading.guarding import GuardDesk
from bnml.trading.operating import OperatorDesk
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Ledger, Portfolio
from bnml.trading.positions import Position
from bnml.trading.ramp import RampDesk
from bnml.trading.risk.breakers import Breakers, new_breakers
from bnml.trading.state import EngineState
from tests.trading.kit import config


@pytest.fixture
def desk():
    state = EngineState(Ledger("USDT"), new_breakers())
    book, portfolio = OrderBook(state.orders), Portfolio(state.ledger)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        state.ledger.positions[symbol] = Position(symbol, 1, 10, 1, 12, b"", [])
        entry = Order(f"buy-{symbol}", symbol, Side.BUY, Role.WORKING, 1, 5, 10, list_id=f"list-{symbol}")
        bare = Order(f"bare-{symbol}", symbol, Side.BUY, Role.WORKING, 2, 5, 10)
        stop = Order(f"stop-{symbol}", symbol, Side.SELL, Role.STOP, 1, 5, 9)
        for order in (entry, bare, stop):
            order.state = OrderState.OPEN
            book.register(order)
    breakers = Breakers(state.breakers, config().limits, "UTC")
    ramp = RampDesk(config(), state)
    made = OperatorDesk(state, book, portfolio, breakers, GuardDesk(state.activity), ramp)
    made.state, made.out = state, Outbox(IdSource("test", 1), 1)
    return made


@pytest.mark.parametrize(("argument", "symbols"), [("", ["BTCUSDT", "ETHUSDT"]), ("ETHUSDT", ["ETHUSDT"])])
def test_panic_withdraws_entries_marks_positions_and_halts(desk, argument, symbols):
    assert desk.obey(OperatorCommand("panic", 1, argument), desk.out) == symbols
    assert desk.out.take_commands() == [
        command
        for symbol in symbols
        for command in (
            CancelList(symbol, f"list-{symbol}", "panic"),
            CancelOrder(symbol, f"bare-{symbol}", "panic"),
        )
    ]
    marked = [name for name, one in desk.state.ledger.positions.items() if one.exit_reason]
    assert marked == symbols
    assert desk.state.activity.halted == ("" if argument else "panic of the operator")
    assert [desk.state.activity.allows(name) for name in ("BTCUSDT", "ETHUSDT")] == [bool(argument), False]


@pytest.mark.parametrize("word", ["ETHUSDT", ""])
def test_only_the_operator_ends_the_panic_of_a_symbol(desk, word):
    activity = desk.state.activity
    desk.obey(OperatorCommand("panic", 1, "ETHUSDT"), desk.out)
    desk.obey(OperatorCommand("resume", 2, "BTCUSDT"), desk.out)
    assert not activity.allows("ETHUSDT")
    assert [one.name for one in desk.out.take_commands() if isinstance(one, Alert)] == [
        "resume_without_cause"
    ]
    activity.halted = "operator"
    desk.obey(OperatorCommand("resume", 3, word), desk.out)
    assert "panic:ETHUSDT" not in activity.guards
    assert activity.halted == ("operator" if word else ""), "the word about one symbol ends nothing else"


def test_words_for_the_daemon_are_only_remembered(desk):
    assert desk.obey(OperatorCommand("rotate_keys", 1, "/some/folder"), desk.out) == []
    assert desk.obey(OperatorCommand("reload", 1), desk.out) == []
    assert desk.out.take_commands() == []
    assert desk.state.activity.allows_entries
