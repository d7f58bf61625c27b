"""A grid from question to answer: search all but the sealed part, judge what is found, open the sealed part once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY, NS_PER_S, Clock, LiveClock, format_utc
from bnml.core.errors import Misconfigured, Rejected
from bnml.kernels import KERNEL_HASH, metrics
from bnml.research.grid_axes import Axes, check_names, count, point
from bnml.research.grid_report import (
    GridResult,
    candidates,
    compared,
    luck_sharpe,
    net_returns,
    sealed_words,
    verdict,
)
from bnml.research.grid_search import JUDGED_BY, Evaluator, Found, Search, daily_sharpes
from bnml.research.grid_store import RESULT, SEALED, GridStore, Manifest, part_size, write_whole
from bnml.research.ledger import DataRange, TrialLedger, Trials

SAMPLE = 20_000
KEPT = 200
PARTS = {"tables": 20_000, "loop": 1_000}
"""Combinations in a part, by the way they are evaluated: what an interruption loses at most."""
SEARCH, OPENING = "grid", "sealed"

Say = Callable[[str], None]


class World(Protocol):
    """Data and rules that a grid varies; made from bundles and settings, or from anyone's signals and rules."""

    @property
    def data(self) -> DataRange:
        """Symbols, frame and traded time."""
        ...

    @property
    def kind(self) -> str:
        """What an axis names, for a person: a numeric rule, a numeric setting."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """What can be an axis."""
        ...

    @property
    def refused(self) -> Mapping[str, str]:
        """What of the like cannot be one, and why."""
        ...

    @property
    def data_hash(self) -> str: ...

    @property
    def config_hash(self) -> str: ...

    @property
    def initial_e8(self) -> int: ...

    def check(self, axes: Axes) -> None:
        """Misconfigured if a value is out of its range or some combination contradicts itself."""
        ...

    def plan(self, axes: Axes) -> tuple[str, str]:
        """The way that combinations on all of the data are evaluated, and why; it sizes the parts."""
        ...

    def evaluator(self, axes: Axes, from_ns: int, to_ns: int) -> Evaluator:
        """One that trades only bars that open in [from_ns, to_ns), what lies before is history."""
        ...


class GridRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a grid; `folder` None is chosen below `default_folder` by the grid's identity."""

    axes: Axes
    folder: Path
    sealed: float = 0.25  # share of the traded time that the search does not see
    seed: int = 1
    min_trades: int = 30  # a combination with fewer is no candidate
    resume: bool = False
    threads: int = 0  # 0 = one for each processor
    part: int = 0  # combinations in a part; 0 = by the way they are evaluated
    sample: int = SAMPLE
    request: dict[str, str | None] = {}


class Opening(msgspec.Struct, frozen=True):
    """What a chosen combination did on the sealed part; shares are fractions, Sharpe ratios yearly."""

    combination: int
    values: dict[str, float]
    opened_at: str
    from_: str = msgspec.field(name="from")
    to: str
    trades: int
    net_return: float
    max_drawdown: float
    sharpe: float
    deflated_sharpe: float
    trials: int  # evaluations that ever touched the sealed part, with this one
    searched_sharpe: float
    searched_net_return: float
    verdict: str


class _Opened(msgspec.Struct, frozen=True):
    """`sealed.json`: written before the seal is broken, completed when the answer is known."""

    combination: int
    opened_at: str
    result: Opening | None = None


def manifest_of(world: World, asked: GridRequest) -> Manifest:
    """The manifest that this request on this world must have; checks the axes."""
    check_names(asked.axes, world.names, world.kind, world.refused)
    world.check(asked.axes)
    combinations = count(asked.axes)
    way, _ = world.plan(asked.axes)
    return Manifest(
        axes=asked.axes,
        data_hash=world.data_hash,
        config_hash=world.config_hash,
        kernel_hash=KERNEL_HASH,
        seed=asked.seed,
        part=asked.part or part_size(combinations, PARTS[way]),
        sample=min(asked.sample, combinations),
        sealed_ns=sealed_from(world.data, asked.sealed),
        initial_e8=world.initial_e8,
        request=asked.request,
    )


def sealed_from(data: DataRange, share: float) -> int:
    """Where the sealed part begins: at the turn of a UTC day; at the end of the data for share 0."""
    if not 0.0 <= share <= 0.9:
        raise Misconfigured(f"the sealed part is {100 * share:g} % of the data; take 0 to 90")
    if share == 0.0:
        return data.to_ns
    cut_ns = data.from_ns + round((data.to_ns - data.from_ns) * (1.0 - share))
    day_ns = cut_ns // NS_PER_DAY * NS_PER_DAY
    if day_ns <= data.from_ns:
        raise Misconfigured(
            "the data are too short for a sealed part; take more of them, or seal nothing (--sealed 0)"
        )
    return day_ns


def search_grid(
    world: World,
    asked: GridRequest,
    ledger: TrialLedger,
    say: Say = lambda _: None,
    clock: Clock | None = None,
) -> GridResult:
    """Evaluate all combinations on all but the sealed part, into the folder, and judge them.

    Raises Misconfigured for wrong axes, a folder that holds another grid, or values out of range;
    KeyboardInterrupt passes and leaves a folder that `resume` goes on with. `say` gets sentences.
    """
    clock = clock or LiveClock()
    manifest = manifest_of(world, asked)
    evaluator = world.evaluator(asked.axes, world.data.from_ns, manifest.sealed_ns)
    store = GridStore.open(asked.folder, manifest, evaluator.dtype, resume=asked.resume)
    searched = msgspec.structs.replace(world.data, to_ns=manifest.sealed_ns)
    _announce(world, evaluator, manifest, say)
    with store.locked():
        search = Search(evaluator, store, searched, ledger, clock, keep=KEPT, min_trades=asked.min_trades)
        found = search.run(asked.threads)
        notes = [*filter(None, (found.warning, _seen_before(ledger, world.data, manifest)))]
        result = _judged(world, store, evaluator, found, _trials(ledger, searched, found), notes)
        write_whole(store.folder / RESULT, msgspec.json.format(msgspec.json.encode(result)))
    return result


def open_sealed(
    world: World, asked: GridRequest, combination: int, ledger: TrialLedger, clock: Clock | None = None
) -> Opening:
    """Evaluate one combination of a finished grid on its sealed part; this can be done once.

    Raises Rejected if it was done before, Misconfigured if there is nothing to open.
    """
    clock = clock or LiveClock()
    manifest = manifest_of(world, asked)
    evaluator = world.evaluator(asked.axes, manifest.sealed_ns, world.data.to_ns) if asked.sealed else None
    if evaluator is None or manifest.sealed_ns >= world.data.to_ns:
        raise Misconfigured(f"the grid in {asked.folder} has no sealed part to open")
    store = GridStore.open(asked.folder, manifest, evaluator.dtype, resume=True)
    with store.locked():
        _check_choice(store, combination)
        opened = _break_seal(store, combination, clock)
        result = _sealed_result(world, store, evaluator, opened, ledger)
        done = msgspec.structs.replace(opened, result=result)
        write_whole(store.folder / SEALED, msgspec.json.format(msgspec.json.encode(done)))
    return result


def _announce(world: World, evaluator: Evaluator, manifest: Manifest, say: Say) -> None:
    way, why = evaluator.plan
    say(
        f"{manifest.combinations:,} combinations by {way} ({why}), searched on "
        f"{format_utc(world.data.from_ns)} .. {format_utc(manifest.sealed_ns)}"
    )
    if manifest.sealed_ns < world.data.to_ns:
        say(f"sealed until one is chosen: {format_utc(manifest.sealed_ns)} .. {format_utc(world.data.to_ns)}")
    else:
        say("nothing is sealed: no figure of this grid can be checked on data that it has not seen")
    if manifest.sample < manifest.combinations:
        say(f"PBO compares {manifest.sample:,} of them, drawn uniformly with seed {manifest.seed}")


def _judged(
    world: World, store: GridStore, evaluator: Evaluator, found: Found, trials: Trials, notes: list[str]
) -> GridResult:
    manifest, data = store.manifest, world.data
    way, why = evaluator.plan
    days = int(store.rows_of(np.array([0]), ["days"])["days"][0])
    over = compared(store, days)
    listed = candidates(store, evaluator, found, trials)
    opened = _opened(store)
    when = None if opened is None else f"combination {opened.combination} at {opened.opened_at}"
    return GridResult(
        combinations=manifest.combinations,
        evaluated=found.evaluated,
        way=way,
        way_why=why,
        candidates=listed,
        verdict=verdict(listed, over, trials),
        pbo=None if over is None else over.pbo,
        overfitting=over,
        deflated_sharpe=max((one.deflated_sharpe for one in listed), default=0.0),
        trials=trials.count,
        luck_sharpe=luck_sharpe(trials, days),
        searched_from=format_utc(data.from_ns),
        searched_to=format_utc(manifest.sealed_ns),
        sealed=sealed_words(manifest, data.from_ns, data.to_ns, when),
        folder=str(store.folder),
        elapsed_s=found.elapsed_s,
        combinations_per_s=found.evaluated / found.elapsed_s if found.elapsed_s > 0 else 0.0,
        notes=tuple(notes),
    )


def _trials(ledger: TrialLedger, data: DataRange, found: Found) -> Trials:
    """All that the ledger knows of these data; never less than the grid itself."""
    try:
        known = ledger.overlapping(data)
    except Misconfigured:
        return found.own  # the ledger has been warned of when it was to be written
    return known if known.count >= found.own.count else found.own


def _seen_before(ledger: TrialLedger, data: DataRange, manifest: Manifest) -> str:
    if manifest.sealed_ns >= data.to_ns:
        return ""
    try:
        seen = ledger.overlapping(msgspec.structs.replace(data, from_ns=manifest.sealed_ns)).count
    except Misconfigured as error:
        return f"whether the sealed part was looked at before is not known: {error}"
    return f"the sealed part is not unseen: evaluations that looked at it before: {seen:,}" if seen else ""


def _check_choice(store: GridStore, combination: int) -> None:
    manifest = store.manifest
    if not 0 <= combination < manifest.combinations:
        raise Misconfigured(
            f"--open {combination}: the grid has combinations 0 to {manifest.combinations - 1:,}"
        )
    if not all(store.has(part) for part in range(manifest.parts)):
        raise Misconfigured(f"the search in {store.folder} is not finished; go on with it by --resume")


def _opened(store: GridStore) -> _Opened | None:
    try:
        return msgspec.json.decode((store.folder / SEALED).read_bytes(), type=_Opened)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Misconfigured(f"{store.folder / SEALED} cannot be read ({error})") from error


def _break_seal(store: GridStore, combination: int, clock: Clock) -> _Opened:
    """Written before anything is evaluated; one that was interrupted before its answer is gone on with."""
    before = _opened(store)
    if before is None:
        before = _Opened(combination, format_utc(clock.now_ns() // NS_PER_S * NS_PER_S))
        write_whole(store.folder / SEALED, msgspec.json.format(msgspec.json.encode(before)))
    if before.result is not None or before.combination != combination:
        raise Rejected(
            f"the sealed part of this grid was opened at {before.opened_at} for combination "
            f"{before.combination}; it is opened once, so that its answer is worth something"
        )
    return before


def _sealed_result(
    world: World, store: GridStore, evaluator: Evaluator, opened: _Opened, ledger: TrialLedger
) -> Opening:
    manifest, number = store.manifest, opened.combination
    row = evaluator.evaluate(number, number + 1).rows
    returns = evaluator.daily_returns(number)
    moments = metrics.DailyMoments(*metrics.daily_moments(returns))
    data = msgspec.structs.replace(world.data, from_ns=manifest.sealed_ns)
    own = Trials.of(daily_sharpes(row))
    ledger.append(data, OPENING, 1, own.sharpe_mean, own.sharpe_m2, f"{manifest.identity}/{number}")
    trials = ledger.overlapping(data)
    deflated = metrics.deflated_sharpe(
        moments, len(returns), trials.count, trials.luck_variance(len(returns))
    )
    searched = store.rows_of(np.array([number]), JUDGED_BY)
    gain = float(net_returns(row, manifest)[0])
    yearly = float(np.sqrt(metrics.DAYS_PER_YEAR))
    return Opening(
        combination=number,
        values=point(manifest.axes, number),
        opened_at=opened.opened_at,
        from_=format_utc(manifest.sealed_ns),
        to=format_utc(data.to_ns),
        trades=int(row["trades"][0]),
        net_return=gain,
        max_drawdown=int(row["daily_max_drawdown_ppm"][0]) / 1e6,
        sharpe=metrics.sharpe(moments.mean, moments.deviation),
        deflated_sharpe=deflated,
        trials=trials.count,
        searched_sharpe=float(daily_sharpes(searched)[0]) * yearly,
        searched_net_return=float(net_returns(searched, manifest)[0]),
        verdict=_sealed_verdict(gain, deflated),
    )


def _sealed_verdict(gain: float, deflated: float) -> str:
    if gain > 0.0 and deflated >= 0.95:
        return "the edge held on data that the search has not seen"
    if gain > 0.0:
        return f"no edge shown: it earned, but luck alone does so too often (deflated Sharpe {deflated:.3f})"
    return "no edge shown: it lost on data that the search has not seen"
