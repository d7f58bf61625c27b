"""Keeps secrets of this process out of core dumps and out of the reach of other processes of the same user."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from bnml.app.logs import logger

PR_SET_DUMPABLE: Final = 4


def harden() -> None:
    """No core dumps, and no attaching, where the system has a way to say so."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            logger().warning("process_is_dumpable", errno=ctypes.get_errno())
