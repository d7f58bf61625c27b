"""The command `shortfall`: options in, exit code out."""

from typing import Annotated

import typer

from bnml.cli_options import ConfigFile, Json, StateDir


def shortfall(
    since: Annotated[
        str | None, typer.Option(help="Only orders that filled from here on, UTC, as in 2023-07-01.")
    ] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> int:
    """Measure what orders gave away against the prices they were decided at, beside the cost model."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir)
    since_ns = invocation.since_ns(since)
    if settings.app.state_dir.is_dir():  # a look makes no folder
        invocation.own_state_dir(settings)
    from bnml.app.shortfall_report import shortfall as target
    from bnml.options import ShortfallOptions

    return target(settings, ShortfallOptions(since_ns=since_ns, json=json))
