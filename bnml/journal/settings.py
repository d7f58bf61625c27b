"""How safely the journal is written, and how often the engine is photographed."""

from typing import Literal

from bnml.schema import Settings, setting


class JournalSettings(Settings):
    """SQLite in WAL mode, one writer, group commit."""

    durability: Literal["power", "process"] = setting(
        "power", "", "what a commit survives: a power cut, or the death of the process only (faster)"
    )
    snapshot_every_events: int = setting(
        20_000,
        "events",
        "between two snapshots of the engine; fewer shorten a restart",
        ge=100,
        le=100_000_000,
    )
