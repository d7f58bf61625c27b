"""Every order in which up to six words of the venue about one tranche can come: books, orders and requests end alike."""

from itertools import permutations

import msgspec
import pytest

from bnml.core.commands import Alert, QueryOrder
from bnml.trading.engine import Engine
from tests.trading.hand_venue import SYMBOL, World, changed


def story(moves, targets, **filters):
    """An engine that has asked for an entry, and all that the venue says until the price has made these moves."""
    world = World(changed(**filters))
    world.enter(targets=targets)
    start = world.engine.snapshot()
    while world.queue:
        world.execute()
    for ticks in moves:
        world.now_ns += 10**9
        world.reports += world.venue.print(SYMBOL, ticks, world.now_ns)
    return world, start, world.reports


def end(world, start, reports):
    """Positions, money and orders at last, and what was asked of the venue on the way."""
    engine = Engine.restore(world.config, None, start)
    asked = []
    for number, report in enumerate(reports, start=1_000):
        asked += [one for one in engine.process(report, number) if not isinstance(one, Alert | QueryOrder)]
    state = engine.state
    ledger = state.ledger
    held = {
        name: [
            (one.base_e8, one.cost_e8, one.pnl_e8, one.stop_ticks, sorted(one.legs))
            for one in position.tranches
        ]
        for name, position in ledger.positions.items()
    }
    orders = {
        name: (one.state, one.applied_lots, one.open_lots, one.cancel_sent)
        for name, one in engine.book.orders.items()
    }
    dust = {name: (one.base_e8, one.cost_e8) for name, one in ledger.dust.items()}
    assert not state.parked
    return msgspec.json.encode(
        [held, orders, dust, dict(sorted(ledger.totals.items())), state.activity.halted]
    ), asked


STORIES = {
    "bought with a stop": ((), ((1, 5000, 0),), {}),
    "bought with a pair": ((), ((1, 5000, 3_060_000),), {}),
    "sold by its stop": ((2_900_000,), ((1, 5000, 0),), {}),
    "sold by its target": ((3_100_000,), ((1, 5000, 3_060_000),), {}),
    "sold by its stop, of a pair": ((2_900_000,), ((1, 5000, 3_060_000),), {}),
    "sized by us, sold by its stop": ((2_900_000,), ((1, 5000, 0),), {"opo_allowed": False}),
}


@pytest.mark.parametrize("name", STORIES)
def test_f33_any_order_of_reports_of_a_tranche_ends_in_the_same_books_and_asks_for_nothing(name):
    moves, targets, filters = STORIES[name]
    world, start, reports = story(moves, targets, **filters)
    chosen = reports[-6:]
    first = reports[:-6]
    ends = set()
    for order in permutations(chosen):
        found, asked = end(world, start, [*first, *order])
        ends.add(found)
        assert asked == [], [(one.client_order_id[-1], one.state, one.trade_id) for one in order]
    assert len(ends) == 1


@pytest.mark.parametrize("name", STORIES)
def test_f32_reports_of_a_tranche_that_come_twice_in_any_order_change_neither_books_nor_requests(name):
    moves, targets, filters = STORIES[name]
    world, start, reports = story(moves, targets, **filters)
    once = end(world, start, reports)
    assert once[1] == []
    for order in list(permutations(reports[-6:]))[::19]:
        told = [*reports[:-6], *order]
        assert end(world, start, [copy for one in told for copy in (one, one)]) == once
        assert end(world, start, [*told, *reversed(told)]) == once
