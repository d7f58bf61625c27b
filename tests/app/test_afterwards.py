"""What followers are told after the orders have left: all of it, in its order."""

import asyncio

from bnml.app.afterwards import WAIT_S, Afterwards
from bnml.core.events import Scan, Timer
from bnml.core.outcomes import EquityPoint


class Following:
    def __init__(self):
        self.seen = []

    def follow(self, event, outcomes):
        self.seen.append((event, outcomes))


SCAN, MARK = Scan(1, 2, ()), Timer("mark", 3)
POINT = EquityPoint(1, 2, 3, 0, 0)


async def test_what_has_nothing_to_tell_is_passed_on_at_once():
    following = Following()
    Afterwards(following).follow(MARK, [])
    assert following.seen == [(MARK, [])]


async def test_what_has_something_to_tell_waits_and_all_that_comes_after_it_keeps_its_place():
    following = Following()
    afterwards = Afterwards(following)
    afterwards.follow(SCAN, [POINT])
    afterwards.follow(MARK, [])
    await asyncio.sleep(0)
    assert following.seen == []
    await asyncio.sleep(20 * WAIT_S)
    assert following.seen == [(SCAN, [POINT]), (MARK, [])]
    afterwards.follow(MARK, [])
    assert len(following.seen) == 3


async def test_who_looks_is_told_first():
    following = Following()
    afterwards = Afterwards(following)
    afterwards.follow(SCAN, [POINT])
    afterwards.tell()
    assert following.seen == [(SCAN, [POINT])]
    await asyncio.sleep(20 * WAIT_S)
    assert len(following.seen) == 1
