"""What every drill begins and ends with: a daemon that trades and holds something, and both books compared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bnml.drill.books import compare
from bnml.drill.judging import judge_cover
from bnml.drill.stage import STILL

if TYPE_CHECKING:
    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage
    from bnml.journal.schema import Health

ORDERS = ["order.place", "order.cancelReplace", "orderList.place*", "POST /api/v3/order*"]
"""Requests that may make an order."""
QUIET_S = 1.5


async def ready(stage: Stage) -> Health:
    """A daemon that trades and has a position with its protection."""
    if not stage.alive:
        await stage.start()

    def is_holding() -> Health | None:
        now = stage.health()
        return now if now is not None and now.state == "running" and now.positions else None

    return await stage.until(is_holding, stage.patience_s, "the daemon holds a position")


async def settle(stage: Stage, proof: Proof) -> None:
    """The fault is over: the daemon must trade on, and both books must agree to the last unit."""
    await stage.excuses.strikes()
    await stage.exchange.calm()

    def is_settled() -> Health | None:
        now = stage.health()
        if now is None or now.state != "running":
            return None
        return None if any(" UNKNOWN " in f"{row} " for row in now.open_orders) else now

    await stage.until(is_settled, stage.settle_s, "it runs again and no order's outcome is unknown")
    before = stage.health()
    scans = 0 if before is None else before.scans
    await stage.until(
        lambda: (now := stage.health()) is not None and now.scans > scans + 1,
        stage.settle_s,
        "it decides again",
    )
    await agree(stage, proof)


async def agree(stage: Stage, proof: Proof) -> None:
    """Stand the market still and compare; what is under way at the first look gets some more."""
    await stage.exchange.pace(STILL)
    try:
        for look in range(stage.looks):
            await asyncio.sleep(QUIET_S)
            books = await compare(stage)
            if books.agree and not books.bare:
                break
            if look:
                await stage.exchange.pace(stage.speed)
                await asyncio.sleep(QUIET_S)
                await stage.exchange.pace(STILL)
        proof.must(books.words(), books.agree)
        for one in stage.log.events("balances_differ"):  # equal since then, as nobody's doing but ours here
            proof.tell(f"the daemon put a difference down to others: {one.get('text')}")
        shown = f"bare: {list(books.bare)}" if books.bare else "covered by stops that rest at the exchange"
        proof.must(f"what is held is {shown}", not books.bare)
        now = stage.health()
        if now is not None and now.longest_bare_s:
            # Protection is timed by the market's clock, which runs faster here; the machine's is what an answer takes.
            wall_s = now.longest_bare_s / stage.speed
            proof.tell(
                f"longest time without full protection in this session: {wall_s:.2f} s of the machine's clock"
            )
        await judge_cover(stage, proof)
    finally:
        await stage.exchange.pace(stage.speed)
