"""The folder of compiled kernels: damaged or written by two processes at once, a start goes on."""

import os
import subprocess
import sys

CODE = "import pathlib, sys; from bnml.state_folder import own_folder; own_folder(pathlib.Path(sys.argv[1])); from bnml.kernels.breakers import week_of_day; assert week_of_day(4) == 1; print('started')"


def start(folder):
    environment = {**os.environ, "BNML_NUMBA_CACHE": str(folder), "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def said(process):
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors[-2000:]
    return out.strip()


def test_f63_a_corrupt_cache_or_two_writers_never_stop_a_start(tmp_path):
    two = [start(tmp_path), start(tmp_path)]
    assert [said(one) for one in two] == ["started", "started"]
    files = [path for path in tmp_path.rglob("*") if path.suffix in {".nbi", ".nbc"}]
    assert files
    for damage in (b"", b"\x80\x05garbage", b"x" + os.urandom(200)):
        for path in files:
            path.write_bytes(damage)
        assert said(start(tmp_path)) == "started"
