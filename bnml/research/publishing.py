"""Writes what a backtest is to be looked at as: the page, and its tables as files."""

from __future__ import annotations

from collections.abc import Sequence

from bnml.config import Settings
from bnml.core.errors import Misconfigured
from bnml.options import BacktestOptions
from bnml.research.assumptions import assumptions, models_table
from bnml.research.conclusion import Conclusion
from bnml.research.findings import Basis, find, with_reruns
from bnml.research.market import Market
from bnml.research.metrics import Summary
from bnml.research.models import Models
from bnml.research.page.compose import page
from bnml.research.reruns import model_reruns
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
    found = with_reruns(found, reruns, conclusion)
    if options.tables is not None:
        write_tables(options.tables, found.tables.values(), found.summary_json)
    if options.report is not None:
        try:
            options.report.write_text(page(found), encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"{options.report} cannot be written ({error}); choose another file with --report"
            ) from error
