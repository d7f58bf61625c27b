"""Dust that has become worth selling: sold and told of, at the cost it has, and nothing beside it is touched."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnml.core.clock import NS_PER_HOUR
from bnml.core.commands import Submit
from bnml.core.events import Bar, CapitalFlow, Guard, InstrumentUpdate, OperatorCommand, Timer, VenueStatus
from bnml.core.orders import OrderType, Side
from bnml.kernels.records import ExitReason
from bnml.trading.dusting import DUST
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, Role
from bnml.trading.positions import Position, Tranche
from tests.trading.hand_venue import REFERENCE, SYMBOL, World, changed

E8 = 10**8
FOREIGN_E8 = 50_000_000
RUNNER = ((1, 5000, 0),)
SMALL = 1000 * E8  # of a rest that is worth 1,498.5


class DustWorld(World):
    """Hours pass with a closed bar each; `twin` is fed the same and must ask for the same."""

    def __init__(self, *, foreign_e8=0, **options):
        self.twin = self.hour = None
        super().__init__(balances={"USDT": 10**13, "BTC": foreign_e8}, **options)
        self.hour = self.now_ns

    def feed(self, event):
        asked = len(self.queue)
        super().feed(event)
        if self.twin is not None:
            twin = Engine.restore(self.config, None, self.twin.snapshot())  # a restart before each event
            known = [one for one in twin.process(event, self.sequence) if type(one).__name__ not in NO_ORDERS]
            assert known == self.queue[asked:]
            self.twin = twin
            assert twin.snapshot() == self.engine.snapshot()

    def follow(self):
        """From now on there is a twin that is restarted before each event."""
        self.twin = Engine.restore(self.config, None, self.engine.snapshot())

    def close(self, ticks, hours=1):
        """So many candles that end at this price; what that triggers is carried out."""
        for _ in range(hours):
            self.hour += NS_PER_HOUR
            self.now_ns = self.hour
            self.reports += self.venue.print(SYMBOL, ticks, self.now_ns, jump=True)
            self.settle()
            self.feed(Bar(SYMBOL, self.hour - NS_PER_HOUR, self.hour, ticks, ticks, ticks, ticks, 10))
            self.settle()

    def rise(self):
        """Far enough for the rest to be worth selling; a jump would have to be borne out first."""
        self.close(3_900_000)
        self.close(4_600_000)

    def look(self):
        """As the session's clock does."""
        is_due = self.engine.needs_dusting
        if is_due:
            self.feed(Timer(DUST, self.now_ns))
            self.settle()
        return is_due

    def minimum(self, notional_e8, *, venue=False):
        """The least that may be sold, as we know it and as the venue does."""
        one = msgspec.structs.replace(self.instruments[SYMBOL], min_notional_e8=notional_e8)
        if venue:
            self.venue.exchange._desk.instruments[SYMBOL] = self.instruments[SYMBOL] = one
        self.feed(InstrumentUpdate(one, self.now_ns))

    def flatten(self):
        self.feed(OperatorCommand("flatten", self.now_ns, SYMBOL))
        self.settle()

    @property
    def dust(self):
        return self.engine.state.ledger.dust.get(SYMBOL)

    @property
    def told(self):
        return [one.name for one in self.alerts]

    def money_adds_up(self):
        ledger = self.engine.state.ledger
        cost_e8 = sum(one.cost_e8 for one in (*ledger.positions.values(), *ledger.dust.values()))
        pnl_e8 = sum(one.pnl_e8 for one in self.trades)
        assert ledger.totals["USDT"] == 10**13 - cost_e8 + pnl_e8
        assert not self.ledger_differences()


NO_ORDERS = {"Alert", "Halt"}


def with_rest(**options):
    """A world in which 4,995 lots, bought at 30,000, were too small to be sold: 1,498.5 against a minimum of 2,000."""
    world = DustWorld(**options)
    world.enter(targets=RUNNER)
    world.settle()
    world.minimum(2 * SMALL)
    world.refuse(OrderType.MARKET, "notional")
    world.flatten()
    world.close(REFERENCE)
    assert (world.position(), world.dust.base_e8) == (None, 4_995_000)
    return world


def sales(world):
    return [one for one in world.trades if one.side is Side.SELL]


def test_a_rest_is_sold_when_its_price_has_risen_enough_at_its_own_cost_and_the_operator_is_told():
    world = with_rest()
    cost_e8 = world.dust.cost_e8
    assert not world.look()
    world.close(3_900_000)
    assert not world.look()  # 1,948
    world.close(4_200_000)
    assert not world.look()  # 2,098, and its stop would be worth less than the minimum
    world.close(4_600_000)
    world.follow()
    assert world.look()
    assert (world.position(), world.dust, world.balance("BTC")) == (None, None, 0)
    (sale,) = sales(world)
    assert (sale.reason, sale.quantity_lots) == (ExitReason.DUST, 4995)
    assert sale.pnl_e8 > 0
    assert cost_e8 == 3_000_000 * 5000 * 10  # what was paid, commission in base included
    assert "dust_sold" in world.told
    world.money_adds_up()
    assert not world.look()


def test_a_rest_is_sold_when_the_minimum_has_fallen():
    world = with_rest()
    world.minimum(5 * E8)
    assert world.look()
    assert (world.dust, world.balance("BTC")) == (None, 0)
    world.money_adds_up()


def test_what_was_just_called_too_small_is_left_alone_for_an_hour():
    world = DustWorld()
    world.enter(targets=RUNNER)
    world.settle()
    world.close(REFERENCE)
    world.minimum(SMALL)
    world.refuse(OrderType.MARKET, "notional", "notional")
    world.flatten()
    assert world.dust.base_e8
    assert not world.look()
    world.close(REFERENCE)
    assert world.look()  # worth a half more than the minimum as we know it, and the venue says no again
    assert (world.position(), world.dust.base_e8) == (None, 4_995_000)
    assert world.told.count("rest_is_dust") == 2
    assert not world.look()
    world.close(REFERENCE)
    assert world.look()
    assert world.balance("BTC") == 0
    world.money_adds_up()


def crumbs(world, count):
    """Positions that each leave a part of a lot behind: commission is taken in base."""
    for _ in range(count):
        world.enter(targets=((1, 999, 0),), reference=REFERENCE)
        world.settle()
        world.flatten()


def test_crumbs_that_have_become_worth_selling_are_sold_and_what_they_bring_is_a_gain():
    """Their cost is in the results of the positions that left them: the last whole lots carry all of it."""
    world = DustWorld()
    crumbs(world, 5)
    world.close(REFERENCE, 2)
    assert (world.dust.base_e8, world.dust.cost_e8) == (5, 0)
    assert not world.look()
    world = DustWorld(instruments=changed(lot_e8=100_000, min_notional_e8=5 * E8))
    for _ in range(12):
        world.enter(targets=((1, 25, 0),), reference=REFERENCE)
        world.settle()
        world.flatten()
    world.close(REFERENCE, 2)
    dust_e8 = world.dust.base_e8
    assert world.dust.cost_e8 == 0
    assert dust_e8 >= 100_000 * 8
    before_e8, count = world.balance("USDT"), len(world.trades)
    world.follow()
    assert world.look()
    (sale,) = world.trades[count:]
    assert sale.pnl_e8 == world.balance("USDT") - before_e8 > 0
    assert world.balance("BTC") == dust_e8 % 100_000 == world.dust.base_e8
    world.money_adds_up()


def test_coins_of_others_in_the_account_are_never_touched():
    world = with_rest(foreign_e8=FOREIGN_E8)
    world.rise()
    assert world.look()
    assert world.balance("BTC") == FOREIGN_E8
    assert world.dust is None
    for _ in range(3):
        world.close(9_000_000)
        assert not world.look()
    assert world.balance("BTC") == FOREIGN_E8


def test_while_a_position_of_the_symbol_is_open_its_dust_waits():
    world = with_rest()
    world.rise()
    world.enter(targets=RUNNER, stop=4_500_000, reference=4_600_000)
    world.settle()
    assert not world.look()
    world.close(4_490_000)  # out by the stop, which rests at the exchange and takes no dust along
    assert world.position() is None
    world.rise()
    assert world.look()
    assert (world.dust, world.balance("BTC")) == (None, 0)
    world.money_adds_up()


def bare_position(state):
    state.ledger.positions[SYMBOL] = Position(SYMBOL, 1, 1, 1, 1, b"", [Tranche(1, 0, 1, 0, base_e8=5_000)])


def order_under_way(state):
    state.orders["one"] = Order("one", SYMBOL, Side.SELL, Role.EXIT, 1, 5, 0)


def coins_gone(state):
    state.ledger.totals["BTC"] -= 1  # a commission was taken of them


@pytest.mark.parametrize("change", [bare_position, order_under_way, coins_gone])
def test_nothing_else_of_ours_is_under_way_in_the_symbol_and_the_coins_are_there(change):
    world = with_rest()
    world.rise()
    assert world.engine.needs_dusting
    change(world.engine.state)
    world.restart()
    assert not world.engine.needs_dusting


def test_what_cannot_be_sold_at_once_is_guarded_and_counted_like_any_position():
    world = with_rest()
    world.rise()
    world.refuse(OrderType.MARKET, "closed")
    world.follow()
    world.feed(Timer(DUST, world.now_ns))
    (coverage,) = world.engine.coverage()
    assert (coverage.held_lots, coverage.covered_lots) == (4995, 0)
    world.settle()
    (coverage,) = world.engine.coverage()
    assert (coverage.held_lots, coverage.covered_lots) == (4995, 4995)
    assert world.stops() == [(4_600_000 - 4_600_000 * 3 // 100, 4995)]
    world.pass_seconds(3)
    assert (world.position(), world.dust, world.balance("BTC")) == (None, None, 0)
    world.money_adds_up()
    assert int(world.engine.state.breakers["losses_in_row"][0]) == 0


def test_the_result_of_dust_is_none_of_a_decision():
    world = with_rest()
    world.minimum(5 * E8)
    world.close(2_500_000)
    assert world.look()
    assert sales(world)[-1].pnl_e8 < 0
    assert int(world.engine.state.breakers["losses_in_row"][0]) == 0


@pytest.mark.parametrize(
    "event",
    [
        VenueStatus("user", up=False, ts_ns=0),
        Guard("account", "HALTED", 0, "a clone"),
        InstrumentUpdate(changed(status="BREAK")[SYMBOL], 0),
    ],
)
def test_nothing_is_begun_while_the_books_are_in_doubt_or_the_symbol_does_not_trade(event):
    world = with_rest()
    world.rise()
    assert world.engine.needs_dusting
    world.feed(event)
    assert not world.engine.needs_dusting
    world.feed(Timer(DUST, world.now_ns))
    assert world.position() is None


def test_nothing_is_sold_at_a_price_that_nobody_follows_any_more():
    world = with_rest()
    world.rise()
    world.now_ns += 3 * NS_PER_HOUR
    world.feed(Timer("reconcile", world.now_ns))
    assert not world.engine.needs_dusting


def test_a_close_that_nothing_bears_out_sells_nothing():
    world = with_rest()
    world.close(9_000_000)
    assert not world.look()
    world.close(9_000_000)
    assert world.look()


@pytest.mark.parametrize("left_e8", [0, 1_000_000])
def test_dust_that_the_operator_has_converted_is_let_go_and_is_no_loss(left_e8):
    world = with_rest()
    equity_e8 = world.engine.portfolio.equity_e8({}, {})
    cost_e8 = world.dust.cost_e8
    world.feed(CapitalFlow("BTC", left_e8 - 4_995_000, world.now_ns))
    kept = world.dust.base_e8 if world.dust else 0
    kept_cost_e8 = world.dust.cost_e8 if world.dust else 0
    assert (kept, kept_cost_e8) == (left_e8, cost_e8 * left_e8 // 4_995_000)
    assert world.engine.state.ledger.flows_e8 == kept_cost_e8 - cost_e8
    assert world.engine.portfolio.equity_e8({}, {}) == equity_e8 - cost_e8 + kept_cost_e8
    world.rise()
    assert not world.look()


def test_a_position_is_left_its_coins_before_dust_keeps_any():
    world = with_rest()
    world.enter(targets=RUNNER)
    world.settle()
    world.feed(CapitalFlow("BTC", -2_000_000, world.now_ns))
    assert (world.position().lots(1000), world.dust.base_e8) == (4995, 2_995_000)
    world.feed(CapitalFlow("BTC", -3_000_000, world.now_ns))
    assert (world.position().lots(1000), world.dust) == (4990, None)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("close"), st.integers(-2500, 4000)),
        st.tuples(st.just("enter"), st.integers(1, 60)),
        st.tuples(st.just("minimum"), st.sampled_from([5, 20, 60, 200])),
        st.tuples(st.just("refuse"), st.sampled_from(["notional", "balance", "closed"])),
        st.tuples(st.just("flatten"), st.just(0)),
    ),
    min_size=3,
    max_size=25,
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(steps=STEPS, foreign=st.booleans())
def test_over_any_path_dust_never_lies_about_that_could_be_sold_and_all_money_is_accounted_for(
    steps, foreign
):
    """With a restart before each event: what is asked for is the same."""
    foreign_e8 = FOREIGN_E8 if foreign else 0
    world = DustWorld(foreign_e8=foreign_e8, instruments=changed(lot_e8=10_000))
    world.follow()
    last = REFERENCE
    for name, value in steps:
        if name == "close":
            last = max(400_000, last * (10_000 + value) // 10_000)
            world.close(last)
        elif name == "enter" and world.position() is None:
            world.enter(targets=((1, value, 0),), stop=last * 96 // 100, reference=last)
            world.twin = Engine.restore(world.config, None, world.engine.snapshot())
            world.settle()
        elif name == "minimum":
            world.minimum(value * E8, venue=True)
        elif name == "refuse":
            world.refuse(OrderType.MARKET, value)
        elif name == "flatten":
            world.flatten()
        world.look()
        world.money_adds_up()
        assert world.balance("BTC") >= foreign_e8
    world.refusals.clear()
    world.flatten()
    world.close(last, 3)
    world.pass_seconds(40)
    world.look()
    assert not world.engine.needs_dusting
    held_e8 = world.dust.base_e8 if world.dust else 0
    position = world.position()
    held_e8 += sum(one.base_e8 for one in position.tranches) if position else 0
    assert world.balance("BTC") == foreign_e8 + held_e8
    minimum_e8 = world.instruments[SYMBOL].min_notional_e8
    if position is None and world.dust:
        value_e8 = world.instruments[SYMBOL].notional_e8(last, held_e8 // 10_000)
        assert value_e8 < minimum_e8 * 11 // 10 + 10_000 * last * 10**6 // E8 * 2
    world.money_adds_up()


def test_only_the_timer_sells_dust():
    """Sessions that are compared with a simulation row by row have no such timer, and keep what they always kept."""
    world = with_rest()
    count = len(world.sent)
    world.rise()
    world.close(4_600_000, 5)
    world.pass_seconds(5)
    assert not [one for one in world.sent[count:] if isinstance(one, Submit)]
    assert world.dust.base_e8 == 4_995_000
