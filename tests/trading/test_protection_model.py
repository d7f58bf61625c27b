"""Entries, protection, replacement and exits under any order of fills, reports, losses and restarts."""

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bnml.app.asking import buys, new_names, refusal, reports_of
from bnml.core.clock import NS_PER_S
from bnml.core.commands import Alert, CancelList, CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import Retryable
from bnml.core.events import Balances, InstrumentUpdate, OperatorCommand, Slice, Timer
from bnml.core.orders import OrderState, Side
from bnml.core.outcomes import Trade
from bnml.trading.coverage import coverage_of
from bnml.trading.engine import RECONCILE, Engine
from bnml.trading.entries import EntryPlan, submit_entry
from bnml.trading.freeing import locks
from bnml.trading.orders import Role
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Position
from bnml.trading.watching import WATCH
from tests.trading.kit import config, instrument
from tests.trading.paper_venue import PaperVenue

SYMBOL = "BTCUSDT"
WOULD_TRIGGER = -2010
REFERENCE = 3_000_000
TARGETS = ((1, 5000, 3_060_000), (2, 3000, 3_120_000), (3, 2000, 0))
MOST_ROUNDS = 500


class ProtectionModel(RuleBasedStateMachine):
    """Reports wait at the venue until a rule delivers them; commands wait until a rule executes them."""

    @initialize(
        opo=st.booleans(), asset=st.sampled_from(["BTC", "BNB"]), lists=st.booleans(), at_once=st.booleans()
    )
    def enter(self, opo, asset, lists, at_once=False):
        self.instrument = msgspec.structs.replace(instrument(), opo_allowed=opo, oto_allowed=lists or opo)
        self.config = config()
        self.venue = PaperVenue(self.instrument, 10**13)
        self.venue.commission, self.venue.fills_at_once = asset, at_once
        self.engine = Engine(self.config, None)
        self.sequence = 0
        self.commands = []
        self.daring = []  # sales that were asked for while nobody knew whether another order has their coins
        self.late = []
        self.delivered = []
        self.trades = []
        self.feed(InstrumentUpdate(self.instrument, 0))
        self.feed(Balances(0, self.venue.assets()))
        self.sequence += 1
        out = Outbox(self.config.ids, self.sequence)
        plan = EntryPlan(SYMBOL, 3_015_000, 2_940_000, 3, TARGETS, 1000, is_alone=True)
        tranches = submit_entry(plan, self.instrument, self.engine.book, out)
        self.engine.portfolio.positions[SYMBOL] = Position(
            SYMBOL, 0, REFERENCE, 20_000, 3_060_000, self.config.rules.tobytes(), tranches
        )
        self.commands += out.commands

    def feed(self, event):
        self.sequence += 1
        commands = self.engine.process(event, self.sequence)
        for command in commands:
            if isinstance(command, Alert):
                continue
            assert not self.is_asked_twice(command), "asked twice for the same"
            self.commands.append(command)
            if self.is_lock_unknown():
                self.daring.append(command)
        self.trades += [one for one in self.engine.drain() if isinstance(one, Trade)]
        bad = [one.text for one in commands if isinstance(one, Alert) and one.severity == "critical"]
        assert not bad, bad

    def feed_all(self):
        """Execute and deliver until nothing is on its way."""
        for _ in range(MOST_ROUNDS):
            if not self.commands and not self.venue.reports:
                return
            while self.commands:
                self.execute_next()
            while self.venue.reports:
                self.delivered.append(self.venue.reports.pop(0))
                self.feed(self.delivered[-1])
        raise AssertionError("commands and reports chase each other for ever")

    def is_asked_twice(self, command):
        """A cancel may leave again behind a question about its order: the venue has the last word on both."""
        if isinstance(command, QueryOrder) or command not in self.commands:
            return False
        since = self.commands[self.commands.index(command) + 1 :]
        questions = {one.client_order_id for one in since if isinstance(one, QueryOrder)}
        if isinstance(command, CancelOrder):
            return command.client_order_id not in questions
        if isinstance(command, CancelList):
            legs = self.engine.book.of_list(command.list_client_order_id)
            return not questions & {leg.client_order_id for leg in legs}
        return True

    def execute_next(self):
        command = self.commands.pop(0)
        if isinstance(command, QueryOrder) and any(
            command.client_order_id in new_names(one) for one in self.late
        ):
            return  # nothing is concluded from what is not shown
        # What a spare is for may be taken, too, or a tranche has sold a part: while one is in doubt nobody knows.
        is_daring = command in self.daring or self.is_lock_unknown()
        is_sale = isinstance(command, Submit | ReplaceOrder) and not buys(command)
        self.venue.execute(command, is_late=is_daring and is_sale)

    def is_lock_unknown(self):
        """Whether orders in doubt may have coins of another tranche: a spare, or together with others more than is held."""
        unknown = [one for one in self.engine.book.orders.values() if one.state is OrderState.UNKNOWN]
        position = self.engine.portfolio.positions.get(SYMBOL)
        held = {one.index: one.lots(self.instrument.lot_e8) for one in position.tranches} if position else {}
        for index in {one.tranche for one in unknown}:
            own = [one for one in self.engine.book.open() if one.tranche == index and one.side is Side.SELL]
            if sum(locks(own).values()) > held.get(index, 0):
                return True
        return any(one.spare_of for one in unknown)

    @rule()
    @precondition(lambda self: self.commands)
    def execute(self):
        self.execute_next()

    @rule(pick=st.integers(0, 100))
    @precondition(lambda self: self.commands)
    def a_sale_stays_on_its_way(self, pick):
        """It has left and has no answer; what leaves after it may overtake it."""
        command = self.commands[pick % len(self.commands)]
        if isinstance(command, Submit | ReplaceOrder) and not buys(command):
            self.commands.remove(command)
            self.late.append(command)
            for report in reports_of(command, OrderState.UNKNOWN, 0, 0, "outcome unknown"):
                self.feed(report)

    @rule(pick=st.integers(0, 100), arrives=st.booleans())
    @precondition(lambda self: self.late)
    def what_stayed_on_its_way(self, pick, arrives):
        """It arrives, or its absence has been proven."""
        command = self.late.pop(pick % len(self.late))
        if arrives:
            self.venue.execute(command, is_late=True)
            return
        for event in refusal(command, Retryable("it never arrived", code=-2013), 0):
            self.delivered.append(event)
            self.feed(event)

    def all_arrive(self):
        while self.late:
            self.what_stayed_on_its_way(0, arrives=True)

    @rule(pick=st.integers(0, 100), repeat=st.booleans())
    @precondition(lambda self: self.venue.reports)
    def deliver(self, pick, repeat):
        report = self.venue.reports.pop(pick % len(self.venue.reports))
        self.delivered.append(report)
        self.feed(report)
        if repeat:
            self.feed(report)

    @rule()
    @precondition(lambda self: self.venue.reports)
    def deliver_in_order(self):
        while self.venue.reports:
            self.delivered.append(self.venue.reports.pop(0))
            self.feed(self.delivered[-1])

    @rule(pick=st.integers(0, 100))
    @precondition(lambda self: self.delivered)
    def repeat_an_old_report(self, pick):
        self.feed(self.delivered[pick % len(self.delivered)])

    @rule(pick=st.integers(0, 10), pieces=st.integers(1, 3), expires=st.booleans())
    def working_order_resolves(self, pick, pieces, expires):
        found = [key for key, one in self.venue.orders.items() if one.is_open and one.role == "working"]
        if not found:
            return
        key = found[pick % len(found)]
        if expires and self.venue.orders[key].done == 0:
            self.venue.expire_working(key)
            return
        for _ in range(pieces - 1):
            self.venue.fill(key, self.venue.orders[key].quantity // 4, 3_001_000)
        self.venue.fill(key, 10**9, 3_001_000)

    @rule(pick=st.integers(0, 10), shares=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def resting_sell_fills(self, pick, shares):
        found = [
            key
            for key, one in self.venue.open_sells().items()
            if one.state is not OrderState.SLEEPING and one.quantity
        ]
        if found:
            key = found[pick % len(found)]
            for share in shares:
                if self.venue.orders[key].is_open:
                    self.venue.fill(key, max(1, self.venue.orders[key].quantity // share), 2_990_000)

    @rule(ticks=st.integers(3_050_000, 3_200_000))
    def price_moves(self, ticks):
        self.feed(Slice(SYMBOL, self.sequence, ticks, ticks, ticks, 1))

    @rule(at_once=st.booleans())
    def purchases_fill_at_once(self, at_once):
        self.venue.fills_at_once = at_once

    @rule()
    def venue_refuses_the_next_stop(self):
        self.venue.refuse_stop = True

    @rule()
    def operator_flattens(self):
        self.feed(OperatorCommand("flatten", 0, SYMBOL))

    @rule(loses_commands=st.booleans(), loses_reports=st.booleans())
    def kill_and_restart(self, loses_commands, loses_reports):
        """The journal has every event that was processed: the state comes back, what was on its way does not."""
        content = self.engine.snapshot()
        self.engine = Engine.restore(self.config, None, content)
        assert self.engine.snapshot() == content
        if loses_commands:
            self.commands.clear()
        if loses_reports:
            self.venue.reports.clear()
        self.reconcile()

    def reconcile(self):
        """As the daemon does: what was on its way arrives first, then the venue's word on every order not over for us."""
        self.all_arrive()
        while self.commands:
            self.execute_next()
        self.feed(Timer(RECONCILE, 0))
        self.feed(Timer(RECONCILE, 0))  # what waits for an answer at two of them is in doubt
        leaving = {name for command in self.commands for name in new_names(command)}  # asked for just now
        for order in list(self.engine.book.orders.values()):
            if not order.is_settled and order.client_order_id not in leaving:
                self.venue.execute(QueryOrder(SYMBOL, order.client_order_id))

    @rule()
    def all_goes_quiet(self):
        """Everything is delivered and executed: held equals protected, and the ledgers agree."""
        for _ in range(60):
            self.all_arrive()
            self.feed_all()
            executing = [
                key
                for key, one in self.venue.open_sells().items()
                if one.role == "exit" or (one.role == "stop" and one.done)
            ]
            for key in executing:
                self.venue.fill(key, 10**9, 2_980_000)
            working = [key for key, one in self.venue.orders.items() if one.is_open and one.role == "working"]
            for key in working:
                self.venue.fill(key, 10**9, 3_001_000)
            if not executing and not working and not self.commands and not self.venue.reports:
                self.feed(Timer(RECONCILE, 0))
                self.feed(Timer(RECONCILE, 0))
                if not self.commands:
                    self.wait_out_pauses()
                if not self.commands:
                    break
        else:
            raise AssertionError("commands and reports chase each other for ever")
        self.check_quiet()

    def wait_out_pauses(self):
        """After refusals of the venue: the daemon looks each second."""
        for _ in range(40):
            self.sequence += NS_PER_S
            self.feed(Timer(WATCH, self.sequence))
            if self.commands:
                return

    def check_quiet(self):
        assert not self.engine.state.parked
        position = self.engine.portfolio.positions.get(SYMBOL)
        resting = self.venue.open_sells()
        for asset, total in self.venue.totals.items():
            assert self.engine.portfolio.total_e8(asset) == total, asset
        if position is None:
            assert not resting
            return
        assert not position.exit_reason
        lot_e8 = self.instrument.lot_e8
        assert coverage_of(position, self.engine.book, self.instrument, 0).covered_lots == position.lots(
            lot_e8
        )
        first = {}  # a refusal told after the order was found absent comes too late: it was asked for again
        for one in self.delivered:
            if getattr(one, "state", None) is OrderState.REJECTED:
                first.setdefault(one.client_order_id, one)
        for tranche in position.tranches:
            refused = [
                one
                for one in first.values()
                if one.code == WOULD_TRIGGER
                and not one.text
                and (order := self.engine.book.get(one.client_order_id)).tranche == tranche.index
                and not order.spare_of  # what it left with is judged for itself
                and order.role is not Role.TARGET  # so is the stop of its list
            ]
            assert not (refused and tranche.lots(lot_e8)), "what cannot be protected is sold"
            stops = [one for key, one in resting.items() if key in tranche.legs and one.role == "stop"]
            assert sum(one.quantity - one.done for one in stops) == tranche.lots(lot_e8)
            if stops:
                assert stops[0].ticket.stop_price_ticks == tranche.stop_ticks

    @invariant()
    def calm_is_what_a_fresh_look_finds(self):
        if not hasattr(self, "delivered"):
            return
        position = self.engine.portfolio.positions.get(SYMBOL)
        if position is None or not self.engine._protection.is_calm(SYMBOL):
            return
        fresh = Engine.restore(self.config, None, self.engine.snapshot())
        out = Outbox(self.config.ids, self.sequence + 1)
        fresh._protection.tend(fresh.portfolio.positions[SYMBOL], self.instrument, out, patient=False)
        assert not out.commands, "it was taken for guarded, and is not"

    @invariant()
    def quantity_is_what_the_reports_say(self):
        if not hasattr(self, "delivered"):
            return
        seen = {}
        for report in self.delivered:
            if getattr(report, "trade_id", 0) and report not in self.engine.state.parked:
                seen[report.trade_id] = report
        sign = {"BUY": 1, "SELL": -1}
        lot_e8 = self.instrument.lot_e8
        expected = sum(sign[one.side] * one.last_lots * lot_e8 for one in seen.values())
        expected -= sum(one.commission_e8 for one in seen.values() if one.commission_asset == "BTC")
        assert self.engine.portfolio.total_e8("BTC") == expected
        position = self.engine.portfolio.positions.get(SYMBOL)
        if position is not None:
            assert sum(tranche.base_e8 for tranche in position.tranches) == expected
        assert len(self.trades) == len(seen)


TestProtection = ProtectionModel.TestCase
TestProtection.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_a_target_that_sold_a_part_and_lost_its_stop_is_cancelled_with_the_report_that_says_so():
    """No timer: what the target still holds has no stop from that moment on."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    target, stop, *_ = model.venue.open_sells()
    model.resting_sell_fills(pick=0, shares=[2])
    assert not model.venue.orders[stop].is_open
    model.deliver_in_order()
    cancel, follower = model.commands
    assert isinstance(cancel, CancelOrder)
    assert cancel.client_order_id == target
    assert follower.after == (target,)
    model.execute_next()
    model.deliver_in_order()
    while model.commands or model.venue.reports:
        model.execute_next()
        model.deliver_in_order()
    (tranche,) = (one for one in model.engine.portfolio.positions[SYMBOL].tranches if one.index == 1)
    stops = [
        one for key, one in model.venue.open_sells().items() if key in tranche.legs and one.role == "stop"
    ]
    assert [one.quantity for one in stops] == [4_995 - 4_995 // 2]


def test_sales_that_never_arrived_are_no_refusals_of_the_venue():
    """Found by the model: after a refused stop and two lost sales the rest was called unsellable."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.resting_sell_fills(pick=0, shares=[1])
    model.all_goes_quiet()
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.operator_flattens()
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.deliver_in_order()
    for _ in range(4):
        model.kill_and_restart(loses_commands=True, loses_reports=False)
        model.deliver_in_order()
    model.all_goes_quiet()
    assert not model.engine.portfolio.positions


def test_a_doubted_cancel_is_asked_for_before_it_is_sent_again():
    """Found by the model: with its reports lost, the same cancel left twice behind one question."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.resting_sell_fills(pick=4, shares=[2, 1])
    model.operator_flattens()
    model.kill_and_restart(loses_commands=False, loses_reports=True)
    model.deliver_in_order()
    model.all_goes_quiet()
    assert not model.engine.portfolio.positions


def test_an_old_answer_that_makes_a_cancel_leave_again_does_no_harm():
    """Found by the model: the answer to a question repeats fills one by one, though the order is long filled."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=True)
    model.execute()
    model.execute()
    model.working_order_resolves(expires=False, pick=0, pieces=1)
    model.resting_sell_fills(pick=0, shares=[2, 2])
    model.deliver_in_order()
    model.execute()
    model.resting_sell_fills(pick=0, shares=[1])
    model.kill_and_restart(loses_commands=False, loses_reports=True)
    model.deliver(pick=1, repeat=False)
    model.deliver_in_order()
    model.all_goes_quiet()


def test_a_refusal_told_after_the_order_was_found_absent_comes_too_late():
    """Found by the model: the stop was placed once more by then, and rests."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.price_moves(ticks=3_060_000)
    model.venue_refuses_the_next_stop()
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.deliver(pick=0, repeat=False)
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.deliver(pick=38, repeat=False)
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0


def test_a_stop_that_has_sold_a_part_is_not_replaced_by_one_for_the_whole():
    """Found by the model: its surplus would have locked what the next tranche's protection needs."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.resting_sell_fills(pick=2, shares=[1])
    model.price_moves(ticks=3_060_000)
    model.execute()
    model.resting_sell_fills(pick=0, shares=[2])
    model.all_goes_quiet()


def test_what_is_left_of_a_filling_target_is_not_guarded_with_coins_of_another_tranche():
    """Its fill goes on while it is cancelled, and the list of another tranche has just been cancelled, too."""
    state = ProtectionModel()
    state.enter(opo=False, asset="BTC", lists=False, at_once=False)
    state.all_goes_quiet()
    state.price_moves(ticks=3_060_000)
    state.kill_and_restart(loses_commands=False, loses_reports=False)
    state.venue_refuses_the_next_stop()
    state.resting_sell_fills(pick=2, shares=[3, 2])
    state.all_goes_quiet()


def test_an_old_answer_does_not_make_a_list_that_was_withdrawn_a_lock():
    """Found by the model: another tranche's new list came to rest on what the withdrawn one had freed."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.resting_sell_fills(pick=2, shares=[1])
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.all_goes_quiet()


def test_a_list_does_not_move_while_the_coins_of_another_tranche_may_be_free():
    """Found by the model: having sold a part, its successor was let in for the whole, with coins of the other."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.resting_sell_fills(pick=0, shares=[1])
    model.resting_sell_fills(pick=0, shares=[2])
    model.all_goes_quiet()


def test_a_target_without_a_stop_waits_for_no_other_list():
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    first, _, second, *_ = model.venue.open_sells()
    model.resting_sell_fills(pick=0, shares=[2])
    model.resting_sell_fills(pick=1, shares=[2])
    model.deliver_in_order()
    cancelled = {one.client_order_id for one in model.commands if isinstance(one, CancelOrder)}
    assert cancelled == {first, second}
    model.all_goes_quiet()


def test_legs_that_wake_before_their_purchase_is_told_of_are_no_strays():
    model = ProtectionModel()
    model.enter(opo=True, asset="BTC", lists=True)
    model.execute()
    model.working_order_resolves(pick=0, pieces=1, expires=False)
    asked = list(model.commands)
    *_, woken = model.venue.reports
    assert woken.state is OrderState.OPEN
    model.deliver(pick=len(model.venue.reports) - 1, repeat=False)
    assert model.commands == asked
    model.all_goes_quiet()


def test_a_refused_successor_of_a_stop_that_has_sold_all_keeps_nothing_from_the_coins_that_its_spare_has_taken():
    """Found by the model: what it had borrowed stayed without a stop for the pause that follows a refusal."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.price_moves(ticks=3_060_000)
    model.venue_refuses_the_next_stop()
    model.a_sale_stays_on_its_way(pick=1)
    model.resting_sell_fills(pick=4, shares=[1])
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0


def test_a_sale_may_find_its_coins_with_a_spare_that_was_in_doubt_when_it_was_asked_for():
    """Found by the model: it is refused, the spare withdrawn, and the sale follows again."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.execute()
    model.execute()
    model.venue_refuses_the_next_stop()
    for _ in range(3):
        model.a_sale_stays_on_its_way(pick=0)
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0


def test_what_has_no_order_waits_while_another_tranche_locks_what_it_has_sold_untold():
    """Found by the model: refused each time, its cancel, its successor and its spare left again with every answer."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BNB", lists=False, at_once=True)
    model.venue_refuses_the_next_stop()
    model.a_sale_stays_on_its_way(pick=100)
    model.kill_and_restart(loses_commands=False, loses_reports=False)
    model.deliver_in_order()
    model.venue_refuses_the_next_stop()
    model.resting_sell_fills(pick=4, shares=[1])
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0


def test_a_sale_may_find_its_coins_with_a_list_in_doubt_whose_tranche_has_sold_a_part():
    """Found by the model: what has no stop is asked for at once, though the venue may refuse it."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.a_sale_stays_on_its_way(pick=24)
    model.what_stayed_on_its_way(arrives=False, pick=0)
    model.resting_sell_fills(pick=0, shares=[3])
    model.a_sale_stays_on_its_way(pick=1)
    for _ in range(3):
        model.execute()
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0


def test_a_stop_without_coins_is_withdrawn_after_the_pause_of_a_refusal():
    """Found by the model: the spare of a sale that failed had taken coins of another tranche."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.price_moves(ticks=3_060_000)
    model.execute()
    model.operator_flattens()
    model.resting_sell_fills(pick=0, shares=[1])
    model.resting_sell_fills(pick=0, shares=[2, 1])
    model.kill_and_restart(loses_commands=False, loses_reports=True)
    model.resting_sell_fills(pick=0, shares=[2])
    model.all_goes_quiet()
    assert not model.engine.portfolio.positions


def test_what_has_no_order_waits_for_a_spare_of_which_fills_are_untold():
    """Found by the model: its old stop had sold a part, and the spare guarded coins of the tranche that was sold."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BNB", lists=False, at_once=True)
    model.all_goes_quiet()
    model.resting_sell_fills(pick=0, shares=[1])
    model.resting_sell_fills(pick=0, shares=[2])
    model.operator_flattens()
    model.venue_refuses_the_next_stop()
    model.kill_and_restart(loses_commands=False, loses_reports=True)
    model.all_goes_quiet()
    assert not model.engine.portfolio.positions


def test_what_has_no_order_waits_for_a_second_one_of_another_tranche_that_has_just_left():
    """Found by the model: beside a spare told as in doubt a stop was asked for, and both were let in with coins of the other."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.operator_flattens()
    model.execute()
    model.execute()
    model.deliver_in_order()
    model.venue_refuses_the_next_stop()
    model.a_sale_stays_on_its_way(pick=13)
    model.a_sale_stays_on_its_way(pick=1)
    model.execute()
    model.execute()
    model.all_goes_quiet()
    assert not model.engine.portfolio.positions


def test_a_sale_may_find_its_coins_with_a_list_whose_predecessor_is_in_doubt():
    """Found by the model: it had sold a part before it was cancelled, which nobody had told."""
    model = ProtectionModel()
    model.enter(opo=False, asset="BTC", lists=False)
    model.all_goes_quiet()
    model.venue_refuses_the_next_stop()
    model.price_moves(ticks=3_060_000)
    model.resting_sell_fills(pick=0, shares=[3])
    model.execute()
    model.a_sale_stays_on_its_way(pick=2)
    model.kill_and_restart(loses_commands=False, loses_reports=True)
    model.all_goes_quiet()
    assert model.engine.coverage()[0].share == 1.0
