"""The programs that `bnml exchange` prints run as they stand, in the environments of their clients."""

import os
import subprocess
import sys

import pytest

MARK = "# ---- "
MARKET = ("--base-frame", "1m", "--speed", "300", "--symbols", "BTCUSDT,ETHUSDT")


def read_announcement(output):
    """Head and printed programs, by the package that each needs."""
    parts = {"": []}
    name = ""
    for line in output:
        if line.startswith(MARK + "Ctrl-C"):
            return "".join(parts.pop("")), {name: "".join(lines) for name, lines in parts.items()}
        if line.startswith(MARK):
            name = line.removeprefix(MARK).split()[0]
            parts[name] = []
        else:
            parts[name].append(line)
    raise AssertionError("the exchange ended without having said everything")


@pytest.fixture(scope="module")
def announced(tmp_path_factory):
    """What a person sees who starts the exchange, while it runs."""
    folder = tmp_path_factory.mktemp("announced")
    command = [sys.executable, "-m", "bnml", "exchange", "--state-dir", str(folder), *MARKET]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    )
    try:
        yield (*read_announcement(running.stdout), folder)
    finally:
        running.terminate()
        running.communicate(timeout=20)


def test_the_head_names_addresses_and_keys(announced):
    head, programs, folder = announced
    endpoint = (folder / "exchange" / "endpoint.json").read_text()
    for name in ("page", "REST", "streams", "WebSocket API", "controls", "API key", "secret (HMAC)"):
        row = next(line for line in head.splitlines() if line.startswith(name))
        assert row.split()[-1].strip('",') in endpoint or "127.0.0.1" in row
    assert set(programs) == {"ccxt", "python-binance"}


@pytest.mark.parametrize("package", ["ccxt", "python-binance"])
def test_a_printed_program_trades_and_listens(announced, python_of, tmp_path, package):
    file = tmp_path / "program.py"
    file.write_text(announced[1][package])
    done = subprocess.run(
        [python_of(package), "-W", "ignore", file],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line.split()[0] for line in done.stdout.splitlines()]
    assert said[0] == "bought"
    assert len(said) == 3
    assert float(done.stdout.split()[1]) > 0
