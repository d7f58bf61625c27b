"""Wall-time housekeeping by apscheduler: the journal's size, the disk, and the look at models' age."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from apscheduler.events import JobEvent

    from bnml.core.clock import Clock
    from bnml.journal.writer import JournalWriter

HOUSEKEEPING_MINUTES = 10
KEEP_HEALTH_DAYS = 1  # of a row a second, that is 0.1 GB
LEAST_FREE_BYTES = 500 * 1024 * 1024


def start(
    journal: JournalWriter,
    clock: Clock,
    state_dir: Path,
    check_models: Callable[[], None] | None,
    check_s: int,
    *,
    is_stepped: bool = False,
) -> AsyncIOScheduler:
    """Start the jobs on the running loop; the caller shuts the scheduler down."""

    async def keep_house() -> None:
        older_than_ns = clock.now_ns() - KEEP_HEALTH_DAYS * NS_PER_DAY
        await journal.prune(older_than_ns, has_prices=not is_stepped)
        free = shutil.disk_usage(state_dir).free
        if free < LEAST_FREE_BYTES:
            logger().error(
                "disk_nearly_full", free_mib=free >> 20, folder=str(state_dir), way_out="make room on it"
            )

    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(
        keep_house, misfire_grace_time=None
    )  # now: a life may end before the first interval does
    scheduler.add_job(keep_house, "interval", minutes=HOUSEKEEPING_MINUTES, max_instances=1, coalesce=True)
    if check_models is not None:
        scheduler.add_job(check_models, "interval", seconds=check_s, max_instances=1, coalesce=True)
    scheduler.add_listener(misses.count, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
    scheduler.start()
    return scheduler


class Misses:
    """Runs of jobs that did not happen: too late, or the one before still ran."""

    def __init__(self) -> None:
        self.total = 0

    def count(self, event: JobEvent) -> None:
        """One more; a job that is slow misses many, so only powers of two are told."""
        self.total += 1
        if self.total & (self.total - 1) == 0:
            logger().warning("job_missed", job=event.job_id, missed=self.total)


misses = Misses()
"""Of this process."""
