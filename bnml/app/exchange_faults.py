"""The fault script of an exchange process: read before the market opens, at work before the port does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bnml.app.logs import logger
from bnml.venues.sim.faults.injector import Faults
from bnml.venues.sim.faults.names import check_names
from bnml.venues.sim.faults.script import load_script
from bnml.venues.sim.faults.template import faults_template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bnml.config import Settings
    from bnml.venues.sim.faults.rules import Script
    from bnml.venues.sim.faults.words import Words
    from bnml.venues.sim.venue import Venue


def read_faults(settings: Settings) -> tuple[Script, Words] | None:
    """The script that the settings name; raises Misconfigured where it is wrong."""
    file = settings.venue.sim.faults
    return load_script(Path(file)) if file else None


def begin_faults(venue: Venue, read: tuple[Script, Words] | None) -> None:
    """Let every fault of the venue be logged, and put the script in, if there is one."""
    venue.fault_log = _log
    if read is None:
        return
    script, words = read
    check_names(script, words, venue)
    Faults(venue, script).start()
    logger().info("faults_loaded", rules=len(script.rules), seed=script.seed)


def print_template() -> int:
    """`--faults-template`."""
    sys.stdout.write(faults_template())
    return 0


def _log(fired: Mapping[str, Any]) -> None:
    logger().info("fault_fired", **fired)
