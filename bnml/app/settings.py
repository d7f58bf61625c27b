"""The daemon around the decisions: state folder, logging, retraining, and the lock in front of real money."""

from pathlib import Path
from typing import Literal

from bnml.schema import Settings, setting


class LiveSettings(Settings):
    """The lock in front of real money."""

    confirm: bool = setting(
        default=False, unit="", meaning="true says: --venue live may trade real money on this account"
    )
    max_capital: float | None = setting(
        None, "quote asset, empty = refuse to start", "most capital that live trading may use", gt=0
    )


class AppSettings(Settings):
    """The daemon."""

    state_dir: Path = setting(
        Path("state"), "folder", "journal, compiled kernels, the simulated exchange's ledger"
    )
    instance: str = setting(
        "a", "", "1 to 4 letters or digits that mark this daemon's orders", pattern="^[A-Za-z0-9]{1,4}$"
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "", "least severity that is written"
    )
    log_format: Literal["auto", "text", "json"] = setting(
        "auto", "", "auto: text on a terminal, JSON lines elsewhere"
    )
    retrain: bool = setting(default=True, unit="", meaning="train missing and old bundles in a child process")
    stop_timeout_s: float = setting(8.0, "s, wall time", "longest graceful stop", gt=0, le=60)
    reconcile_interval_s: int = setting(
        60,
        "s, market time",
        "between two comparisons of orders and balances with the venue",
        ge=10,
        le=86_400,
    )
