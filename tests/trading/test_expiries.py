"""Sales that the venue takes and ends without a fill: nothing to sell against, or a price outside its bounds."""

import pytest

from bnml.core.commands import ReplaceOrder
from bnml.core.events import OperatorCommand, OrderReport
from bnml.core.orders import OrderState, OrderType, Side
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import STOP, SYMBOL, TARGETS, World, ticket_of


class Dry(World):
    """Nobody buys: sales at market expire at once."""

    is_dry = True

    def execute(self):
        ticket = ticket_of(self.queue[0])
        if not self.is_dry or ticket is None or ticket.type is not OrderType.MARKET:
            super().execute()
            return
        command = self.queue.pop(0)
        self.sent.append(command)
        if isinstance(command, ReplaceOrder):
            key = OrderKey(symbol=SYMBOL, client_order_id=command.cancel_client_order_id)
            self.venue.exchange.cancel(ACCOUNT, key)
            self.reports += self.venue.drain()
        name, lots = ticket.client_order_id, ticket.quantity_lots
        self.reports += [
            OrderReport(SYMBOL, name, self.now_ns, state, Side.SELL, quantity_lots=lots)
            for state in (OrderState.OPEN, OrderState.EXPIRED)
        ]


def sales(world):
    return sum(getattr(ticket_of(one), "type", None) is OrderType.MARKET for one in world.sent)


@pytest.mark.parametrize("targets", [((1, 5000, 0),), ((1, 5000, 3_060_000),), TARGETS])
def test_a_sale_that_expires_puts_the_stop_back_and_is_repeated_later(targets):
    world = Dry()
    world.enter(targets=targets)
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.settle()
    assert sales(world) == 1
    held = world.position().lots(1000)
    assert sum(lots for level, lots in world.stops() if level == STOP) == held
    for _ in range(10):
        world.pass_seconds(1)
    assert 2 <= sales(world) <= 6, "ever more rarely"
    assert any(one.name == "sale_expired" for one in world.alerts)
    world.is_dry = False
    world.pass_seconds(40)
    assert world.position() is None
    assert not world.ledger_differences()
    assert not world.open_orders()
