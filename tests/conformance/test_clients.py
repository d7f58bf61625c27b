"""Clients that strangers wrote trade on `bnml exchange`, each from an environment of its own."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from tests.venues.sim.stepping_client import ExchangeProcess

SCRIPTS = Path(__file__).parent / "clients"
ENVIRONMENTS = {
    "ccxt_rest": "ccxt",
    "ccxt_pro": "ccxt",
    "python_binance": "python-binance",
    "sdk_spot": "binance-sdk-spot",
}
MARKET = ("--base-frame", "1m", "--speed", "300", "--symbols", "BTCUSDT,ETHUSDT")
TIMEOUT_S = 150


def checks_of(script):
    """Names of the functions that a script's `@check` marks, read without what it imports."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text("utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(mark, ast.Name) and mark.id == "check" for mark in node.decorator_list)
    ]


def run_script(script, python, folder):
    """What the script's checks said, by name, and its standard error."""
    with ExchangeProcess(folder, *MARKET) as exchange, (folder / "errors").open("w+") as errors:
        running = subprocess.Popen(
            [python, "-W", "ignore", SCRIPTS / f"{script}.py"],
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            said, _ = running.communicate(json.dumps(exchange.endpoint), timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            running.kill()
            said, _ = running.communicate()
        errors.seek(0)
        complaints = errors.read()
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {line["name"]: line for line in lines}, complaints


@pytest.fixture(scope="session")
def said(python_of, tmp_path_factory):
    """What one check of a script said; the script runs once, with an exchange of its own."""
    scripts = {}

    def ask(script, name):
        if script not in scripts:
            python = python_of(ENVIRONMENTS[script])
            scripts[script] = run_script(script, python, tmp_path_factory.mktemp(script))
        found, errors = scripts[script]
        assert name in found, f"{script} ended before {name}:\n{errors[-3000:]}"
        return found[name]

    return ask


@pytest.mark.parametrize(
    ("script", "name"), [(script, name) for script in ENVIRONMENTS for name in checks_of(script)]
)
def test_a_strangers_client(said, script, name):
    line = said(script, name)
    assert line["ok"], line["detail"]
