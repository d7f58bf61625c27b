"""The command `grid`: its options, read when it is called."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bnml.cli_options import (
    BarFiles,
    BaseFrame,
    ConfigFile,
    FastBarFiles,
    From,
    Json,
    Loose,
    ModelsDir,
    Replay,
    RulesFile,
    Seed,
    SignalsFile,
    StateDir,
    Symbols,
    To,
)
from bnml.core.errors import UsageError

Axis = Annotated[
    list[str] | None,
    typer.Option("--axis", help="A numeric rule and its values: stop_pct=1:3:0.5 or stop_pct=1,2; repeat."),
]
GridFile = Annotated[Path | None, typer.Option("--grid", help="Axes from a YAML file: name: 1:3:0.5.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the rows; default below the state folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the search of --out.")]
Open = Annotated[
    int | None, typer.Option("--open", help="Open the sealed part for this combination; once.", min=0)
]
Sealed = Annotated[
    float, typer.Option(help="% of the traded time, the last, that the search does not see.", min=0, max=90)
]
MinTrades = Annotated[int, typer.Option(help="Fewest closed positions of a candidate.", min=1)]
Threads = Annotated[int, typer.Option(help="Combinations at once; 0 = one for each processor.", min=0)]
DrawSeed = Annotated[int, typer.Option(help="Seed of the combinations that PBO compares in a huge grid.")]
PerSymbol = Annotated[
    bool, typer.Option("--per-symbol", help="A grid for each symbol alone, with all the capital.")
]


def grid(
    axis: Axis = None,
    grid_file: GridFile = None,
    replay: Replay = None,
    signals: SignalsFile = None,
    rules: RulesFile = None,
    bars: BarFiles = None,
    fast_bars: FastBarFiles = None,
    loose: Loose = False,
    symbols: Symbols = None,
    from_: From = None,
    to: To = None,
    base_frame: BaseFrame = None,
    seed: Seed = None,
    out: Out = None,
    resume: Resume = False,
    open_: Open = None,
    sealed: Sealed = 25.0,
    min_trades: MinTrades = 30,
    threads: Threads = 0,
    draw_seed: DrawSeed = 1,
    per_symbol: PerSymbol = False,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    models_dir: ModelsDir = None,
    json: Json = False,
) -> int:
    """Backtest every combination of rules, judge what is found, keep a sealed part to check one on."""
    if signals is None and (rules or bars or fast_bars or loose):
        raise UsageError("--rules, --bars, --fast-bars and --loose go with --signals FILE; name the signals")
    if signals is not None and bars is None and replay is None:
        raise UsageError("--signals needs bars to trade on; name a file or a folder with --bars")
    if resume and open_ is not None:
        raise UsageError("--resume searches and --open ends the search; give one of them")
    from bnml import invocation

    settings = invocation.read_settings(
        config, symbols=symbols, base_frame=base_frame, seed=seed, state_dir=state_dir, models_dir=models_dir
    )
    market = invocation.market_fields(replay if signals is None else None, from_, to)
    invocation.own_state_dir(settings)
    from bnml.options import GridOptions
    from bnml.research.grid_commands import grid as target

    asked: dict[str, Any] = {
        "axes": tuple(axis or ()),
        "grid_file": grid_file,
        "out": out,
        "resume": resume,
        "open": open_,
    }
    judged: dict[str, Any] = {
        "sealed": sealed,
        "min_trades": min_trades,
        "threads": threads,
        "draw_seed": draw_seed,
        "per_symbol": per_symbol,
    }
    given = _given(signals, rules, bars or replay, fast_bars, symbols, loose=loose)
    return target(settings, GridOptions(**market, **asked, **judged, **given, json=json))


def _given(
    signals: Path | None,
    rules: Path | None,
    bars: Path | None,
    fast_bars: Path | None,
    symbols: str | None,
    *,
    loose: bool,
) -> dict[str, Any]:
    """Fields of GridOptions for given signals; none without them."""
    if signals is None:
        return {}
    names = tuple(name.strip() for name in (symbols or "").split(",") if name.strip())
    files = {"signals": signals, "rules": rules, "bars": bars, "fast_bars": fast_bars}
    return {**files, "symbols": names, "loose": loose}
