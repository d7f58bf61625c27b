"""The command `drill`: plays the drills that were asked for on one stage, and prints each verdict as it is known."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bnml.core.errors import BnmlError, Misconfigured
from bnml.drill.away import AwayStage
from bnml.drill.machine import MACHINE
from bnml.drill.market import MARKET
from bnml.drill.proof import ANYWHERE, Drill, Proof, Verdict
from bnml.drill.stage import Stage
from bnml.drill.wire import WIRE

if TYPE_CHECKING:
    from bnml.config import Settings

DRILLS: dict[str, Drill] = {drill.name: drill for drill in (*WIRE, *MARKET, *MACHINE)}
ALL = "all"


def drill(names: Sequence[str], settings: Settings, *, json: bool, keep: Path | None) -> int:
    """Play them at `venue.kind`; 0 when each has passed, 1 when one has not, or was interrupted.

    Raises Misconfigured for an unknown name, and for a drill that the venue cannot have.
    """
    kind = settings.venue.kind
    if kind == "live":
        raise Misconfigured(f"no drill is played with real money; write --venue {', '.join(ANYWHERE)}")
    unknown = [name for name in names if name not in DRILLS and name != ALL]
    if unknown:
        raise Misconfigured(f"there is no drill {unknown[0]}; write all, or one of {', '.join(DRILLS)}")
    if not names:
        _list(kind, json=json)
        return 0
    asked = DRILLS if ALL in names else {name: DRILLS[name] for name in names}
    chosen = [one for one in asked.values() if kind in one.venues]
    if len(chosen) < len(asked) and ALL not in names:
        _refuse([one.name for one in asked.values() if kind not in one.venues], kind)
    try:
        verdicts = asyncio.run(_play_all(chosen, settings, keep, json=json))
    except KeyboardInterrupt:
        sys.stderr.write("bnml: interrupted; the drill's daemon was stopped\n")
        return 1
    failed = [one.drill for one in verdicts if not one.passed]
    if not json:
        told = f"failed: {', '.join(failed)}" if failed else "every promise held"
        sys.stdout.write(f"{len(verdicts)} drills, {told}\n")
    return 1 if failed else 0


def _refuse(names: Sequence[str], kind: str) -> None:
    possible = ", ".join(one.name for one in DRILLS.values() if kind in one.venues)
    raise Misconfigured(
        f"{', '.join(names)} needs an exchange whose market and rules can be changed, which --venue {kind} is not; "
        f"write --venue sim, or one of {possible}"
    )


def _stage(settings: Settings, keep: Path | None, temporary: Path) -> Stage:
    """A folder of its own; the test network's account knows a daemon by its folder, so that one is kept."""
    kind = settings.venue.kind
    folder = keep or (settings.app.state_dir / "drill" if kind == "testnet" else temporary)
    folder.mkdir(parents=True, exist_ok=True)
    return Stage(folder) if kind == "sim" else AwayStage(folder, settings)


async def _play_all(
    chosen: Sequence[Drill], settings: Settings, keep: Path | None, *, json: bool
) -> list[Verdict]:
    for number in (signal.SIGTERM, signal.SIGHUP):  # else the daemon would go on without us
        asyncio.get_running_loop().add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    verdicts: list[Verdict] = []
    with _temporary(verdicts) as temporary:
        async with _stage(settings, keep, temporary) as stage:
            for one in chosen:
                verdict = await _play(one, stage)
                _show(verdict, json=json)
                verdicts.append(verdict)
    return verdicts


@contextmanager
def _temporary(verdicts: Sequence[Verdict]) -> Iterator[Path]:
    """A folder that is gone when all is well; else journal and log are the only ones who can say more."""
    folder, is_well = Path(tempfile.mkdtemp(prefix="bnml-drill-")), False
    try:
        yield folder
        is_well = all(one.passed for one in verdicts)
    finally:
        if is_well or not any(folder.iterdir()):
            shutil.rmtree(folder)
        else:
            sys.stderr.write(
                f"bnml: not every drill has passed: journal and log are kept in {folder}; remove it when they are read\n"
            )


async def _play(one: Drill, stage: Stage) -> Verdict:
    proof, began_ns = Proof(), stage.clock.monotonic_ns()
    try:
        await stage.excuses.begin()
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


def _list(kind: str, *, json: bool) -> None:
    for one in DRILLS.values():
        if json:
            row = {"drill": one.name, "promise": one.promise, "faults": one.faults, "venues": one.venues}
            sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
        else:
            where = "" if kind in one.venues else f" - not on {kind}"
            told = ", ".join(one.venues)
            sys.stdout.write(f"{one.name:<18}{one.promise} ({', '.join(one.faults)}; {told}){where}\n")
