"""What the command line asks for beside the settings, as plain data that app and research read."""

from pathlib import Path

import msgspec


class MarketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which recorded data and which time; symbols and frames are settings.

    `replay` is a folder of recorded bars or raw streams, None for the generated market or the venue.
    `from_ns` and `to_ns` are UTC, half open, None where the data begin or end.
    """

    replay: Path | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    json: bool = False


class RunOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml run`; `stop_after` counts closed base bars after the first scan, None = until stopped.

    `config` is the file the settings came from, for starting the embedded exchange with the same one.
    """

    stepped: bool = False
    once: bool = False
    stop_after: int | None = None
    config: Path | None = None


class ExchangeOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml exchange`; port, speed and seed are settings.

    `wait` holds the market until somebody listens to it, so that nothing of it passes while a daemon starts.
    """

    stepped: bool = False
    wait: bool = False


class TrainOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml train`; `replay` is the data folder, None = history from the venue of the settings."""

    missing_only: bool = False


class BacktestOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml backtest`; `engine` is `replay` or `sweep`, `trades` a CSV file to write.

    `report` is an HTML file to write, `tables` a folder for the same tables as CSV and JSON.
    """

    engine: str = "replay"
    trades: Path | None = None
    report: Path | None = None
    tables: Path | None = None


class SignalsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml backtest --signals`; the bars are a file or a folder, `rules` None = the template's defaults.

    `from_ns` and `to_ns` are UTC, half open, None where the data begin or end. `loose` leaves out signals
    that stand at no bar's close; `symbols` empty = all that have signals. The ledger of trials is in `state_dir`.
    """

    signals: Path
    bars: Path
    rules: Path | None = None
    fast_bars: Path | None = None
    symbols: tuple[str, ...] = ()
    from_ns: int | None = None
    to_ns: int | None = None
    trades: Path | None = None
    report: Path | None = None
    tables: Path | None = None
    loose: bool = False
    state_dir: Path = Path("state")
    json: bool = False


class GridOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml grid`; `axes` as they were written, `sealed` in % of the traded time, `out` None = by the grid's name.

    With `signals` that file's signals are traded by `rules` on `bars`, else the daemon's decisions on the
    market. `resume` goes on with the folder's search, `open` opens its sealed part for that combination.
    `per_symbol` searches each symbol alone, with all the capital, in a folder of its own.
    """

    axes: tuple[str, ...] = ()
    grid_file: Path | None = None
    out: Path | None = None
    resume: bool = False
    open: int | None = None
    sealed: float = 25.0
    min_trades: int = 30
    threads: int = 0
    draw_seed: int = 1
    per_symbol: bool = False
    signals: Path | None = None
    rules: Path | None = None
    bars: Path | None = None
    fast_bars: Path | None = None
    symbols: tuple[str, ...] = ()
    loose: bool = False


class ParityOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml parity`; the session is read from the journal in the state folder.

    `allow_few` accepts a window in which some kinds of exits and refusals are rare.
    """

    allow_few: bool = False


class OrderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A word to the running daemon, such as halt or resume; `argument` is the reason of a halt, or a symbol."""

    name: str
    argument: str = ""
    json: bool = False


class RecoverOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml recover`: `rebuild` sets a readable journal aside too, `acknowledge` is the operator's word."""

    dry_run: bool = False
    rebuild: bool = False
    acknowledge: bool = False


class PanicOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml panic`; `symbol` empty = everything, `instance` empty = as the state folder says who we are.

    `force` goes to the venue although a daemon that does not answer holds the state folder.
    """

    symbol: str = ""
    instance: str = ""
    yes: bool = False
    force: bool = False


class DeadmanOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml deadman`; `once` looks at the venue now instead of watching."""

    once: bool = False


class RehearseOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml rehearse`: the symbol that is traded in its smallest sizes."""

    symbol: str = "BTCUSDT"
    json: bool = False


class ShortfallOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml shortfall`; `since_ns` is UTC, 0 = everything."""

    since_ns: int = 0
    json: bool = False


class StatusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml status`."""

    json: bool = False
