"""Sales that the venue takes and ends without a fill: nothing to sell against, or a price outside its bounds."""

import pytest

from bnml.core.commands import ReplaceOrder
from bnml.core.events import OperatorCommand, OrderReport
from bnml.core.orders import OrderState, OrderType, Side
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import STOP, SYMBOL, TARGETS, WORDS, World, ticket_of


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


def test_a_sale_that_ends_with_a_part_of_it_sold_is_followed_by_the_next_at_once():
    """There are buyers: the rest does not wait as if there were none."""
    world = World()
    world.enter(targets=((1, 5000, 0),))
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    sale, spare = world.queue
    world.queue.clear()
    world.feed(world._rejected(ticket_of(spare), *WORDS["balance"]))
    for name, told in (
        (sale.cancel_client_order_id, [(OrderState.CANCELED, 0)]),
        (
            sale.ticket.client_order_id,
            [(OrderState.OPEN, 0), (OrderState.PARTLY_FILLED, 99), (OrderState.EXPIRED, 0)],
        ),
    ):
        for state, trade in told:
            sold = 1000 if name == sale.ticket.client_order_id and state is not OrderState.OPEN else 0
            world.feed(
                OrderReport(
                    SYMBOL, name, world.now_ns, state, Side.SELL, sold, trade, sold if trade else 0, STOP
                )
            )
    assert not world.alerts
    assert [ticket_of(one).quantity_lots for one in world.queue if ticket_of(one)] == [3995]
    assert ticket_of(world.queue[-1]).type is OrderType.MARKET
