"""A rest that no stop sells is left alone beside coins of others: whether they are there must not be a matter of restarts."""

import asyncio
from types import SimpleNamespace

import pytest

from bnml.app.inbox import LiveInbox
from bnml.app.parting import Parting
from bnml.core.events import Balances, CapitalFlow, Timer
from bnml.trading.engine import Engine
from bnml.trading.portfolio import LAG_NS
from bnml.trading.ramp import AGREED
from bnml.trading.watching import WATCH
from tests.trading.hand_venue import changed, with_fees_in_bnb
from tests.virtual_time import in_virtual_time

ONE = ((1, 5000, 3_060_000),)
OTHERS_E8 = 10**8


def with_a_rest():
    """Fees are paid in BNB, so a little more was bought than the list was made for."""
    usual = changed(opo_allowed=False, cancel_replace_allowed=False)
    world = with_fees_in_bnb(usual, BTC=OTHERS_E8, BNB=10**9)
    world.enter(targets=ONE)
    world.settle()
    world.pass_seconds(3)
    assert {lots for _, lots in world.stops()} == {4995}
    return world


def flow(world):
    return CapitalFlow("BTC", -OTHERS_E8, world.now_ns)


def adopted(world):
    totals = dict(world.engine.state.ledger.totals)
    totals["BTC"] -= OTHERS_E8
    return Balances(world.now_ns, {asset: (total, 0) for asset, total in totals.items()})


def agreed(world):
    """They were seen and never booked; the account was found to have none."""
    world.feed(CapitalFlow("BTC", 0, world.now_ns, strange_e8=OTHERS_E8))
    world.feed(flow(world))
    world.pass_seconds(1)
    return Timer(AGREED, world.now_ns + LAG_NS)


@pytest.mark.parametrize("others_leave", [flow, adopted, agreed])
def test_a_restart_looks_no_further_than_the_process_before(others_leave):
    world = with_a_rest()
    event, tick = others_leave(world), Timer(WATCH, world.now_ns + 1)
    twin = Engine.restore(world.config, None, world.engine.snapshot())
    asked = [[*one.process(event, 10**6), *one.process(tick, 10**6 + 1)] for one in (world.engine, twin)]
    assert asked[0] == asked[1]


@in_virtual_time
async def test_a_stop_of_the_daemon_does_not_wait_for_a_stop_that_nobody_asks_for():
    """Each one took half of `stop_timeout_s` once, and called the position bare."""
    world = with_a_rest()
    (found,) = world.engine.coverage()
    assert found.covered_lots < found.held_lots
    loop = asyncio.get_running_loop()
    began_s, idle = loop.time(), SimpleNamespace(idle=True)
    await Parting(world.engine, None, LiveInbox(), idle, lambda: None).end(10.0)
    assert loop.time() - began_s < 1
