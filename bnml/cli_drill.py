"""The command `drill`: options in, exit code out."""

from pathlib import Path
from typing import Annotated

import typer

from bnml.cli_options import ConfigFile, Json, StateDir, Symbols


def drill(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones, or all; none lists them.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for state and log, kept; else they are removed.")
    ] = None,
    venue: Annotated[
        str, typer.Option(help="sim, paper or testnet; beyond sim faults are made on the way to the venue.")
    ] = "sim",
    symbols: Symbols = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> int:
    """Break something on purpose under a daemon of its own, and judge what it does by the venue's own books."""
    from bnml import invocation

    settings = invocation.read_settings(config, venue=venue, symbols=symbols, state_dir=state_dir)
    from bnml.drill.command import drill as target

    return target(names or (), settings, json=json, keep=keep)
