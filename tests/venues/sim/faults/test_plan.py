"""Rules without any socket: what they match, how they count, when they end, and that dice are the seed's."""

import msgspec
import pytest

from bnml.core.clock import NS_PER_S
from bnml.venues.sim.faults.plan import FaultPlan
from bnml.venues.sim.faults.rules import Event, Script, Seam

START = 1_700_000_000 * NS_PER_S


def plan_of(*rules, seed=1):
    return FaultPlan(
        msgspec.convert(
            {"seed": seed, "rules": [{"do": [{"action": "drop"}], **rule} for rule in rules]}, Script
        ),
        START,
        5 * START,
    )


def order(number=0, *, symbol="BTCUSDT", client_order_id="", name="order.place", account="main"):
    ids = (client_order_id or f"id{number}",)
    return Event(seam=Seam.REQUEST, names=(name,), symbol=symbol, client_order_ids=ids, account=account)


def struck(plan, count, *, market_s=0.0, wall_s=0.0, **event):
    """Numbers of the events that a fault befalls, each so much later than the one before."""
    return [
        number
        for number in range(1, count + 1)
        if plan.on(
            order(number, **event),
            START + round((number - 1) * market_s * NS_PER_S),
            5 * START + round((number - 1) * wall_s * NS_PER_S),
        )
    ]


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"after": 3}, [4, 5, 6, 7, 8]),
        ({"every": 3}, [1, 4, 7]),
        ({"after": 2, "every": 3}, [3, 6]),
        ({"times": 2}, [1, 2]),
        ({"after": 1, "every": 2, "times": 2}, [2, 4]),
        ({"probability": 0.0}, []),
        ({"from_market": 30.0}, [4, 5, 6, 7, 8]),
        ({"until_market": 30.0}, [1, 2, 3]),
        ({"from_wall": 4.0, "until_wall": 8.0}, [3, 4]),
        ({"for_market_s": 25.0}, [1, 2, 3]),
        ({"after": 2, "for_wall_s": 3.0}, [3, 4]),
        ({"from_market": "2023-11-14T22:14:00Z"}, [5, 6, 7, 8]),
        ({"until_market": "2023-11-14T22:13:20Z"}, []),
    ],
)
def test_when_counts_and_times(when, expected):
    plan = plan_of({"match": {"request": "order.place"}, "when": when})
    assert struck(plan, 8, market_s=10, wall_s=2) == expected


@pytest.mark.parametrize(
    ("match", "event", "expected"),
    [
        ({"request": "order.*"}, {}, True),
        ({"request": "order.cancel"}, {}, False),
        ({"request": ["order.cancel", "order.place"]}, {}, True),
        ({"request": "POST /api/v3/order"}, {"name": "POST /api/v3/order"}, True),
        ({"request": "POST /api/v3/order"}, {"name": "POST /api/v3/order/test"}, False),
        ({"request": "*", "symbol": "ETH*"}, {}, False),
        ({"request": "*", "symbol": "ETH*"}, {"symbol": "ETHUSDT"}, True),
        ({"request": "*", "client_order_id": "bn-*-s"}, {"client_order_id": "bn-7-s"}, True),
        ({"request": "*", "client_order_id": "bn-*-s"}, {"client_order_id": "bn-7-t"}, False),
        ({"request": "*", "account": "other"}, {}, False),
        ({"stream": "*"}, {}, False),
        ({"user_event": "*"}, {}, False),
        ({"connect": "any"}, {}, False),
    ],
)
def test_match(match, event, expected):
    plan = plan_of({"match": match})
    assert bool(plan.on(order(**event), START, START)) is expected


def test_events_that_do_not_match_are_not_counted():
    plan = plan_of({"match": {"request": "order.place", "symbol": "BTCUSDT"}, "when": {"after": 1}})
    assert struck(plan, 3, symbol="ETHUSDT") == []
    assert struck(plan, 3) == [2, 3]


def test_dice_follow_seed_and_name_and_nothing_else():
    half = {"match": {"request": "*"}, "when": {"probability": 0.5}}
    first = struck(plan_of({**half, "name": "a"}), 200)
    assert 60 < len(first) < 140
    assert struck(plan_of({**half, "name": "a"}), 200) == first
    assert struck(plan_of({**half, "name": "a"}), 200, market_s=7, wall_s=0.1) == first
    assert struck(plan_of({**half, "name": "b"}), 200) != first
    assert struck(plan_of({**half, "name": "a"}, seed=2), 200) != first
    other = {"name": "other", "match": {"request": "order.cancel"}, "when": {"probability": 0.5}}
    assert struck(plan_of(other, {**half, "name": "a"}), 200) == first


def test_all_rules_that_match_fire_in_their_order_and_are_numbered():
    plan = plan_of(
        {"name": "one", "match": {"request": "*"}}, {"name": "two", "match": {"request": "order.*"}}
    )
    fired = plan.on(order(), START, START)
    assert [(one.ordinal, one.rule, one.about) for one in fired] == [
        (1, "one", "order.place id0"),
        (2, "two", "order.place id0"),
    ]


def times_struck(when, *, market=(), wall=()):
    plan = plan_of({"do": [{"action": "cut", "sockets": "all"}], "when": when})
    found = [("market", at) for at in market if plan.on_time(START + round(at * NS_PER_S), 5 * START)]
    return found + [("wall", at) for at in wall if plan.on_time(START, 5 * START + round(at * NS_PER_S))]


def test_rules_of_time_fire_once_or_on_a_grid_and_leave_out_what_they_missed():
    assert times_struck({}, market=(0, 10)) == [("market", 0)]
    assert times_struck({"from_market": 10}, market=(9, 10, 11)) == [("market", 10)]
    grid = {"from_market": 10, "every_market_s": 10}
    assert times_struck(grid, market=(5, 12, 19, 20, 47, 49, 50)) == [
        ("market", at) for at in (12, 20, 47, 50)
    ]
    assert times_struck({**grid, "times": 2}, market=(10, 20, 30)) == [("market", 10), ("market", 20)]
    assert times_struck({**grid, "until_market": 25}, market=(10, 20, 30)) == [("market", 10), ("market", 20)]
    assert times_struck({"from_wall": 3}, market=(100,), wall=(2, 3, 4)) == [("wall", 3)]
    assert times_struck({"every_wall_s": 2}, wall=(0, 1, 2, 3, 4)) == [("wall", 0), ("wall", 2), ("wall", 4)]


def test_the_wall_is_looked_at_when_the_next_rule_is_due():
    plan = plan_of(
        {"do": [{"action": "cut", "sockets": "all"}], "when": {"from_wall": 3}},
        {"do": [{"action": "cut", "sockets": "all"}], "when": {"from_market": 1}},
    )
    assert plan.wall_due_ns() == 5 * START + 3 * NS_PER_S
    plan.on_time(START, 5 * START + 3 * NS_PER_S)
    assert plan.wall_due_ns() is None


def test_an_event_that_never_fires_costs_no_dice_and_leaves_no_trace():
    plan = plan_of({"match": {"stream": "*"}})
    assert not plan.watches(Seam.REQUEST)
    assert plan.watches(Seam.STREAM)
    assert struck(plan, 5) == []
    assert plan.view()["count"] == 0
