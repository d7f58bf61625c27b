"""What is read may lag behind, and be told of while it is read: no fill of ours is booked as the doing of others."""

import asyncio

import msgspec
import pytest

from bnml.app.accounting import LAG_S
from bnml.core.errors import Rejected
from bnml.core.events import CapitalFlow, OrderReport
from bnml.core.instrument import DELISTED
from bnml.core.orders import OrderState, Side
from bnml.trading.orders import Order, Role
from tests.app.test_accounting import IDS, Venue, accountant, ordered
from tests.virtual_time import in_virtual_time

NAME = IDS.client_order_id(3, 0, "s")
LOTS = 1_000
FILL = OrderReport("BTCUSDT", NAME, 8, OrderState.FILLED, Side.SELL, LOTS, 4, LOTS, 3_000_000)


def now_s():
    return asyncio.get_running_loop().time()


def register(engine):
    order = Order(NAME, "BTCUSDT", Side.SELL, Role.STOP, 1, LOTS, 2_900_000)
    engine.book.register(order)
    return order


@pytest.mark.parametrize("is_fill", [True, False], ids=["fill", "payment"])
@in_virtual_time
async def test_what_is_told_while_the_orders_are_read_is_not_booked_once_more(is_fill):
    """A sale that was told late was taken of the ledger twice, and what was left of the position with it."""

    class Busy(Venue):
        async def recent_orders(self, symbol):
            if now_s() - began_s < LAG_S:
                return []
            await asyncio.sleep(0.05)
            if is_fill:
                order.applied_lots = LOTS
            engine.state.ledger.totals = {"USDT": 7}
            return [ordered(NAME, "SELL")] if is_fill else []

    fills = []
    made, engine, guards = accountant(Busy({"USDT": 7}), {"USDT": 5}, changes=lambda: len(fills))
    order, began_s = register(engine), now_s()
    assert [one for one in await made.look() if isinstance(one, CapitalFlow)] == []
    assert made.agreed == 1
    assert guards.told == []


@in_virtual_time
async def test_a_difference_is_as_old_as_the_answer_that_showed_it():
    """Not as the question: balances that came after two seconds were booked when orders might still lag behind them."""

    class Slow(Venue):
        async def balances(self):
            if not read_s:
                await asyncio.sleep(2.0)
            read_s.append(now_s())
            return await super().balances()

        async def recent_orders(self, symbol):
            return await super().recent_orders(symbol) if now_s() >= read_s[0] + LAG_S else []

    read_s = []
    sold = ordered(NAME, "SELL")
    made, engine, _ = accountant(Slow({"USDT": 7}, orders=[sold], reports=[FILL]), {"USDT": 5})
    register(engine)
    assert await made.look() == [FILL]


@in_virtual_time
async def test_a_fill_that_balances_did_not_show_when_the_books_agreed_is_no_flow():
    """They were read from a place that lagged behind: the fill is older than the look that found both equal."""
    agreed_ms = 30_000
    sold = ordered(NAME, "SELL", at_ms=agreed_ms - 3_500)
    made, engine, _ = accountant(Venue({"USDT": 5}, {"USDT": 7}, orders=[sold], reports=[FILL]), {"USDT": 5})
    register(engine)
    made._now_ns = lambda: agreed_ms * 10**6
    assert await made.look() == []
    assert made.agreed == 1
    assert await made.look() == [FILL]


@pytest.mark.parametrize("asset", ["BTC", "USDT"])
@in_virtual_time
async def test_a_symbol_that_is_gone_keeps_no_difference_from_being_booked(asset):
    """Nobody answers for its orders: each look ended with that refusal, for as long as the position was parked."""

    class Parked(Venue):
        async def recent_orders(self, symbol):
            if symbol == "BTCUSDT":
                raise Rejected("Invalid symbol.", code=-1121)
            return await super().recent_orders(symbol)

    made, _, _ = accountant(Parked({asset: 7, "ETH": 1}), {asset: 5, "ETH": 1})
    shown = made._venue.instruments
    shown["BTCUSDT"] = msgspec.structs.replace(shown["BTCUSDT"], status=DELISTED)
    (flow,) = await made.look()
    assert (flow.asset, flow.amount_e8) == (asset, 2)
