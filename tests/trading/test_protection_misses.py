"""A stop that the venue shows and that no cancel finds: what is read lags behind, and asking faster helps nobody."""

import pytest

from bnml.core.commands import ReplaceOrder
from bnml.core.events import CancelFailed, OperatorCommand
from bnml.core.orders import OrderState, Side
from bnml.trading.insuring import beyond_one
from bnml.trading.orders import Order, Role
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import SYMBOL, World

RUNNER = ((1, 5000, 0),)


class Lagging(World):
    """For a while no cancel finds the stop, whatever is read."""

    misses = 0

    def _refusal(self, command):
        if isinstance(command, ReplaceOrder) and self.misses:
            self.misses -= 1
            return -2011, "Unknown order sent."
        return super()._refusal(command)

    def _answers(self, command, code, text):
        if code != -2011:
            return super()._answers(command, code, text)
        failed = CancelFailed(SYMBOL, command.cancel_client_order_id, self.now_ns, code, text)
        return [failed, self._rejected(command.ticket, code, text)]


def entered():
    world = Lagging()
    world.enter(targets=RUNNER)
    world.settle()
    return world


def moves(world):
    return sum(isinstance(one, ReplaceOrder) for one in world.sent)


def test_a_stop_that_no_cancel_finds_is_moved_once_a_second_at_most():
    """Found in the ten-month run: fifteen requests a second, until the venue took no orders any more."""
    world = entered()
    world.misses = 10**6
    world.move(3_100_000)
    assert moves(world) == 2  # what is read may have been right: once more at once
    world.pass_seconds(20, step_s=0.1)
    assert moves(world) in {3, 4}
    assert world.stops() == [(2_940_000, 4995)]


@pytest.mark.parametrize("misses", [1, 2, 3])
def test_it_moves_as_soon_as_the_venue_finds_it_again(misses):
    world = entered()
    world.misses = misses
    world.move(3_100_000)
    world.pass_seconds(misses)
    assert world.stops() == [(3_080_000, 4995)]
    assert world.longest_bare_s() == 0
    world.move(3_200_000)
    assert world.stops() == [(3_180_000, 4995)]


def test_one_that_is_really_gone_is_put_back_at_once():
    world = entered()
    world.misses = 2
    world.move(3_100_000)
    (stop,) = world.open_orders()
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=stop.client_order_id))
    world.reports += world.venue.drain()
    world.settle()
    assert world.stops() == [(3_080_000, 4995)]
    assert world.longest_bare_s() == 0


def test_a_sale_that_would_replace_it_waits_with_the_stop_in_place():
    world = entered()
    world.misses = 10**6
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.settle()
    assert moves(world) == 2
    assert world.stops() == [(2_940_000, 4995)]
    world.misses = 0
    world.pass_seconds(2)
    assert world.position() is None
    assert world.longest_bare_s() == 0
    assert all(one.state is not OrderState.UNKNOWN for one in world.engine.book.open())


def stop(name, ticks, list_id=""):
    return Order(name, SYMBOL, Side.SELL, Role.STOP, 1, 10, ticks, list_id=list_id)


@pytest.mark.parametrize(
    ("stops", "surplus"),
    [
        ([stop("low", 70), stop("high", 77)], ["low"]),
        ([stop("alone", 77), stop("of a list", 70, "l")], ["alone"]),
        ([stop("one", 70, "l1"), stop("other", 77, "l2")], []),  # lists move as lists do
        ([stop("alone", 70)], []),
    ],
)
def test_of_several_stops_of_a_tranche_that_of_a_list_stays_or_the_highest(stops, surplus):
    assert [one.client_order_id for one in beyond_one(stops)] == surplus
