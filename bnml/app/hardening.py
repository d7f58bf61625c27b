"""Keeps secrets of this process out of core dumps, of processes that it starts, and of the reach of others of its user."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import TYPE_CHECKING, Final

from bnml.app.logs import logger

if TYPE_CHECKING:
    from collections.abc import Mapping

PR_SET_DUMPABLE: Final = 4
SECRET_NAMES: Final = (
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "secret",
    "token",
    "password",
    "passphrase",
    "credentials",
    "webhook",
)
"""In the name of a variable; anything else may be a setting of ours, of numba, of a proxy."""


def harden() -> None:
    """No core dumps, and no attaching, where the system has a way to say so."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        library = ctypes.CDLL(None, use_errno=True)
        if library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            logger().warning("process_is_dumpable", errno=ctypes.get_errno())


def childs_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process that trades on no account is started with: dumpable again, it would show ours to its user."""
    environment = os.environ if environment is None else environment
    return {
        name: text
        for name, text in environment.items()
        if not any(secret in name.lower() for secret in SECRET_NAMES)
    }
