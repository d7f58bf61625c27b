"""The command `train`: select symbols, fit and publish one after another, say what came of it.

The daemon runs the same command as a child process with low priority; each bundle is published as
soon as it is ready, so trading starts with the first one.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from bnml.app.training_history import open_source
from bnml.core.clock import NS_PER_HOUR, NS_PER_S, LiveClock
from bnml.core.errors import Rejected
from bnml.learn.bundle import Metrics, current_version, read_metadata
from bnml.learn.labels import compile_labelling
from bnml.learn.train import TrainingSpec, publish_trained, train_symbol
from bnml.trading.compile import compile_layout, compile_rules
from bnml.trading.filling import compile_costs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.app.training_history import HistorySource
    from bnml.config import Settings
    from bnml.options import TrainOptions

MOST_THREADS = 2
"""One for each of the two models; more would take the processor from the daemon next door."""


_ROW = "{:<8} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6} {}"


class TrainedSymbol(msgspec.Struct, frozen=True):
    """One published bundle."""

    symbol: str
    bundle: str
    rows: int
    elapsed_s: float
    metrics: Metrics


class SymbolNote(msgspec.Struct, frozen=True):
    """A symbol that was not trained, and why."""

    symbol: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """The result of the command."""

    models_dir: str
    trained: list[TrainedSymbol]
    skipped: list[SymbolNote]
    failed: list[SymbolNote]
    elapsed_s: float


def train(settings: Settings, options: TrainOptions) -> int:
    """Train the symbols of the settings; exit code 1 if one of them could not be."""
    clock = LiveClock()
    began_ns = clock.monotonic_ns()
    source = open_source(settings, options)
    spec = training_spec(settings, clock.now_ns())
    trained, skipped, failed = [], [], []
    now_ns = source.now_ns if options.missing_only else 0
    for symbol in source.symbols:
        reason = fresh_enough(settings, symbol, spec.layout.version, now_ns) if options.missing_only else ""
        if reason:
            skipped.append(SymbolNote(symbol, reason))
            continue
        try:
            trained.append(_train_one(source, symbol, spec, clock))
        except Rejected as error:
            failed.append(SymbolNote(symbol, str(error)))
            _say(f"{symbol}: not trained: {error}")
    report = Report(
        models_dir=str(settings.learning.models_dir),
        trained=trained,
        skipped=skipped,
        failed=failed,
        elapsed_s=(clock.monotonic_ns() - began_ns) / NS_PER_S,
    )
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n" if options.json else as_text(report))
    return 1 if failed else 0


def training_spec(settings: Settings, created_ns: int) -> TrainingSpec:
    """Everything of the settings that a model depends on, as records."""
    costs = settings.costs
    return TrainingSpec(
        learning=settings.learning,
        labelling=compile_labelling(settings.learning, (costs.taker_bps + costs.slippage_bps) / 1e4),
        layout=compile_layout(settings.features),
        history_bars=settings.features.history_bars,
        rules=compile_rules(settings.entry, settings.exits),
        costs=compile_costs(costs),
        cut_quantile=settings.decision.cut_quantile,
        threads=min(MOST_THREADS, os.cpu_count() or 1),
        created_ns=created_ns,
    )


def fresh_enough(settings: Settings, symbol: str, features_version: str, now_ns: int) -> str:
    """Why the symbol's current model may stay; empty if it must be trained."""
    models_dir = settings.learning.models_dir
    try:
        current = current_version(models_dir, symbol)
        if current is None:
            return ""
        metadata = read_metadata(models_dir, symbol, current.version, current.metadata_sha256)
    except Rejected as error:
        _say(f"{symbol}: {error}")
        return ""
    age_h = (now_ns - metadata.trained_to_ns) / NS_PER_HOUR
    if metadata.features_version != features_version or age_h > settings.learning.max_age_h:
        return ""
    return f"its model {current.version} is {max(age_h, 0.0):.1f} h old"


def as_text(report: Report) -> str:
    """The result for people."""
    lines = [_row(one) for one in report.trained]
    if lines:
        lines.insert(0, _ROW.format("symbol", "rows", "loss", "base", "entries", "net %", "took", "version"))
        lines.append("")
        lines.append("loss: log loss out of fold, against that of the base rates; entries: rows above")
        lines.append("the cut, with the mean result of each after costs")
        lost = [one.symbol for one in report.trained if one.metrics.net_expectation_ppm <= 0]
        if lost:
            lines.append(f"learning.gate refuses (unless off), having lost out of fold: {', '.join(lost)}")
    lines += [f"{one.symbol}: skipped, {one.reason}" for one in report.skipped]
    lines += [f"{one.symbol}: failed, {one.reason}" for one in report.failed]
    counts = f"{len(report.trained)} trained, {len(report.skipped)} skipped, {len(report.failed)} failed"
    return "\n".join([*lines, f"{counts} in {report.elapsed_s:.1f} s; models in {report.models_dir}"]) + "\n"


def _row(one: TrainedSymbol) -> str:
    metrics = one.metrics
    return _ROW.format(
        one.symbol,
        f"{one.rows:,}",
        f"{metrics.log_loss:.4f}",
        f"{metrics.base_rate_log_loss:.4f}",
        f"{metrics.entries:,}",
        f"{metrics.net_expectation_ppm / 1e4:+.3f}",
        f"{one.elapsed_s:.1f} s",
        one.bundle.partition("/")[2],
    )


def _train_one(source: HistorySource, symbol: str, spec: TrainingSpec, clock: LiveClock) -> TrainedSymbol:
    began_ns = clock.monotonic_ns()
    _say(f"{symbol}: reading history")
    history = source.load(symbol)
    made = train_symbol(history, spec, lambda phase: _say(f"{symbol}: {phase}"))
    with _ended_in_order():
        bundle_id = publish_trained(made, spec)
    elapsed_s = (clock.monotonic_ns() - began_ns) / NS_PER_S
    _say(f"{symbol}: published {bundle_id} after {elapsed_s:.1f} s")
    return TrainedSymbol(symbol, bundle_id, made.metadata.rows, elapsed_s, made.metadata.metrics)


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Who ends us has what is half written of a model taken away: the daemon does so for a disk that fills."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(line: str) -> None:
    """Progress goes to stderr: stdout is the result's."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
