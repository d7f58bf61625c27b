"""One line an event: secrets hidden, libraries included, and the newest kept for the live view."""

import json
import logging
from collections import deque
from pathlib import Path

import pytest

from bnml.app import logs
from tests.app.logged import logged


@pytest.fixture
def configured(tmp_path):
    """Logs as beside the live view."""
    tail = deque(maxlen=3)
    with logged("info", "auto", tmp_path / "daemon.log", tail):
        yield tmp_path / "daemon.log", tail


def test_the_view_gets_the_newest_lines_in_words(configured):
    file, tail = configured
    for number in range(5):
        logs.logger().warning("link_down", link="market", number=number, symbols=["A", "B"], api_key="k")
    logs.logger().info("scan_decided", symbols=8)  # the view has a table of them
    assert [one.text for one in tail] == [
        f"link_down link=market number={n} symbols=2 of them api_key={logs.REDACTED}" for n in (2, 3, 4)
    ]
    assert {one.level for one in tail} == {"warning"}
    assert len(tail[0].time) == len("12:00:00")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["event"] for row in rows] == ["link_down"] * 5 + ["scan_decided"]
    assert rows[0]["symbols"] == ["A", "B"]


def test_libraries_write_to_the_log_and_not_to_the_terminal(configured, capfd):
    file, tail = configured
    logging.getLogger("asyncio").error("Task exception was never retrieved: %s", 7)
    assert json.loads(file.read_text())["said"] == "Task exception was never retrieved: 7"
    assert tail[0].text.startswith("library_logged library=asyncio")
    assert capfd.readouterr() == ("", "")


def test_f46_a_disk_that_takes_no_line_ends_nothing(monkeypatch):
    """The line of a fill ended the daemon that was about to protect it."""
    heard = []
    monkeypatch.setattr(logs, "tap", heard.append)
    with logged("info", "auto", Path("/dev/full")):
        for _ in range(1000):
            logs.logger().error("order_filled", symbol="BTCUSDT")
            logs.logger().warning("log_lost", note="x" * 100)
    assert len(heard) == 2000, "and alerts leave all the same"
