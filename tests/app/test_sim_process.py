"""The embedded exchange of a daemon that was killed before it had an answer is used by the next one."""

import asyncio
import os
import subprocess
import sys
from types import SimpleNamespace

import msgspec
import pytest

from bnml.app.sim_process import Endpoint, SimProcess
from bnml.config import Settings
from bnml.core.errors import Misconfigured, Rejected
from bnml.options import RunOptions

REFUSED = Rejected.exit_code  # the lock is the earlier one's


@pytest.fixture
def earlier():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


async def start(folder, monkeypatch, code=REFUSED):
    async def refused(*_arguments, stdout, **_options):
        stdout.write(b"bnml: these are its last words\n")
        return SimpleNamespace(pid=os.getpid(), returncode=code)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused)
    return await SimProcess(folder).attach_or_start(Settings(), RunOptions())


async def test_an_exchange_that_is_just_starting_is_waited_for(tmp_path, monkeypatch, earlier):
    (tmp_path / "started_by_daemon").write_text(str(earlier.pid))
    starting = asyncio.create_task(start(tmp_path, monkeypatch))
    await asyncio.sleep(0.1)
    assert not starting.done()
    endpoint = Endpoint(earlier.pid, 1, "", "")
    (tmp_path / "endpoint.json").write_bytes(msgspec.json.encode(endpoint))
    assert await starting == endpoint
    assert (tmp_path / "started_by_daemon").read_text() == str(earlier.pid)


async def test_without_one_the_refusal_is_told(tmp_path, monkeypatch):
    with pytest.raises(Rejected, match="these are its last words"):
        await start(tmp_path, monkeypatch)


async def test_another_failure_is_told_at_once_whoever_has_the_number_of_the_earlier_one(
    tmp_path, monkeypatch, earlier
):
    (tmp_path / "started_by_daemon").write_text(str(earlier.pid))
    async with asyncio.timeout(5):
        with pytest.raises(Misconfigured, match="these are its last words"):
            await start(tmp_path, monkeypatch, code=Misconfigured.exit_code)
