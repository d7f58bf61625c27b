"""The command `rehearse`: options in, exit code out."""

from typing import Annotated

import typer

from bnml.cli_options import ConfigFile, Json, StateDir


def rehearse(
    venue: Annotated[
        str, typer.Option(help="testnet, or sim: two embedded exchanges, to see how it goes.")
    ] = "testnet",
    symbol: Annotated[str, typer.Option(help="What is traded, in its smallest sizes.")] = "BTCUSDT",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> int:
    """Play the life of orders at a venue, and hold each answer against the embedded exchange's."""
    from bnml import invocation

    settings = invocation.read_settings(config, venue=venue, state_dir=state_dir)
    invocation.own_state_dir(settings)
    from bnml.options import RehearseOptions
    from bnml.rehearsal.command import rehearse as target

    return target(settings, RehearseOptions(symbol=symbol.upper(), json=json))
