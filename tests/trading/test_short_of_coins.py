"""What is short of a few locked coins, and spares beside coins of others: nothing loops, and no stop is given up for little."""

import msgspec
import pytest

from bnml.core.commands import CancelList, CancelOrder
from bnml.core.events import CancelFailed, CapitalFlow, InstrumentUpdate
from bnml.core.orders import OrderState, OrderType
from bnml.trading.refusals import MAX_REFUSALS
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey
from tests.trading.hand_venue import STOP, SYMBOL, TARGETS, changed
from tests.trading.test_protection_chains import moved
from tests.trading.test_protection_faults import RUNNER, entered, flatten
from tests.trading.test_spares import TWO, is_first, leaving

LOT_E8 = 1000


def short(targets=RUNNER):
    """Three lots of ours are locked by others, and the first tranche is protected without a few."""
    world = entered(targets, spares=False, balances={"USDT": 10**13, "BTC": 500_000})
    leg = world.position().tranches[0].legs[0]
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=leg))
    world.venue.exchange.deposit(ACCOUNT, "BTC", -500_000 - 3 * LOT_E8)
    world.reports += world.venue.drain()
    world.settle()
    world.pass_seconds(10, step_s=0.25)
    assert world.position().tranches[0].short_lots
    world.bareness.clear()
    return world


@pytest.mark.parametrize("filters", [{"min_notional_e8": 5 * 10**7}, {"lot_step": 40}])
def test_what_leaves_nothing_out_is_not_called_protected(filters):
    """A lot, or a step, may be worth more than what may be left out."""
    world = entered(RUNNER, instruments=changed(**filters), spares=False)
    world.refuse(OrderType.STOP_LOSS, *["balance"] * (MAX_REFUSALS + 2))
    world.move(3_100_000)
    world.pass_seconds(8, step_s=0.25)
    assert "protection_refused" in {one.name for one in world.alerts}
    assert "protected_in_part" not in {one.name for one in world.alerts}


@pytest.mark.parametrize(
    "event",
    [
        CapitalFlow("BTC", LOT_E8, 2 * 10**18, is_compared=True),
        InstrumentUpdate(changed()[SYMBOL], 2 * 10**18),
    ],
)
def test_a_stop_without_the_locked_coins_is_not_given_up_to_ask_for_them_again(event):
    """Each trade of the account's owner in the coin laid it bare for two seconds."""
    world = short()
    stops = world.stops()
    world.feed(msgspec.structs.replace(event, ts_ns=world.now_ns))
    world.pass_seconds(40, step_s=0.25)
    assert world.stops() == stops
    assert not world.bareness


@pytest.mark.parametrize("targets", [RUNNER, TARGETS])
def test_what_is_short_is_sold_and_its_rest_is_dust(targets):
    world = short(targets)
    world.restart()
    flatten(world)
    world.pass_seconds(20)
    assert world.position() is None
    assert world.engine.state.ledger.dust[SYMBOL].base_e8 < 10 * LOT_E8


@pytest.mark.parametrize("is_told", [True, False])
def test_no_stop_rests_for_more_than_the_few_lots_that_are_left(is_told):
    """No order can be for so few, and the stop would sell coins of others."""
    world = short()
    (tranche,) = world.position().tranches
    gone_e8 = tranche.base_e8 - 5 * LOT_E8
    if is_told:
        total_e8 = world.engine.state.ledger.totals["BTC"]
        world.feed(CapitalFlow("BTC", 5 * LOT_E8 - total_e8, world.now_ns, is_compared=True))
    else:
        tranche.base_e8 -= gone_e8
        world.engine._protection.stir()
    world.move(STOP + 50_000)
    world.pass_seconds(20)
    assert not world.stops()
    assert world.position() is None


def test_a_lot_of_others_takes_no_spare_from_beside_what_is_in_doubt():
    """So little cannot have let it in: it is the only stop there is."""
    world = entered(RUNNER)
    first, _ = moved(world)
    world.refuse(OrderType.STOP_LOSS, "busy")
    world.execute()
    world.execute()
    name = first.ticket.client_order_id
    world.reports = [
        msgspec.structs.replace(one, state=OrderState.UNKNOWN) if one.client_order_id == name else one
        for one in world.reports
    ]
    world.engine.portfolio.ledger.suspect("BTC", LOT_E8, world.now_ns)
    world.deliver()
    assert world.stops() == [(STOP, 4995)]
    assert not any(isinstance(one, CancelOrder) for one in world.queue)


@pytest.mark.parametrize("code", [-1015, -2011])
def test_a_spare_whose_cancel_fails_is_not_cancelled_again_in_that_moment(code):
    world = leaving(TWO)
    cancel = next(one for one in world.queue if isinstance(one, CancelList))
    world.queue.remove(cancel)  # and the answer is lost, too
    sale = next(one for one in world.queue if is_first(one)).order.ticket.client_order_id
    world.refuse(OrderType.MARKET, "busy")
    world.venue.exchange.deposit(ACCOUNT, "BTC", 4995 * LOT_E8)
    while world.queue:
        world.execute()
    world.reports = [one for one in world.reports if one.client_order_id != sale]
    world.engine.portfolio.ledger.suspect("BTC", 4995 * LOT_E8, world.now_ns)
    world.deliver()
    asked = 0
    for _ in range(100):
        if world.queue and isinstance(world.queue[0], CancelOrder):
            asked += 1
            name = world.queue.pop(0).client_order_id
            world.feed(CancelFailed(SYMBOL, name, world.now_ns, code, "refused"))
        elif world.queue:
            world.execute()
        world.deliver()
    assert 0 < asked <= 2
