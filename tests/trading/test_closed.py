"""A symbol that the venue has closed: what rests there stays, for nothing could take its place."""

import msgspec
import pytest

from bnml.core.commands import QueryOrder, Submit
from bnml.core.events import CapitalFlow, Guard, InstrumentUpdate, OperatorCommand, OrderReport
from bnml.core.orders import OrderState, Side
from bnml.trading.guarding import ACTIVE, REDUCING
from bnml.trading.state import STATUS
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
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


def refuse_all(world, word="shut"):
    for kind in ("MARKET", "STOP_LOSS", "LIMIT_MAKER"):
        world.refuse(kind, *[word] * 100)


def bare(how, word="shut"):
    """The symbol closes as the stop is withdrawn for a sale."""
    world = entered()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    close(world, how)
    refuse_all(world, word)
    world.settle()
    assert world.stops() == []
    return world


@pytest.mark.parametrize("how", ["refused", "looked at too late", "listed"])
def test_what_was_refused_is_tried_at_once_when_the_symbol_trades_again(how):
    """Its first print says so, or the list of symbols; the pause after the last refusal was waited for once, up to 32 s."""
    world = bare("listed" if how == "listed" else "refused")
    world.pass_seconds(40)
    assert world.stops() == []
    world.refusals.clear()
    if how == "looked at too late":  # the list of symbols never showed it closed
        close(world, "refused", again=True)
    if how == "listed":
        close(world, how, again=True)
        world.pass_seconds(1)
    else:
        world.move(2_990_000, seconds=0.1)
    assert world.position() is None


def test_prints_that_never_ceased_make_no_pause_shorter():
    """They say that others may trade: this account may not, and would be refused twice a second."""
    world = bare("refused")
    for _ in range(40):
        world.move(2_990_000, seconds=1)
    assert len(world.refusals["MARKET"]) == 95


@pytest.mark.parametrize("word", ["print", "filters"])
def test_nothing_else_makes_a_pause_shorter(word):
    """A print where something else was refused, other filters of a symbol that is closed."""
    world = bare("listed", "shut" if word == "filters" else "busy")
    world.pass_seconds(40)
    asked = len(world.sent)
    if word == "print":
        world.move(2_990_000, seconds=0.1)
    else:
        one = msgspec.structs.replace(world.instruments[SYMBOL], status="BREAK")
        world.feed(InstrumentUpdate(one, world.now_ns))
        world.pass_seconds(1)
    assert len(world.sent) == asked


def test_when_a_symbol_trades_again_the_pauses_begin_anew():
    world = bare("refused")
    world.pass_seconds(40)
    world.refusals = {"MARKET": ["busy"], "STOP_LOSS": ["busy"]}
    world.move(2_990_000, seconds=0.1)
    assert world.stops() == []
    assert not world.position().is_shut
    world.pass_seconds(3)
    assert world.position() is None


@pytest.mark.parametrize("owned_e8", [0, 10**8])
def test_a_stray_stop_is_left_alone_while_nothing_could_take_its_place(owned_e8):
    """It guards another tranche's coins; where it could sell those of others it is withdrawn all the same."""
    world = World()
    world.enter(targets=((1, 5000, 3_160_000), (2, 5000, 3_220_000)))
    world.settle()
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    told = world.venue.print(SYMBOL, 3_170_000, world.now_ns)  # the first target
    while world.queue:
        world.execute()
    assert world.stops() == [(STOP, 4995)]
    if owned_e8:
        world.feed(CapitalFlow("BTC", owned_e8, world.now_ns))
    close(world, "listed")
    world.reports[:0] = told
    world.settle()
    world.pass_seconds(5)
    assert len(world.stops()) == (0 if owned_e8 else 1)


def test_refusals_of_a_closed_symbol_sell_no_position():
    """Three refusals of a stop are a reason to sell, but for these: they say nothing of the stop."""
    world = entered(RUNNER)
    refuse_all(world)
    (stop,) = world.open_orders()
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=stop.client_order_id))
    world.reports += world.venue.drain()
    world.deliver()
    world.settle()
    close(world, "refused")
    world.pass_seconds(30)
    assert world.stops() == []
    world.refusals.clear()
    world.move(2_990_000)
    assert world.stops() == [(STOP, 4995)]
