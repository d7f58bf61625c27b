"""Somebody else cancels what protects a position: one word of it is enough to look after everything else."""

import contextlib

import pytest

from bnml.core.commands import CancelOrder, QueryOrder
from bnml.core.events import CancelFailed, CapitalFlow
from bnml.core.orders import OrderState
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey, VenueReject
from tests.trading.hand_venue import REFERENCE, STOP, SYMBOL, World


def cancelled_by_hand(*, of):
    """A position of three tranches whose orders are all gone, and what is told of those of tranche `of`."""
    world = World()
    world.enter()
    world.settle()
    for order in world.open_orders():
        key = OrderKey(symbol=SYMBOL, client_order_id=order.client_order_id)
        with contextlib.suppress(VenueReject):  # gone with the other one of its list
            world.venue.exchange.cancel(ACCOUNT, key)
    assert world.stops() == []
    told = [one for one in world.venue.drain() if one.state is OrderState.CANCELED]
    legs = world.position().tranches[of - 1].legs
    return world, [one for one in told if one.client_order_id in legs]


def is_covered(world):
    lot_e8 = world.instruments[SYMBOL].lot_e8
    held = sum(tranche.lots(lot_e8) for tranche in world.position().tranches)
    return sum(lots for _, lots in world.stops()) == held > 0


@pytest.mark.parametrize("of", [1, 2, 3])
def test_an_order_that_nobody_here_has_cancelled_has_the_others_read(of):
    world, told = cancelled_by_hand(of=of)
    for report in told:
        world.feed(report)
    world.settle()
    assert is_covered(world)
    assert {ticks for ticks, _ in world.stops()} == {STOP}


def test_so_has_a_cancel_of_ours_that_came_after_it():
    world, (told,) = cancelled_by_hand(of=3)
    order = world.engine.book.orders[told.client_order_id]
    order.cancel_sent = True
    world.feed(told)
    world.settle()
    assert not is_covered(world)
    world.feed(CancelFailed(SYMBOL, order.client_order_id, world.now_ns, -2011, "Unknown order sent."))
    world.settle()
    assert is_covered(world)


def test_a_target_that_lost_its_stop_is_given_a_moment_and_withdrawn_at_the_next_print():
    """The word of it may be lost as well as the answer to the query."""
    world, told = cancelled_by_hand(of=1)
    stop = next(one for one in told if world.engine.book.get(one.client_order_id).role == "stop")
    world.feed(stop)
    assert {type(one) for one in world.queue} == {QueryOrder}
    world.queue.clear()
    world.feed_slice(REFERENCE)
    assert isinstance(world.queue[0], CancelOrder)
    world.settle()
    world.pass_seconds(3)
    assert is_covered(world)


def test_what_we_cancel_ourselves_has_nothing_read():
    world = World()
    world.enter()
    world.settle()
    world.move(3_060_000)  # the first target: its stop ends
    world.position().exit_reason = 1
    world.engine._protection.stir(SYMBOL)
    world.pass_seconds(3)
    assert world.position() is None
    assert not any(isinstance(one, QueryOrder) for one in world.sent)


def test_what_was_refused_for_coins_that_are_gone_is_tried_at_once_when_that_is_known():
    """The pause after the last refusal was waited for: a rest of the position was bare for seconds more."""
    world = World()
    world.is_read = False
    world.enter(targets=((1, 5000, 0),))
    world.settle()
    (stop,) = world.open_orders()
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=stop.client_order_id))
    world.venue.exchange.deposit(ACCOUNT, "BTC", -1_000_000)
    world.reports += world.venue.drain()
    world.deliver()
    world.settle()
    world.pass_seconds(9)
    assert world.stops() == []
    world.feed(CapitalFlow("BTC", -1_000_000, world.now_ns, is_compared=True))
    world.settle()
    assert world.position() is None or world.stops()
