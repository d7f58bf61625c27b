"""Comparisons that many sides ask for."""

import asyncio
from itertools import pairwise

import pytest

from bnml.app.rechecking import FREE_PAUSE_S, PAUSE_S, REPEATS, Comparisons, Rechecking
from bnml.app.resolving import LAG_S
from bnml.core.clock import NS_PER_S
from bnml.core.errors import Retryable
from bnml.core.events import Timer
from bnml.trading.portfolio import LAG_NS
from tests.virtual_time import in_virtual_time

LOOK_S = 1.0


class Case:
    def __init__(self, group):
        self.began_s, self._group, self.fails = [], group, 0
        self._rechecking = Rechecking(self._look)

    async def _look(self):
        self.began_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(LOOK_S)
        self.fails -= 1
        return self.fails < 0

    def ask(self, times=1):
        for _ in range(times):
            self._rechecking.soon(self._group)


@pytest.mark.parametrize("after_s", [LOOK_S / 2, LOOK_S + PAUSE_S / 2])
@in_virtual_time
async def test_a_payment_that_comes_during_a_look_or_its_pause_is_compared_by_the_next_one(after_s):
    """It was dropped for the comparison once, and that waited for its interval, a day at most."""
    async with asyncio.TaskGroup() as group:
        case = Case(group)
        case.ask()
        await asyncio.sleep(after_s)
        case.ask(3)
    first_s, second_s, *_ = case.began_s
    assert second_s - first_s == pytest.approx(LOOK_S + PAUSE_S)


@in_virtual_time
async def test_who_asks_is_served_by_a_look_at_once_and_by_one_that_cannot_lag_behind_the_asking():
    """A stop that was cancelled while the account's connection was down was shown as open, and not looked at before the interval."""
    async with asyncio.TaskGroup() as group:
        case = Case(group)
        case.ask(3)
    first_s, second_s = case.began_s
    assert second_s - first_s >= LAG_S
    async with asyncio.TaskGroup() as group:
        case._group = group
        case.ask()
    assert len(case.began_s) == 4


@pytest.mark.parametrize(("fails", "looks"), [(1, 2), (2, 3), (9, 1 + REPEATS)])
@in_virtual_time
async def test_what_a_look_has_not_seen_is_looked_for_again_a_few_times(fails, looks):
    async with asyncio.TaskGroup() as group:
        case = Case(group)
        case.fails = fails
        case.ask()
    assert len(case.began_s) == looks


async def nothing():
    return []


@in_virtual_time
async def test_orders_do_not_wait_for_the_account_and_a_failure_of_one_is_none_of_the_other():
    """A difference of the account is looked at for as long as reads may lag; a stop cancelled by hand waited for that."""
    told, began_s = [], {"orders": [], "account": []}

    async def orders():
        began_s["orders"].append(asyncio.get_running_loop().time())
        return ["missed"] if len(began_s["orders"]) == 1 else []

    async def account():
        began_s["account"].append(asyncio.get_running_loop().time())
        await asyncio.sleep(20.0)
        if len(began_s["account"]) == 1:
            raise Retryable("no answer")
        return [Timer("agreed", 7)]

    async with asyncio.TaskGroup() as group:
        both = Comparisons(orders, account, nothing, told.extend)
        both.soon(group)
    assert told == ["missed", Timer("agreed", 7)]
    assert [len(times) for times in began_s.values()] == [
        2,
        2,
    ]  # what had failed or found something is repeated
    first_s, second_s = began_s["orders"]
    assert second_s - first_s == pytest.approx(PAUSE_S)
    assert len(both.tasks) == 3


@in_virtual_time
async def test_a_look_that_came_to_no_end_is_repeated():
    """Fills that were told meanwhile ended it: coins that had been taken waited for the interval, and what was left had no stop."""
    answers = [None, None, []]
    told, looks = [], []

    async def account():
        looks.append(1)
        await asyncio.sleep(8.0)
        return answers.pop(0)

    async with asyncio.TaskGroup() as group:
        Comparisons(account, account, nothing, told.extend)._loops[1].soon(group)
    assert (len(looks), told) == (3, [])


@in_virtual_time
async def test_what_is_free_is_read_again_each_second_while_something_is_short():
    """Five seconds lay between a refusal that came during the pause of a look and what could be protected."""
    began_s, answers = [], [["free"], ["free"], []]

    async def free():
        began_s.append(asyncio.get_running_loop().time())
        return answers.pop(0) if answers else []

    async with asyncio.TaskGroup() as group:
        both = Comparisons(nothing, nothing, free, lambda _: None)
        both._loops[2].soon(group)
    paces_s = [later - sooner for sooner, later in pairwise(began_s)]
    assert paces_s == pytest.approx([FREE_PAUSE_S] * len(paces_s))
    assert LAG_S <= began_s[-1] - began_s[0] <= LAG_S + 1


@in_virtual_time
async def test_what_is_free_is_read_until_it_is_younger_than_what_was_asked_for_by_the_first_look():
    """The rest of what was short for a moment would else wait a minute for its stop, where reads lag behind."""
    began_s = []

    async def free():
        began_s.append(asyncio.get_running_loop().time())
        return ["free"]

    async with asyncio.TaskGroup() as group:
        Comparisons(nothing, nothing, free, lambda _: None)._loops[2].soon(group)
    assert LAG_NS / NS_PER_S + 1 < began_s[-1] - began_s[0] < 10
