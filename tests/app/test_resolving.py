"""A doubt ends by what the venue shows, or by absence that is proven: never by one look, never too soon."""

import asyncio

import msgspec
import pytest

from bnml.app.resolving import NOTHING_TO_CANCEL, Doubt, Fate
from bnml.core.commands import CancelList, CancelOrder, ReplaceOrder
from bnml.core.errors import Retryable
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import FINAL_STATES, OrderState, Side
from bnml.venues.binance.departures import Departure
from tests.app.test_lost_answers import stop, stop_ticket
from tests.virtual_time import in_virtual_time

LONG_AGO_S = -100.0
REPLACE = ReplaceOrder("old", stop_ticket("new"), "moves")


class Shown:
    """Shows each order in a state from a moment on, and the first `silent` looks fail."""

    def __init__(self, silent=0, **orders):
        self.orders, self.silent, self.members, self.proofs = orders, silent, [], 0

    async def order_reports(self, symbol, name):
        if self.silent > 0:
            self.silent -= 1
            raise Retryable("no route")
        now_s = asyncio.get_running_loop().time()
        states = [state for from_s, state in self.orders.get(name, ()) if from_s <= now_s]
        return [OrderReport(symbol, name, 1, states[-1], Side.SELL)] if states else []

    async def list_members(self, _list_id):
        return self.members

    async def shows_none_of(self, symbol, _names, ended=""):
        self.proofs += 1
        shown = await self.order_reports(symbol, ended) if ended else []
        return not any(one.state not in FINAL_STATES for one in shown)


async def end(venue, command, left_s=LONG_AGO_S, settle_s=1.4, heard=lambda _: False, departure=None):
    if departure is None:
        departure = Departure()
        departure.at_s = left_s
    doubt = Doubt(
        venue,
        command,
        departure,
        settle_s=settle_s,
        answer=None,
        heard=heard,
        is_doubled=lambda: False,
        fills_once=lambda: False,
        now_ns=lambda: 7,
    )
    async with asyncio.timeout(1000):
        return await doubt.end()


@in_virtual_time
async def test_one_look_that_shows_nothing_proves_nothing():
    """What is read lags behind: the request is too old to arrive, and the order is shown a moment later."""
    began_s = asyncio.get_running_loop().time()
    found = await end(Shown(s=[(began_s + 0.25, OrderState.OPEN)]), stop("s"))
    assert found.fate is Fate.FOUND


@in_virtual_time
async def test_a_request_that_has_not_left_can_still_arrive():
    venue = Shown(s=[(asyncio.get_running_loop().time() + 60, OrderState.OPEN)])
    assert (await end(venue, stop("s"), departure=Departure())).fate is Fate.FOUND


@in_virtual_time
async def test_looks_before_a_request_has_left_count_for_nothing():
    """Held up for long, it leaves while its absence is read; few looks fall into the time until it is too old."""

    class Leaving(Shown):
        async def shows_none_of(self, symbol, names, ended=""):
            if not self.proofs:
                departure.at_s = asyncio.get_running_loop().time()
                self.orders["s"] = [(departure.at_s + 6, OrderState.OPEN)]
            return await super().shows_none_of(symbol, names, ended)

    departure = Departure()
    departure.at_s = LONG_AGO_S
    found = await end(Leaving(silent=7), stop("s"), settle_s=5.0, departure=departure)
    assert found.fate is Fate.FOUND


@in_virtual_time
async def test_what_the_account_has_told_of_is_there_whatever_is_read():
    found = await end(Shown(), stop("s"), heard=lambda name: name == "s")
    assert (found.fate, found.events) == (Fate.FOUND, ())


@in_virtual_time
async def test_a_cancel_that_may_still_arrive_has_not_failed():
    began_s = asyncio.get_running_loop().time()
    venue = Shown(t=[(LONG_AGO_S, OrderState.OPEN), (began_s + 0.5, OrderState.CANCELED)])
    found = await end(venue, CancelOrder("BTCUSDT", "t", ""), left_s=began_s)
    assert (found.fate, [one.state for one in found.events]) == (Fate.FOUND, [OrderState.CANCELED])


@in_virtual_time
async def test_a_list_of_which_one_leg_is_not_shown_is_not_over():
    venue = Shown(a=[(LONG_AGO_S, OrderState.CANCELED)])
    venue.members = ["a", "b"]
    found = await end(venue, CancelList("BTCUSDT", "list", ""))
    assert venue.proofs  # of the other one
    assert found.fate is Fate.ABSENT


@in_virtual_time
async def test_a_cancel_of_what_the_venue_does_not_know_found_nothing_to_cancel():
    found = await end(Shown(), CancelOrder("BTCUSDT", "t", ""))
    assert found.events == (CancelFailed("BTCUSDT", "t", 7, NOTHING_TO_CANCEL, "the cancel did not arrive"),)


@pytest.mark.parametrize(
    ("state", "fate"),
    [
        (OrderState.CANCELED, Fate.HALF),
        (OrderState.FILLED, Fate.ABSENT),
        (OrderState.EXPIRED, Fate.ABSENT),
    ],
)
@in_virtual_time
async def test_only_what_a_replacement_has_cancelled_is_followed_by_its_second_half(state, fate):
    """What has sold is not to be sold once more."""
    found = await end(Shown(old=[(LONG_AGO_S, state)]), REPLACE)
    assert (found.fate, [one.state for one in found.events]) == (fate, [state])


@in_virtual_time
async def test_what_somebody_else_cancelled_after_a_part_of_it_had_sold_is_not_followed_for_the_whole():
    """The successor was made for all of it: the rest would be coins of others."""

    class Sold(Shown):
        async def order_reports(self, symbol, name):
            found = await super().order_reports(symbol, name)
            return [msgspec.structs.replace(one, cumulative_lots=60) for one in found]

    found = await end(Sold(old=[(LONG_AGO_S, OrderState.CANCELED)]), REPLACE)
    assert (found.fate, [one.cumulative_lots for one in found.events]) == (Fate.ABSENT, [60])


@in_virtual_time
async def test_a_replacement_that_never_arrived_is_over_although_the_old_order_rests_on():
    """Of an order that was not cancelled no end can be shown: the stop would not be moved any more."""
    found = await end(Shown(old=[(LONG_AGO_S, OrderState.OPEN)]), REPLACE)
    failed = CancelFailed("BTCUSDT", "old", 7, 0, "the cancel did not arrive")
    assert (found.fate, found.events[-1]) == (Fate.ABSENT, failed)
