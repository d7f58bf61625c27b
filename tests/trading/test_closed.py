"""A symbol that the venue has closed: what rests there stays, for nothing could take its place."""

import msgspec
import pytest

from bnml.core.commands import QueryOrder, Submit
from bnml.core.events import Guard, InstrumentUpdate, OperatorCommand, OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.trading.state import STATUS
from tests.trading.hand_venue import STOP, SYMBOL, World

ONE = ((1, 5000, 3_060_000),)
RUNNER = ((1, 5000, 0),)


def entered(targets=ONE):
    world = World()
    world.enter(targets=targets)
    world.settle()
    return world


def close(world, how, *, again=False):
    """As a refusal tells it, or the venue's list of symbols."""
    if how == "refused":
        world.feed(Guard(f"{STATUS}{SYMBOL}", ACTIVE if again else REDUCING, world.now_ns))
    else:
        status = "TRADING" if again else "HALT"
        one = msgspec.structs.replace(world.instruments[SYMBOL], status=status)
        world.feed(InstrumentUpdate(one, world.now_ns))


@pytest.mark.parametrize("how", ["refused", "listed"])
@pytest.mark.parametrize("why", ["exit", "trail"])
def test_no_stop_is_withdrawn_while_the_venue_takes_no_orders(how, why):
    """The sale was once refused when its cancels had been carried out, and all was bare until the symbol opened again."""
    world = entered(RUNNER)
    close(world, how)
    if why == "exit":
        world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    else:
        world.move(3_100_000)
    world.pass_seconds(5)
    assert world.queue == []
    assert world.stops() == [(STOP, 4995)]
    close(world, how, again=True)
    world.pass_seconds(2)
    assert world.position() is None if why == "exit" else world.stops()[0][0] > STOP


@pytest.mark.parametrize("is_passed", [False, True])
@pytest.mark.parametrize("how", ["refused", "listed"])
def test_what_has_no_stop_is_guarded_or_sold_as_soon_as_the_venue_takes_it(how, is_passed):
    """Whether it does again is looked at once a minute only."""
    world = entered()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    close(world, how)
    for kind in ("MARKET", "STOP_LOSS", "LIMIT_MAKER"):
        world.refuse(kind, "closed", "closed")
    if is_passed:
        world.refuse("STOP_LOSS", *["trigger"] * 20)
        world.refuse("LIMIT_MAKER", *["trigger"] * 20)
    world.settle()
    assert world.stops() == []
    world.pass_seconds(20)
    assert (world.position() is None) is is_passed
    assert world.stops() == ([] if is_passed else [(STOP, 4995)])


def test_a_sale_told_before_its_purchase_has_the_purchase_asked_for():
    """The report of the purchase may be lost, and what else is bare waited for it."""
    world = World()
    (tranche,) = world.enter(targets=ONE)
    stop = tranche.legs[-1]
    sold = OrderReport(
        SYMBOL,
        stop,
        world.now_ns,
        OrderState.FILLED,
        Side.SELL,
        cumulative_lots=4995,
        trade_id=7,
        last_lots=4995,
        last_ticks=STOP,
        quantity_lots=4995,
    )
    (purchase,) = world.queue
    assert isinstance(purchase, Submit)
    world.feed(sold)
    asked = world.queue[-1]
    assert isinstance(asked, QueryOrder)
    assert asked.client_order_id == tranche.working_id
