"""Writes what a backtest is to be looked at as: the page, and its tables as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bnml.config import Settings
from bnml.core.errors import Misconfigured
from bnml.options import BacktestOptions, SignalsOptions
from bnml.research.assumptions import assumptions, models_table
from bnml.research.conclusion import Conclusion
from bnml.research.findings import Basis, Findings, find, with_reruns
from bnml.research.market import Market
from bnml.research.metrics import Summary
from bnml.research.models import Models
from bnml.research.page.compose import page
from bnml.research.reruns import Reruns, model_reruns
from bnml.research.rules import Rules, needs_atr
from bnml.research.signal_inputs import Prepared, adds_up, atr_ratios
from bnml.research.sweep import SweepInput, SweepResult
from bnml.research.tables import write_tables


def publish(
    settings: Settings,
    options: BacktestOptions,
    market: Market,
    models: Models,
    conclusion: Conclusion,
    summary: Summary,
    notes: Sequence[str],
) -> None:
    """Write the page and the tables that `options` ask for; takes some runs again for what they say."""
    reruns = model_reruns(settings, market, models)
    basis = Basis(
        options.engine,
        reruns.config.costs,
        assumptions(settings, market, options.engine),
        models_table(models, market),
    )
    found = find(market, conclusion, summary, basis, notes, reruns.initial_risk)
    write(with_reruns(found, reruns, conclusion), options.report, options.tables)


def publish_given(
    rules: Rules,
    prepared: Prepared,
    result: SweepResult,
    summary: Summary,
    assumed: Mapping[str, str],
    options: SignalsOptions,
) -> None:
    """The same for signals that were given."""
    inputs = {data.instrument.symbol: data for data in prepared.inputs}
    frame_ns = prepared.inputs[0].frame_ns
    market = Market(
        prepared.instruments,
        {name: data.bars for name, data in inputs.items()},
        frame_ns,
        min(int(data.bars["ts_open_ns"][data.first]) for data in prepared.inputs),
        source=summary.market,
    )
    reruns = Reruns(
        market,
        prepared.config,
        {name: _bare(data, rules) for name, data in inputs.items()},
        lambda: prepared.inputs,
    )
    initial_e8 = prepared.config.initial_quote_e8
    conclusion = Conclusion(result.trades, result.equity, initial_e8, result.final_equity_e8)
    basis = Basis(
        "given signals",
        prepared.config.costs,
        tuple((name.capitalize(), text) for name, text in assumed.items()),
    )
    fast = {
        name: data.fast
        for name, data in inputs.items()
        if data.fast is not None and adds_up(data.bars, data.fast, frame_ns).all()
    }
    found = find(
        market,
        conclusion,
        summary,
        basis,
        prepared.notes,
        reruns.initial_risk,
        fast,
        prepared.inputs[0].fast_frame_ns,
    )
    write(with_reruns(found, reruns, conclusion), options.report, options.tables)


def _bare(data: SweepInput, rules: Rules) -> SweepInput:
    """The input without its signals, with the ATR where a rule asks for it."""
    columns = {"atr_ratio_14": atr_ratios(data.instrument, data.bars)} if needs_atr(rules) else {}
    return replace(data, opinions=None, columns=columns)


def write(found: Findings, report: Path | None, tables: Path | None) -> None:
    """The files; Misconfigured if one cannot be written."""
    if tables is not None:
        write_tables(tables, found.tables.values(), found.summary_json)
    if report is not None:
        try:
            report.write_text(page(found), encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"{report} cannot be written ({error}); choose another file with --report"
            ) from error
