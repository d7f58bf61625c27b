"""How the journal is written and how much of it is kept."""

from bnml.schema import Settings, setting


class JournalSettings(Settings):
    """SQLite in WAL mode, one writer, group commit."""

    file_name: str = setting("journal.db", "file", "name inside the state folder", min_length=1)
    queue_size: int = setting(
        10_000,
        "records",
        "records waiting for the writer; trading stops when it is full",
        ge=100,
        le=1_000_000,
    )
    commit_interval_ms: int = setting(
        20, "ms, wall time", "longest wait of a record that nobody waits for", ge=1, le=5000
    )
    stall_s: float = setting(5.0, "s, wall time", "a commit that takes longer stops trading", gt=0, le=120)
    snapshot_bars: int = setting(
        96, "base bars", "bars between two snapshots of the engine", ge=1, le=100_000
    )
    retain_days: int = setting(400, "days, market time", "age at which records are removed", ge=1, le=36_500)
