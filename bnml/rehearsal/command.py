"""The command `rehearse`: plays every step at both exchanges, prints where their answers differ, and gives a verdict."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.app.logs import configure
from bnml.core.errors import AccessRefused, BnmlError, Fatal, Rejected, Retryable
from bnml.rehearsal.ending import end
from bnml.rehearsal.mistakes import MISTAKES
from bnml.rehearsal.places import FRAME, check_kind, configured, embedded, opened
from bnml.rehearsal.shapes import NOTHING, Difference, differences
from bnml.rehearsal.socket import market_frames
from bnml.rehearsal.steps import LIFE, READS, ROUNDS, SALE, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.app.deployment import Deployment
    from bnml.config import Settings
    from bnml.options import RehearseOptions
    from bnml.rehearsal.desk import Desk, Record

STREAMS: Final = "market streams"
STREAMS_S: Final = 20.0
SYMBOL: Final = "BTCUSDT"
SAME, DIFFERS, NOT_OFFERED, BROKE_OFF = "same", "differs", "not offered", "broke off"


class Result(msgspec.Struct, frozen=True):
    """What one step showed; `said` is why it broke off."""

    step: str
    result: str
    differences: tuple[Difference, ...] = ()
    said: str = ""


class Report(msgspec.Struct, frozen=True):
    """The whole rehearsal; `left` names what it could not end."""

    venue: str
    symbol: str
    results: tuple[Result, ...]
    left: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        return all(one.result in {SAME, NOT_OFFERED} for one in self.results)


def rehearse(settings: Settings, options: RehearseOptions) -> int:
    """Rehearse at `venue.kind`: 0 all answers are alike, 1 some differ, 4 something is left at the venue.

    Raises Rejected for live, and what keeps the rehearsal from beginning.
    """
    check_kind(settings.venue.kind)
    configure("error", "auto")
    report = asyncio.run(_rehearse(settings, options))
    text = msgspec.json.encode(report).decode() + "\n" if options.json else _table(report)
    sys.stdout.write(text)
    if report.left:
        return Retryable.exit_code
    return 0 if report.is_same else 1


async def _rehearse(settings: Settings, options: RehearseOptions) -> Report:
    with tempfile.TemporaryDirectory(prefix="bnml-rehearsal-") as temporary:
        async with AsyncExitStack() as stack:
            kind, folder = settings.venue.kind, Path(temporary)
            deployment = configured(settings) if kind == "testnet" else None
            own, reference = await embedded(folder / "expected", SYMBOL, stack)
            expected, _, _ = await _play(own, reference, SYMBOL, None)
            if deployment is None:
                settings, deployment = await embedded(folder / "venue", SYMBOL, stack)
            found, broken, left = await _play(settings, deployment, options.symbol, expected)
    results = tuple(_compared(step, expected, found, broken) for step in expected)
    return Report(kind, options.symbol, results, tuple(left))


async def _play(
    settings: Settings, deployment: Deployment, symbol: str, expected: Record | None
) -> tuple[Record, dict[str, str], list[str]]:
    """Every step; shapes by step, why steps broke off, and what is left at the end."""
    broken: dict[str, str] = {}
    async with opened(settings, deployment, symbol, expected) as desk:
        if desk.instrument.status != "TRADING":
            raise Rejected(
                f"{symbol} is in {desk.instrument.status}; name a symbol that trades with --symbol"
            )
        try:
            for name, step in _steps(desk):
                await _one(desk, name, step, broken)
            await _listen(desk, deployment, expected, broken)
        finally:
            # Also on the way out of an interruption: nothing of the rehearsal stays behind.
            left = await asyncio.shield(end(desk))
            if left and sys.exc_info()[0] is not None:
                sys.stderr.write("".join(f"bnml: LEFT: {words}\n" for words in left))
    if expected is None and broken:
        name, said = next(iter(broken.items()))
        raise Fatal(f"the embedded exchange did not play its part: {name}: {said}")
    return desk.record, broken, left


def _steps(desk: Desk) -> Iterator[tuple[str, Step]]:
    """All steps with their names; orders once by each transport."""
    for step in READS:
        yield step.name, step
    for transport in ROUNDS:
        desk.transport = transport
        for step in (*LIFE, *MISTAKES, SALE):
            yield f"{step.name} ({transport})", step


async def _one(desk: Desk, name: str, step: Step, broken: dict[str, str]) -> None:
    """Play one step; what a venue answers never ends a rehearsal, a key that it does not accept does."""
    desk.step(name)
    if not step.needs(desk):
        desk.forget()
        return
    try:
        await step.play(desk)
        await desk.settle()
    except AccessRefused:
        raise
    except (BnmlError, msgspec.MsgspecError) as error:
        broken[name] = str(error)


async def _listen(
    desk: Desk, deployment: Deployment, expected: Record | None, broken: dict[str, str]
) -> None:
    """The streams that the daemon reads, until each has said something."""
    desk.step(STREAMS)
    name = desk.symbol.lower()
    streams = [f"{name}@trade", f"{name}@depth20", f"{name}@kline_{FRAME}", "!miniTicker@arr"]
    wanted = (
        set(expected[STREAMS])
        if expected is not None
        else {f"stream {one.partition('@')[2]}" for one in streams}
    )

    def enough(stream: str, data: Any) -> bool:
        desk.note(f"stream {stream.partition('@')[2]}", data)
        return wanted <= desk.record[STREAMS].keys()

    try:
        await market_frames(f"{deployment.stream_url}?streams={'/'.join(streams)}", STREAMS_S, enough)
    except BnmlError as error:
        broken[STREAMS] = str(error)


def _compared(step: str, expected: Record, found: Record, broken: dict[str, str]) -> Result:
    if step not in found:
        return Result(step, NOT_OFFERED)
    ours, theirs = expected[step], found[step]
    places = []
    for label in (*ours, *(one for one in theirs if one not in ours)):
        if label not in theirs:
            places.append(Difference(label, str(ours[label]), NOTHING))
        elif label not in ours:
            places.append(Difference(label, NOTHING, str(theirs[label])))
        else:
            places += [
                msgspec.structs.replace(one, path=f"{label}: {one.path}")
                for one in differences(ours[label], theirs[label])
            ]
    if step in broken:
        return Result(step, BROKE_OFF, tuple(places), broken[step])
    return Result(step, DIFFERS if places else SAME, tuple(places))


def _table(report: Report) -> str:
    """Step and result, below it each difference; then the verdict."""
    width = max(len(one.step) for one in report.results) + 2
    lines = []
    for one in report.results:
        lines.append(f"{one.step:<{width}}{one.result}{': ' + one.said if one.said else ''}")
        lines += [f"  {place}" for place in one.differences]
    counts = {
        word: sum(one.result == word for one in report.results)
        for word in (SAME, DIFFERS, BROKE_OFF, NOT_OFFERED)
    }
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    verdict = (
        "answers as the embedded exchange does"
        if report.is_same
        else "does NOT answer as the embedded exchange does"
    )
    lines += [f"{report.venue}, {report.symbol}: {told}", f"verdict: the venue {verdict}"]
    lines += [f"LEFT: {words}" for words in report.left] or ["nothing rests, what was bought is sold"]
    return "\n".join(lines) + "\n"
