"""Lets a daemon trade for market hours over real sockets that break every ten minutes, and measures what it leaks."""

import argparse
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.e2e.live import Live

SOCKET_SCALE = 20  # faster, and the pongs alone would be too many messages a second
ROTATE_S = 45  # wall time: connections are also replaced in time
SPOKEN = {
    "BNML_VENUE__SIM__SOCKET_TIME_SCALE": str(SOCKET_SCALE),
    "BNML_VENUE__ROTATE_AFTER_S": str(ROTATE_S * SOCKET_SCALE),
}
WARM_UP = 0.25  # of the samples: caches fill, models load
SUSPECT = re.compile(r"never (retrieved|awaited)|was destroyed|Traceback|task_failed")


def drops(minutes):
    """Rules that break all connections, in turn without a word, in order, and by being refused for a moment."""
    ways = (
        {"action": "reset", "sockets": "all"},
        {"action": "cut", "sockets": "all"},
        {"action": "refuse_connections", "seconds": 0.2, "cut": True},
    )
    return [
        {"do": way, "when": {"from_market": 60 * minutes * (place + 1), "every_market_s": 60 * minutes * len(ways)}}
        for place, way in enumerate(ways)
    ]  # fmt: skip


def sample(process):
    """(resident MB, open files, threads) of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024
    threads = int(re.search(r"Threads:\s+(\d+)", status)[1])
    return resident, len(os.listdir(f"/proc/{process}/fd")), threads  # noqa: PTH208


def files_without_sockets(live):
    """Open files right after all sockets were cut: what idles in a pool comes and goes, and would hide a leak."""
    live.control(
        "POST",
        "/sim/faults",
        {"seed": 1, "rules": [{"do": {"action": "refuse_connections", "seconds": 0.2, "cut": True}}]},
    )
    found = []
    for _ in range(60):
        found.append(sample(live.daemon.pid)[1])
        time.sleep(0.025)
    return min(found)


def soak(state, market_hours, speed, minutes=10.0, every_s=1.0):
    """Run it; returns the figures."""
    os.environ |= SPOKEN
    live = Live(state, seed=1)
    live.start()
    try:
        live.wait_trading(3)
        live.speed(speed)
        time.sleep(2)
        files = [files_without_sockets(live)]
        live.control("POST", "/sim/faults", {"seed": 1, "rules": drops(minutes)})
        began, rows = time.monotonic(), []
        while (passed_s := time.monotonic() - began) < market_hours * 3600 / speed:
            rows.append((passed_s * speed / 3600, *sample(live.daemon.pid)))
            time.sleep(every_s)
        health = live.health()
        fired = live.control("GET", "/sim/faults")["fired"]
        files.append(files_without_sockets(live))
        live.daemon.send_signal(signal.SIGTERM)
        code = live.daemon.wait(30)
        text = (state.parent / f"{state.name}.log").read_text("utf-8", "replace")
    finally:
        live.end()
    return figures(rows, files, speed, code, health, fired, text)


def figures(rows, files, speed, code, health, fired, text):
    """What was measured, from the end of the warm-up on."""
    table = np.array(rows)[int(len(rows) * WARM_UP) :]
    hours, resident, _, threads = table.T
    slope = float(np.polyfit(hours, resident, 1)[0])
    return {
        "market_hours": round(float(rows[-1][0]), 1),
        "speed": speed,
        "drops": len(fired),
        "reconnects": text.count("link_up"),
        "scans": health.scans,
        "trades": health.trades,
        "resident_mb": [round(float(resident[0]), 1), round(float(resident[-1]), 1)],
        "resident_slope_mb_per_market_hour": round(slope, 3),
        "files_without_sockets": files,
        "threads": [int(threads.min()), int(threads.max())],
        "exit_code": code,
        "suspect_lines": [line for line in text.splitlines() if SUSPECT.search(line)][:5],
        "bars": [health.bars_checked, health.bars_differing],
        "loop_lag_p99_ms": health.loop_lag_p99_ms,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24, help="of the market")
    parser.add_argument("--speed", type=float, default=180, help="market seconds per second")
    parser.add_argument("--minutes", type=float, default=10, help="of the market between two drops")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder) / "state", options.hours, options.speed, options.minutes)
    for name, value in found.items():
        sys.stdout.write(f"{name}: {value}\n")
    bad = found["resident_slope_mb_per_market_hour"] >= 1 or found["suspect_lines"] or found["exit_code"]
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
