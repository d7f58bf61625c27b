"""The daemon around the decisions: state folder, logging, retraining, and the lock in front of real money."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

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


class GuardSettings(Settings):
    """What around the engine is a reason to trade less; nothing of it counts in stepped runs."""

    least_free_mib: int = setting(
        1024,
        "MiB",
        "free disk below which no entries are made; below a quarter of it trading halts",
        ge=16,
        le=10**7,
    )
    memory_mib: int = setting(
        0,
        "MiB, 0 = the limit of the control group",
        "memory: entries end at 80 %, a restart at 95 %",
        ge=0,
        le=10**7,
    )
    loop_lag_ms: float = setting(
        250.0,
        "ms, wall time",
        "lag of the event loop that is warned of; lasting, entries end",
        ge=10,
        le=60_000,
    )
    loop_limit_ms: float = setting(
        10_000.0,
        "ms, wall time",
        "lag of the event loop after which systemd's watchdog is not fed",
        ge=100,
        le=10**6,
    )
    journal_stall_s: float = setting(
        2.0,
        "s, wall time",
        "without a commit while rows wait: entries end; five times as long: trading halts",
        gt=0,
        le=600,
    )


class DeadmanSettings(Settings):
    """`bnml deadman`, which watches over a daemon from beside it."""

    stale_s: float = setting(
        30.0, "s", "without a sign of life before stops are verified and entries cancelled", ge=2, le=3600
    )
    repeat_s: float = setting(
        300.0, "s", "between two looks at the venue while the daemon is dead", ge=5, le=86_400
    )


class AlertSettings(Settings):
    """Where alerts go beside the log."""

    webhook_url: str = setting("", "URL, empty = nowhere", "gets each alert as JSON: severity, name, text")
    level: Literal["warning", "error", "critical"] = setting("error", "", "least severity that is posted")
    timeout_s: float = setting(
        5.0, "s, wall time", "a receiver that takes longer has not taken it", gt=0, le=60
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError(f'"{url}" must begin with https:// (http:// only for this machine)')
        return url
