"""Drills of the wire: answers lost, late or wrong, sockets cut or silent, bans, a clock that is off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.drill.books import compare_bars
from bnml.drill.common import ORDERS, ready, settle
from bnml.drill.proof import ANYWHERE, Drill

if TYPE_CHECKING:
    from typing import Any

    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage

BAN_S = 6
HEARD_S = 1.0  # after the first request that was answered with the ban; those beside it end meanwhile
POLL_S = 0.2
SKEW_MS = 3_000
HALF_OPEN_S = 12.0


async def _strike(stage: Stage, proof: Proof, rule: dict[str, Any], times: int, what: str) -> int:
    """Load one rule, wait until it has struck, and settle; returns how often it had to."""
    await ready(stage)
    if stage.most_strikes < times:
        times = stage.most_strikes
        rule = {**rule, "when": {"times": times}}
    await stage.exchange.faults({"name": "drill", **rule})
    fired = 0
    deadline_ns = stage.clock.monotonic_ns() + int(stage.struck_s * 1e9)
    while fired < times and stage.clock.monotonic_ns() < deadline_ns:
        await asyncio.sleep(POLL_S)
        fired = await stage.exchange.fired()
    proof.must(f"{what}: {fired} times", fired >= times)
    await settle(stage, proof)
    return times


async def lost_ack(stage: Stage, proof: Proof) -> None:
    """Orders are carried out and their answers never come."""
    since = stage.log.mark()
    rule = {"match": {"request": ORDERS}, "at": "after", "when": {"every": 2, "times": 4}, "do": "no_answer"}
    times = await _strike(stage, proof, rule, 4, "orders whose answer was lost")
    unknown = len(stage.log.events("outcome_unknown", since))
    proof.must("each stood as unknown until it was read", unknown >= times)


async def never_arrived(stage: Stage, proof: Proof) -> None:
    """The connection breaks before orders are read."""
    rule = {"match": {"request": ORDERS}, "at": "before", "when": {"every": 2, "times": 3}, "do": "reset"}
    await _strike(stage, proof, rule, 3, "connections broken off before the order was read")


async def executed_timeout(stage: Stage, proof: Proof) -> None:
    """-1007 for orders that were carried out."""
    do = {"action": "answer", "like": "timeout"}
    rule = {"match": {"request": ORDERS}, "at": "after", "when": {"every": 2, "times": 4}, "do": do}
    await _strike(stage, proof, rule, 4, "-1007 for an order that was carried out")


async def half_replace(stage: Stage, proof: Proof) -> None:
    """A stop is moved: the cancel succeeds, its replacement is refused."""
    do = {"action": "half_replace", "refused": "new"}
    rule = {"match": {"request": "*cancelReplace"}, "when": {"times": 1}, "do": do}
    await _strike(stage, proof, rule, 1, "cancel done, new order refused")


async def reports_in_disorder(stage: Stage, proof: Proof) -> None:
    """User events come twice, in the wrong order, or not at all."""
    await ready(stage)
    report = {"user_event": "executionReport"}
    await stage.exchange.faults(
        {"name": "twice", "match": report, "when": {"every": 3}, "do": "duplicate"},
        {"name": "late", "match": report, "when": {"every": 4}, "do": {"action": "reorder", "behind": 2}},
        {"name": "lost", "match": report, "when": {"every": 7}, "do": "drop"},
    )
    await asyncio.sleep(15)
    fired = await stage.exchange.fired()
    proof.must(f"reports doubled, late or lost: {fired}", fired > 10)
    await settle(stage, proof)


async def ws_drop(stage: Stage, proof: Proof) -> None:
    """All sockets break off, several times."""
    await ready(stage)
    since = stage.log.mark()
    await stage.exchange.faults(
        {"name": "drop", "when": {"every_wall_s": 3, "times": 4}, "do": {"action": "reset", "sockets": "all"}}
    )
    await asyncio.sleep(14)
    proof.must("the sockets were cut and came back", len(stage.log.events("link_up", since)) >= 4)
    await settle(stage, proof)


async def half_open(stage: Stage, proof: Proof) -> None:
    """The account's socket stays open and says nothing: fills are learned by asking."""
    held = await ready(stage)
    since = stage.log.mark()
    await stage.exchange.faults(
        {
            "name": "dead",
            "when": {"times": 1},
            "do": {"action": "silent", "sockets": "api", "pings": False, "lasts_s": HALF_OPEN_S},
        }
    )
    proof.tell(f"{len(held.positions)} positions when the socket went dead")
    found = await stage.logged("link_down", since, 10.0)
    proof.must(f"noticed: {found[0].get('detail', '')}", True)
    await settle(stage, proof)


async def ban(stage: Stage, proof: Proof) -> None:
    """418: nothing is asked until it is over; protection rests at the exchange."""
    await ready(stage)
    await stage.exchange.faults(
        {"name": "ban", "when": {"times": 1}, "do": {"action": "ban", "seconds": BAN_S, "status": 418}},
        {
            "name": "asked",
            "match": {"request": "*"},
            "when": {"probability": 1e-9},
            "do": {"action": "delay", "seconds": 0.001},
        },
    )
    first_s = 0.0
    while not await stage.exchange.matched("asked") and first_s < BAN_S / 2:
        await asyncio.sleep(POLL_S)
        first_s += POLL_S
    await asyncio.sleep(HEARD_S)
    before = await stage.exchange.matched("asked")
    await asyncio.sleep(BAN_S - first_s - HEARD_S - 0.5)
    asked = await stage.exchange.matched("asked") - before
    proof.must(f"requests while the ban stood and was known: {asked}", asked == 0)
    await asyncio.sleep(1.5)
    await settle(stage, proof)


async def clock_skew(stage: Stage, proof: Proof) -> None:
    """The venue's clock is off: the offset is measured anew and the request repeated."""
    await ready(stage)
    since = stage.log.mark()
    await stage.exchange.faults(
        {"name": "skew", "when": {"times": 1}, "do": {"action": "clock_skew", "ms": -SKEW_MS, "lasts_s": 8}}
    )
    if stage.is_away:
        # Nobody sets the clock of a venue: a start is told a wrong one, until the venue itself contradicts.
        await stage.kill()
        await stage.start()
        said = await stage.exchange.matched("skew")
        proof.must(f"the venue refused requests for their time: {said}", said > 0)
    await asyncio.sleep(9)
    refused = [one for one in stage.log.events("command_refused", since) if "-1021" in str(one.get("error"))]
    proof.must(f"commands given up for the clock: {len(refused)}", not refused)
    await settle(stage, proof)


async def shutdown(stage: Stage, proof: Proof) -> None:
    """`serverShutdown`: the new sockets stand before the old ones are closed."""
    await ready(stage)
    since = stage.log.mark()
    await stage.exchange.faults(
        {"name": "shutdown", "when": {"times": 1}, "do": {"action": "server_shutdown", "notice_s": 4}}
    )
    await asyncio.sleep(6)
    missed = stage.log.events("report_missed", since)
    proof.must(f"reports missed on the way: {len(missed)}", not missed)
    await settle(stage, proof)


async def lost_candles(stage: Stage, proof: Proof) -> None:
    """The end of candles is missed: it is read by REST, and no forming candle is taken for closed."""
    rule = {
        "match": {"stream": "*@kline_*", "closed": True},
        "when": {"every": 10, "times": 8},
        "do": "drop",
    }
    await _strike(stage, proof, rule, 8, "closed candles that never came")
    checked, differing = await compare_bars(stage)
    proof.must(
        f"{checked} bars that were decided upon, {differing} other than the venue shows",
        checked > 0 == differing,
    )


WIRE = (
    Drill(
        "lost-ack",
        "an order whose answer is lost is found, never sent again",
        ("F01", "F03"),
        lost_ack,
        ANYWHERE,
    ),
    Drill(
        "never-arrived",
        "an order that the venue never got is known to be absent before anything follows",
        ("F02",),
        never_arrived,
        ANYWHERE,
    ),
    Drill(
        "executed-timeout", "-1007 never leads to a second order", ("F03", "F04"), executed_timeout, ANYWHERE
    ),
    Drill(
        "half-replace",
        "both halves of a replacement are read; a stop stands in the end",
        ("F74",),
        half_replace,
    ),
    Drill(
        "disorder",
        "reports twice, late, out of order or lost end in the same books",
        ("F32", "F33", "F34"),
        reports_in_disorder,
    ),
    Drill(
        "ws-drop",
        "sockets that break come back, and what was missed is read before anything is decided",
        ("F28", "F34"),
        ws_drop,
        ANYWHERE,
    ),
    Drill("half-open", "a socket that is open and silent is noticed", ("F30", "F39"), half_open, ANYWHERE),
    Drill("ban", "a ban is waited for; protection rests at the exchange", ("F05", "F06"), ban, ANYWHERE),
    Drill("clock-skew", "a clock that is off costs one repetition, no order", ("F17",), clock_skew, ANYWHERE),
    Drill("shutdown", "an announced shutdown costs no event", ("F29",), shutdown, ANYWHERE),
    Drill(
        "lost-candles",
        "a candle whose end was missed is read, not guessed",
        ("F35", "F36"),
        lost_candles,
        ANYWHERE,
    ),
)
