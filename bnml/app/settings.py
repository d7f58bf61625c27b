"""The daemon around the decisions: state folder, logging, live trading, stopping."""

from pathlib import Path
from typing import Literal

from bnml.schema import Settings, section, setting

CONFIRMATION = "I accept that this trades real money"


class LoggingSettings(Settings):
    """What is written where."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "", "least severity that is written"
    )
    form: Literal["auto", "text", "json"] = setting(
        "auto", "", "auto: text on a terminal, JSON lines elsewhere"
    )


class LiveSettings(Settings):
    """The lock in front of real money."""

    confirm: str = setting("", "", f'must read "{CONFIRMATION}" before --venue live starts')

    @property
    def confirmed(self) -> bool:
        """Whether the operator has written the sentence."""
        return self.confirm == CONFIRMATION


class AppSettings(Settings):
    """The daemon."""

    state_dir: Path = setting(
        Path("state"), "folder", "journal, snapshots, compiled kernels, simulated ledger"
    )
    instance: str = setting(
        "a", "letters and digits", "marks this daemon's orders", pattern=r"^[a-z0-9]{1,4}$"
    )
    stop_timeout_s: float = setting(8.0, "s, wall time", "longest graceful stop", gt=0, le=60)
    reconcile_interval_s: int = setting(
        300, "s, market time", "between two comparisons with the venue", ge=10, le=86_400
    )
    inbox_size: int = setting(
        65_536, "events", "events waiting for the engine; streams wait when it is full", ge=256, le=10_000_000
    )
    loop_lag_warn_ms: float = setting(
        100.0, "ms", "a longer hold of the event loop is logged", gt=0, le=10_000
    )
    logging: LoggingSettings = section(LoggingSettings, "what is written where")
    live: LiveSettings = section(LiveSettings, "the lock in front of real money")
