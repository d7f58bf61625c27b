"""Coins that are paid out: what the ledger does not explain is compared with the account before anything is made smaller."""

import pytest

from bnml.core.events import CapitalFlow
from bnml.trading.portfolio import Dust
from tests.app.test_common_clock import make_pump
from tests.trading.hand_venue import SYMBOL, World

HELD_E8 = 9_990_000


class Case:
    """A position, or none yet, beside `foreign_e8` of the same coins; what the pump has fed, and how often it compared."""

    def __init__(self, foreign_e8=0, *, is_entered=True, compares=True):
        self.world, self.compared = World(), 0
        if is_entered:
            self.world.enter()
            self.world.settle()
        self.engine = self.world.engine
        self.engine.process(CapitalFlow("BTC", foreign_e8, self.world.now_ns), 10**6)
        self.pump = make_pump(self.engine, self, (SYMBOL,), compare=self.compare if compares else None)

    def compare(self):
        self.compared += 1

    def follow(self, event, outcomes):
        pass

    async def pay(self, amount_e8, asset="BTC", **fields):
        await self.pump.take(CapitalFlow(asset, amount_e8, self.world.now_ns + 1, **fields))

    @property
    def held_e8(self):
        position = self.world.position()
        return 0 if position is None else sum(one.base_e8 for one in position.tranches)

    @property
    def total_e8(self):
        return self.engine.portfolio.total_e8("BTC")


@pytest.mark.parametrize("is_entered", [True, False], ids=["beside a position", "before a purchase"])
async def test_coins_that_the_ledger_never_saw_leave_no_position_smaller(is_entered):
    """Their owner bought them a moment ago: a position, or the next purchase, was cut by them for good."""
    case = Case(is_entered=is_entered)
    held_e8 = case.held_e8
    await case.pay(-5_000_000)
    assert case.compared == 1
    assert case.held_e8 == held_e8 == case.total_e8


async def test_what_the_account_lacks_when_it_was_compared_leaves_the_position():
    case = Case()
    await case.pay(-5_000_000, is_compared=True)
    assert not case.compared
    assert case.held_e8 == case.total_e8 == HELD_E8 - 5_000_000


@pytest.mark.parametrize(
    ("foreign_e8", "amount_e8", "asset"), [(10**8, -(10**8), "BTC"), (0, 10**8, "BTC"), (0, -(10**8), "USDT")]
)
async def test_a_payment_that_the_ledger_explains_is_booked_at_once(foreign_e8, amount_e8, asset):
    case = Case(foreign_e8)
    before_e8 = case.engine.portfolio.total_e8(asset)
    await case.pay(amount_e8, asset)
    assert not case.compared
    assert case.engine.portfolio.total_e8(asset) == before_e8 + amount_e8
    assert case.held_e8 == HELD_E8


async def test_without_a_comparison_the_word_of_the_payment_counts():
    case = Case(compares=False)
    await case.pay(-5_000_000)
    assert case.held_e8 == HELD_E8 - 5_000_000


async def test_dust_is_ours_and_coins_of_another_kind_are_not():
    case = Case(5_000_000, is_entered=False)
    case.engine.state.ledger.dust[SYMBOL] = Dust("BTC", 5_000_000, 10**8)
    await case.pay(-4_000_000)
    assert case.compared == 1
    case = Case()
    await case.pay(10, "ETH")
    await case.pay(-5, "ETH")
    assert not case.compared
