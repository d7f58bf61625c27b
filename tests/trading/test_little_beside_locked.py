"""A sale finds buyers for nearly all that was free while others lock the rest: that rest is no dust."""

import msgspec
import pytest

from bnml.core.commands import CancelOrder
from bnml.core.events import OperatorCommand, OrderReport
from bnml.core.orders import OrderState, OrderType, Side
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey, OrderRequest
from tests.trading.hand_venue import STOP, SYMBOL, changed
from tests.trading.test_protection_faults import RUNNER, entered
from tests.trading.test_short_of_coins import LOT_E8, lock, unlock


def part(**options):
    """2,000 lots of a position are locked by others, and a stop rests for 2,995."""
    world = entered(RUNNER, **options)
    lock(world, 2000)
    world.pass_seconds(2)
    assert [lots for _, lots in world.stops()] == [2995]
    return world


def sell_in_part(world, lots):
    """The next command is a sale in place of the stop; it finds buyers for so many lots."""
    command = world.queue.pop(0)
    name = command.ticket.client_order_id
    old = OrderKey(symbol=SYMBOL, client_order_id=command.cancel_client_order_id)
    world.venue.exchange.cancel(ACCOUNT, old)
    sale = OrderRequest(
        symbol=SYMBOL,
        side=Side.SELL,
        type=OrderType.MARKET,
        quantity_e8=lots * LOT_E8,
        client_order_id=name,
    )
    world.venue.exchange.place(ACCOUNT, sale)
    ended = {"state": OrderState.EXPIRED, "quantity_lots": command.ticket.quantity_lots}
    world.reports += [
        msgspec.structs.replace(one, **ended) if one.state is OrderState.FILLED else one
        for one in world.venue.drain()
    ]


def assert_is_kept(world):
    assert world.position().lots(LOT_E8) == 2005
    assert SYMBOL not in world.engine.state.ledger.dust
    unlock(world)
    world.pass_seconds(40)
    assert world.position() is None
    assert SYMBOL not in world.engine.state.ledger.dust


@pytest.mark.parametrize("spares", [True, False])
def test_the_rest_of_a_sale_does_not_make_dust_of_what_others_lock(spares):
    """Five lots were refused for their size, and all 2,005 were laid aside, without a stop and untold."""
    world = part(spares=spares)
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    sell_in_part(world, 2990)
    world.settle()
    world.pass_seconds(5)
    assert_is_kept(world)


def test_nor_does_the_rest_of_a_stop_that_finds_no_more_buyers():
    """It is cancelled and sold at market, which the venue refuses for its size."""
    world = part(instruments=changed(stop_loss_allowed=False))
    (stop,) = [one for one in world.open_orders() if one.client_order_id != "owners"]
    fill = {"cumulative_lots": 2990, "last_lots": 2990, "last_ticks": STOP, "trade_id": 99}
    told = {"quantity_lots": 2995, **fill}
    state, name = OrderState.PARTLY_FILLED, stop.client_order_id
    world.feed(OrderReport(SYMBOL, name, world.now_ns, state, Side.SELL, **told))
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    assert isinstance(world.queue[0], CancelOrder)
    world.execute()
    world.reports = [msgspec.structs.replace(one, **told) for one in world.reports]
    world.venue.exchange.deposit(ACCOUNT, "BTC", -2990 * LOT_E8)
    world.venue.drain()
    world.settle()
    world.pass_seconds(5)
    assert_is_kept(world)


def test_a_small_tranche_that_is_all_locked_does_not_keep_the_others_from_being_sold():
    """Too small to be sold alone, it cannot be sold with them either while its coins are locked."""
    world = entered(((1, 5000, 0), (2, 25, 0)))
    first, last = world.position().tranches
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=last.legs[0]))
    lock(world, last.lots(LOT_E8), cancel=False)
    world.pass_seconds(3)
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.settle()
    world.pass_seconds(40)
    assert (first.lots(LOT_E8), last.lots(LOT_E8)) == (0, 24)
