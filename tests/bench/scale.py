"""Hundreds of symbols in one daemon: how long its loop stalls around a scan, and what a closed bar costs."""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import msgspec
import yaml

from bnml.app.sim_process import Endpoint
from bnml.config import load
from bnml.core.errors import Misconfigured
from bnml.journal.reader import JournalReader
from bnml.journal.schema import Health
from bnml.trading.compile import compile_layout
from bnml.venues.sim.generated import profiles
from tests.bench.bundles import publish_variants

CONFIG = Path(__file__).parent / "scale.yaml"
TEMPLATE = "BTCUSDT"


def prepare(folder: Path, count: int, learning: dict) -> tuple[list[str], int]:
    """Write the settings, train one symbol for real and give each of the others a model of its own."""
    symbols = [profile.base + "USDT" for profile in profiles(count)]
    tree = yaml.safe_load(CONFIG.read_text())
    tree["learning"] |= {"models_dir": str(folder / "models"), **learning}
    tree["universe"] = {"symbols": symbols}
    (folder / "scale.yaml").write_text(yaml.safe_dump(tree))
    if not (folder / "models" / TEMPLATE).is_dir():
        run = _bnml(folder, "train", "--venue", "sim", "--symbols", TEMPLATE)
        assert run.returncode == 0, run.stderr[-2000:]
    settings = load(folder / "scale.yaml", {})
    version = compile_layout(settings.features).version
    return symbols, publish_variants(folder / "models", version, TEMPLATE, symbols)


def trade(folder: Path, minutes: int, speed: float, timeout_s: float) -> list[Health]:
    """Run the daemon for so many scans; its health, second by second. The market runs fast once trading began."""
    command = [
        *_command(folder, "run"),
        "--venue",
        "sim",
        "--speed",
        "1",
        "--stop-after",
        str(minutes),
    ]
    with (folder / "daemon.log").open("wb") as log:
        daemon = subprocess.Popen([*command, "--json"], stdout=log, stderr=log, start_new_session=True)
    seen: dict[int, Health] = {}
    deadline = time.monotonic() + timeout_s
    try:
        while daemon.poll() is None and time.monotonic() < deadline:
            time.sleep(0.25)
            if (health := _health(folder)) is not None:
                if health.state == "running" and not any(one.state == "running" for one in seen.values()):
                    _set_speed(folder, speed)
                seen[health.ts_ns] = health
    finally:
        if daemon.poll() is None:
            daemon.send_signal(signal.SIGTERM)
    code = daemon.wait(timeout=30)
    assert code == 0, (folder / "daemon.log").read_text()[-2000:]
    last = _health(folder)
    assert last is not None
    return [*(one for ts_ns, one in sorted(seen.items()) if ts_ns != last.ts_ns), last]


def report(folder: Path, symbols: list[str], model_bytes: int, speed: float, rows: list[Health]) -> dict:
    """One object: lag around the scans, processor time and memory."""
    running = [one for one in rows if one.state == "running"]
    first, last = running[0], running[-1]
    with JournalReader(_state(folder) / "journal.db") as journal:
        decisions = [decision for _, decision in journal.decisions()]
    bars = last.bars - first.bars
    used_s = last.cpu_s - first.cpu_s
    final = rows[-1]
    return {
        "symbols": len(symbols),
        "scans": final.scans,
        "speed": speed,
        "decisions": len(decisions),
        "bundles": len({one.bundle_id for one in decisions if one.bundle_id}),
        "predicted": sum(one.p_buy > 0 for one in decisions),
        "trades": final.trades,
        "scan_lag_ms": {
            "p50": final.scan_lag_p50_ms,
            "p99": final.scan_lag_p99_ms,
            "max": final.scan_lag_max_ms,
        },
        "loop_lag_p99_ms_last_minute": final.loop_lag_p99_ms,
        "bars": bars,
        "cpu_ms_per_bar": round(1000 * used_s / bars, 3) if bars else None,
        "cpu_share_of_a_core": round(used_s / ((last.ts_ns - first.ts_ns) / 1e9), 3) if bars else None,
        "resident_mib": {"at_start": rows[0].resident_bytes >> 20, "trading": last.resident_bytes >> 20},
        "resident_kib_per_symbol": (last.resident_bytes - rows[0].resident_bytes) // len(symbols) >> 10,
        "model_kib_per_symbol": model_bytes >> 10,
        "load_average": os.getloadavg()[0],
    }


def _set_speed(folder: Path, speed: float) -> None:
    endpoint = msgspec.json.decode(
        (_state(folder) / "exchange" / "endpoint.json").read_bytes(), type=Endpoint
    )
    request = urllib.request.Request(
        f"http://127.0.0.1:{endpoint.port}/sim/speed",
        data=msgspec.json.encode({"speed": speed}),
        headers={"X-SIM-TOKEN": endpoint.token, "Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200


def _state(folder: Path) -> Path:
    return folder / "state"


def _health(folder: Path) -> Health | None:
    path = _state(folder) / "journal.db"
    if not path.is_file():
        return None
    try:
        with JournalReader(path) as journal:
            return journal.status()
    except (Misconfigured, sqlite3.OperationalError):  # the tables are just being made
        return None


def _command(folder: Path, name: str) -> list[str]:
    config = ["--config", str(folder / "scale.yaml"), "--state-dir", str(_state(folder))]
    return [sys.executable, "-m", "bnml", name, *config]


def _bnml(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*_command(folder, name), *arguments], capture_output=True, check=False, text=True)


def main() -> None:
    """`python -m tests.bench.scale --symbols 400 --minutes 10 --speed 20`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=400)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--folder", type=Path, help="kept, with its models; must hold no state yet")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if _state(folder).exists():
            parser.error(f"{_state(folder)} is the state of an earlier run; remove it")
        symbols, model_bytes = prepare(folder, chosen.symbols, {})
        wall_s = chosen.minutes * 60 / chosen.speed
        rows = trade(folder, chosen.minutes, chosen.speed, 600 + 2 * wall_s)
        sys.stdout.write(
            json.dumps(report(folder, symbols, model_bytes, chosen.speed, rows), indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
