"""Commands of the operator: words to the running daemon, and panic, which does without it."""

from pathlib import Path
from typing import Annotated

import typer

from bnml.cli_options import ConfigFile, Json, StateDir, Venue

Symbol = Annotated[str, typer.Option("--symbol", help="Only this symbol, such as BTCUSDT.")]


def halt(
    reason: Annotated[str, typer.Option(help="Shown by status until entries are resumed.")] = "operator",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> int:
    """Stop the running daemon's entries; positions keep their protection."""
    return _order("halt", reason, config, state_dir, json=json)


def resume(
    symbol: Symbol = "", config: ConfigFile = None, state_dir: StateDir = None, json: Json = False
) -> int:
    """Let the running daemon enter again, after a halt or a breaker's pause; or one symbol after its panic."""
    return _order("resume", symbol.upper(), config, state_dir, json=json)


def reduce(config: ConfigFile = None, state_dir: StateDir = None, json: Json = False) -> int:
    """Let positions leave and none come, until resumed."""
    return _order("reduce", "", config, state_dir, json=json)


def flatten(
    symbol: Symbol = "", config: ConfigFile = None, state_dir: StateDir = None, json: Json = False
) -> int:
    """Sell everything at market and stay out until resumed; or sell one symbol and go on."""
    return _order("flatten", symbol.upper(), config, state_dir, json=json)


def panic(
    symbol: Symbol = "",
    yes: Annotated[bool, typer.Option("--yes", help="Mean it; without a terminal it must be given.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go to the venue beside a daemon that does not answer.")
    ] = False,
    instance: Annotated[
        str, typer.Option(help="Letters after `bn` in our order ids, when the state folder is lost.")
    ] = "",
    venue: Venue = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> int:
    """Cancel entries, sell what is ours at market, halt (or all that of one symbol); works without the daemon, too."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir, venue=venue)
    from bnml.app.panic import panic as target
    from bnml.options import PanicOptions

    return target(settings, PanicOptions(symbol=symbol.upper(), instance=instance, yes=yes, force=force))


def reload(config: ConfigFile = None, state_dir: StateDir = None, json: Json = False) -> int:
    """Let the running daemon read its configuration again: guards, alerts, log level; an invalid one changes nothing."""
    return _order("reload", "", config, state_dir, json=json)


keys_app = typer.Typer(help="The API key of a running daemon.", no_args_is_help=True, rich_markup_mode=None)


@keys_app.command("rotate")
def rotate(
    folder: Annotated[
        Path, typer.Argument(help="Holds binance_api_key and binance_api_secret, readable by the daemon.")
    ],
    config: ConfigFile = None,
    state_dir: StateDir = None,
    json: Json = False,
) -> int:
    """Prove another key and go over to it; stops are not touched, the old key is forgotten."""
    return _order("rotate_keys", str(folder.resolve()), config, state_dir, json=json)


ramp_app = typer.Typer(
    help="How much of the usual size live entries may have.", no_args_is_help=True, rich_markup_mode=None
)
Why = Annotated[str, typer.Option("--reason", help="Journaled and told with the alert.")]


@ramp_app.command("release")
def ramp_release(
    reason: Why = "", config: ConfigFile = None, state_dir: StateDir = None, json: Json = False
) -> int:
    """Go on to the next step now, whatever the round trips so far have shown."""
    return _order("ramp_release", reason, config, state_dir, json=json)


@ramp_app.command("reset")
def ramp_reset(
    reason: Why = "", config: ConfigFile = None, state_dir: StateDir = None, json: Json = False
) -> int:
    """Begin again with the smallest orders; positions keep their size and their protection."""
    return _order("ramp_reset", reason, config, state_dir, json=json)


def deadman(
    once: Annotated[
        bool, typer.Option("--once", help="Verify stops and cancel entries now, and end.")
    ] = False,
    venue: Venue = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
) -> int:
    """Watch a daemon from beside it: when it gives no sign of life, verify stops, cancel entries, alert."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir, venue=venue)
    from bnml.app.deadman import deadman as target
    from bnml.options import DeadmanOptions

    return target(settings, DeadmanOptions(once=once))


def _order(name: str, argument: str, config: Path | None, state_dir: str | None, *, json: bool) -> int:
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir)
    from bnml.app.spool import send
    from bnml.options import OrderOptions

    return send(settings, OrderOptions(name=name, argument=argument, json=json))
