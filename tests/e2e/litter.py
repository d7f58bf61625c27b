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
from bnml.core.orders import OrderType, Side
from bnml.venues.sim.inprocess import ACCOUNT
from tests.e2e.kills import CONFIG, SYMBOLS, Rehearsal, _exchange
from tests.e2e.nursery import POINTS

STOPS = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
FINAL = {"FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH"}
ORDERS = [f"{verb} /api/v3/order*" for verb in ("POST", "DELETE")] + [
    "order.place",
    "order.cancel",
    "order.cancelReplace",
    "orderList.*",
]
WARM_S, DEAD_S, START_S, LIFE_S = 240.0, 0.8, 30.0, 3.0


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
        self.starts_s = []
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

    def kill_once(self):
        """One life: until its point, or until a random moment."""
        point = self.random.choice((*POINTS, "-", "-", "-"))
        self.begin(point, self.random.randint(1, 3))
        said = self._line(self.random.uniform(0.1, LIFE_S) if point == "-" else 2 * LIFE_S)
        if not said:
            os.kill(self.pid, signal.SIGKILL)
            said, point = self._line(START_S), "any moment"
        assert said == f"ended -{int(signal.SIGKILL)}", f"the daemon ended by itself: {said}"
        self.kills[point] += 1

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


def uncovered_s(exchange, speed):
    """Each time that something held had no resting stop, in seconds of wall time, from the exchange's own ledger."""
    spans = []
    for symbol, instrument in exchange.instruments.items():
        moves = Counter()
        for trade in exchange.read.trades(ACCOUNT, symbol, limit=100_000):
            lots = trade.quantity_lots if trade.is_buyer else -trade.quantity_lots
            if trade.commission_asset == instrument.base:
                lots -= -(-trade.commission_e8 // instrument.lot_e8)
            moves[trade.ts_ns] += lots
        orders = exchange.read.all_orders(ACCOUNT, symbol, limit=100_000)
        entries = {order.list_id: order for order in orders if order.side is Side.BUY and order.list_id >= 0}
        for order in orders:
            entry = entries.get(order.list_id)
            sleeps = entry is not None and not entry.executed_lots
            if order.side is Side.SELL and order.type in STOPS and order.status != "REJECTED" and not sleeps:
                moves[order.created_ns if entry is None else entry.updated_ns] -= order.quantity_lots
                if order.status in FINAL:
                    moves[order.updated_ns] += order.quantity_lots
        bare, since_ns, least = 0, 0, None
        for ts_ns in sorted(moves):
            bare += moves[ts_ns]
            price = max(1, exchange.market[symbol].state.last_ticks)
            least = instrument.min_notional_e8 * 4 // max(1, instrument.notional_e8(price, 1))
            if bare > least and not since_ns:
                since_ns = ts_ns
            elif bare <= least and since_ns:
                spans.append((ts_ns - since_ns) / 1e9 / speed)
                since_ns = 0
    return sorted(spans)


def rehearse(state, kills, seed):
    """Kill, finish, compare; what was found."""
    litter = Litter(state, seed)
    began = time.monotonic()
    try:
        for _ in range(kills):
            litter.kill_once()
            time.sleep(litter.random.choice([0.0, 0.0, litter.random.uniform(0, DEAD_S)]))
        took = time.monotonic() - began
        struck = litter.struck()
        litter.finish()
    finally:
        litter.close()
    found = litter.check()
    settings = load(
        CONFIG, {}, {"app.state_dir": (str(state), ""), "universe.symbols": (SYMBOLS.split(","), "")}
    )
    spans = uncovered_s(_exchange(settings, state / "exchange" / "ledger.db"), settings.venue.sim.speed)
    share = {name: spans[min(len(spans) - 1, int(len(spans) * at))] for name, at in _AT} if spans else {}
    return {
        "kills": kills,
        "seconds_a_kill": round(took / kills, 2),
        **found,
        "lost": 0,
        "doubled": 0,
        "uncovered": {"times": len(spans), **{name: round(one, 3) for name, one in share.items()}},
        "killed": dict(litter.kills),
        "faults": struck,
    }


_AT = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0))


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
