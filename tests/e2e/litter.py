"""Real daemons over real sockets, killed with SIGKILL at named points and at any moment; then both sides are compared."""

import argparse
import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from bnml.app.sim_process import Endpoint
from bnml.config import load
from bnml.core.clock import parse_utc_ns
from bnml.drill.cover import window_of
from bnml.journal.reader import JournalReader
from tests.e2e.kills import CONFIG, SYMBOLS, Rehearsal, _exchange
from tests.e2e.nursery import POINTS
from tests.e2e.uncovered import dead_times, long_ones, spells, table

ORDERS = [f"{verb} /api/v3/order*" for verb in ("POST", "DELETE")] + [
    "order.place",
    "order.cancel",
    "order.cancelReplace",
    "orderList.*",
]
WARM_S, DEAD_S, START_S, LIFE_S = 240.0, 0.8, 30.0, 3.0
LONG_LIFE_S, LONG_LIVES = 7.0, 1 / 8
"""Longer than a request may be on its way: what never arrived is over then. Else it keeps its place for ever."""
STRIKE_S = 90.0
"""Within which a life comes by each place; it takes a second or three, on a machine with nothing else to do."""


def script(seed):
    """Faults in 15 of 100 orders, and in the account's events, while processes die."""

    def rule(name, probability, do, **more):
        return {
            "name": name,
            "when": {"probability": probability},
            "match": {"request": ORDERS},
            "do": do,
            **more,
        }

    user = {"match": {"user_event": "executionReport"}}
    rules = [
        rule("never arrives", 0.02, "no_answer"),
        rule("unanswered", 0.03, "no_answer", at="after"),
        rule("timeout", 0.02, {"action": "answer", "like": "timeout"}, at="after"),
        rule("bad gateway", 0.02, {"action": "answer", "like": "bad_gateway"}, at="after"),
        rule("overloaded", 0.02, {"action": "answer", "like": "overloaded"}),
        rule("line breaks", 0.01, "reset"),
        rule("slow", 0.03, {"action": "delay", "seconds": 0.3, "jitter_s": 0.3}),
        rule("told twice", 0.05, {"action": "duplicate", "copies": 1}, **user),
        rule("told late", 0.05, {"action": "reorder", "behind": 1}, **user),
        rule("not told", 0.02, "drop", **user),
    ]
    return {"seed": seed, "rules": rules}


class Litter(Rehearsal):
    """A rehearsal whose daemons come out of one warm interpreter."""

    def __init__(self, state, seed):
        super().__init__(state, seed)
        self.kills = Counter()
        self.strikes = {}  # by exchange and number, as it lists them
        command = [sys.executable, "-m", "tests.e2e.nursery", str(CONFIG), str(state), SYMBOLS]
        self.nursery = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._line(WARM_S) == "ready"
        self.pid = 0
        self.seed = seed
        self.faulty = 0  # the exchange that has the script

    def _line(self, patience_s):
        """The next line of the nursery; empty when none comes in time. It writes one at a time, and we read all."""
        if not select.select([self.nursery.stdout], [], [], patience_s)[0]:
            return ""
        return os.read(self.nursery.stdout.fileno(), 100).decode().strip()

    def begin(self, point="-", visit=1):
        self.nursery.stdin.write(f"{point} {visit}\n".encode())
        self.nursery.stdin.flush()
        self.pid = int(self._line(START_S).split()[1])
        with contextlib.suppress(FileNotFoundError, OSError):  # the exchange is only about to come
            if self.endpoint().pid != self.faulty:
                self.control("POST", "/sim/faults", script(self.seed))
                self.faulty = self.endpoint().pid

    def struck(self):
        """How often each rule did."""
        rules = self.control("GET", "/sim/faults")["rules"]
        return {one["name"]: one["fired"] for one in rules}

    def kill_at(self, point):
        """One life, to its first visit of that place."""
        self.begin(point)
        self._has_died(self._line(STRIKE_S), point)

    def kill_once(self):
        """One life: until its point, or until a random moment."""
        point = self.random.choice((*POINTS, "-", "-", "-"))
        self.begin(point, self.random.randint(1, 3))
        life_s = self.random.uniform(0.1, LIFE_S) if point == "-" else 1.4 * LIFE_S
        said = self._line(LONG_LIFE_S if self.random.random() < LONG_LIVES else life_s)
        if not said:
            os.kill(self.pid, signal.SIGKILL)
            said, point = self._line(START_S), "any moment"
        self._has_died(said, point)

    def _has_died(self, said, point):
        assert said == f"ended -{int(signal.SIGKILL)}", (
            f"the daemon did not die at {point}: {said or 'it lives'}"
        )
        self.kills[point] += 1
        for one in self.control("GET", "/sim/faults").get("fired", ()):  # the first life had none
            self.strikes[self.faulty, one["ordinal"]] = one

    def finish(self):
        """One life without faults, stopped in order."""
        self.control("DELETE", "/sim/faults")
        self.begin()
        began = time.time_ns()
        for _ in range(600):
            health = self.health()
            if (
                health is not None
                and health.ts_ns > began
                and health.state == "running"
                and health.scans >= 5
            ):
                break
            time.sleep(0.1)
        self.freeze_market()
        os.kill(self.pid, signal.SIGTERM)
        assert self._line(START_S) == "ended 0"

    def close(self):
        self.nursery.stdin.close()
        if self.nursery.poll() is None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        self.nursery.wait(START_S)
        self.nursery.stdout.close()
        # A daemon killed between the start of its exchange and the note of it leaves an exchange of its own right.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self.endpoint().pid, signal.SIGTERM)

    def endpoint(self):
        return msgspec.json.decode((self.state / "exchange" / "endpoint.json").read_bytes(), type=Endpoint)


def uncovered(state, strikes):
    """The table of what lay without a stop, from the exchange's ledger; when the daemons died, from the journal."""
    settings = load(
        CONFIG, {}, {"app.state_dir": (str(state), ""), "universe.symbols": (SYMBOLS.split(","), "")}
    )
    exchange, speed = _exchange(settings, state / "exchange" / "ledger.db"), settings.venue.sim.speed
    with JournalReader(state / "journal.db") as journal:
        numbers = [session.id for session in journal.sessions()]
        ends_ns = [max(map(_heard_ns, journal.events(session=one)), default=0) for one in numbers]
        words_ns = [parse_utc_ns(one.market_time) for one in journal.statuses() if one.market_time]
    found = spells(exchange, max(ends_ns))
    struck = [window_of(parse_utc_ns(one["marketTime"]), one, {}, speed) for one in strikes]
    windows = [*dead_times(ends_ns[:-1], words_ns), *filter(None, struck)]
    return {**table(found, ends_ns[:-1], speed), "long": long_ones(found, windows, speed)}


def _heard_ns(row):
    """The venue's moment of an event; of a bar, which may be much older, none."""
    return getattr(row[1], "ts_ns", 0)


def rehearse(state, kills, seed):
    """Kill, at each named place first, finish, compare; what was found."""
    litter = Litter(state, seed)
    began = time.monotonic()
    try:
        for number in range(kills):
            if number < len(POINTS):
                litter.kill_at(POINTS[number])
            else:
                litter.kill_once()
            time.sleep(litter.random.choice([0.0, 0.0, litter.random.uniform(0, DEAD_S)]))
        took = time.monotonic() - began
        struck = litter.struck()
        litter.finish()
    finally:
        litter.close()
    found = litter.check()
    assert found["orders"] > kills, "hardly anything was traded: deaths with nothing under way prove nothing"
    return {
        "kills": kills,
        "seconds_a_kill": round(took / kills, 2),
        **found,
        "uncovered": uncovered(state, litter.strikes.values()),
        "killed": dict(litter.kills),
        "faults": struck,
    }


def main():
    """Command line of the real half of `scripts/kill-matrix`."""
    parser = argparse.ArgumentParser(description="Real kills; both sides must agree, else this fails.")
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, required=True, help="an empty folder")
    chosen = parser.parse_args()
    random.seed(chosen.seed)
    sys.stdout.write(json.dumps(rehearse(chosen.state, chosen.kills, chosen.seed), indent=1) + "\n")


if __name__ == "__main__":
    main()
