"""The table of real kills: a spell is told as long as it was, one that never ended too, and a death in it is counted."""

from types import SimpleNamespace

from bnml.core.orders import OrderType, Side
from bnml.drill.cover import Window
from tests.e2e.uncovered import Spell, dead_times, long_ones, spells, table

S = 10**9


class Instrument:
    base, lot_e8, min_notional_e8 = "SIM", 10**8, 10**8

    def notional_e8(self, ticks, lots):
        return ticks * lots * 10**8


def trade(at_s, lots):
    return SimpleNamespace(
        ts_ns=at_s * S, quantity_lots=abs(lots), is_buyer=lots > 0, commission_asset="USDT", commission_e8=0
    )


def stop(lots, since_s, until_s, status):
    return SimpleNamespace(
        list_id=-1, side=Side.SELL, type=OrderType.STOP_LOSS, status=status, quantity_lots=lots,
        created_ns=since_s * S, updated_ns=until_s * S, executed_lots=0,
    )  # fmt: skip


def exchange(trades, orders):
    read = SimpleNamespace(
        trades=lambda _, __, limit: trades,  # noqa: ARG005 - the name is the exchange's
        all_orders=lambda _, __, limit: orders,  # noqa: ARG005 - the name is the exchange's
    )
    market = {"SIMUSDT": SimpleNamespace(state=SimpleNamespace(last_ticks=1))}
    return SimpleNamespace(instruments={"SIMUSDT": Instrument()}, market=market, read=read)


def test_a_spell_lasts_from_the_purchase_or_the_lost_stop_to_the_next_stop_or_the_sale():
    bought, sold = trade(10, 100), trade(50, -100)
    orders = [stop(100, 12, 30, "CANCELED"), stop(100, 33, 50, "CANCELED")]
    found = spells(exchange([bought, sold], orders), 90 * S)
    assert found == [Spell("SIMUSDT", 10 * S, 12 * S), Spell("SIMUSDT", 30 * S, 33 * S)]


def test_what_never_got_a_stop_lay_bare_until_the_end():
    assert spells(exchange([trade(10, 100)], []), 90 * S) == [Spell("SIMUSDT", 10 * S, 90 * S)]


def test_spells_in_which_the_daemon_died_stand_apart():
    found = [Spell("A", 10 * S, 11 * S), Spell("B", 20 * S, 26 * S)]
    assert table(found, [5 * S, 22 * S, 25 * S], 2) == {
        "alive": {"times": 1, "p50": 0.5, "p90": 0.5, "p99": 0.5, "longest": 0.5},
        "killed in it": {"times": 1, "p50": 3.0, "p90": 3.0, "p99": 3.0, "longest": 3.0},
    }


def test_a_death_lasts_until_the_next_word_of_any_daemon():
    """The one of 30 s said none, and the last of them had no successor."""
    dead = dead_times([10 * S, 30 * S, 90 * S], [5 * S, 60 * S, 12 * S])
    assert [(one.since_ns / S, one.until_ns / S) for one in dead] == [(10, 12), (30, 60)]


def test_long_spells_are_judged_by_what_is_left_of_them_outside_of_deaths_and_faults():
    struck = Window(24 * S, 24 * S, "the fault", "B")
    windows = [*dead_times([22 * S], [22.5 * S]), struck]
    found = [Spell("A", 10 * S, 13 * S), Spell("B", 20 * S, 26 * S), Spell("C", 22 * S, 25 * S)]
    assert long_ones(found, windows, 1) == [
        {"symbol": "A", "seconds": 3.0, "unexcused": 3.0, "because": []},
        {"symbol": "B", "seconds": 6.0, "unexcused": 2.0, "because": ["the daemon was dead", "the fault"]},
        {"symbol": "C", "seconds": 3.0, "unexcused": 2.5, "because": ["the daemon was dead"]},
    ]
