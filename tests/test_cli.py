import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnml import cli, invocation
from bnml.core.errors import Fatal, Misconfigured, RecoveryNeeded, Rejected, Retryable

COMMANDS = [
    "run",
    "exchange",
    "train",
    "backtest",
    "grid",
    "parity",
    "rehearse",
    "status",
    "shortfall",
    "halt",
    "resume",
    "config check",
    "config template",
]
HEAVY = {
    "aiohttp", "apscheduler", "duckdb", "numba", "numpy", "rich", "scipy", "sklearn", "structlog",
    "websockets", "xgboost",
}  # fmt: skip


def test_help_of_every_command_imports_nothing_heavy():
    code = """
import contextlib, io, sys
from bnml import cli
for command in {commands!r}:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert cli.call([*command.split(), "--help"]) == 0
    assert "Usage: bnml " + command in said.getvalue(), command
print(sorted(set(sys.modules) & {heavy!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code.format(commands=COMMANDS, heavy=HEAVY)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_reading_the_settings_imports_no_kernel():
    """The cache of compiled kernels is placed after the settings are read and before a kernel is imported."""
    code = f"import sys, bnml.invocation; print(sorted(set(sys.modules) & {HEAVY | {'bnml.kernels'}!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnu"], "Did you mean 'run'"),
        (["run", "--symbols", "btc"], '--symbols: universe.symbols: "btc" is no Binance symbol'),
        (
            ["run", "--venue", "lvie"],
            'option --venue: venue.kind is "lvie"; allowed: sim | paper | testnet | live',
        ),
        (["run", "--base-frame", "7m"], "option --base-frame: features.base_frame"),
        (["run", "--speed", "0"], "allowed: above 0 to 1000000"),
        (["run", "--stop-after", "0"], "--stop-after"),
        (["backtest", "--replay", "/nowhere/at/all"], "there is no data folder /nowhere/at/all"),
        (["backtest", "--engine", "fast"], "write replay or sweep"),
        (["backtest", "--from", "yesterday"], "write 2023-07-01"),
        (["backtest", "--from", "2024-01-02", "--to", "2024-01-01"], "does not lie before"),
        (["grid", "--bars", "x.csv"], "go with --signals"),
        (["grid", "--signals", "x.csv"], "name a file or a folder with --bars"),
        (["grid", "--resume", "--open", "3"], "give one of them"),
        (["grid", "--sealed", "95"], "--sealed"),
        (["config", "check", "--config", "/nowhere.yaml"], "there is no configuration file /nowhere.yaml"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.call(arguments) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.startswith("bnml: ")
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "code"), [(Fatal, 1), (Misconfigured, 2), (Rejected, 3), (Retryable, 4), (RecoveryNeeded, 5)]
)
def test_each_error_of_the_tree_has_its_exit_code(error, code, monkeypatch, capsys):
    def fail(**_):
        raise error("what happened")

    monkeypatch.setattr(cli, "app", fail)
    assert cli.call([]) == code
    assert capsys.readouterr().err == "bnml: what happened\n"


def test_an_interrupted_command_says_so_and_fails(monkeypatch, capsys):
    def interrupt(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bnml.config_report.check", interrupt)
    assert cli.call(["config", "check"]) == 1
    assert "stopped by the operator" in capsys.readouterr().err


def test_config_check_names_what_differs_from_the_defaults(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("risk: {max_positions: 3}\n")
    assert cli.call(["config", "check", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["changed"] == {"risk.max_positions": 3}
    assert report["venue"] == "sim"


def test_state_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").write_text("a file stands where the folder should be")
    assert cli.call(["run", "--once"]) == 2
    assert "the state folder state cannot be made" in capsys.readouterr().err


def test_compiled_kernels_go_to_the_state_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("BNML_NUMBA_CACHE")
    settings = invocation.read_settings(None, state_dir=str(tmp_path / "s"))
    invocation.own_state_dir(settings)
    assert os.environ["BNML_NUMBA_CACHE"] == str(tmp_path / "s" / "numba")


def test_a_thread_that_cannot_be_stopped_does_not_hold_the_exit_code_back():
    program = (
        "import threading, time\n"
        "from bnml import cli\n"
        "threading.Thread(target=time.sleep, args=(3600,)).start()\n"
        "cli.call = lambda arguments: 2\n"
        "cli.main([])\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 2


def test_an_error_that_nobody_can_be_told_of_has_its_code(tmp_path):
    """By it a supervisor leaves a daemon down, or starts it again: the disk of its log may be full."""
    words = [sys.executable, "-m", "bnml", "status", "--state-dir", str(tmp_path / "none")]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, stderr=full, check=False)
    assert done.returncode == 2
