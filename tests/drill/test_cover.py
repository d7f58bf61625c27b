"""How long something was bare by the venue's history, and which part of it a drill's own fault excuses."""

import pytest

from bnml.core.clock import NS_PER_S
from bnml.drill.cover import Spell, Window, judge, spells, window_of

SECOND_MS = 1_000


def order(number, at_s, quantity="1", *, until_s=None, kind="STOP_LOSS", status=None):
    return {
        "orderId": number,
        "type": kind,
        "side": "SELL",
        "status": status or ("NEW" if until_s is None else "CANCELED"),
        "origQty": quantity,
        "time": int(at_s * SECOND_MS),
        "updateTime": int((at_s if until_s is None else until_s) * SECOND_MS),
    }


def trade(number, at_s, quantity, *, bought, commission="0", asset="USDT"):
    return {
        "orderId": number,
        "time": int(at_s * SECOND_MS),
        "qty": quantity,
        "isBuyer": bought,
        "commission": commission,
        "commissionAsset": asset,
    }


def found(orders, trades, held_e8=10**8, now_s=100):
    spans = spells(
        "AUSDT", orders, trades, asset="A", held_e8=held_e8, least_e8=10**6, now_ns=now_s * NS_PER_S
    )
    return [(one.since_ns / NS_PER_S, one.until_ns / NS_PER_S) for one in spans]


BUY = trade(1, 10, "1", bought=True)


def test_what_is_bought_and_protected_in_one_moment_is_never_bare():
    assert found([order(2, 10)], [BUY]) == []


def test_a_stop_that_comes_late_leaves_a_spell():
    assert found([order(2, 13)], [BUY]) == [(10, 13)]


def test_a_stop_that_never_comes_leaves_one_until_now():
    assert found([], [BUY]) == [(10, 100)]


def test_a_stop_that_gives_way_to_another_in_one_moment_leaves_none():
    assert found([order(2, 10, until_s=20), order(3, 20)], [BUY]) == []


def test_between_a_cancelled_stop_and_the_next_one_it_is_bare():
    assert found([order(2, 10, until_s=20), order(3, 24.5)], [BUY]) == [(20, 24.5)]


def test_a_stop_of_less_than_is_held_protects_only_that():
    assert found([order(2, 10, "0.5"), order(3, 12, "0.5")], [BUY]) == [(10, 12)]


def test_what_a_stop_sells_it_protects_no_more_and_is_held_no_more():
    sold = trade(2, 30, "1", bought=False)
    assert found([order(2, 10, until_s=30, status="FILLED")], [BUY, sold], held_e8=0) == []


def test_a_stop_that_is_filled_in_part_protects_the_rest():
    sold = trade(2, 30, "0.4", bought=False)
    assert found([order(2, 10, status="PARTIALLY_FILLED")], [BUY, sold], held_e8=6 * 10**7) == []
    cancelled = order(2, 10, until_s=40)
    assert found([cancelled], [BUY, sold], held_e8=6 * 10**7) == [(40, 100)]


def test_a_target_protects_nothing():
    assert found([order(2, 10, kind="LIMIT_MAKER"), order(3, 15)], [BUY]) == [(10, 15)]


def test_a_leg_that_sleeps_protects_nothing():
    assert found([order(2, 10, status="PENDING_NEW")], [BUY]) == [(10, 100)]


def test_commission_taken_in_base_needs_no_stop():
    bought = trade(1, 10, "1.001", bought=True, commission="0.001", asset="A")
    assert found([order(2, 10)], [bought]) == []


def test_dust_needs_no_stop():
    assert found([order(2, 10, "0.995")], [BUY]) == []


def spell(since_s, until_s, symbol="AUSDT"):
    return Spell(symbol, since_s * NS_PER_S, until_s * NS_PER_S)


def window(since_s, until_s, symbol=""):
    return Window(since_s * NS_PER_S, until_s * NS_PER_S, "the fault", symbol)


@pytest.mark.parametrize(
    ("windows", "seconds"),
    [
        pytest.param([], 20, id="nothing excuses it"),
        pytest.param([window(5, 28)], 2, id="from when the venue answers again"),
        pytest.param([window(14, 15)], 15, id="the longer part counts"),
        pytest.param([window(13, 13)], 17, id="a moment begins it anew"),
        pytest.param([window(5, 20), window(12, 16)], 10, id="one window inside of another"),
        pytest.param([window(15, 40)], 5, id="what came before the fault is the daemon's"),
        pytest.param([window(0, 9)], 20, id="a fault that was over"),
        pytest.param([window(5, 28, "BUSDT")], 20, id="of another symbol"),
    ],
)
def test_the_longest_part_outside_of_windows_is_judged(windows, seconds):
    judged = judge(spell(10, 30), windows, speed=1.0)
    assert judged.seconds == seconds
    assert bool(judged.reasons) is (seconds != 20)


def test_a_market_that_runs_faster_is_judged_by_the_machines_clock():
    assert judge(spell(0, 240), [], speed=120.0).seconds == 2.0


@pytest.mark.parametrize(
    ("fired", "when", "lasts_s"),
    [
        ({"action": "no_answer", "about": "order.place bnsim"}, {}, 0),
        ({"action": "reset", "about": "POST /api/v3/order"}, {}, 0),
        ({"action": "answer", "about": "order.place"}, {"for_wall_s": 6}, 60),
        ({"action": "ban", "about": "time", "seconds": 6}, {}, 60),
        ({"action": "symbol_status", "about": "time", "lasts_market_s": 600}, {}, 600),
        ({"action": "reset", "about": "time"}, {}, 0),
    ],
)
def test_what_keeps_the_venue_from_answering_is_a_window(fired, when, lasts_s):
    found = window_of(NS_PER_S, {"rule": "one", "symbol": "AUSDT", **fired}, when, 10.0)
    assert found is not None
    assert found.until_ns - found.since_ns == lasts_s * NS_PER_S
    assert "one" in found.reason


@pytest.mark.parametrize(
    "fired",
    [
        {"action": "price_gap", "about": "time"},
        {"action": "clock_skew", "about": "time"},
        {"action": "drop", "about": "executionReport bnsim"},
        {"action": "delay", "about": "GET /api/v3/order"},
    ],
)
def test_what_leaves_orders_alone_excuses_nothing(fired):
    assert window_of(0, {"rule": "one", "symbol": "", **fired}, {}, 1.0) is None
