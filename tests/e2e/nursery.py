"""Starts daemons that die: each is a fork of one warm interpreter, so that a start takes tenths of a second.

Each line on stdin, `<point> <visit>`, starts one; `-` is no point. A daemon kills itself at that visit of the named
point, with SIGKILL, or is killed from outside. Said on stdout: `started <pid>`, later `ended <status>`.
"""

import os
import signal
import sqlite3
import sys
from collections import Counter
from functools import partial, wraps
from pathlib import Path

from bnml import cli
from bnml.app import pump, reconcile, run, warm_kernels
from bnml.app.executor import Executor
from bnml.app.strangers import intended
from bnml.config import load
from bnml.journal.schema import INSERTS
from bnml.journal.writer import JournalWriter
from bnml.venues.binance.venue import BinanceVenue

POINTS = (
    "before_intent",
    "before_commit",
    "after_commit",
    "before_send",
    "acked",
    "before_report",
    "during_snapshot",
    "during_reconcile",
    "reconciled",
)
_visits = Counter()


class _Death:
    """The place and the visit at which this process ends."""

    point, visit = "-", 0


def passing(name):
    """Die here, if it is the place."""
    if name == _Death.point:
        _visits[name] += 1
        if _visits[name] >= _Death.visit:
            os.kill(os.getpid(), signal.SIGKILL)


def around(owner, name, before="", after=""):
    """Wrap a method of the product, in this process only."""
    inner = getattr(owner, name)

    @wraps(inner)
    async def wrapped(*values, **options):
        passing(before)
        result = await inner(*values, **options)
        passing(after)
        return result

    @wraps(inner)
    def plain(*values, **options):
        passing(before)
        result = inner(*values, **options)
        passing(after)
        return result

    setattr(owner, name, wrapped if _is_async(inner) else plain)


def _is_async(function):
    return bool(function.__code__.co_flags & 0x80)


def arm():
    """Put every named point into the product's code, as loaded here."""
    submit = Executor.submit

    @wraps(submit)
    def submitting(self, seq, commands):
        if any(intended(one) for one in commands):
            passing("before_intent")
        submit(self, seq, commands)

    Executor.submit = submitting
    around(BinanceVenue, "execute", before="before_send", after="acked")
    around(JournalWriter, "append_snapshot", after="during_snapshot")
    around(reconcile, "missed_reports", after="during_reconcile")
    around(reconcile, "bring_truth", after="reconciled")
    take = pump.Pump.take

    @wraps(take)
    async def taking(self, item):
        if type(item).__name__ == "OrderReport":
            passing("before_report")
        await take(self, item)

    sqlite3.connect, pump.Pump.take = partial(sqlite3.connect, factory=_Connection), taking


class _Connection(sqlite3.Connection):
    """Of all commits those are places that hold an intent: the first ones of a life do not."""

    has_intent = False

    def executemany(self, statement, rows):
        self.has_intent |= statement == INSERTS["command"] and any(name for _, _, _, name, _ in rows)
        return super().executemany(statement, rows)

    def execute(self, statement, *values):
        if statement != "COMMIT" or not self.has_intent:
            return super().execute(statement, *values)
        self.has_intent = False
        passing("before_commit")
        result = super().execute(statement, *values)
        passing("after_commit")
        return result


def main():
    """Serve until stdin ends."""
    words = sys.argv[1:]
    config, state, symbols = words[:3]
    settings = load(
        Path(config), {}, {"app.state_dir": (state, ""), "universe.symbols": (symbols.split(","), "")}
    )
    warm_kernels.warm_kernels(settings)
    arm()
    assert run.run  # loaded before the first fork
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        point, visit = line.split()
        child = os.fork()
        if child == 0:
            _Death.point, _Death.visit = point, int(visit)
            os.setsid()
            log = os.open(f"{state}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for handle in (1, 2):
                os.dup2(log, handle)
            os.close(0)
            arguments = ["run", "--venue", "sim", "--no-retrain", "--config", config]
            os._exit(cli.call([*arguments, "--state-dir", state, "--symbols", symbols]))
        sys.stdout.write(f"started {child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
