"""The live ramp: how small entries begin, what releases a step, what takes one back, and what the operator may say."""

import msgspec
import pytest

from bnml.core.events import Bar, CapitalFlow, Guard, OperatorCommand, Timer
from bnml.kernels import sizing
from bnml.trading.compile import instrument_record
from bnml.trading.ramp import AGREED, capped, rest_measure_e8
from bnml.trading.risk.sizing import Capital, size_entry
from bnml.trading.round_trips import SMALLEST, TENTH, WHOLE, Ramp, Trip
from tests.trading.hand_venue import REFERENCE, SYMBOL, World
from tests.trading.kit import EAGER, HOUR_NS, START_NS, Bench, config, instrument, random_bars, settings

ROUND_TRIPS = 3
CHEAP, DEAR = REFERENCE, REFERENCE + 10_000  # dear: a third of a percent above what was decided


class Ramped(World):
    """A world whose entries are those of a ramp."""

    def __init__(self):
        super().__init__()
        before = START_NS - HOUR_NS
        self.feed(Bar(SYMBOL, before, START_NS, REFERENCE, REFERENCE, REFERENCE, REFERENCE, 10**7, 9))
        self.say("ramp_begin", f"{ROUND_TRIPS} 500")

    @property
    def ramp(self):
        return self.engine.state.ramp

    def say(self, word, argument=""):
        self.feed(OperatorCommand(word, self.now_ns, argument))

    def round_trip(self, bought=CHEAP, *, agree=True):
        """Buy at a price, sell at the last one by the operator's word, and let the books be found equal."""
        self.move(bought)
        self.enter()
        self.engine._ramp.begin(SYMBOL)
        self.settle()
        self.move(bought)
        self.say("flatten", SYMBOL)
        self.settle()
        assert self.position() is None
        if agree:
            self.agree()

    def agree(self):
        self.now_ns += 10**9
        self.feed(Timer("watch", self.now_ns))
        self.feed(Timer(AGREED, self.now_ns))

    def told(self):
        return [one.name for one in self.alerts if one.name.startswith("ramp_")]


def sized(lots_of=10_000.0):
    equity = int(lots_of * 10**8)
    made = config()
    return size_entry(REFERENCE, 0.01, instrument(), Capital(equity, equity, equity, 0, 0), made), made


def test_the_smallest_order_can_be_sold_a_twentieth_below_its_stop_and_one_lot_less_could_not():
    entry, made = sized()
    small = capped(entry, instrument(), Ramp(round_trips=1), made)
    record, fee = instrument_record(instrument())[0], made.costs[0]["taker_ppm"]
    fallen = entry.stop_ticks - entry.stop_ticks // 20
    assert entry.minimum_lots < small.lots < entry.lots // 10
    assert sizing.is_sellable(small.lots, fallen, fee, record)
    assert not sizing.is_sellable(small.lots - 1, fallen, fee, record)
    assert small.wanted_lots == small.lots
    assert 0 < small.risk_e8 < entry.risk_e8 // 10


def test_then_a_tenth_then_all_and_never_more_than_was_sized():
    entry, made = sized()
    assert capped(entry, instrument(), Ramp(round_trips=1, step=TENTH), made).lots == entry.lots // 10
    assert capped(entry, instrument(), Ramp(round_trips=1, step=WHOLE), made) is entry
    assert capped(entry, instrument(), Ramp(), made) is entry
    poor = msgspec.structs.replace(entry, lots=7, wanted_lots=8)
    kept = capped(poor, instrument(), Ramp(round_trips=1), made)
    assert (kept.lots, kept.wanted_lots) == (7, 8)


def test_the_rest_of_a_small_position_is_not_closed_for_being_small():
    ramp = Ramp(
        round_trips=1, open={str(step): Trip(str(step), 1, step, 1) for step in (SMALLEST, TENTH, WHOLE)}
    )
    assert [rest_measure_e8(name, 1000, ramp) for name in ("0", "1", "2", "none")] == [0, 100, 1000, 1000]


def test_round_trips_inside_the_model_release_step_after_step():
    world = Ramped()
    steps = []
    for _ in range(2 * ROUND_TRIPS + 1):
        world.round_trip()
        steps.append((world.ramp.step, world.ramp.counted))
    assert steps == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 0)]
    assert world.told().count("ramp_step_released") == 2
    assert world.ramp.words() == "step 3 of 3, full size"


def test_nothing_counts_before_the_books_were_found_equal_as_they_stood_after_it():
    world = Ramped()
    world.round_trip(agree=False)
    world.feed(Timer(AGREED, world.now_ns))  # read in the same moment: before or after, nobody knows
    assert (world.ramp.counted, len(world.ramp.closed)) == (0, 1)
    assert "1 to be compared" in world.ramp.words()
    world.feed(Guard("account", "HALTED", world.now_ns, "somebody else"))
    world.agree()
    assert (world.ramp.counted, len(world.ramp.closed)) == (0, 1)
    world.feed(Guard("account", "ACTIVE", world.now_ns))
    world.say("resume")
    world.agree()
    assert (world.ramp.counted, len(world.ramp.closed)) == (1, 0)


def test_a_difference_between_the_books_makes_the_round_trip_worthless():
    world = Ramped()
    world.round_trip(agree=False)
    world.feed(CapitalFlow("USDT", -1, world.now_ns))
    world.agree()
    assert (world.ramp.counted, world.ramp.outside, world.ramp.closed) == (0, 0, [])
    assert world.told()[-1] == "ramp_trip_not_counted"
    world.round_trip()
    assert world.ramp.counted == 1


def test_slippage_outside_does_not_count_and_is_told_in_numbers():
    world = Ramped()
    world.round_trip(DEAR)
    assert (world.ramp.counted, world.ramp.outside) == (0, 1)
    told = next(one for one in world.alerts if one.name == "ramp_slippage")
    assert told.severity == "warning"
    assert "bought +33.3 bps from the price decided on, at most +8.0" in told.text
    world.round_trip()
    assert (world.ramp.counted, world.ramp.outside) == (1, 0)


def test_a_stop_that_a_gap_jumps_over_is_slippage_of_the_sale():
    world = Ramped()
    world.move(CHEAP)
    world.enter()
    world.engine._ramp.begin(SYMBOL)
    world.settle()
    world.move(2_900_000, jump=True)
    world.settle()
    world.agree()
    assert (world.position(), world.ramp.counted, world.ramp.outside) == (None, 0, 1)


def test_three_in_a_row_outside_take_a_step_back_and_never_below_the_first():
    world = Ramped()
    world.say("ramp_release", "tested elsewhere")
    world.round_trip()
    assert (world.ramp.step, world.ramp.counted) == (TENTH, 1)
    for _ in range(3):
        world.round_trip(DEAR)
    assert (world.ramp.step, world.ramp.counted, world.ramp.outside) == (SMALLEST, 0, 0)
    assert [one.severity for one in world.alerts if one.name == "ramp_step_back"] == ["critical"]
    for _ in range(3):
        world.round_trip(DEAR)
    assert world.ramp.step == SMALLEST


def test_a_round_trip_of_another_step_says_nothing_of_this_one():
    world = Ramped()
    world.round_trip(agree=False)
    world.say("ramp_release")
    world.agree()
    assert (world.ramp.step, world.ramp.counted) == (TENTH, 0)


def test_an_entry_that_bought_nothing_is_no_round_trip():
    world = Ramped()
    world.move(REFERENCE + 20_000)  # beyond the entry's limit
    world.enter()
    world.engine._ramp.begin(SYMBOL)
    world.settle()
    assert world.position() is None
    world.agree()
    assert (world.ramp.open, world.ramp.closed, world.told()) == ({}, [], ["ramp_in_use"])


def test_the_operator_releases_and_resets_and_the_session_ends_a_ramp():
    world = Ramped()
    for step in (TENTH, WHOLE, WHOLE):
        world.say("ramp_release", "I know")
        assert world.ramp.step == step
    assert world.told()[-1] == "ramp_unchanged"
    world.say("ramp_reset", "new key")
    assert world.ramp.step == SMALLEST
    assert "new key" in world.alerts[-1].text
    world.say("ramp_end")
    assert world.ramp.words() == ""
    for word in ("ramp_release", "ramp_reset"):
        world.say(word)
        assert world.told()[-1] == "ramp_unchanged"


@pytest.mark.parametrize("argument", ["", "x 5", "3", "0 5", "3 -1"])
def test_a_ramp_that_cannot_be_read_changes_nothing(argument):
    world = Ramped()
    world.say("ramp_begin", argument)
    assert (world.ramp.round_trips, world.ramp.slack_ppm) == (ROUND_TRIPS, 500)
    assert world.alerts[-1].name == "command_unknown"


def test_a_restart_keeps_the_step_and_the_round_trip_under_way():
    world = Ramped()
    world.round_trip()
    world.move(CHEAP)
    world.enter()
    world.engine._ramp.begin(SYMBOL)
    world.settle()
    world.restart()
    assert world.ramp.counted == 1
    world.say("flatten", SYMBOL)
    world.settle()
    world.agree()
    assert world.ramp.counted == 2


def replayed(*words):
    """Weeks of eager entries on a random market against the embedded exchange; each hour the books are found equal."""
    bars = random_bars(1_500, 5)
    bench = Bench(settings(**EAGER), instrument(), bars, 500)
    first = [OperatorCommand(name, 0, argument) for name, argument in words]
    hours = [int(one) + HOUR_NS for one in bars["ts_open_ns"]]
    replay = bench.replay()
    replay._before_scan = {ts_ns: (Timer(AGREED, ts_ns),) for ts_ns in hours}
    replay._first_events = (*replay._first_events, *first)
    result = replay.run()
    return result, replay._engine


def test_against_the_embedded_exchange_entries_grow_and_without_a_ramp_nothing_changes():
    usual, _ = replayed()
    grown, engine = replayed(("ramp_begin", "4 5000"))
    sizes = [one.quantity_lots for one in grown.decisions if one.quantity_lots]
    whole = [one.quantity_lots for one in usual.decisions if one.quantity_lots]
    assert engine.state.ramp.step == WHOLE
    names = [one.name for one in grown.alerts]
    assert names.count("ramp_step_released") == 2 + names.count("ramp_step_back")
    assert max(sizes[:4]) < min(whole) // 10
    assert max(sizes) > max(whole) // 2
    assert not any(one.name.startswith("ramp") for one in usual.alerts)
