"""Starts on a state that is not the last one: a backup, a copy, another host, no journal, a venue that does not answer."""

import asyncio

import pytest

from bnml.app import reconcile, strangers
from bnml.core.errors import Rejected, Retryable
from bnml.venues.sim.inprocess import ACCOUNT
from tests.e2e.matrix.disk import Disk
from tests.e2e.matrix.network import WINDOW_MS
from tests.e2e.matrix.process import SYMBOLS
from tests.e2e.matrix.trial import Trial, begun_disk
from tests.e2e.matrix.virtual import run_virtually

LEGS = ("pendingAboveClientOrderId", "pendingBelowClientOrderId")
HOURS_3_S = 3 * 3600 / 6  # at the market's pace


def scene(play, seed=3):
    """Run `play(trial)` in a calm world."""
    begun_disk()

    async def whole(trial):
        moving = asyncio.ensure_future(trial.world.run())
        trial.outside = {moving, asyncio.current_task()}
        try:
            return await play(trial)
        finally:
            moving.cancel()

    return run_virtually(lambda loop: whole(Trial(loop, seed, "", False)))


async def until_held(process, trial, *, others=0):
    """Until something is held under orders that rest."""
    for _ in range(600):
        await asyncio.sleep(0.5)
        held = [one for one in process.engine.portfolio.positions.values() if one.bought_lots]
        if len(held) > others:
            return
    raise AssertionError("nothing was bought")


def copy(disk):
    made = Disk(disk.content())
    made.epoch = disk.epoch
    return made


def agreed(trial, process):
    trial.outcome.faults.clear()
    trial.compare(process, has_intents=False)
    return trial.outcome.faults


@pytest.mark.parametrize("seed", range(3, 11))
def test_a_backup_restored_three_hours_late_takes_over_what_was_traded_since(seed):
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        backup = copy(trial.disk)
        await asyncio.sleep(60)
        await trial.end(life, process)
        newest = {one.client_order_id for one in trial.world.exchange.read.open_orders(ACCOUNT)}
        await asyncio.sleep(HOURS_3_S)
        trial.disk = backup
        life, process = trial.begin()
        await process.started
        first = process.engine.snapshot
        await asyncio.sleep(1)
        alerts = [one.name for one in process.alerts if hasattr(one, "name")]
        await trial.settle(life, process)
        faults = agreed(trial, process)
        await trial.end(life, process)
        return faults, alerts, newest, first

    faults, alerts, _, _ = scene(play, seed)
    assert faults == []
    assert "orders_adopted" in alerts


def test_f59_a_copied_state_folder_does_not_trade_beside_the_first():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        clone = copy(trial.disk)
        clone.epoch -= 1  # copied before that start
        other_life, other = trial.begin(disk=clone)
        await asyncio.wait({other_life.ended}, timeout=30)
        orders = {one.client_order_id for one in trial.world.exchange.read.open_orders(ACCOUNT)}
        ours = {one.client_order_id for one in process.engine.book.open()}
        error = other_life.ended.exception()
        await trial.end(other_life, other)
        await trial.end(life, process)
        return error, orders, ours

    error, orders, ours = scene(play)
    assert isinstance(error, Rejected)
    assert "a copy of it is in use elsewhere" in str(error)
    assert "bnml recover --acknowledge" in str(error)
    assert orders == ours


def test_f59_a_second_host_with_the_same_key_refuses_to_start_until_the_first_is_gone():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        second = Disk(begun_disk())
        other_life, other = trial.begin(disk=second, instance="zzzz")
        await asyncio.wait({other_life.ended}, timeout=30)
        refusal = other_life.ended.exception()
        await trial.end(other_life, other)
        await trial.end(life, process)
        second.acknowledged_ns = trial.world.market_now_ns()
        other_life, other = trial.begin(disk=second, instance="zzzz")
        await other.started
        foreign = strangers.foreign(other.standing, "zzzz")
        held = dict(other.engine.portfolio.positions)
        await trial.end(other_life, other)
        return refusal, foreign, held

    refusal, foreign, held = scene(play)
    assert isinstance(refusal, Rejected)
    assert "another daemon (t35t) with the same key" in str(refusal)
    assert foreign
    assert held == {}


def test_f34_fills_that_nobody_told_of_are_counted_before_the_first_decision():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        await trial.end(life, process)
        await asyncio.sleep(40)  # stops and targets fill meanwhile
        life, process = trial.begin()
        await process.started
        await process.journal.barrier()
        totals = dict(process.engine.state.ledger.totals)
        events = [type(event).__name__ for _, event in trial.disk.reader().events()]
        await trial.end(life, process)
        balances = trial.world.exchange.read.account(ACCOUNT).balances
        return totals, {name: sum(both) for name, both in balances.items() if sum(both)}, events

    totals, balances, events = scene(play)
    assert {name: total for name, total in totals.items() if total} == balances
    last = len(events) - 1 - events[::-1].index("Balances")
    assert "OrderReport" in events[:last]
    assert "Scan" not in events[last:]


def test_reconciling_twice_changes_nothing():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        trial.world.is_moving = False
        await asyncio.sleep(10)
        now_ns = process.pump.now_ns
        found = []
        for _ in range(3):
            await reconcile.bring_truth(
                process.venue, process.engine, process.pump.feed, now_ns, process._adoptions
            )
            await asyncio.sleep(2)
            found.append(process.engine.snapshot())
        await trial.end(life, process)
        return found

    first, second, third = scene(play)
    assert first == second == third


def test_f43_what_is_held_bare_is_protected_before_anything_else():
    """The position's orders are gone at the start: cancelled by hand, or never sent."""

    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        await trial.end(life, process)
        exchange = trial.world.exchange
        for symbol in SYMBOLS:
            if exchange.read.open_orders(ACCOUNT, symbol):
                exchange.cancel_all(ACCOUNT, symbol)
        trial.world.cover.look()
        bare = trial.world.cover.all_bare()
        began = trial.loop.time()
        life, process = trial.begin()
        while trial.world.cover.all_bare():  # noqa: ASYNC110 - the world does not tell
            await asyncio.sleep(0.05)
        took = trial.loop.time() - began
        bars = [type(event).__name__ for _, event in trial.disk.reader().events()]
        await trial.end(life, process)
        return bare, took, bars

    bare, took, _ = scene(play)
    assert bare
    assert took < 5


def test_f43_a_start_does_not_wait_for_what_may_still_be_on_its_way_before_it_protects():
    """The venue cancelled the stops and failed all that left with it, and the process died with that write."""

    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        network, carry = trial.network, trial.network.carry_together

        def failing(requests, *, is_order):
            cancels = [one for _, one in requests if "side" not in one]
            if cancels and len(requests) > len(cancels):
                network.carry_together, network._fault = carry, after(len(cancels), len(requests))
                life.plan = ("after_send_chain", life.visits.get("after_send_chain", 0) + 1)
            return carry(requests, is_order=is_order)

        network.carry_together = failing
        await asyncio.wait({life.ended}, timeout=300)
        await trial.end(life, process)
        network._fault = lambda _kinds: None
        await asyncio.sleep(0.2)
        bare = trial.world.cover.all_bare()
        await asyncio.sleep(5)
        began_s = trial.loop.time()
        life, process = trial.begin()
        while trial.world.cover.all_bare():  # noqa: ASYNC110 - the world does not tell
            await asyncio.sleep(0.02)
        took_s = trial.loop.time() - began_s
        await trial.settle(life, process)
        trial.compare(process)
        await trial.end(life, process)
        return bare, took_s, trial.outcome.faults

    bare, took_s, differences = scene(play, seed=7)  # in which no target was filled just then
    assert bare
    assert took_s < WINDOW_MS / 2000  # of a protective request
    assert not differences


def after(cancels, count):
    """Faults of one write with so many requests: its way is calm, the cancels work, and the rest fails before it is carried out."""
    kinds = iter([None] * (1 + cancels) + ["error_before"] * (count - cancels))
    return lambda _kinds: next(kinds, None)


def test_a_read_that_fails_at_the_start_does_not_end_it():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        await trial.end(life, process)
        life, process = trial.begin()
        ask, failures = process.socket.ask, iter(range(7))

        async def failing(operation, what, params, *, order):
            if not order and next(failures, None) is not None:
                raise Retryable("refused for the moment")
            return await ask(operation, what, params, order=order)

        process.socket.ask = failing
        await process.started
        assert next(failures, None) is None
        await trial.end(life, process)

    scene(play)


def late(trial, life, after_s):
    """The first purchase with its legs takes so long, and who sends it is gone by then; returns what is sent."""
    carry, sent = trial.network.carry_together, {}

    def slow(requests, *, is_order):
        if sent or "workingSide" not in requests[0][1]:
            return carry(requests, is_order=is_order)
        sent.update(requests[0][1])
        life.die("purchase sent")
        trial.loop.call_later(after_s, lambda: carry(requests, is_order=True))
        return [trial.loop.create_future()]

    trial.network.carry_together = slow
    return sent


@pytest.mark.parametrize("after_s", [1.3, 1.7])
@pytest.mark.parametrize("seed", range(4, 7))
def test_legs_that_arrive_late_with_their_purchase_are_not_placed_twice(seed, after_s):
    """Beside coins of the owner's the venue would take both, and sell what is not ours."""

    async def play(trial):
        exchange = trial.world.exchange
        for one in exchange.instruments.values():
            exchange.deposit(ACCOUNT, one.base, 10**6 * one.lot_e8)
        life, process = trial.begin()
        sent = late(trial, life, after_s)
        await asyncio.wait({life.ended}, timeout=300)
        await trial.end(life, process)
        trial.world.is_moving = False
        life, process = trial.begin()
        await process.started
        await asyncio.sleep(5)
        alerts = {one.name for one in process.alerts if hasattr(one, "name")}
        symbol, legs = sent["symbol"], {sent[leg] for leg in LEGS}
        resting = {one.client_order_id for one in exchange.read.open_orders(ACCOUNT, symbol)}
        ours = {one.client_order_id for one in process.engine.book.open() if one.symbol == symbol}
        await trial.end(life, process)
        return legs, alerts, resting, ours

    legs, alerts, resting, ours = scene(play, seed)
    assert resting == ours == legs
    assert not alerts & {"protection_refused", "order_returned"}


def rebuilt(seed, harm):
    """A start after `harm(disk)`: what it did, and how both ledgers compare then."""

    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        await asyncio.sleep(25)
        await trial.end(life, process)
        epoch = trial.disk.epoch
        trial.disk = harm(trial.disk)
        trial.disk.epoch = epoch
        life, process = trial.begin()
        await process.started
        took = trial.loop.time() - process.began_s
        alerts = {one.name for one in process.alerts if hasattr(one, "name")}
        entered = [one for one in process.engine.portfolio.positions.values() if one.bought_lots]
        await trial.settle(life, process)
        faults = [one for one in agreed(trial, process) if not one.startswith("filled")]
        bare = trial.world.cover.all_bare()
        await trial.end(life, process)
        return faults, alerts, entered, bare, took

    return scene(play, seed)


@pytest.mark.parametrize("seed", range(3, 9))
def test_f44_new_books_are_made_from_the_venue(seed):
    """The journal was damaged and set aside: positions come from our own orders and trades, and are protected."""
    faults, alerts, _, bare, _ = rebuilt(seed, lambda _: Disk())
    assert faults == []
    assert bare == []
    assert "orders_adopted" in alerts


@pytest.mark.parametrize("seed", range(3, 6))
def test_f44_a_lost_log_of_the_database_is_a_journal_that_is_older_than_the_account(seed):
    faults, _, _, bare, _ = rebuilt(seed, lambda _: Disk(begun_disk()))
    assert faults == []
    assert bare == []
