"""Money that comes or goes in mid-position: no breaker trips for it, none is fooled by it, and reports leave it out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.events import Balances, CapitalFlow, OperatorCommand
from bnml.kernels.records import FACTS, record
from bnml.trading.portfolio import Dust
from bnml.trading.risk.breakers import Breakers, new_breakers
from bnml.venues.sim.inprocess import ACCOUNT
from tests.trading.hand_venue import World
from tests.trading.kit import HOUR_NS, START_NS, config
from tests.trading.test_engine import SYMBOL, started, walk

E8 = 10**8


class Account:
    """Equity followed scan by scan, as the engine does."""

    def __init__(self, equity_e8=10_000 * E8):
        self.memory = new_breakers()
        self.breakers = Breakers(self.memory, config().limits, "UTC")
        self.equity_e8, self.hour = equity_e8, 0
        self.roll()

    def roll(self):
        self.hour += 1
        self.breakers.roll(START_NS + self.hour * HOUR_NS, self.equity_e8)

    def flow(self, amount_e8):
        self.breakers.flow(amount_e8, self.equity_e8)
        self.equity_e8 += amount_e8

    def lost(self, base):
        """Share of a base that is lost now."""
        return 1 - self.equity_e8 / int(self.memory[base][0])


@pytest.mark.parametrize("share", [-0.2, 0.5])
def test_a_flow_in_mid_position_leaves_what_is_lost_as_it_is(share):
    account = Account()
    account.equity_e8 = 9_500 * E8  # an open loss of 5 %
    account.roll()
    account.flow(round(account.equity_e8 * share))
    account.roll()
    for base in ("day_start_equity_e8", "week_start_equity_e8", "peak_equity_e8"):
        assert account.lost(base) == pytest.approx(0.05, abs=1e-12)
    facts = record(FACTS)
    account.breakers.write_facts(facts)
    assert facts["drawdown_until_ns"][0] == 0


@given(st.floats(0.5, 0.999), st.floats(-0.9, 9.0))
def test_whatever_flows_a_drawdown_trips_at_the_same_loss_in_percent(kept, share):
    def trips(with_flow):
        account = Account()
        if with_flow:
            account.flow(int(account.equity_e8 * share))
            account.roll()
        account.equity_e8 = int(account.equity_e8 * kept)
        if with_flow:
            account.flow(int(account.equity_e8 * share))
        account.roll()
        return bool(account.memory["drawdown_until_ns"][0])

    most = config().limits["max_drawdown_ppm"][0] / 1e6
    if abs(1 - kept - most) > 1e-6:
        assert trips(with_flow=True) == trips(with_flow=False) == (1 - kept > most)


@pytest.mark.parametrize("share", [-0.2, 0.5])
def test_the_engine_trades_on_and_counts_the_flow_apart(share):
    replay, engine, venue = started()
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    before = replay.result.equity[-1]
    amount_e8 = int(before.equity_e8 * share)
    replay.feed(CapitalFlow("USDT", amount_e8, 1))
    venue.exchange.deposit("main", "USDT", amount_e8)
    scans = len(replay.result.equity)
    walk(replay, venue, lambda: len(replay.result.equity) > scans + 3)
    after = replay.result.equity[-1]
    assert after.flows_e8 == before.flows_e8 + amount_e8
    gained = (after.equity_e8 - after.flows_e8) / (before.equity_e8 - before.flows_e8)
    assert gained == pytest.approx(1, abs=0.02)
    assert engine.state.breakers["drawdown_until_ns"][0] == 0


def test_what_came_while_the_daemon_was_away_is_a_flow_too():
    replay, engine, venue = started()
    walk(replay, venue, lambda: replay.result.equity)
    peak_e8 = int(engine.state.breakers["peak_equity_e8"][0])
    total_e8 = engine.portfolio.total_e8("USDT")
    held = {asset: (amount_e8, 0) for asset, amount_e8 in engine.state.ledger.totals.items()}
    engine.process(Balances(engine.state.now_ns, {**held, "USDT": (total_e8 // 2, 0)}), 10**6)
    assert engine.state.ledger.flows_e8 == total_e8 // 2 - total_e8
    assert engine.state.breakers["peak_equity_e8"][0] < peak_e8


def test_an_account_that_was_empty_begins_with_what_comes():
    account = Account(0)
    account.flow(500 * E8)
    assert account.memory["peak_equity_e8"][0] == 500 * E8


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_coins_that_somebody_else_sold_leave_the_position_and_its_stop(share):
    replay, engine, venue = started()
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    scans = len(replay.result.equity)
    walk(replay, venue, lambda: len(replay.result.equity) > scans + 1)
    position = engine.portfolio.positions[SYMBOL]
    one = engine.state.symbols[SYMBOL].instrument
    held_e8 = sum(tranche.base_e8 for tranche in position.tranches)
    equity_e8 = engine.portfolio.equity_e8({SYMBOL: engine.state.symbols[SYMBOL].bar.close}, {SYMBOL: one})
    flows_e8 = engine.state.ledger.flows_e8
    gone_e8 = int(held_e8 * share)
    commands = engine.process(CapitalFlow("BTC", -gone_e8, engine.state.now_ns), 10**6)
    assert "position_taken" in [getattr(command, "name", "") for command in commands]
    assert sum(tranche.base_e8 for tranche in position.tranches) == held_e8 - gone_e8
    left_e8 = engine.portfolio.equity_e8({SYMBOL: engine.state.symbols[SYMBOL].bar.close}, {SYMBOL: one})
    assert left_e8 - engine.state.ledger.flows_e8 == equity_e8 - flows_e8
    wanted = {type(command).__name__ for command in commands} & {"CancelList", "CancelOrder", "ReplaceOrder"}
    assert wanted, "the stops ask for more than there is"


def test_coins_that_were_there_before_may_go_without_touching_a_position():
    replay, engine, venue = started()
    engine.process(CapitalFlow("BTC", 10 * E8, engine.state.now_ns), 10**6)
    walk(replay, venue, lambda: engine.at_stake(SYMBOL))
    held_e8 = [one.base_e8 for one in engine.portfolio.positions[SYMBOL].tranches]
    commands = engine.process(CapitalFlow("BTC", -10 * E8, engine.state.now_ns), 10**6 + 1)
    assert commands == []
    assert [one.base_e8 for one in engine.portfolio.positions[SYMBOL].tranches] == held_e8


@pytest.mark.parametrize("left_e8", [0, 100_000])
@pytest.mark.parametrize("is_away", [False, True])
def test_dust_that_is_converted_beside_a_position_of_its_symbol_keeps_no_sale_and_no_stop_from_it(
    is_away, left_e8
):
    """Claimed on, it made every sale and every stop of the last tranche ask for more than there is, for good."""
    world = World(balances={"USDT": 10**13, "BTC": 300_000})
    ledger = world.engine.state.ledger
    ledger.dust[SYMBOL] = Dust("BTC", 300_000, 9 * E8, 1)
    world.enter()
    world.settle()
    before_e8 = world.engine.portfolio.equity_e8({}, world.instruments)
    world.venue.exchange._desk.accounts[ACCOUNT].credit("BTC", left_e8 - 300_000)
    if is_away:
        world.restart()
        world.feed(world.venue.balances())
    else:
        world.feed(CapitalFlow("BTC", left_e8 - 300_000, world.now_ns))
    ledger = world.engine.state.ledger
    assert sum(one.base_e8 for one in ledger.dust.values()) == left_e8
    change_e8 = world.engine.portfolio.equity_e8({}, world.instruments) - before_e8
    assert ledger.flows_e8 == change_e8 == left_e8 * 3000 - 9 * E8
    world.feed(OperatorCommand("flatten", world.now_ns, SYMBOL))
    world.settle()
    assert world.position() is None
    assert world.balance("BTC") < 10_000
    assert not world.ledger_differences()


def test_crumbs_that_are_converted_beside_the_stops_move_none_of_them_and_are_no_loss():
    world = World(balances={"USDT": 10**13}, fee_ppm=750)
    world.enter()
    world.settle()
    stops, lots = world.stops(), world.position().lots(1000)
    free_e8 = world.venue.exchange.read.account(ACCOUNT).balances["BTC"][0]
    assert free_e8 > 1000  # more than a lot, together
    world.feed(CapitalFlow("BTC", -free_e8, world.now_ns))
    assert (world.queue, world.stops()) == ([], stops)
    assert (world.position().lots(1000), world.position().pnl_e8) == (lots, 0)
    assert world.engine.state.ledger.flows_e8 == 0
