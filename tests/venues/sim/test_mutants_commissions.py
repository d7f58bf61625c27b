"""Commissions to the last unit: rates by role and symbol, payment in BNB by every route, and what it falls back to."""

import pytest

from bnml.core.instrument import E8, Instrument
from bnml.venues.sim.accounts import open_account
from bnml.venues.sim.commissions import Commissions
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import HOUR_NS, LOT, TICK, costs

PLAIN = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=TICK, lot_e8=LOT)
RATE = Instrument("BNBUSDT", "BNB", "USDT", tick_e8=TICK, lot_e8=LOT)
IN_BNB = Instrument("BTCBNB", "BTC", "BNB", tick_e8=TICK, lot_e8=LOT)


def paid(
    instrument=PLAIN, *, buys=True, is_maker=False, bnb_e8=E8, last=50_000, got=E8, quote=600 * E8, **own
):
    """Asset and amount of a commission; BNB costs 500.00 unless said otherwise."""
    pricing = Pricing(costs())
    instruments = {one.symbol: one for one in (PLAIN, RATE, IN_BNB) if last or one is not RATE}
    market = Market(instruments, HOUR_NS, pricing)
    if last:
        market["BNBUSDT"].state.last_ticks = max(0, last)
    account = open_account("ann", {"BNB": bnb_e8}, 1000, 2000)
    account.pays_in_bnb = own.get("pays_in_bnb", True)
    account.rates = own.get("rates", {})
    kind = {"buys": buys, "got_e8": got, "quote_e8": quote, "is_maker": is_maker}
    return tuple(Commissions(market, pricing).of(account, instrument, due_e8=own.get("due_e8", 0), **kind))


@pytest.mark.parametrize(("due_e8", "asset"), [(E8 - 180_000, "BNB"), (E8 - 179_999, "USDT")])
def test_what_the_same_order_has_still_to_sell_pays_nothing(due_e8, asset):
    """A market stop in several pieces locks nothing of the later ones: they were once paid away by the first."""
    assert paid(RATE, buys=False, got=600 * E8, due_e8=due_e8)[0] == asset


def test_rates_by_role_and_by_symbol():
    assert paid(pays_in_bnb=False, is_maker=True) == ("BTC", E8 // 1000)
    assert paid(pays_in_bnb=False) == ("BTC", E8 // 500)
    assert paid(pays_in_bnb=False, buys=False, got=600 * E8) == ("USDT", 6 * E8 // 5)
    assert paid(pays_in_bnb=False, rates={"BTCUSDT": (30, 40)}) == ("BTC", 4_000)
    assert paid(pays_in_bnb=False, rates={"BTCUSDT": (30, 40)}, is_maker=True) == ("BTC", 3_000)
    assert paid(pays_in_bnb=False, rates={"BNBUSDT": (30, 40)}) == ("BTC", E8 // 500)


@pytest.mark.parametrize(
    ("instrument", "kind", "amount"),
    [
        (PLAIN, {}, 600 * E8 // 500 * 3 // 4 // 500),  # 0.2 % of 600 USDT, a quarter off, at 500
        (PLAIN, {"got": 2 * E8}, 600 * E8 // 500 * 3 // 4 // 500),  # at the price of the fill: 300
        (PLAIN, {"buys": False, "got": 600 * E8}, 600 * E8 // 500 * 3 // 4 // 500),
        (PLAIN, {"buys": False, "got": 600 * E8, "is_maker": True}, 600 * E8 // 1000 * 3 // 4 // 500),
        (RATE, {"got": 4 * E8}, 4 * E8 // 500 * 3 // 4),  # it is BNB already
        (IN_BNB, {"quote": 3 * E8}, 3 * E8 // 500 * 3 // 4),  # bought with BNB
        (IN_BNB, {"buys": False, "got": 3 * E8}, 3 * E8 // 500 * 3 // 4),
    ],
)
def test_every_way_to_bnb(instrument, kind, amount):
    assert paid(instrument, **kind) == ("BNB", amount)


def test_amounts_are_rounded_down_at_every_step():
    # 0.2 % of 700 units: 1; 1 * 333 // 700 at the price of the fill: 0; nothing is left to pay in BNB
    assert paid(got=700, quote=333) == ("BTC", 1)
    assert paid(got=499, quote=10**9) == ("BTC", 0)
    assert paid(got=10**6, quote=10**9) == ("BNB", 2_000 * 1_000 // 500 * 3 // 4)


def test_without_enough_bnb_or_a_price_it_is_paid_in_what_was_got():
    due = 600 * E8 // 500 * 3 // 4 // 500
    assert paid(bnb_e8=due) == ("BNB", due)
    assert paid(bnb_e8=due - 1) == ("BTC", E8 // 500)
    assert paid(last=0) == ("BTC", E8 // 500)  # no such market
    assert paid(last=-1) == ("BTC", E8 // 500)  # nothing was traded there yet
    assert paid(RATE, bnb_e8=0, got=4 * E8) == ("BNB", 4 * E8 // 500 * 3 // 4)  # out of what was bought
    assert paid(IN_BNB, bnb_e8=0, buys=False, got=3 * E8) == ("BNB", 3 * E8 // 500 * 3 // 4)
