"""`bnml recover`."""

from typing import Annotated

import typer

from bnml.cli_options import ConfigFile, StateDir


def recover(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Set the journal aside although it can be read.")
    ] = False,
    acknowledge: Annotated[
        bool,
        typer.Option("--acknowledge", help="No other daemon trades here, and what was taken over is right."),
    ] = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> int:
    """Look at the journal; set a damaged one aside, so that the next start reads its positions from the venue."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir)
    from bnml.app.models import make_bundles
    from bnml.app.recovering import recover_command
    from bnml.options import RecoverOptions

    options = RecoverOptions(dry_run=dry_run, rebuild=rebuild, acknowledge=acknowledge)
    return recover_command(settings, options, make_bundles(settings))
