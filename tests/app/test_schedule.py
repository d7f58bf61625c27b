"""Jobs of the scheduler: one at a time, missed runs fold into one and are counted."""

import asyncio

from bnml.app import schedule
from bnml.core.clock import LiveClock


class Journal:
    def __init__(self):
        self.prunings = asyncio.Queue()

    async def prune(self, _older_ns, *, has_prices):
        self.prunings.put_nowait(has_prices)


async def test_f62_a_slow_job_never_overlaps_itself_and_what_it_misses_is_counted(tmp_path):
    running, most, runs = 0, 0, asyncio.Semaphore(0)
    before = schedule.misses.total

    async def slow():
        nonlocal running, most
        running += 1
        most = max(most, running)
        runs.release()
        while schedule.misses.total - before < 2:  # noqa: ASYNC110 - a counter tells nobody
            await asyncio.sleep(0.01)
        running -= 1

    scheduler = schedule.start(Journal(), LiveClock(), tmp_path, slow, 1)
    jobs = scheduler.get_jobs()
    assert {(job.max_instances, job.coalesce) for job in jobs} == {(1, True)}
    async with asyncio.timeout(30):
        for _ in range(2):
            await runs.acquire()
    scheduler.shutdown(wait=False)
    assert most == 1


async def test_a_life_that_ends_before_the_first_interval_keeps_house_too(tmp_path):
    """Lives of some minutes left two photographs each, and the next start looked through all of them."""
    journal = Journal()
    scheduler = schedule.start(journal, LiveClock(), tmp_path, None, 1)
    assert await asyncio.wait_for(journal.prunings.get(), 10) is True
    scheduler.shutdown(wait=False)


async def test_the_events_of_a_stepped_session_stay_as_they_are_by_whatever_clock(tmp_path):
    """They are the same in every run, and how many months of the market an hour of this machine is, is not."""
    journal = Journal()
    scheduler = schedule.start(journal, LiveClock(), tmp_path, None, 1, is_stepped=True)
    assert await asyncio.wait_for(journal.prunings.get(), 10) is False
    scheduler.shutdown(wait=False)
