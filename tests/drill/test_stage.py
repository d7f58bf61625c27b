"""A stage is cleared once nobody writes to it any more."""

import asyncio
import os
import sys
from types import SimpleNamespace

import pytest

from bnml.drill.stage import Stage

SLOW = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""


async def test_an_exchange_that_takes_a_moment_to_end_is_gone_when_the_stage_is():
    """Its folder was removed under it, and a drill that had passed ended with a traceback."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert await child.stdout.readline() == b"ready\n"
    found = SimpleNamespace(pid=child.pid)
    await Stage._end_exchange(SimpleNamespace(exchange=SimpleNamespace(endpoint=lambda: found)))
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    assert await child.wait() == 0
