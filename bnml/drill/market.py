"""Drills of the market and the account: prices that gap, symbols that stop, filters that change, strangers' trades."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bnml.core.clock import NS_PER_S, parse_utc_ns
from bnml.core.instrument import plain
from bnml.drill.books import recovered_engine
from bnml.drill.common import ready, settle
from bnml.drill.proof import Drill
from bnml.drill.unattended import judge_unattended

if TYPE_CHECKING:
    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage
    from bnml.journal.schema import Health

GAP_PERCENT = -20
PAID_IN, TAKEN_OUT = 2500, 1000
READ_S: Final = 90.0
"""The filters of what is held are read once a minute, and half a second after they have refused something."""
MOST_REFUSED_S: Final = 5.0
"""A stop that is fitted to them is not what the daemon wants until it knows them: it moves it, as fast as answers come."""

FAILS_S, LOOK_S = 6, 4
"""How long the venue takes no order, and when in that time it is looked at what is covered."""


async def stop_gap(stage: Stage, proof: Proof) -> None:
    """All prices fall by a fifth at once: what was held is sold by the stops that rest at the exchange."""
    held = await ready(stage)
    await stage.exchange.faults(
        {
            "name": "gap",
            "when": {"times": 1},
            "do": {"action": "price_gap", "symbol": "*", "percent": GAP_PERCENT},
        }
    )

    await stage.until(lambda: not _left_of(held, stage), 30, "the positions from before the gap are sold")
    proof.must(f"{len(held.positions)} positions sold after prices fell by {-GAP_PERCENT} %", True)
    await settle(stage, proof)


def _left_of(before: Health, stage: Stage) -> list[str]:
    """The positions of an earlier word of the daemon that its newest word has still."""
    opened, now = {one.symbol: one.opened for one in before.positions}, stage.health()
    return [
        one.symbol
        for one in (before if now is None else now).positions
        if opened.get(one.symbol) == one.opened
    ]


async def halted_symbol(stage: Stage, proof: Proof) -> None:
    """A symbol that is held stops trading for a while: the others go on."""
    held = await ready(stage)
    symbol = held.positions[0].symbol
    await stage.exchange.faults(
        {
            "name": "halt",
            "when": {"times": 1},
            "do": {"action": "symbol_status", "symbol": symbol, "status": "HALT", "lasts_market_s": 600},
        }
    )
    scans = held.scans
    await stage.until(
        lambda: (now := stage.health()) is not None and now.scans > scans + 5,
        60,
        "the other symbols are scanned",
    )
    proof.must(f"{symbol} stood still and the others went on", True)
    await asyncio.sleep(3)
    await settle(stage, proof)


async def filters(stage: Stage, proof: Proof) -> None:
    """Tick and step of what is held become coarser: the daemon reads it, moves stops on the new grid, and buys no more."""
    held, since = await ready(stage), stage.log.mark()
    symbol = held.positions[0].symbol
    one = recovered_engine(stage).state.symbols[symbol].instrument
    coarser = {"tick": plain(10 * one.tick_e8), "step": plain(10 * one.lot_e8)}
    await stage.exchange.faults(
        {
            "name": "filters",
            "when": {"times": 1},
            "do": {"action": "filters", "symbol": symbol, **coarser},
        }
    )

    def is_read() -> str:
        now = stage.health()
        return next((one for one in now.reasons if one.startswith(f"filters:{symbol}")), "") if now else ""

    said = await stage.until(
        is_read, READ_S, f"it has read that tick and step of {symbol} are ten times as large"
    )
    proof.must(f"the daemon says: {said}", True)
    await asyncio.sleep(6)
    refused = [one for one in stage.log.events("venue_asks", since) if one.get("step") == "refilter"]
    said_ns = [parse_utc_ns(one["timestamp"]) for one in refused]
    lasted_s = (said_ns[-1] - said_ns[0]) / NS_PER_S if said_ns else 0.0
    words = (
        f"requests that the new filters refused until they were read: {len(refused)}, for {lasted_s:.1f} s"
    )
    proof.must(f"{words}, at most {MOST_REFUSED_S:g} s", lasted_s <= MOST_REFUSED_S)
    await settle(stage, proof)


async def deposit(stage: Stage, proof: Proof) -> None:
    """Money comes and goes: no loss, no gain, and the books follow."""
    held = await ready(stage)
    await stage.exchange.control("POST", "/sim/deposit", {"asset": "USDT", "amount": str(PAID_IN)})
    await asyncio.sleep(3)
    await stage.exchange.control("POST", "/sim/deposit", {"asset": "USDT", "amount": str(-TAKEN_OUT)})
    await asyncio.sleep(3)
    await settle(stage, proof)

    def moved() -> Decimal:
        now = stage.health()
        return Decimal(0) if now is None else Decimal(now.flows) - Decimal(held.flows)

    await stage.until(lambda: moved() == PAID_IN - TAKEN_OUT, stage.settle_s, "both are counted as flows")
    proof.must(f"{moved():f} USDT are counted as paid in less taken out, and as nobody's gain", True)


async def crash(stage: Stage, proof: Proof) -> None:
    """Prices fall by a fifth while every request fails: the stops at the exchange are the net."""
    held = await ready(stage)
    await stage.exchange.faults(
        {
            "name": "errors",
            "match": {"request": ["order*", "*/api/v3/order*"]},
            "when": {"for_wall_s": FAILS_S},
            "do": {"action": "answer", "like": "overloaded"},
        },
        {
            "name": "gap",
            "when": {"times": 1},
            "do": {"action": "price_gap", "symbol": "*", "percent": GAP_PERCENT},
        },
    )
    since_ns = await stage.exchange.market_ns()
    await asyncio.sleep(LOOK_S)
    left = _left_of(held, stage)
    proof.must(f"{len(held.positions)} positions when it began, not sold by their stops: {left}", not left)
    await judge_unattended(stage, proof, since_ns, "no order reached the venue")
    await asyncio.sleep(FAILS_S)
    await settle(stage, proof)


MARKET = (
    Drill("stop-gap", "a gap through the stops sells everything, at the exchange", ("F70",), stop_gap),
    Drill("crash", "prices fall while the venue fails: stops at the exchange hold", ("F73",), crash),
    Drill("halted-symbol", "a symbol that stops does not stop the others", ("F25",), halted_symbol),
    Drill("filters", "filters that change cost no order", ("F15", "F71"), filters),
    Drill("deposit", "money that comes or goes is a flow, not a result", ("F68",), deposit),
)
