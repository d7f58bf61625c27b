"""What the acceptance tests share: the real command in a process of its own, and small recordings."""

import os
import subprocess
import sys

import duckdb

from bnml.core.clock import parse_utc_ns
from bnml.journal.reader import JournalReader

TIMEOUT_S = 150  # only a stuck command takes so long; a cold cache of kernels takes a minute


def bnml(*arguments, cwd, code=0, preexec=None):
    """Run a command; returns its stdout and the lines of stderr that are no log lines."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("BINANCE_")}
    done = subprocess.run(
        [sys.executable, "-m", "bnml", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        preexec_fn=preexec,
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    logged = [line for line in done.stderr.splitlines() if line.startswith("{")]
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    return done.stdout, said, logged


def refusal(*arguments, cwd, code, preexec=None):
    """Run a command that must be refused with exactly one sentence and without a result; returns the sentence."""
    out, said, _ = bnml(*arguments, cwd=cwd, code=code, preexec=preexec)
    assert out == ""
    assert len(said) == 1, said
    assert said[0].startswith("bnml: ")
    return said[0]


def cut_recording(source, target, start, end):
    """Copy the bars of a recording that open in [start, end), two UTC times."""
    target.parent.mkdir(parents=True, exist_ok=True)
    first, last = (parse_utc_ns(text) // 1_000_000 for text in (start, end))
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"COPY (SELECT * FROM '{source}' WHERE open_time >= {first} AND open_time < {last} ORDER BY open_time)"
            f" TO '{target}' (FORMAT parquet)"
        )


def journal_content(state):
    """Everything in the journal that a later start must leave as it is."""
    with JournalReader(state / "journal.db") as journal:
        return {
            "sessions": [(one.id, one.started_ns, one.first_seq, one.ending) for one in journal.sessions()],
            "events": list(journal.events()),
            "commands": list(journal.commands()),
            "decisions": list(journal.decisions()),
            "trades": list(journal.trades()),
        }
