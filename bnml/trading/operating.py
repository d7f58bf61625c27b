"""What the operator may order: stop entries, let them go on, only reduce, sell everything."""

from __future__ import annotations

from collections.abc import Callable

from bnml.core.commands import CancelList, CancelOrder
from bnml.core.events import OperatorCommand
from bnml.kernels.records import ExitReason
from bnml.trading.guarding import GuardDesk
from bnml.trading.orders import OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.ramp import RampDesk
from bnml.trading.risk.breakers import Breakers
from bnml.trading.state import EngineState

FOR_OTHERS = frozenset({"rotate_keys", "reload"})
"""Words to the daemon around the engine; in the event order only to be remembered."""


class OperatorDesk:
    """Changes activity and marks positions for sale; protection keeps working in every mode."""

    def __init__(
        self,
        state: EngineState,
        book: OrderBook,
        portfolio: Portfolio,
        breakers: Breakers,
        guards: GuardDesk,
        ramp: RampDesk,
    ) -> None:
        self._state = state
        self._book = book
        self._portfolio = portfolio
        self._breakers = breakers
        self._guards = guards
        self._orders: dict[str, Callable[[OperatorCommand, Outbox], list[str]]] = {
            "halt": self._halt,
            "resume": self._resume,
            "enable_entries": self._enable_entries,
            "reduce": self._reduce,
            "flatten": self._flatten,
            "panic": self._panic,
            **ramp.words,
        }

    def obey(self, command: OperatorCommand, out: Outbox) -> list[str]:
        """Do it; returns the symbols whose positions must move. An unknown word is told of and does nothing."""
        if command.name in FOR_OTHERS:
            return []
        order = self._orders.get(command.name)
        if order is None:
            known = ", ".join(sorted(self._orders))
            out.alert("warning", "command_unknown", f"{command.name} is no command; there are {known}")
            return []
        return order(command, out)

    def _halt(self, command: OperatorCommand, _: Outbox) -> list[str]:
        self._state.activity.halted = command.argument or "operator"
        return []

    def _resume(self, command: OperatorCommand, out: Outbox) -> list[str]:
        """Entries may come again, and no breaker's pause remains from before; or those of one symbol, and nothing else."""
        if command.argument:
            self._guards.come_back(command.argument, out)
            return []
        self._breakers.release(self._state.last_equity_e8)
        return self._enable_entries(command, out)

    def _enable_entries(self, _: OperatorCommand, out: Outbox) -> list[str]:
        self._state.activity.halted = ""
        self._state.activity.is_reducing = False
        self._guards.resume(out)
        return []

    def _reduce(self, _: OperatorCommand, __: Outbox) -> list[str]:
        self._state.activity.is_reducing = True
        return []

    def _flatten(self, command: OperatorCommand, _: Outbox) -> list[str]:
        """Sell one symbol, or everything and stay out until resumed."""
        if not command.argument:
            self._state.activity.halted = "flattened by the operator"
        symbols = [name for name in sorted(self._portfolio.positions) if command.argument in {"", name}]
        for name in symbols:
            position = self._portfolio.positions[name]
            position.exit_reason = position.exit_reason or int(ExitReason.OPERATOR)
        return symbols

    def _panic(self, command: OperatorCommand, out: Outbox) -> list[str]:
        """Entries withdrawn, everything sold, and no entries until resumed; or all that of one symbol alone."""
        cancelled: set[str] = set()
        for order in self._book.open():
            asked = command.argument in {"", order.symbol} and order.role is Role.WORKING
            if not asked or order.cancel_sent:
                continue
            if order.list_id and order.list_id not in cancelled:
                cancelled.add(order.list_id)
                out.commands.append(CancelList(order.symbol, order.list_id, "panic"))
            elif not order.list_id:
                out.commands.append(CancelOrder(order.symbol, order.client_order_id, "panic"))
        symbols = self._flatten(command, out)
        if command.argument:
            self._guards.stay_out(command.argument, "panic of the operator; until `bnml resume`")
        else:
            self._state.activity.halted = "panic of the operator"
        return symbols
