"""What is short of a few locked coins, and spares beside coins of others: nothing loops, and no stop is given up for little."""

import msgspec
import pytest

from bnml.core.clock import NS_PER_S
from bnml.core.commands import CancelList, CancelOrder
from bnml.core.events import CancelFailed, CapitalFlow, FreeCoins, InstrumentUpdate, Timer
from bnml.core.orders import OrderState, OrderType, Side, TimeInForce
from bnml.trading.refusals import MAX_REFUSALS
from bnml.trading.watching import WATCH
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderKey, OrderRequest
from tests.trading.hand_venue import REFERENCE, STOP, SYMBOL, TARGETS, changed
from tests.trading.kit import instrument
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


def lock(world, lots, *, cancel=True):
    """The account's owner rests a sale on coins of ours, in the moment in which a stop is cancelled by hand."""
    legs = [leg for tranche in world.position().tranches for leg in tranche.legs]
    for leg in legs[-1:] if cancel else ():
        world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=leg))
    sale = OrderRequest(
        symbol=SYMBOL,
        side=Side.SELL,
        type=OrderType.LIMIT,
        quantity_e8=lots * LOT_E8,
        price_e8=2 * REFERENCE * instrument().tick_e8,
        time_in_force=TimeInForce.GTC,
        client_order_id="owners",
    )
    world.venue.exchange.place(ACCOUNT, sale)
    world.reports += [one for one in world.venue.drain() if one.client_order_id != "owners"]
    world.settle()


def unlock(world):
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id="owners"))
    world.venue.drain()


def names(world):
    return [one.name for one in world.alerts]


@pytest.mark.parametrize("spares", [True, False])
def test_what_is_free_is_protected_while_others_lock_the_rest_and_all_of_it_after_that(spares):
    """30 of 4,995 lots were locked, and none of them had a stop for as long."""
    world = entered(RUNNER, spares=spares)
    lock(world, 2000)
    assert not world.stops()
    world.pass_seconds(2)
    assert world.stops() == [(STOP, 2995)]
    (seen,) = world.engine.coverage()
    assert (seen.held_lots, seen.covered_lots, seen.is_bare) == (4995, 2995, True)
    assert names(world).count("protected_in_part") == 1
    world.pass_seconds(30)
    assert world.stops() == [(STOP, 2995)]
    assert names(world).count("protected_in_part") == 1
    assert names(world).count("position_bare") == 1
    unlock(world)
    world.pass_seconds(2)
    assert world.stops() == [(STOP, 4995)]
    assert not world.engine.coverage()[0].is_bare
    assert not world.engine.shortage.assets


def test_what_is_locked_is_sold_when_it_is_free_and_is_no_dust():
    world = entered(RUNNER)
    lock(world, 2000)
    world.pass_seconds(2)
    flatten(world)
    world.pass_seconds(5)
    assert world.position().lots(LOT_E8) == 2000
    assert not world.stops()
    assert SYMBOL not in world.engine.state.ledger.dust
    assert "coins_locked" in names(world)
    world.restart()
    unlock(world)
    world.pass_seconds(40)
    assert world.position() is None
    assert world.balance("BTC") < LOT_E8 * 10


@pytest.mark.parametrize("spares", [True, False])
def test_a_tranche_that_is_all_locked_does_not_keep_the_others_from_being_sold(spares):
    """One sale of all was refused each time, for as long as the owner's order rested."""
    world = entered(TWO, spares=spares)
    first, last = world.position().tranches
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=last.legs[0]))
    lock(world, 4995, cancel=False)
    world.pass_seconds(3)
    flatten(world)
    world.pass_seconds(40)
    assert (first.lots(LOT_E8), last.lots(LOT_E8)) == (0, 4995)
    unlock(world)
    world.pass_seconds(40)
    assert world.position() is None


def test_a_stop_that_fills_while_a_part_is_locked_leaves_that_part():
    world = entered(RUNNER)
    lock(world, 2000)
    world.pass_seconds(2)
    world.move(STOP - 1_000)
    world.pass_seconds(5)
    assert world.position().lots(LOT_E8) == 2000
    unlock(world)
    world.pass_seconds(40)
    assert world.position() is None


def test_what_has_passed_its_stop_while_it_was_locked_is_sold_as_soon_as_it_is_free():
    """A stop was asked for at each look, refused as it would trigger at once, and the sale waited for half a minute."""
    world = entered(RUNNER)
    lock(world, 4995)
    world.move(STOP - 1_000)
    world.pass_seconds(40)
    unlock(world)
    sent = len(world.sent)
    world.pass_seconds(2)
    assert world.position() is None
    assert len(world.sent) == sent + 1


def test_what_was_all_locked_is_guarded_as_soon_as_an_order_of_it_is_free():
    """It is told of once: each look at the account said so again, hundreds of times an hour."""
    world = entered(RUNNER)
    lock(world, 4995)
    world.pass_seconds(10)
    assert not world.stops()
    assert names(world).count("coins_locked") == 1
    unlock(world)
    lock(world, 1000, cancel=False)
    world.pass_seconds(2)
    assert world.stops() == [(STOP, 3995)]


def test_of_several_tranches_the_last_ones_are_short():
    world = entered(TWO)
    first, last = world.position().tranches
    for tranche in (first, last):
        world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=tranche.legs[0]))
    lock(world, 3000, cancel=False)
    world.pass_seconds(8, step_s=0.25)
    assert (first.short_lots, last.short_lots) == (0, 3000)
    assert sum(lots for _, lots in world.stops()) == first.lots(LOT_E8) + last.lots(LOT_E8) - 3000


def test_what_has_passed_its_stop_is_sold_without_the_few_coins_that_are_not_free():
    """Found by the kill matrix: its stop would trigger at once, which the venue says before it looks for the coins."""
    world = entered(RUNNER)
    lock(world, 30)
    world.position().last_ticks = 0
    world.venue.print(SYMBOL, STOP - 1_000, world.now_ns, jump=True)
    world.pass_seconds(3)
    assert world.position().lots(LOT_E8) == 30


def test_what_is_free_is_given_to_one_tranche_only():
    world = entered(TWO)
    tranches = world.position().tranches
    world.is_read = False
    for tranche in tranches:
        world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=tranche.legs[0]))
    held = world.position().lots(LOT_E8)
    lock(world, held - 2000, cancel=False)
    assert world.engine.shortage.assets == ["BTC"]
    world.feed(FreeCoins("BTC", 2000 * LOT_E8, world.now_ns))
    assert [one.short_lots for one in tranches] == [tranches[0].lots(LOT_E8) - 2000, 0]
    world.settle()
    assert world.stops() == [(STOP, 2000)]


@pytest.mark.parametrize("spares", [True, False])
def test_a_stop_for_a_part_is_not_given_up_for_what_was_free_before_it(spares):
    """Each look at an account that lags behind took it away again, and left all of it bare for seconds."""
    world = entered(RUNNER, spares=spares)
    world.is_read = False
    lock(world, 2000)
    for _ in range(4):
        world.feed(FreeCoins("BTC", 2995 * LOT_E8, world.now_ns))
        world.settle()
        assert world.stops() == [(STOP, 2995)]
        world.pass_seconds(1)
    unlock(world)
    world.pass_seconds(2)
    world.feed(FreeCoins("BTC", 2000 * LOT_E8, world.now_ns))
    world.settle()
    assert world.stops() == [(STOP, 4995)]
    assert names(world).count("protected_in_part") == 1


def test_a_few_coins_that_are_free_again_in_a_moment_are_guarded_a_second_later():
    world = entered(RUNNER)
    lock(world, 100)
    world.pass_seconds(2)
    assert world.stops() == [(STOP, 4895)]
    unlock(world)
    world.pass_seconds(1)
    assert world.stops() == [(STOP, 4995)]


def test_what_is_refused_for_something_else_is_not_asked_for_at_each_look():
    """Of the purchase a little more came than the stop was made for, and the venue refuses to move it."""
    world = entered(RUNNER)
    (tranche,) = world.position().tranches
    tranche.base_e8 += 3 * LOT_E8
    world.venue.exchange.deposit(ACCOUNT, "BTC", 3 * LOT_E8)
    world.engine.portfolio.flow("BTC", 3 * LOT_E8)
    world.venue.drain()
    tranche.refusals, tranche.move_after_ns = 1, world.now_ns + 30 * NS_PER_S
    sent = len(world.sent)
    world.engine._protection.stir()
    world.pass_seconds(20)
    assert len(world.sent) == sent
    world.pass_seconds(20)
    assert world.stops() == [(STOP, 4998)]


def test_what_is_not_shown_as_free_yet_is_not_called_locked():
    """An account that is read shows the lock of the stop that was cancelled a moment ago."""
    world = entered(RUNNER)
    world.is_read = False
    lock(world, 2000)
    for _ in range(3):
        world.feed(FreeCoins("BTC", 0, world.now_ns))
        world.settle()
        world.pass_seconds(1)
    world.feed(FreeCoins("BTC", 2995 * LOT_E8, world.now_ns))
    world.settle()
    assert world.stops() == [(STOP, 2995)]
    assert "coins_locked" not in names(world)


def test_what_is_too_little_for_an_order_is_not_asked_for_alone():
    world = entered(RUNNER)
    lock(world, 4990)
    sent = len(world.sent)
    world.is_read = False
    world.feed(FreeCoins("BTC", 5 * LOT_E8, world.now_ns))
    world.settle()
    assert len(world.sent) == sent
    assert not world.position().tranches[0].short_lots


def test_what_locks_coins_of_another_tranche_for_a_moment_is_none_of_others():
    """A spare that rests beside the sale that it was left behind: it is withdrawn, and what is bare is asked for again."""
    world = entered(TWO)
    first, last = world.position().tranches
    world.is_read = False
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=last.legs[0]))
    lock(world, 2000, cancel=False)
    first.base_e8 -= 1000 * LOT_E8  # its stop sells more than it has
    world.feed(FreeCoins("BTC", 995 * LOT_E8, world.now_ns))
    assert not last.short_lots


def test_what_is_taken_of_a_position_is_not_left_out_of_the_rest():
    """A withdrawal of what was called locked is booked: the stop for what is free is the right one then."""
    world = entered(RUNNER)
    leg = world.position().tranches[0].legs[0]
    world.venue.exchange.cancel(ACCOUNT, OrderKey(symbol=SYMBOL, client_order_id=leg))
    world.venue.exchange.deposit(ACCOUNT, "BTC", -2000 * LOT_E8)
    world.reports += world.venue.drain()
    world.settle()
    world.pass_seconds(1)
    stops = world.stops()
    assert stops == [(STOP, 2995)]
    sent = len(world.sent)
    world.feed(CapitalFlow("BTC", -2000 * LOT_E8, world.now_ns, is_compared=True))
    world.pass_seconds(10)
    assert world.stops() == stops
    assert len(world.sent) == sent
    assert world.position().tranches[0].short_lots == 0


def test_nothing_is_concluded_while_an_order_is_on_its_way():
    world = entered(RUNNER)
    world.is_read = False
    lock(world, 2000)
    world.now_ns += 10**9
    world.feed(Timer(WATCH, world.now_ns))
    assert world.queue
    world.feed(FreeCoins("BTC", 2995 * LOT_E8, world.now_ns))
    assert not world.position().tranches[0].short_lots


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
