"""The command line: options in, one lazily imported function called, one exit code out.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by a safety check,
4 venue or network, 5 recovery needed. Nothing heavy is imported before it is needed, so that
`--help` answers at once.
"""

import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from bnml.cli_drill import drill
from bnml.cli_grid import grid
from bnml.cli_operator import deadman, flatten, halt, keys_app, panic, ramp_app, reduce, reload, resume
from bnml.cli_options import (
    BarFiles,
    BaseFrame,
    ConfigFile,
    DataFrom,
    Engine,
    FastBarFiles,
    FaultsFile,
    FaultsTemplate,
    FillTierName,
    From,
    Json,
    Loose,
    ModelsDir,
    Port,
    Replay,
    ReportFile,
    RulesFile,
    RulesTemplate,
    Seed,
    SignalsFile,
    Speed,
    StateDir,
    Stepped,
    Symbols,
    TablesFolder,
    To,
    TradesFile,
    Venue,
)
from bnml.cli_recover import recover
from bnml.cli_rehearse import rehearse
from bnml.cli_shortfall import shortfall
from bnml.core.errors import BnmlError, Misconfigured, UsageError

FAILED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="bnml",
    help="A machine-learning trading daemon for Binance Spot, with the exchange to rehearse it on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Look at the configuration.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(config_app, name="config")
app.add_typer(keys_app, name="keys")
app.add_typer(ramp_app, name="ramp")
for command in (
    grid,
    recover,
    drill,
    rehearse,
    shortfall,
    halt,
    resume,
    reduce,
    flatten,
    panic,
    reload,
    deadman,
):
    app.command()(command)


@app.command()
def run(
    venue: Venue = None,
    replay: Replay = None,
    symbols: Symbols = None,
    from_: From = None,
    to: To = None,
    base_frame: BaseFrame = None,
    speed: Speed = None,
    seed: Seed = None,
    fill_tier: FillTierName = None,
    port: Port = None,
    stop_after: Annotated[
        int | None, typer.Option(min=1, help="End after this many closed base bars.")
    ] = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    models_dir: ModelsDir = None,
    stepped: Stepped = False,
    once: Annotated[
        bool, typer.Option("--once", help="Decide on the last closed bar, act, and end.")
    ] = False,
    no_retrain: Annotated[bool, typer.Option("--no-retrain", help="Use only the models there are.")] = False,
    json: Json = False,
) -> int:
    """Trade: on the embedded exchange, unless --venue says otherwise."""
    from bnml import invocation

    settings = invocation.read_settings(
        config,
        venue=venue,
        symbols=symbols,
        base_frame=base_frame,
        speed=speed,
        seed=seed,
        fill_tier=fill_tier,
        port=port,
        feed="recorded" if replay else None,
        state_dir=state_dir,
        models_dir=models_dir,
        retrain=False if no_retrain else None,
    )
    market = invocation.market_fields(replay, from_, to)
    invocation.own_state_dir(settings)
    from bnml.app.run import run as target
    from bnml.options import RunOptions

    options = RunOptions(
        **market, json=json, stepped=stepped, once=once, stop_after=stop_after, config=config
    )
    return target(settings, options)


@app.command()
def exchange(
    venue: Annotated[
        str | None, typer.Option(help="paper: follow Binance's public streams; else the simulated market.")
    ] = None,
    replay: Replay = None,
    symbols: Symbols = None,
    from_: From = None,
    to: To = None,
    base_frame: BaseFrame = None,
    speed: Speed = None,
    seed: Seed = None,
    fill_tier: FillTierName = None,
    port: Port = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    stepped: Stepped = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Hold the market until its first stream is subscribed.")
    ] = False,
    faults: FaultsFile = None,
    faults_template: FaultsTemplate = False,
    json: Json = False,
) -> int:
    """Serve the embedded exchange alone, in Binance's protocol."""
    if faults_template:
        from bnml.app.exchange_faults import print_template

        return print_template()
    from bnml import invocation

    settings = invocation.read_settings(
        config,
        venue=venue,
        symbols=symbols,
        base_frame=base_frame,
        speed=speed,
        seed=seed,
        fill_tier=fill_tier,
        port=port,
        faults=faults,
        feed="recorded" if replay else None,
        state_dir=state_dir,
    )
    market = invocation.market_fields(replay, from_, to)
    invocation.own_state_dir(settings)
    from bnml.app.exchange import serve as target
    from bnml.options import ExchangeOptions

    return target(settings, ExchangeOptions(**market, json=json, stepped=stepped, wait=wait))


@app.command()
def train(
    replay: Replay = None,
    venue: Venue = None,
    symbols: Symbols = None,
    from_: DataFrom = None,
    to: To = None,
    base_frame: BaseFrame = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    models_dir: ModelsDir = None,
    missing_only: Annotated[
        bool, typer.Option("--missing-only", help="Skip symbols whose model is young enough.")
    ] = False,
    json: Json = False,
) -> int:
    """Fit and publish models, from a data folder or the venue."""
    from bnml import invocation

    settings = invocation.read_settings(
        config,
        venue=venue,
        symbols=symbols,
        base_frame=base_frame,
        state_dir=state_dir,
        models_dir=models_dir,
    )
    market = invocation.market_fields(replay, from_, to)
    invocation.own_state_dir(settings)
    from bnml.app.training import train as target
    from bnml.options import TrainOptions

    return target(settings, TrainOptions(**market, json=json, missing_only=missing_only))


@app.command()
def backtest(
    replay: Replay = None,
    symbols: Symbols = None,
    from_: From = None,
    to: To = None,
    base_frame: BaseFrame = None,
    seed: Seed = None,
    engine: Engine = "replay",
    trades: TradesFile = None,
    report: ReportFile = None,
    tables: TablesFolder = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    models_dir: ModelsDir = None,
    signals: SignalsFile = None,
    rules: RulesFile = None,
    bars: BarFiles = None,
    fast_bars: FastBarFiles = None,
    loose: Loose = False,
    rules_template: RulesTemplate = False,
    json: Json = False,
) -> int:
    """Take the daemon's decisions on recorded bars, costs included; or trade given signals (--signals)."""
    if rules_template:
        from bnml.signals_invocation import print_template

        return print_template()
    if signals is not None:
        from bnml.signals_invocation import run_signals

        refused = {"config": config, "models-dir": models_dir, "base-frame": base_frame, "seed": seed}
        files = {"signals": signals, "rules": rules, "bars": bars or replay, "fast_bars": fast_bars}
        rest = {**files, "trades": trades, "report": report, "tables": tables, "loose": loose, "json": json}
        return run_signals(refused, rest, symbols, from_, to, state_dir)
    if rules or bars or fast_bars or loose:
        raise UsageError("--rules, --bars, --fast-bars and --loose go with --signals FILE; name the signals")
    if engine not in {"replay", "sweep"}:
        raise UsageError(f"option --engine: there is no engine {engine}; write replay or sweep")
    from bnml import invocation

    settings = invocation.read_settings(
        config, symbols=symbols, base_frame=base_frame, seed=seed, state_dir=state_dir, models_dir=models_dir
    )
    market = invocation.market_fields(replay, from_, to)
    invocation.own_state_dir(settings)
    from bnml.options import BacktestOptions
    from bnml.research.commands import backtest as target

    options = BacktestOptions(**market, json=json, engine=engine, trades=trades, report=report, tables=tables)
    return target(settings, options)


@app.command()
def parity(
    replay: Replay = None,
    symbols: Symbols = None,
    from_: From = None,
    to: To = None,
    base_frame: BaseFrame = None,
    seed: Seed = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    models_dir: ModelsDir = None,
    allow_few: Annotated[
        bool, typer.Option("--allow-few", help="Accept a window where some exits and refusals are rare.")
    ] = False,
    json: Json = False,
) -> int:
    """Compare the daemon's session, the replay and the sweep."""
    from bnml import invocation

    settings = invocation.read_settings(
        config, symbols=symbols, base_frame=base_frame, seed=seed, state_dir=state_dir, models_dir=models_dir
    )
    market = invocation.market_fields(replay, from_, to)
    invocation.own_state_dir(settings)
    from bnml.options import ParityOptions
    from bnml.research.commands import parity as target

    return target(settings, ParityOptions(**market, json=json, allow_few=allow_few))


@app.command()
def status(config: ConfigFile = None, state_dir: StateDir = None, json: Json = False) -> int:
    """Say what the daemon is doing, from its journal."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir)
    from bnml.app.status import status as target
    from bnml.options import StatusOptions

    return target(settings, StatusOptions(json=json))


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which ones; none = all.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes, under a minute in all.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a goal is missed.")] = False,
    json: Json = False,
) -> int:
    """Measure what bnml costs, each figure beside a yardstick in the same process."""
    from bnml.bench.command import bench as target

    return target(names or (), quick=quick, strict=strict, json=json)


@app.command("compile")
def compile_(config: ConfigFile = None, state_dir: StateDir = None) -> int:
    """Compile the kernels ahead, so that the next start does not; installation does this once."""
    from bnml import invocation

    settings = invocation.read_settings(config, state_dir=state_dir)
    invocation.own_state_dir(settings)
    from bnml.app.compiling import compile_kernels as target

    return target(settings)


@config_app.command("check")
def config_check(config: ConfigFile = None, json: Json = False) -> int:
    """Read the configuration as the daemon would; say what is wrong."""
    from bnml.config_report import check

    return check(config, json=json)


@config_app.command("template")
def config_template() -> int:
    """Print a configuration file with every key explained."""
    from bnml.config_report import template

    typer.echo(template(), nl=False)
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    code = call(arguments)
    if threading.active_count() > 1:
        # A kernel being compiled in a thread cannot be stopped; the interpreter's own way out aborts under it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def call(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; every error meant for the operator becomes a sentence on stderr and a code."""
    try:
        code = app(args=arguments, prog_name="bnml", standalone_mode=False)
    except BnmlError as error:
        _tell(f"bnml: {error}")
        return error.exit_code
    except typer.TyperException as error:
        _tell(f"bnml: {error.format_message()}; see bnml --help")
        return Misconfigured.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`bnml ... | head`); nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if code == INTERRUPTED:
        _tell("bnml: stopped by the operator")
        return FAILED
    return int(code or 0)


def _tell(text: str) -> None:
    """On stderr, where it takes anything: the code, by which a supervisor decides, is the same on a full disk."""
    with suppress(OSError):
        typer.echo(text, err=True)
