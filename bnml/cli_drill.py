"""The command `drill`: options in, exit code out."""

from pathlib import Path
from typing import Annotated

import typer

from bnml.cli_options import Json


def drill(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones, or all; none lists them.")] = None,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for state and log, kept; else they are removed.")
    ] = None,
    json: Json = False,
) -> int:
    """Break something on purpose under a daemon of its own, and judge what it does by the exchange's own books."""
    from bnml.drill.command import drill as target

    return target(names or (), json=json, keep=keep)
