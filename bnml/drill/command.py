"""The command `drill`: plays the drills that were asked for on one stage, and prints each verdict as it is known."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bnml.core.errors import BnmlError, Misconfigured
from bnml.drill.machine import MACHINE
from bnml.drill.market import MARKET
from bnml.drill.proof import Drill, Proof, Verdict
from bnml.drill.stage import Stage
from bnml.drill.wire import WIRE

if TYPE_CHECKING:
    from collections.abc import Sequence

DRILLS: dict[str, Drill] = {drill.name: drill for drill in (*WIRE, *MARKET, *MACHINE)}
ALL = "all"


def drill(names: Sequence[str], *, json: bool, keep: Path | None) -> int:
    """Play them; 0 when each has passed, 1 when one has not. Raises Misconfigured for an unknown name."""
    unknown = [name for name in names if name not in DRILLS and name != ALL]
    if unknown:
        raise Misconfigured(f"there is no drill {unknown[0]}; write all, or one of {', '.join(DRILLS)}")
    chosen = list(DRILLS.values()) if ALL in names else [DRILLS[name] for name in dict.fromkeys(names)]
    if not chosen:
        _list(json=json)
        return 0
    verdicts = asyncio.run(_play_all(chosen, keep, json=json))
    failed = [one.drill for one in verdicts if not one.passed]
    if not json:
        told = f"failed: {', '.join(failed)}" if failed else "every promise held"
        sys.stdout.write(f"{len(verdicts)} drills, {told}\n")
    return 1 if failed else 0


async def _play_all(chosen: Sequence[Drill], keep: Path | None, *, json: bool) -> list[Verdict]:
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="bnml-drill-") as temporary:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        async with Stage(folder) as stage:
            for one in chosen:
                verdict = await _play(one, stage)
                _show(verdict, json=json)
                verdicts.append(verdict)
    return verdicts


async def _play(one: Drill, stage: Stage) -> Verdict:
    proof, began_ns = Proof(), stage.clock.monotonic_ns()
    try:
        await one.play(stage, proof)
    except BnmlError as error:
        proof.must(str(error), holds=False)
        await _clear(stage)
    seconds = (stage.clock.monotonic_ns() - began_ns) / 1e9
    return Verdict(one.name, proof.passed, one.promise, one.faults, tuple(proof.findings), round(seconds, 1))


async def _clear(stage: Stage) -> None:
    """After a drill that broke off: no fault remains for the next one, and a new daemon begins."""
    try:
        await stage.exchange.calm()
    except (BnmlError, OSError) as error:
        sys.stderr.write(f"bnml: the faults of the last drill could not be taken out: {error}\n")
    if stage.alive:
        await stage.kill()


def _show(verdict: Verdict, *, json: bool) -> None:
    if json:
        sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
    else:
        word = "passed" if verdict.passed else "FAILED"
        lines = [f"{verdict.drill}: {word} in {verdict.seconds:.0f} s - {verdict.promise}"]
        marks = {True: "+", False: "-", None: " "}
        lines += [f"  {marks[one.holds]} {one.text}" for one in verdict.evidence]
        sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _list(*, json: bool) -> None:
    for one in DRILLS.values():
        if json:
            row = {"drill": one.name, "promise": one.promise, "faults": one.faults}
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            sys.stdout.write(f"{one.name:<18}{one.promise} ({', '.join(one.faults)})\n")
