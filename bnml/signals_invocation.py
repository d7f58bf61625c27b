"""Turns the options of `backtest --signals` into one call; reads no settings, so that it starts at once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnml.core.clock import parse_utc_ns
from bnml.core.errors import UsageError
from bnml.options import SignalsOptions
from bnml.state_folder import own_folder


def print_template() -> int:
    """Print a rules file with every key explained."""
    from bnml.research.rules_file import rules_template  # noqa: PLC0415 - not needed by a run without rules

    sys.stdout.write(rules_template())
    return 0


def run_signals(
    refused: Mapping[str, Any],
    fields: Mapping[str, Any],
    symbols: str | None,
    from_: str | None,
    to: str | None,
    state_dir: str | None,
) -> int:
    """Run it; `refused` are options that mean nothing here, `fields` those that are passed on as they are."""
    given = [name for name, value in refused.items() if value is not None]
    if given:
        raise UsageError(f"option --{given[0]} has no meaning with --signals; leave it out")
    if fields["bars"] is None:
        raise UsageError("--signals needs bars to trade on; name a file or a folder with --bars")
    folder = Path(state_dir or os.environ.get("BNML_APP__STATE_DIR", "state"))
    own_folder(folder)
    options = SignalsOptions(
        **fields,
        symbols=tuple(name.strip() for name in (symbols or "").split(",") if name.strip()),
        from_ns=parse_utc_ns(from_) if from_ else None,
        to_ns=parse_utc_ns(to) if to else None,
        state_dir=folder,
    )
    from bnml.research.signals import backtest_signals  # noqa: PLC0415 - kernels, after their cache is known

    return backtest_signals(options)
