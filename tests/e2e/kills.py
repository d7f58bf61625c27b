"""Kills the daemon at random moments and checks that the account, the orders and the journal stay one story."""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec

from bnml.app.exchange_feed import make_feed
from bnml.app.models import make_bundles
from bnml.app.sim_process import Endpoint
from bnml.app.strangers import intended
from bnml.config import load
from bnml.core.errors import Misconfigured
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState
from bnml.journal.reader import JournalReader
from bnml.journal.recover import recover
from bnml.options import ExchangeOptions
from bnml.trading.compile import compile_engine
from bnml.trading.filling import compile_costs
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market

CONFIG = Path(__file__).parent / "busy.yaml"
SYMBOLS = ",".join(["ADAUSDT", "BTCUSDT", "DOGEUSDT", *(f"SIM{number:03d}USDT" for number in range(1, 13))])
STILL = 0.000001
ALL = 10**9
UNDECIDED = {OrderState.PENDING, OrderState.UNKNOWN}
CARRIED_OUT = {OrderState.SLEEPING, OrderState.OPEN, OrderState.PARTLY_FILLED, OrderState.FILLED}


class Rehearsal:
    """One state folder, killed and started again; `check` compares everything in the end."""

    def __init__(self, state: Path, seed: int) -> None:
        self.state = state
        self.random = random.Random(seed)
        self.daemon: subprocess.Popen | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "bnml",
            "run",
            "--venue",
            "sim",
            "--no-retrain",
            "--config",
            str(CONFIG),
        ]
        command += ["--state-dir", str(self.state), "--symbols", SYMBOLS]
        with (self.state.parent / f"{self.state.name}.log").open("ab") as log:
            self.daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def wait_trading(self, scans: int, timeout_s: float = 120) -> None:
        """Until this daemon process has written a health row with that many scans."""
        deadline = time.monotonic() + timeout_s
        begun = time.time_ns()
        while time.monotonic() < deadline:
            health = self.health()
            if (
                health is not None
                and health.ts_ns > begun
                and health.state == "running"
                and health.scans >= scans
            ):
                return
            assert self.daemon.poll() is None, f"the daemon ended by itself with {self.daemon.returncode}"
            time.sleep(0.1)
        raise AssertionError(f"no {scans} scans within {timeout_s} s")

    def wait_fill(self, timeout_s: float = 240) -> None:
        """Until the journal holds a fill: on a slow machine few scans happen between two kills."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with JournalReader(self.state / "journal.db") as journal:
                if next(iter(journal.trades()), None) is not None:
                    return
            assert self.daemon.poll() is None, f"the daemon ended by itself with {self.daemon.returncode}"
            time.sleep(0.2)
        raise AssertionError(f"no fill within {timeout_s} s")

    def health(self):
        if not (self.state / "journal.db").is_file():
            return None
        try:
            with JournalReader(self.state / "journal.db") as journal:
                return journal.status()
        except Misconfigured:  # the tables are just being made
            return None

    def kill(self) -> None:
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.wait()

    def stop(self) -> int:
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(timeout=30)

    def freeze_market(self, timeout_s: float = 60) -> None:
        """Let market time crawl until the last look at both sides is of one moment.

        That is when the daemon has heard all that happened, and nothing is undecided: neither what it asked for, nor
        what a process before it may have asked for. Looked at twice, as what it heard may have made it ask.
        """
        self.control("POST", "/sim/speed", {"speed": STILL})
        deadline = time.monotonic() + timeout_s
        quiet = 0
        while quiet < 2:
            health = self._health_after_deposit(timeout_s)
            undecided = [one for one in health.open_orders if one.split()[3] in UNDECIDED]
            assert time.monotonic() < deadline, f"undecided after {timeout_s} s: {undecided}"
            quiet = 0 if undecided else quiet + 1

    def _health_after_deposit(self, timeout_s: float):
        """A deposit is told on the connection that tells of orders: once it is counted, so is all before it."""
        deadline = time.monotonic() + timeout_s
        before = self.health().flows
        self.control("POST", "/sim/deposit", {"asset": "USDT", "amount": "0.01"})
        while (health := self.health()).flows == before:
            assert time.monotonic() < deadline, f"no word of a deposit in {timeout_s} s"
            time.sleep(0.1)
        return health

    def control(self, method: str, path: str, body: object = None) -> object:
        """One request to the exchange's own controls."""
        endpoint = msgspec.json.decode(
            (self.state / "exchange" / "endpoint.json").read_bytes(), type=Endpoint
        )
        request = urllib.request.Request(
            f"http://127.0.0.1:{endpoint.port}{path}",
            data=None if body is None else msgspec.json.encode(body),
            headers={"X-SIM-TOKEN": endpoint.token, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
            return msgspec.json.decode(response.read() or b"null")

    def check(self) -> dict[str, int]:
        """Orders, balances and positions of the exchange's ledger against the engine's; no order twice."""
        settings = load(
            CONFIG, {}, {"app.state_dir": (str(self.state), ""), "universe.symbols": (SYMBOLS.split(","), "")}
        )
        exchange = _exchange(settings, self.state / "exchange" / "ledger.db")
        with JournalReader(self.state / "journal.db") as journal:
            bundles = make_bundles(settings)
            config = compile_engine(settings, IdSource("sim0", 10**6))
            found = recover(journal, config, bundles, settings.content_hash())
            fills = sum(1 for _ in journal.trades())
            intents = {name for _, command in journal.commands() for name in intended(command)}
        engine = found.engine
        read = exchange.read
        orders = [
            order for symbol in exchange.instruments for order in read.all_orders(ACCOUNT, symbol, limit=ALL)
        ]
        names = [order.client_order_id for order in orders]
        doubled = len(names) - len(set(names))
        assert not doubled, "a client order id was used twice"
        lost = {name for name, order in engine.state.orders.items() if order.state in CARRIED_OUT} - set(
            names
        )
        assert not lost, "an order that was carried out is not at the exchange"
        assert set(names) <= intents, "an order left without an intent"
        theirs = {order.client_order_id for order in exchange.read.open_orders(ACCOUNT)}
        ours = {order.client_order_id for order in engine.book.open()}
        assert ours == theirs
        view = exchange.read.account(ACCOUNT).balances
        assert {name: sum(both) for name, both in view.items() if sum(both)} == engine.state.ledger.totals
        executed = sum(order.executed_lots > 0 for order in orders)
        for symbol, position in engine.portfolio.positions.items():
            instrument = exchange.instruments[symbol]
            assert position.lots(instrument.lot_e8) * instrument.lot_e8 <= sum(view[instrument.base])
        return {
            "orders": len(names),
            "executed": executed,
            "fills": fills,
            "open": len(ours),
            "lost": len(lost),
            "doubled": doubled,
        }


def _exchange(settings, file: Path) -> Exchange:
    pricing, feed = make_feed(settings, ExchangeOptions(), compile_costs(settings.costs))
    ledger = Ledger(file, feed.fingerprint)
    exchange = Exchange(
        Market(feed.instruments, feed.frame_ns, pricing, feed.history(ledger.position())), ledger=ledger
    )
    ledger.close()  # it is only looked at
    return exchange


def rehearse(state: Path, kills: int, seed: int, longest_s: float) -> dict[str, int]:
    """Kill `kills` times at random moments, stop once in order, and compare."""
    rehearsal = Rehearsal(state, seed)
    try:
        for _ in range(kills):
            rehearsal.start()
            rehearsal.wait_trading(0)
            time.sleep(rehearsal.random.uniform(0.0, longest_s))
            rehearsal.kill()
        rehearsal.start()
        rehearsal.wait_trading(5)
        rehearsal.wait_fill()
        rehearsal.freeze_market()
        assert rehearsal.stop() == 0
    finally:
        if rehearsal.daemon is not None and rehearsal.daemon.poll() is None:
            rehearsal.stop()
    return rehearsal.check()


def main() -> None:
    """Command line of `scripts/kill-test`."""
    parser = argparse.ArgumentParser(
        description="Kill the daemon at random moments; everything must agree after it."
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--longest", type=float, default=6.0, help="seconds of trading before a kill, at most"
    )
    parser.add_argument("--state", type=Path, required=True, help="an empty folder")
    chosen = parser.parse_args()
    result = rehearse(chosen.state, chosen.kills, chosen.seed, chosen.longest)
    sys.stdout.write(f"{chosen.kills} kills: {result}\n")


if __name__ == "__main__":
    main()
