"""`bnml run --once`: what speaks against entries is known when its one scan decides, and ends when it is over."""

import os
import shutil
import subprocess
import sys

from bnml.app.vitals import MIB
from bnml.core.events import Guard, Scan
from bnml.journal.reader import JournalReader
from tests.e2e.kills import CONFIG


def once(state, **environment):
    """One more session; guards and scans of all so far in their order."""
    options = ("--no-retrain", "--config", CONFIG, "--symbols", "BTCUSDT,ETHUSDT", "--state-dir", state)
    run = subprocess.run(
        [sys.executable, "-m", "bnml", "run", "--venue", "sim", "--once", *options],
        capture_output=True,
        check=False,
        text=True,
        timeout=150,
        env={**os.environ, **environment},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    with JournalReader(state / "journal.db") as journal:
        events = [one for _, one in journal.events()]
    return [
        (one.name, one.level) if isinstance(one, Guard) else "scan"
        for one in events
        if isinstance(one, Guard | Scan)
    ]


def test_little_room_is_known_before_the_scan_and_the_next_run_with_room_ends_it(tmp_path):
    """Nobody looked: entries were made on a full disk, and what a timed session had found stood for ever."""
    state, free_mib = tmp_path / "state", shutil.disk_usage(tmp_path).free // MIB
    first = once(state, BNML_GUARDS__LEAST_FREE_MIB=str(2 * free_mib))
    assert first == [("disk", "REDUCING"), "scan"]
    assert once(state, BNML_GUARDS__LEAST_FREE_MIB="16") == [*first, ("disk", "ACTIVE"), "scan"]
