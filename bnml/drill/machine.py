"""Drills of the machine: the daemon is killed, stays dead, is started twice, loses its disk or its journal."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING

from bnml.app.sim_process import MARKER, exchange_folder
from bnml.drill.common import ready, settle
from bnml.drill.proof import ANYWHERE, Drill
from bnml.drill.stage import START_S
from bnml.drill.unattended import judge_unattended
from bnml.journal.schema import JOURNAL_FILE

if TYPE_CHECKING:
    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage

KILLS = 3
DEAD_S = 10.0
DOWN_S = 4.0
REFUSED = 3
PAGE = 4096


async def kill(stage: Stage, proof: Proof) -> None:
    """SIGKILL at any moment; the next start finds everything."""
    kills = min(KILLS, stage.most_strikes)
    for number in range(kills):
        await ready(stage)
        await asyncio.sleep(0.37 * (number + 1))
        await stage.kill()
        await stage.start()
    proof.must(f"killed {kills} times and trading again", True)
    await settle(stage, proof)


async def stay_dead(stage: Stage, proof: Proof) -> None:
    """The daemon is killed and does not come back for long: what is held is protected by the exchange alone."""
    await ready(stage)
    await stage.kill()
    since_ns = await stage.exchange.market_ns()
    await asyncio.sleep(DEAD_S)
    proof.tell(f"the market went on for {DEAD_S * stage.speed:.0f} s of its time")
    await judge_unattended(stage, proof, since_ns, "the daemon was dead")
    await stage.start()
    await settle(stage, proof)


async def second_daemon(stage: Stage, proof: Proof) -> None:
    """A second daemon on the same folder is refused."""
    await ready(stage)
    code, said = await stage.command("run", "--venue", stage.kind)
    proof.must(
        f"exit code {code}: {said.strip().splitlines()[-1][:200] if said.strip() else ''}", code == REFUSED
    )
    await settle(stage, proof)


async def disk_full(stage: Stage, proof: Proof) -> None:
    """The disk takes nothing more, not even in the reserve: no order leaves without its intent, what is held stays protected."""
    await ready(stage)
    await _outlast(stage)
    resource.prlimit(stage.pid, resource.RLIMIT_FSIZE, (PAGE, PAGE))
    code = await stage.ended(60.0)
    await stage.excuses.death()
    proof.must(
        f"the daemon ended with code {code} and said: {stage.log.last_words()[:200]}", code in {1, 2, 4}
    )
    since_ns = await stage.exchange.market_ns()
    await asyncio.sleep(DOWN_S)
    await judge_unattended(stage, proof, since_ns, "the disk took nothing and the daemon was down")
    await stage.start()
    await settle(stage, proof)


async def torn_journal(stage: Stage, proof: Proof) -> None:
    """The journal is damaged: it is set aside, the books are made anew from the venue, and entries wait for a person."""
    held = await ready(stage)
    proof.tell(f"{len(held.positions)} positions when the journal was damaged")
    await stage.kill()
    _tear(stage)
    await stage.launch()
    halted = await stage.until(
        lambda: _halted(stage), START_S, "it has taken over what the venue has, and halts"
    )
    proof.must(f"it says: {halted}", holds=True)
    aside = sorted(file.name for file in stage.state.glob("journal.db.damaged-*"))
    proof.must(f"kept aside: {aside[0] if aside else 'nothing'}", bool(aside))
    code, said = await stage.command("recover", "--acknowledge")
    proof.must(f"bnml recover --acknowledge: {said.strip()[-200:]}", code == 0)
    await settle(stage, proof)


async def _outlast(stage: Stage) -> None:
    """The exchange of a stage ends with the daemon that started it; from here on it goes on without, as a real one does."""
    if stage.is_away:
        return
    await stage.kill()
    (exchange_folder(stage.settings) / MARKER).unlink(missing_ok=True)
    await stage.start()
    await ready(stage)


def _halted(stage: Stage) -> str:
    now = stage.health()
    return now.state if now is not None and now.state.startswith("halted") else ""


def _tear(stage: Stage) -> None:
    """Overwrite pages in the middle of the journal, and take its log away."""
    file = stage.state / JOURNAL_FILE
    (stage.state / "journal.db-wal").unlink(missing_ok=True)
    with file.open("r+b") as handle:
        size = file.stat().st_size
        for place in range(2 * PAGE, size, 7 * PAGE):
            handle.seek(place)
            handle.write(b"\xa5" * PAGE)


MACHINE = (
    Drill("kill", "a daemon that is killed loses no order and doubles none", ("F42", "F43"), kill, ANYWHERE),
    Drill(
        "stay-dead", "positions of a dead daemon are protected by the exchange", ("F43",), stay_dead, ANYWHERE
    ),
    Drill("second-daemon", "one daemon for one state folder", ("F59",), second_daemon, ANYWHERE),
    Drill(
        "disk-full",
        "without room for an intent no order leaves, and what is held stays protected",
        ("F46",),
        disk_full,
        ANYWHERE,
    ),
    Drill(
        "torn-journal",
        "a damaged journal is put aside and rebuilt from the venue",
        ("F44",),
        torn_journal,
        ANYWHERE,
    ),
)
