"""Secrets of this process: in no core dump, and in no process that it starts."""

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bnml.app.hardening import childs_environment
from bnml.app.retrain import Trainer
from bnml.app.sim_process import SimProcess
from bnml.config import Settings, load
from bnml.core.errors import Rejected
from bnml.options import RunOptions

SECRET = "s3cr3t-0f-th1s-acc0unt"
DIES = (
    "import os, resource; hard = resource.getrlimit(resource.RLIMIT_CORE)[1];"
    "resource.setrlimit(resource.RLIMIT_CORE, (hard, hard));"
)
DUMPS = DIES + "os.abort()"
HARDENED = DIES + (
    "from bnml.app.hardening import harden; harden(); import ctypes;"
    "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), flush=True); os.abort()"
)
DUMPABLE_INTO_FILES = (
    Path("/proc/sys/kernel/core_pattern").read_text("ascii").strip() == "core"
    if sys.platform == "linux"
    else False
)


def aborted(folder, code):
    """What a process with a secret said before it died, and the cores that it left."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env={**os.environ, "BINANCE_API_SECRET": SECRET, "PYTHONPATH": str(Path.cwd())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, [file.read_bytes() for file in folder.iterdir()]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_daemon_that_dies_leaves_no_core(tmp_path):
    done, cores = aborted(tmp_path / "hardened", HARDENED)
    assert (done.returncode, done.stdout.strip(), cores) == (-6, "0 (0, 0)", []), done.stderr
    _, cores = aborted(tmp_path / "bare", DUMPS)
    if DUMPABLE_INTO_FILES and resource.getrlimit(resource.RLIMIT_CORE)[1]:  # else nobody can leave one
        assert any(SECRET.encode() in core for core in cores), "this would show a secret"


def test_a_child_gets_what_it_needs_and_no_secret():
    kept = {
        "PATH": "/bin", "HOME": "/root", "LANG": "C", "TMPDIR": "/tmp", "OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": "c",
        "BNML_NUMBA_CACHE": "n", "BNML_APP__STATE_DIR": "s", "BNML_VENUE__KEY_PERMISSIONS_UNVERIFIED": "accept",
        "HTTPS_PROXY": "http://proxy:1", "XDG_STATE_HOME": "x",
    }  # fmt: skip
    secret = dict.fromkeys(
        (
            "BINANCE_API_KEY", "BINANCE_API_SECRET", "CREDENTIALS_DIRECTORY", "BNML_ALERTS__WEBHOOK_URL",
            "AWS_SECRET_ACCESS_KEY", "DISCORD_TOKEN", "PGPASSWORD", "GPG_PASSPHRASE", "SSH_PRIVATE_KEY",
        ),
        SECRET,
    )  # fmt: skip
    assert childs_environment({**secret, **kept}) == kept


async def test_neither_a_training_nor_an_exchange_learns_the_key(tmp_path, monkeypatch):
    """The whole environment went to them, and theirs can be read by every process of the user."""
    seen = []

    async def spawn(*_arguments, env, **_options):
        seen.append(env)
        return SimpleNamespace(pid=os.getpid(), returncode=Rejected.exit_code, wait=over)

    async def over():
        return 0

    for name in ("BINANCE_API_KEY", "BINANCE_API_SECRET"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", spawn)
    folders = {"app.state_dir": (str(tmp_path), ""), "learning.models_dir": (str(tmp_path), "")}
    trainer = Trainer(load(None, {}, folders), RunOptions(), None, None, lambda: 0)
    await trainer.train([])
    with pytest.raises(Rejected):
        await SimProcess(tmp_path).attach_or_start(Settings(), RunOptions())
    assert [(env["PATH"], SECRET in env.values()) for env in seen] == [(os.environ["PATH"], False)] * 2
