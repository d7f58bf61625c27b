"""What the command line asks for, as plain data that app and research read."""

from pathlib import Path

import msgspec


class MarketOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which recorded data, of which symbols and time; shared by run, exchange, train, backtest, parity.

    `replay` is a folder of recorded bars or raw streams, None for the generated market or the venue.
    `symbols` empty means those of the settings. `from_ns` and `to_ns` are UTC, half open, None where
    the data begin or end.
    """

    replay: Path | None = None
    symbols: tuple[str, ...] = ()
    from_ns: int | None = None
    to_ns: int | None = None


class RunOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml run`; `stop_after` counts closed base bars after the first scan, None = until stopped."""

    stepped: bool = False
    once: bool = False
    retrain: bool = True
    stop_after: int | None = None
    json: bool = False


class ExchangeOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml exchange`; port, speed and seed are settings."""

    stepped: bool = False
    json: bool = False


class TrainOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml train`; `replay` is the data folder, None = history from the venue of the settings."""

    missing_only: bool = False
    json: bool = False


class BacktestOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml backtest`; `trades` is a CSV file to write."""

    engine: str = "replay"
    trades: Path | None = None
    json: bool = False


class ParityOptions(MarketOptions, frozen=True, kw_only=True):
    """`bnml parity`; `session` is a state folder with a journal, None = that of the settings."""

    session: Path | None = None
    json: bool = False


class StatusOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`bnml status`."""

    json: bool = False
