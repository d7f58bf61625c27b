"""A daemon that trades against the embedded exchange, both as processes, with the hands of operator and owner."""

import contextlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from bnml.app.sim_process import Endpoint, msgspec
from tests.e2e.kills import CONFIG, SYMBOLS, Rehearsal

STILL = 0.000001


class Live(Rehearsal):
    """A rehearsal that is looked at and interfered with while it runs."""

    _owner = None

    def endpoint(self) -> Endpoint:
        return msgspec.json.decode((self.state / "exchange" / "endpoint.json").read_bytes(), type=Endpoint)

    def control(self, method, path, content=None):
        """Use a control of the exchange."""
        endpoint = self.endpoint()
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{endpoint.port}{path}",
            data=body,
            headers={"X-SIM-TOKEN": endpoint.token, "Content-Type": "application/json"},
            method=method,
        )
        for pause_s in (0.1, 0.3, 0.9, 0):  # a fault may be that connections are refused
            try:
                with urllib.request.urlopen(request) as response:
                    return json.loads(response.read() or b"{}")
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:
                if not pause_s:
                    raise
                time.sleep(pause_s)
        raise AssertionError("not reached")

    def speed(self, speed):
        """Market seconds per second."""
        self.control("POST", "/sim/speed", {"speed": speed})

    def wait_until(self, condition, timeout_s=60.0, what="it"):
        """Until `condition(health)` holds of the newest health row; returns that row and how long it took."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            health = self.health()
            if health is not None and condition(health):
                return health, time.monotonic() - began
            assert self.daemon.poll() is None, f"the daemon ended by itself with {self.daemon.returncode}"
            time.sleep(0.05)
        raise AssertionError(f"{what} did not come within {timeout_s} s; last: {self.health()}")

    def wait_protected(self, positions=1):
        """Until so many positions are open and each has a stop at the exchange."""
        self.wait_trading(1)
        health, _ = self.wait_until(
            lambda one: len(one.positions) >= positions and all(p.stops for p in one.positions),
            120,
            "a position",
        )
        return health

    def log(self):
        """What the daemon has logged."""
        lines = (self.state.parent / f"{self.state.name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def bnml(self, *arguments, timeout=60, environment=None, first=None):
        """A command on this state folder; its process does `first` before anything else."""
        options = ["--state-dir", str(self.state), "--config", str(CONFIG)]
        return subprocess.run(
            [sys.executable, "-m", "bnml", *map(str, arguments), *options],
            capture_output=True,
            check=False,
            text=True,
            timeout=timeout,
            env={**os.environ, "BNML_UNIVERSE__SYMBOLS": f"[{SYMBOLS}]", **(environment or {})},
            preexec_fn=first,
        )

    def end(self):
        """No process is left behind."""
        for number in (signal.SIGCONT, signal.SIGKILL):
            if self.daemon.poll() is None:
                self.daemon.send_signal(number)
        self.daemon.wait()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            os.kill(self.endpoint().pid, signal.SIGKILL)

    def open_orders(self):
        """What rests at the exchange, as the owner sees it with another key."""
        return json.loads(self.signed(*self.owner(), "/api/v3/openOrders"))

    def post_order(self, **params):
        """An order by the owner's hand."""
        return json.loads(self.signed(*self.owner(), "/api/v3/order", "POST", **params))

    def delete_orders(self, symbol):
        """Everything that rests in one symbol, cancelled by the owner's hand."""
        self.signed(*self.owner(), "/api/v3/openOrders", "DELETE", symbol=symbol)

    def signed(self, key, secret, path, method="GET", **params):
        """A signed request of the owner."""
        full = {**params, "timestamp": time.time_ns() // 10**6, "recvWindow": 60000}
        query = "&".join(f"{name}={value}" for name, value in full.items())
        signature = hmac.new(secret.encode(), query.encode(), "sha256").hexdigest()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.endpoint().port}{path}?{query}&signature={signature}",
            headers={"X-MBX-APIKEY": key},
            method=method,
        )
        with urllib.request.urlopen(request) as response:
            return response.read()

    def owner(self):
        """A key of the owner's own."""
        if self._owner is None:
            made = self.control("POST", "/sim/keys", {"account": "main", "kind": "HMAC"})
            self._owner = made["apiKey"], made["secret"]
        return self._owner

    def all_orders(self, symbol):
        return json.loads(self.signed(*self.owner(), "/api/v3/allOrders", symbol=symbol, limit=1000))

    def balances(self):
        """Free and locked together, by asset."""
        rows = json.loads(self.signed(*self.owner(), "/api/v3/account"))["balances"]
        return {row["asset"]: float(row["free"]) + float(row["locked"]) for row in rows}
