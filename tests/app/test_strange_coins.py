"""Coins that somebody else brings: the account's events show them long before it is compared."""

import pytest

from bnml.core.clock import NS_PER_S
from bnml.core.events import Balances, CapitalFlow, OrderReport, Timer
from bnml.core.orders import OrderState, Side
from bnml.trading.freeing import owns_all
from bnml.trading.ramp import AGREED
from tests.app.test_payments import HELD_E8, Case
from tests.trading.hand_venue import SYMBOL


class Shown(Case):
    """What the account's events show beside a position."""

    async def show(self, more_e8, asset="BTC", *, later_ns=0):
        whole_e8 = self.total_e8 + more_e8
        await self.pump.take(Balances(self.world.now_ns + later_ns, {asset: (whole_e8 - 1, 1)}))

    @property
    def strange_e8(self):
        return self.engine.portfolio.most_e8("BTC") - self.total_e8

    @property
    def owns_all(self):
        return owns_all(self.world.instruments[SYMBOL], self.engine.book, self.engine.portfolio)


async def test_coins_that_the_account_shows_are_others_before_any_comparison():
    """A successor for more than was left was let in by them, and sold them, for nobody knew of them (kill matrix)."""
    case = Shown()
    case.world.pass_seconds(1)
    assert case.owns_all
    assert case.engine._protection.is_calm(SYMBOL)
    await case.show(5_000_000)
    assert (case.strange_e8, case.total_e8, case.held_e8) == (5_000_000, HELD_E8, HELD_E8)
    assert not case.owns_all
    assert not case.engine._protection.is_calm(
        SYMBOL
    )  # as after a restart: what a position does beside others is looked at
    await case.show(5_000_000)  # told again
    await case.show(-1_000_000)  # the word of an older moment, or of a sale that is not told yet
    assert case.strange_e8 == 5_000_000
    await case.show(7_000_000)
    assert case.strange_e8 == 7_000_000


async def test_what_own_purchases_bring_is_not_strange_before_they_are_told():
    case = Shown(is_entered=False)
    case.world.enter()
    await case.show(HELD_E8)
    assert case.strange_e8 == 0


async def test_what_own_sales_took_is_not_strange_when_balances_of_before_come_after_them():
    case = Shown()
    before_ns = case.world.now_ns
    world = case.world
    world.move(3_070_000)  # the first target
    sold = OrderReport(
        SYMBOL, "bnt-x", world.now_ns, OrderState.FILLED, Side.SELL, trade_id=99, last_lots=1, last_ticks=1
    )
    await case.pump.take(sold)
    for ts_ns in (
        before_ns,
        world.now_ns,
    ):  # a sale of two fills may have one word of the balances after each
        await case.pump.take(Balances(ts_ns, {"BTC": (HELD_E8, 0)}))
    assert case.strange_e8 == 0
    await case.show(10_000, later_ns=1)
    assert case.strange_e8 == 10_000


@pytest.mark.parametrize(("asset", "compares"), [("PEPE", True), ("BTC", False)])
async def test_what_is_not_traded_or_never_compared_is_nothing_to_be_careful_of(asset, compares):
    case = Shown(compares=compares)
    await case.show(5_000_000, asset)
    assert case.engine.state.ledger.strange == {}


@pytest.mark.parametrize("word", ["booked", "adopted", "agreed", "agreed of a moment ago", "another booked"])
async def test_it_ends_when_the_account_has_been_compared(word):
    case = Shown()
    await case.show(5_000_000)
    now_ns = case.world.now_ns + 1
    totals = {asset: (total, 0) for asset, total in case.engine.state.ledger.totals.items()}
    case.world.feed(
        {
            "booked": CapitalFlow("BTC", 5_000_000, now_ns, is_compared=True),
            "another booked": CapitalFlow("ETH", 5_000_000, now_ns, is_compared=True),
            "adopted": Balances(now_ns + 5 * NS_PER_S, totals),
            "agreed": Timer(AGREED, now_ns + 5 * NS_PER_S),
            # It may have been read from a place that lags behind.
            "agreed of a moment ago": Timer(AGREED, now_ns + 4 * NS_PER_S),
        }[word]
    )
    assert case.strange_e8 == (0 if word in {"booked", "adopted", "agreed"} else 5_000_000)


async def test_what_came_while_a_difference_was_booked_is_still_of_others():
    """The look that found the difference was over, and what its story is was still being read."""
    case = Shown()
    await case.show(5_000_000)
    await case.show(7_000_000)
    case.world.feed(CapitalFlow("BTC", 5_000_000, case.world.now_ns + 1, is_compared=True))
    assert case.total_e8 == HELD_E8 + 5_000_000
    assert case.strange_e8 == 2_000_000
    assert not case.owns_all


async def test_coins_that_came_again_are_not_over_with_an_account_that_is_read_as_of_in_between():
    case = Shown()
    await case.show(5_000_000)
    await case.show(0)  # gone
    await case.show(5_000_000, later_ns=10 * NS_PER_S)
    case.world.feed(Timer(AGREED, case.world.now_ns + 12 * NS_PER_S))
    assert case.strange_e8 == 5_000_000
    case.world.feed(Timer(AGREED, case.world.now_ns + 15 * NS_PER_S))
    assert case.strange_e8 == 0


async def test_coins_that_came_a_moment_before_a_start_read_the_account_are_still_of_others():
    """It may have been read from a place that lags behind."""
    case = Shown()
    await case.show(5_000_000)
    totals = {asset: (total, 0) for asset, total in case.engine.state.ledger.totals.items()}
    case.world.feed(Balances(case.world.now_ns + 4 * NS_PER_S, totals))
    assert case.strange_e8 == 5_000_000


async def test_a_snapshot_keeps_it():
    case = Shown()
    await case.show(5_000_000)
    world = case.world
    world.restart()
    assert world.engine.state.ledger.strange == case.engine.state.ledger.strange != {}
