"""Options that several commands share: each is named, typed and explained once."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file; default ./config.yaml.")
]
StateDir = Annotated[str | None, typer.Option(help="Folder of journal, ledger and compiled kernels.")]
ModelsDir = Annotated[str | None, typer.Option(help="Folder of the trained models.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Replay = Annotated[
    Path | None, typer.Option("--replay", "--data", help="Folder of recorded bars or raw streams.")
]
Symbols = Annotated[str | None, typer.Option(help="BTCUSDT,ETHUSDT for a list; */USDT for discovery.")]
From = Annotated[
    str | None,
    typer.Option("--from", help="First moment traded, UTC, as in 2023-07-01; before it lies history."),
]
DataFrom = Annotated[
    str | None, typer.Option("--from", help="First moment of the data, UTC, as in 2023-07-01.")
]
To = Annotated[str | None, typer.Option("--to", help="Moment after the last, UTC.")]
BaseFrame = Annotated[str | None, typer.Option(help="Bars on which decisions are made, such as 15m or 1h.")]
Venue = Annotated[str | None, typer.Option(help="sim, paper, testnet or live; default sim.")]
Speed = Annotated[float | None, typer.Option(help="Market seconds per second of the embedded exchange.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the generated market.")]
FillTierName = Annotated[
    str | None,
    typer.Option(
        "--fill-tier", help="F0, F1, F2 or F3: how orders meet the market of the embedded exchange."
    ),
]
Port = Annotated[int | None, typer.Option(help="TCP port of the embedded exchange; 0 = any free one.")]
Engine = Annotated[str, typer.Option(help="replay: the engine, event by event; sweep: the kernel loop.")]
TradesFile = Annotated[Path | None, typer.Option("--trades", help="Write the trades to this CSV file.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write a page to look at to this HTML file.")
]
TablesFolder = Annotated[
    Path | None,
    typer.Option("--tables", help="Write the tables of the page to this folder, as CSV and JSON."),
]
SignalsFile = Annotated[
    Path | None, typer.Option("--signals", help="Trade these signals (CSV or parquet), not the daemon's.")
]
RulesFile = Annotated[Path | None, typer.Option("--rules", help="With --signals: how to trade them (YAML).")]
BarFiles = Annotated[
    Path | None, typer.Option("--bars", help="With --signals: a file or a folder of bars, CSV or parquet.")
]
FastBarFiles = Annotated[
    Path | None, typer.Option("--fast-bars", help="With --signals: finer bars, to look for exits in.")
]
Loose = Annotated[bool, typer.Option("--loose", help="With --signals: skip those at no bar's close.")]
RulesTemplate = Annotated[
    bool, typer.Option("--rules-template", help="Print a rules file with every key explained.")
]
FaultsFile = Annotated[
    str | None, typer.Option("--faults", help="Script of faults that clients are met with (YAML or JSON).")
]
FaultsTemplate = Annotated[
    bool, typer.Option("--faults-template", help="Print a fault script with an example of each action.")
]
Stepped = Annotated[
    bool, typer.Option("--stepped", help="The market waits for the daemon; runs repeat exactly.")
]
