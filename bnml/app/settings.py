"""The daemon around the decisions: state folder, logging, retraining, and the lock in front of real money."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Misconfigured
from bnml.schema import Settings, setting


class LiveSettings(Settings):
    """The lock in front of real money."""

    confirm: bool = setting(
        default=False, unit="", meaning="true says: --venue live may trade real money on this account"
    )
    max_capital: float | None = setting(
        None, "quote asset, empty = refuse to start", "most capital that live trading may use", gt=0
    )
    ramp: Literal["live", "always", "never"] = setting(
        "live",
        "",
        "smallest orders first, then 10 % of each, then all; live: with --venue live only; never in stepped runs",
    )
    ramp_round_trips: int = setting(
        10,
        "round trips",
        "that release a step: books equal to the account afterwards, slippage inside the cost model",
        ge=1,
        le=1000,
    )
    ramp_slack_bps: float = setting(
        5.0,
        "bps, each for buying and selling",
        "slippage that such a round trip may have beyond the cost model, as prices move before a fill",
        ge=0,
        le=100,
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
    awake_before_close_ms: int = setting(
        20,
        "ms, 0 = never",
        "testnet and live: the processor is kept awake from so long before a bar's close until its scan",
        ge=0,
        le=1000,
    )
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
    maintenance: tuple[str, ...] = setting(
        (),
        "UTC, START/END",
        "maintenance that the venue has announced, such as [2026-12-01T02:00/2026-12-01T04:00]: no entries",
    )
    maintenance_lead_min: int = setting(30, "min", "before such a maintenance entries end", ge=0, le=1440)

    @field_validator("maintenance")
    @classmethod
    def _maintenance_can_be_read(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for text in windows:
            _window(text)
        return windows

    def maintenance_windows(self) -> list[tuple[int, int]]:
        """Start and end of each, in UTC ns."""
        return [_window(text) for text in self.maintenance]


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
            raise ValueError("it must begin with https:// (http:// only for this machine)")
        return url


def _window(text: str) -> tuple[int, int]:
    start, _, end = text.partition("/")
    try:
        window = parse_utc_ns(start), parse_utc_ns(end)
    except (ValueError, Misconfigured) as error:
        raise ValueError(
            f'"{text}" must be START/END in UTC, as in 2026-12-01T02:00/2026-12-01T04:00'
        ) from error
    if window[0] >= window[1]:
        raise ValueError(f'"{text}" ends before it begins')
    return window
