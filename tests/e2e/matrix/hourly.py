"""A fault in each hour of recorded data: what can go wrong, and the long run whose ledgers must agree in the end."""

import argparse
import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog

from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Retryable
from bnml.trading.filling import compile_costs
from bnml.venues.sim.faults.injector import Faults as Injector
from bnml.venues.sim.faults.script import parse_script
from bnml.venues.sim.pricing import Pricing
from tests.e2e.matrix.causes import UNEXPLAINED
from tests.e2e.matrix.disk import Disk
from tests.e2e.matrix.pool import Nowhere
from tests.e2e.matrix.process import POINTS
from tests.e2e.matrix.recorded import SYMBOLS, RecordedWorld, WiredProcess, recorded_feed, traded
from tests.e2e.matrix.table import Table
from tests.e2e.matrix.trial import _MOST_VISITS, Outcome, Trial
from tests.e2e.matrix.virtual import run_virtually
from tests.e2e.matrix.wire import Wires

KILL_EVERY = 50  # hours
INVENTORY_EVERY = 24 * 7
SETTLE_S = 30.0
RESTART_S = 1.0
ORDERS = '["order.place", "order.cancel*", "orderList.*", "POST /api/v3/order*", "DELETE /api/v3/order*"]'
READS = '"GET /api/v3/*"'
EARS = ("no candles", "no prints", "twice")


def _answers(at, *names):
    return {
        f"{name} {at}": f"{{match: {{request: {ORDERS}}}, at: {at}, when: {{times: 2}}, do: {{action: answer, like: {name}}}}}"
        for name in names
    }


UNCLEAR = [
    "unknown_error",
    "disconnected",
    "unexpected_response",
    "timeout",
    "unavailable",
    "bad_gateway",
    "gateway_timeout",
]
REFUSED = [
    "overloaded",
    "maintenance",
    "clock_ahead",
    "clock_behind",
    "insufficient_balance",
    "would_match",
    "would_trigger",
    "market_closed",
    "unknown_order",
    "no_such_order",
    "price_filter",
    "lot_size",
    "notional",
    "percent_price",
]


def _of_orders(action, at="before", times=2):
    return f"{{match: {{request: {ORDERS}}}, at: {at}, when: {{times: {times}}}, do: {action}}}"


def _of_reports(action, times=3):
    return f'{{match: {{user_event: "*"}}, when: {{times: {times}}}, do: {action}}}'


def _of_reads(action, times=3, at="before"):
    return f"{{match: {{request: {READS}}}, at: {at}, when: {{times: {times}}}, do: {action}}}"


def _at_once(action):
    return f"{{when: {{from_wall: AT, times: 1}}, do: {action}}}"


FAULTS = {
    "answer lost": _of_orders("no_answer", "after"),
    "request lost": _of_orders("no_answer"),
    "answer late": _of_orders("{action: delay, seconds: 2, jitter_s: 4}", "after"),
    "request late": _of_orders("{action: delay, seconds: 0.3, jitter_s: 3}"),
    "broken off before": _of_orders("reset"),
    "broken off after": _of_orders("reset", "after"),
    "answer twice": _of_orders("duplicate"),
    "answer cut short": _of_orders("truncate"),
    "half of a replacement: new": '{match: {request: "*cancelReplace"}, do: {action: half_replace, refused: new}}',
    "half of a replacement: cancel": '{match: {request: "*cancelReplace"}, do: {action: half_replace, refused: cancel}}',
    **_answers("after", *UNCLEAR),
    **_answers("before", *UNCLEAR, *REFUSED),
    "429": _of_orders("{action: answer, like: too_many_requests, retry_after_s: 2}"),
    "429 of orders": _of_orders("{action: answer, like: too_many_orders, retry_after_s: 2}"),
    "report lost": _of_reports("drop"),
    "report twice": _of_reports("duplicate"),
    "report late": _of_reports("{action: delay, seconds: 0.5, jitter_s: 3}"),
    "reports in disorder": _of_reports("{action: reorder, behind: 1}"),
    "report cut short": _of_reports("truncate"),
    "novel event": _of_reports('{action: inject, text: \'{"e":"novel"}\'}'),
    "reads lost": _of_reads("no_answer"),
    "reads late": _of_reads("{action: delay, seconds: 1, jitter_s: 4}", at="after"),
    "reads broken off": _of_reads("reset"),
    "reads cut short": _of_reads("truncate"),
    "reads slow": _of_reads("{action: slow_body, seconds: 3}"),
    "reads unavailable": _of_reads("{action: answer, like: unavailable}"),
    "reads: a sign-in page": _of_reads('{action: answer, status: 200, body: "<html>Sign in</html>"}'),
    "reads: no such order": '{match: {request: "GET /api/v3/order"}, when: {times: 1}, do: {action: answer, like: no_such_order}}',
    "reset": _at_once("{action: reset, sockets: all}"),
    "cut": _at_once("{action: cut, sockets: all}"),
    "silent": _at_once("{action: silent, sockets: all, lasts_s: 4}"),
    "dead": _at_once("{action: silent, sockets: all, lasts_s: 8, pings: false}"),
    "server shutdown": _at_once("{action: server_shutdown, notice_s: 3}"),
    "port closed": _at_once("{action: refuse_connections, seconds: 3, cut: true}"),
    "handshake refused": "{match: {connect: api}, when: {times: 2}, do: {action: answer, like: unavailable}}, "
    + _at_once("{action: reset, sockets: all}"),
    "ban": _at_once("{action: ban, seconds: 4}"),
    "ban by 429": _at_once("{action: ban, seconds: 3, status: 429}"),
    "weight used up": _at_once("{action: use_weight, weight: 5500}"),
    "clock ahead": _at_once("{action: clock_skew, ms: 4000, lasts_s: 6}"),
    "clock behind": _at_once("{action: clock_skew, ms: -4000, lasts_s: 6}"),
    "key revoked": _at_once("{action: revoke_key, lasts_s: 5}"),
    "halt": _at_once("{action: symbol_status, symbol: SYMBOL, status: HALT, lasts_s: 10}"),
    "cancel only": _at_once("{action: symbol_status, symbol: SYMBOL, status: CANCEL_ONLY, lasts_s: 10}"),
    "filters": _at_once('{action: filters, symbol: "*", min_notional: "20", lasts_s: 15}'),
    "fees": _at_once("{action: fees, maker_bps: 15, taker_bps: 20}"),
    "price gap down": _at_once("{action: price_gap, symbol: SYMBOL, percent: -6}"),
    "price gap up": _at_once("{action: price_gap, symbol: SYMBOL, percent: 6}"),
    "spike": _at_once("{action: price_spike, symbol: SYMBOL, percent: -5}"),
    "orders cancelled by hand": _at_once("{action: cancel_orders, symbol: SYMBOL}"),
    **{f"market heard: {ear}": "" for ear in EARS},
}
"""By name: rules of a fault script (docs/faults.md). AT and SYMBOL are drawn. Not here: `delist`, which nobody takes
back, and `manual_order`, after which coins of somebody else are in the account; and `transfer`: market and wall have two
clocks here, so the orders of an earlier life pass for new ones, and who looks for the story of a flow finds a clone."""


OF_TRADING = [
    name for name, rule in FAULTS.items() if any(one in rule for one in ("order.", "cancelR", "user_"))
]
"""These wait, one after the other, until there is an order that they can strike; of the others one comes each hour."""
OF_THE_HOUR = [name for name in FAULTS if name not in OF_TRADING]


@dataclass
class Hours(Outcome):
    """What the long run did and found."""

    hours: int = 0
    struck: Counter = field(default_factory=Counter)  # how often each fault did
    ended: Counter = field(default_factory=Counter)  # daemons that ended by themselves, to be started again
    longest: dict = field(
        default_factory=dict
    )  # seconds bare that ended in an hour of each fault, process alive

    def text(self):
        """The tables of the run."""
        table = Table()
        table.add(self)
        rows = [
            f"  {name}: {self.struck[name]}, longest uncovered {self.longest.get(name, 0.0):.3f} s"
            for name in FAULTS
        ]
        ended = [f"  ended by itself: {why}: {count}" for why, count in self.ended.most_common()]
        head = f"hours {self.hours}, faults {self.struck.total()}"
        return "\n".join([head, table.text(), *ended, *rows])


class Deck:
    """Names in an order of their own, each once before any comes again."""

    def __init__(self, names, random):
        self._names = names
        self._random = random
        self._left = []

    def draw(self):
        self._left = self._left or [str(one) for one in self._random.permutation(self._names)]
        return self._left.pop()


class Campaign(Trial):
    """Hour after hour on recorded data."""

    process = WiredProcess

    def __init__(self, loop, seed, feed, pricing):
        self.loop = loop
        self.random = np.random.default_rng([seed, 77])
        self.world = RecordedWorld(loop, feed, pricing)
        self.network = Wires(self.world, np.random.default_rng([seed, 2]))
        self.disk = Disk()
        self.disk.epoch = 1
        self.defect = ""
        self.stops = False
        self.at = None
        self.outcome = Hours(seed)
        self.outside = self.network.tasks

    async def run(self, hours):
        self.outside.add(asyncio.current_task())
        with self.network.carry():
            self.life, self.now = self.begin()
            await asyncio.wait({self.now.started, self.life.ended}, return_when=asyncio.FIRST_COMPLETED)
            keeping = self.network.spawn(self._keep())
            try:
                await self._hours(hours, keeping)
            finally:
                keeping.cancel()
                await self.end(self.life, self.now)
        self.outcome.bare = self.world.cover.spans
        return self.outcome

    async def _hours(self, hours, keeping):
        of_trading, of_the_hour = Deck(OF_TRADING, self.random), Deck(OF_THE_HOUR, self.random)
        waiting = of_trading.draw()
        for number in range(hours):
            struck = await self._hour(number, of_the_hour.draw(), waiting)
            if waiting in struck:
                waiting = of_trading.draw()
            if (number + 1) % KILL_EVERY == 0:
                self._doom()
            if (number + 1) % INVENTORY_EVERY == 0 or number + 1 == hours:
                await self._inventory(number)
            if keeping.done():
                keeping.result()
            if self.outcome.faults:
                return

    async def _hour(self, number, *names):
        """One hour with its faults; returns those that met something."""
        world, outcome, before = self.world, self.outcome, len(self.world.cover.spans)
        rules = [FAULTS[name].replace("{", f'{{name: "{name}", ', 1) for name in names if FAULTS[name]]
        text = ", ".join(rules).replace("SYMBOL", str(self.random.choice(SYMBOLS)))
        text = text.replace("AT", f"{self.random.uniform(0, 19):.3f}")
        script, _ = parse_script(f"{{seed: {number}, rules: [{text}]}}")
        world.ear = next((name.partition(": ")[2] for name in names if not FAULTS[name]), "whole")
        injector = Injector(world.venue, script)
        injector.start()
        await world.hour(number)
        struck = {one["rule"] for one in injector.view()["fired"]} | {
            name for name in names if not FAULTS[name]
        }
        injector.end()
        world.cover.reopen()
        world.ear = "whole"
        outcome.struck.update(struck)
        await self.now.tend()
        if self.now.started.done():
            dust = self.now.engine.state.ledger.dust
            lots = {name: one.base_e8 // world.instruments[name].lot_e8 for name, one in dust.items()}
            world.cover.dust = lots
        for span in world.cover.spans[before:]:
            for name in struck if span.lived else ():
                outcome.longest[name] = max(outcome.longest.get(name, 0.0), span.seconds)
        outcome.hours = number + 1
        return struck

    def _doom(self):
        """This life ends soon: at a named point, or at any moment; one that was to end before ends now."""
        known = [name for name in POINTS if self.life.visits.get(name)]
        name = str(self.random.choice(known))
        if self.life.plan is not None or self.random.random() < 0.3:
            self.loop.call_later(float(self.random.uniform(0, 20)), self.life.die, "any moment")
        elif name in {"recovered", "reconciled"}:
            self.doomed = (name, 1)  # the next life, too
            self.life.die("any moment")
        else:
            visits = int(self.random.integers(1, _MOST_VISITS.get(name, 8) + 1))
            self.life.plan = (name, self.life.visits[name] + visits)

    async def _keep(self):
        """The service manager: who died is started again."""
        self.doomed = None
        while True:
            await asyncio.wait({self.life.ended})
            error = self.life.ended.exception()
            if error is not None and not isinstance(error, Retryable):
                raise error
            if error is not None:
                self.outcome.ended[f"{type(error).__name__} {error}"[:100]] += 1
            await self.end(self.life, self.now, "by itself" if error else self.life.where)
            await asyncio.sleep(RESTART_S if error else self._time_dead())
            plan, self.doomed = self.doomed, None
            self.life, self.now = self.begin(plan)

    async def _inventory(self, number):
        """The market stands still, nothing is broken, nothing is under way: both sides are compared."""
        self.life.plan = None
        await asyncio.sleep(SETTLE_S)
        await self.now.tend()
        await asyncio.sleep(SETTLE_S)
        if not self.now.started.done():
            self.outcome.faults.append(f"hour {number}: not started")
            return
        self.compare(self.now)
        if self.outcome.faults:
            self.outcome.faults.insert(0, f"hour {number}")


def run_hours(folder, from_ns, to_ns, seed, hours=None):
    """The whole window, or its first hours."""
    pricing = Pricing(compile_costs(traded().costs))
    feed = recorded_feed(folder, from_ns, to_ns, pricing)
    count = len(feed.boundaries) if hours is None else hours
    return run_virtually(lambda loop: Campaign(loop, seed, feed, pricing).run(count))


def main():
    """Run a window and print what happened; 1 as exit code when the ledgers differed, or a bare time has no cause."""
    parser = argparse.ArgumentParser(
        description="Recorded hours with faults in each: both ledgers must agree."
    )
    parser.add_argument("folder", type=Path, help="recorded hours, a parquet file for each symbol")
    parser.add_argument("--from", dest="begin", default="2023-07-01")
    parser.add_argument("--to", dest="end", default="2024-05-01")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=Nowhere)
    outcome = run_hours(chosen.folder, parse_utc_ns(chosen.begin), parse_utc_ns(chosen.end), chosen.seed)
    sys.stdout.write(f"{outcome.text()}\n")
    return 1 if outcome.faults or any(span.cause == UNEXPLAINED for span in outcome.bare) else 0


if __name__ == "__main__":
    sys.exit(main())
