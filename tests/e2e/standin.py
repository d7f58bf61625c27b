"""A stand-in for Binance on this machine: recorded-looking minutes around the present time, and a guarded `bnml`."""

import json
import math
import os
import random
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np

from bnml.core.clock import format_utc
from bnml.core.instrument import Instrument
from bnml.kernels.records import BAR
from bnml.venues.binance.signing import Signer
from bnml.venues.history import write_history
from tests.venues.sim.stepping_client import ExchangeProcess

MINUTE_NS = 60 * 10**9
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT", "DDDUSDT")
HISTORY, AHEAD = 640, 120  # minutes before and after the start
PERIOD, FALL = 78, 0.004
SPEED = 30

CONFIG = """
venue:
  sim: {{initial_quote: 5000}}
  paper: {{rest_url: "http://127.0.0.1:{port}", stream_url: "ws://127.0.0.1:{port}"}}
  testnet: &here
    rest_url: "http://127.0.0.1:{port}"
    stream_url: "ws://127.0.0.1:{port}"
    api_url: "ws://127.0.0.1:{port}/ws-api/v3"
  live: *here
universe: {{symbols: [AAAUSDT, BBBUSDT, CCCUSDT, DDDUSDT]}}
features: {{base_frame: 1m, higher_frames: [], history_bars: 600}}
decision: {{without_model: rule}}
scanner: {{min_global_score: 0}}
risk:
  min_ml_confidence: 0
  min_depth_quote: 0
  max_spread_pct: 5
  max_correlation: 1.0
  drift_ks: 1.0
  drift_volatility_ratio: 100
  max_volatility_ratio: 100
  max_losses_in_row: 50
journal: {{durability: process}}
live: {{confirm: {confirm}, max_capital: 1000, ramp: never}}
"""

# Every connection that a process of these tests tries is on this machine, or the process is gone. uvloop
# connects without telling Python, so asyncio's own loop is used.
GUARD = """
import os, sys
sys.modules["uvloop"] = None

def guard(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in {None, "", "127.0.0.1", "localhost", "::1"}:
        os.write(2, f"a foreign address: {host}\\n".encode())
        os._exit(97)

sys.addaudithook(guard)
"""


def bars(phase: int, open_ns: int, count: int, seed: int) -> np.ndarray:
    """Falls that become ever slower, and a rise; without a model the slow part is bought, on some symbol always."""
    made, draw, price = np.zeros(count, dtype=BAR), random.Random(seed), 100.0
    for row in range(count):
        at = (row + phase) % PERIOD
        drift = -FALL if at < 10 else -FALL / 2 * math.exp((10 - at) / 20) if at < 70 else 9.7 * FALL / 2
        following = price * math.exp(drift + draw.uniform(-0.0001, 0.0001))
        edges = [round(one * 100) for one in (price, following)]
        made[row] = (
            open_ns + row * MINUTE_NS,
            edges[0],
            max(edges) + 1,
            min(edges) - 1,
            edges[1],
            10_000_001 + row,
        )
        price = following
    return made


class StandIn(ExchangeProcess):
    """`bnml exchange` on these minutes, at 30 of them a minute, as far from the present as its start takes."""

    def __init__(self, folder: Path, ahead: int = AHEAD, speed: int = SPEED) -> None:
        start_ns = time.time_ns() // MINUTE_NS * MINUTE_NS
        for number, symbol in enumerate(SYMBOLS):
            instrument = Instrument(symbol, symbol[:3], "USDT", tick_e8=1_000_000, lot_e8=100_000)
            rows = bars(PERIOD // 4 * number, start_ns - HISTORY * MINUTE_NS, HISTORY + ahead, number)
            write_history(folder / "bars" / f"{symbol}.parquet", instrument, rows)
        super().__init__(
            folder / "binance",
            *("--replay", str(folder / "bars"), "--from", format_utc(start_ns), "--base-frame", "1m"),
            *("--speed", str(speed)),
        )  # fmt: skip
        self.folder = folder

    def config(self, *, confirm: bool = True) -> Path:
        """A configuration whose every address is this stand-in."""
        file = self.folder / "config.yaml"
        file.write_text(CONFIG.format(port=self.endpoint["port"], confirm=str(confirm).lower()))
        return file

    def open_orders(self) -> list[dict]:
        """What rests on the account."""
        signer = Signer(self.endpoint["api_key"], self.endpoint["secret"])
        query = signer.query({"timestamp": str(time.time_ns() // 10**6), "recvWindow": "60000"})
        url = f"http://127.0.0.1:{self.endpoint['port']}/api/v3/openOrders?{query}"
        with urllib.request.urlopen(urllib.request.Request(url, headers=signer.header())) as answer:
            return json.loads(answer.read())

    @property
    def keys(self) -> dict[str, str]:
        """The account's key as the environment holds it."""
        return {"BINANCE_API_KEY": self.endpoint["api_key"], "BINANCE_API_SECRET": self.endpoint["secret"]}


def guarded(folder: Path, *arguments, keys=None) -> subprocess.Popen:
    """Start `bnml` so that it cannot leave this machine; the keys of the surroundings stay outside."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(GUARD)
    clean = {name: text for name, text in os.environ.items() if not name.startswith("BINANCE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "bnml", *map(str, arguments)],
        env={**clean, "PYTHONPATH": str(site), **(keys or {})},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def outcome(process: subprocess.Popen, timeout_s: float = 60) -> tuple[int, dict, str]:
    """(exit code, JSON result, stderr) of a process that ends by itself."""
    out, errors = process.communicate(timeout=timeout_s)
    return process.returncode, json.loads(out) if out.strip() else {}, errors
