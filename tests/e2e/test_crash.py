"""All symbols fall at once while the venue errs and the market is a flood: the stops at the exchange are the net."""

import asyncio
from collections import Counter

import pytest

from bnml.venues.binance.wire import ErrorBody
from bnml.venues.sim.inprocess import ACCOUNT
from tests.e2e.matrix import network
from tests.e2e.test_recovery import agreed, scene, until_held

FALL = 0.8
COPIES = 50


def flood(world):
    """What is public comes fifty times as often; a bar closes once. Returns how many prints a listener hears, by moment."""
    plain, heard = world.tell, Counter()

    def tell(prints, books, bars, ts_ns):
        for _ in range(COPIES - 1):
            plain(prints, books, (), ts_ns)
        plain(prints, books, bars, ts_ns)

    world.tell = tell
    world.listeners.append(lambda prints, _books, _bars, ts_ns: heard.update({ts_ns: len(prints)}))
    return heard


def cash_e8(world):
    return sum(world.exchange.read.account(ACCOUNT).balances["USDT"])


def worth_e8(world, symbol):
    """Of what the account has of a symbol's base, at the market's price."""
    one = world.instruments[symbol]
    both = world.exchange.read.account(ACCOUNT).balances.get(one.base, (0, 0))
    return one.notional_e8(world.prices[symbol], sum(both) // one.lot_e8)


def account_e8(world):
    return cash_e8(world) + sum(worth_e8(world, symbol) for symbol in world.prices)


@pytest.mark.parametrize("seed", [3, 5])
def test_f73_a_crash_with_server_errors_limits_and_a_burst_costs_what_was_held_and_ends_with_equal_books(
    monkeypatch, seed
):
    too_much = 429, ErrorBody(-1003, "Too much request weight used; please use the websocket.")
    monkeypatch.setattr(network, "BODIES", (network.BROKEN_503, too_much))

    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        world = trial.world
        before_e8 = account_e8(world)
        exposure_e8 = before_e8 - cash_e8(world)
        held = list(process.engine.portfolio.positions)
        heard = flood(world)
        trial.faults.error_before = 1.0  # of every request for an order
        for name in world.prices:
            world.prices[name] = round(world.prices[name] * FALL)
        world.printed = set()  # a gap: no stop finds a price on the way down
        await asyncio.sleep(20)
        left = [name for name in held if worth_e8(world, name) >= world.instruments[name].min_notional_e8]
        loss_e8 = before_e8 - account_e8(world)
        trial.faults.calm()
        await trial.settle(life, process)
        faults = agreed(trial, process)
        await trial.end(life, process)
        return held, left, loss_e8, exposure_e8, faults, min(heard.values())

    held, left, loss_e8, exposure_e8, faults, prints = scene(play, seed)
    assert held
    assert prints >= COPIES
    assert left == [], "not sold by its stops"
    assert exposure_e8 * 15 // 100 <= loss_e8 <= exposure_e8 * 23 // 100
    assert faults == []
