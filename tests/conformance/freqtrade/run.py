"""freqtrade itself trades on `bnml exchange`, dry and live, each with a restart; prints checks and a verdict."""

import argparse
import hashlib
import hmac
import json
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
from websockets.sync.client import connect

from tests.venues.sim.stepping_client import ExchangeProcess

HERE = Path(__file__).parent
PRICES = {"BTCUSDT": 60_000.0, "ETHUSDT": 3_000.0}
PAIRS = ["BTC/USDT", "ETH/USDT"]
HISTORY_MINUTES = 1_500
FUTURE_MINUTES = 30
START_S = 12
"""How long freqtrade may take until its first order, not counted as trading."""


def write_market(folder):
    """Bars of a minute around this very minute: freqtrade refuses candles that are not of today."""
    random = np.random.default_rng(20240808)
    first_ms = (int(time.time()) // 60 - HISTORY_MINUTES) * 60_000
    folder.mkdir()
    for symbol, price in PRICES.items():
        count = HISTORY_MINUTES + FUTURE_MINUTES
        close = price * np.exp(np.cumsum(random.normal(0, 0.0004, count)))
        opens = np.concatenate([[price], close[:-1]])
        high = np.maximum(opens, close) * (1 + random.uniform(0, 0.0003, count))
        low = np.minimum(opens, close) * (1 - random.uniform(0, 0.0003, count))
        volume = random.uniform(50, 200, count) * 60_000 / price
        with duckdb.connect(":memory:") as connection:
            connection.execute(
                "create table bars (open_time bigint, open double, high double, low double, close double, "
                "volume double, quote_volume double, trades bigint, "
                "taker_buy_base double, taker_buy_quote double)"
            )
            rows = [
                (first_ms + index * 60_000, *(round(float(one[index]), 2) for one in (opens, high, low, close)),
                 round(float(volume[index]), 3), round(float(volume[index] * close[index]), 2), 100, 0.0, 0.0)
                for index in range(count)
            ]  # fmt: skip
            connection.executemany("insert into bars values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.execute(f"copy bars to '{folder / symbol}.parquet' (format parquet)")


class Client:
    """What the checks ask the exchange themselves."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.base = f"http://127.0.0.1:{endpoint['port']}"

    def ask(self, path, **params):
        query = urllib.parse.urlencode({**params, "timestamp": int(time.time() * 1000)})
        secret = self.endpoint["secret"].encode()
        signature = hmac.new(secret, query.encode(), hashlib.sha256).hexdigest()
        request = urllib.request.Request(
            f"{self.base}{path}?{query}&signature={signature}",
            headers={"X-MBX-APIKEY": self.endpoint["api_key"]},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def balances(self):
        rows = self.ask("/api/v3/account")["balances"]
        sums = {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in rows}
        return {asset: amount for asset, amount in sums.items() if amount}

    def orders(self):
        return [one for symbol in PRICES for one in self.ask("/api/v3/allOrders", symbol=symbol, limit=1000)]

    def trades(self):
        return [one for symbol in PRICES for one in self.ask("/api/v3/myTrades", symbol=symbol, limit=1000)]


def configuration(endpoint, folder, *, dry):
    """As a user would write it, with the addresses of this exchange."""
    http, sockets = f"http://127.0.0.1:{endpoint['port']}", f"ws://127.0.0.1:{endpoint['port']}"
    addresses = {
        "public": f"{http}/api/v3",
        "private": f"{http}/api/v3",
        "ws": {"spot": f"{sockets}/stream/ws", "ws-api": {"spot": f"{sockets}/ws-api/v3"}},
    }
    options = {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False, "fetchMargins": False}
    return {
        "initial_state": "running",
        "dry_run": dry,
        "dry_run_wallet": 10_000,
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
        "max_open_trades": 2,
        "stake_currency": "USDT",
        "stake_amount": 500,
        "fiat_display_currency": "",
        "trading_mode": "spot",
        "cancel_open_orders_on_exit": True,
        "unfilledtimeout": {"entry": 1, "exit": 1, "unit": "minutes"},
        "entry_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
        "exit_pricing": {"price_side": "other", "use_order_book": True, "order_book_top": 1},
        "exchange": {
            "name": "binance",
            "key": endpoint["api_key"],
            "secret": endpoint["secret"],
            "ccxt_config": {"urls": {"api": addresses}, "options": options},
            "pair_whitelist": PAIRS,
            "pair_blacklist": [],
        },
        "pairlists": [{"method": "StaticPairList"}],
        "internals": {"process_throttle_secs": 2},
        "strategy": "QuickStrategy",
        "strategy_path": str(HERE),
    }


class Freqtrade:
    """One run of the program, and the next one on the same data base."""

    def __init__(self, program, folder, settings):
        self.program, self.folder = program, folder
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(settings))
        self.log = folder / "freqtrade.log"
        self.running = None

    def start(self):
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [self.program, "trade", "--config", self.config, "--user-data-dir", self.folder],
                stdout=output, stderr=output, env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
            )  # fmt: skip

    def stop(self, number, timeout_s=30):
        self.running.send_signal(number)
        return self.running.wait(timeout_s)

    def wait(self, seconds, is_enough=lambda: False):
        """Let it trade; raises when it ends by itself."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not is_enough():
            if self.running.poll() is not None:
                raise SystemExit(f"freqtrade ended with {self.running.returncode}; see {self.log}")
            time.sleep(0.5)

    def query(self, sql):
        with closing(sqlite3.connect(f"file:{self.folder / 'trades.sqlite'}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(sql)]

    def open_trades(self):
        return self.query("select * from trades where is_open = 1")

    def complaints(self):
        """Lines of its log that are warnings or worse, those about our set-up left out."""
        known = ("rate limit", "telegram", "api_server", "dry_run_wallet", "deprecat", "systemd")
        lines = self.log.read_text("utf-8", "replace").splitlines()
        bad = [
            line for line in lines if " - ERROR - " in line or " - WARNING - " in line or "Traceback" in line
        ]
        return [line for line in bad if not any(word in line.lower() for word in known)]


class Report:
    """Checks and figures, as they come."""

    def __init__(self):
        self.failed = 0

    def check(self, name, ok, detail=""):
        self.failed += not ok
        sys.stdout.write(f"  {'ok    ' if ok else 'FAILED'}  {name}{f': {detail}' if detail != '' else ''}\n")
        sys.stdout.flush()


def holds_guarded(client):
    """Ids of the stops that rest at the exchange."""
    return {
        str(one["orderId"])
        for one in client.orders()
        if one["type"] == "STOP_LOSS_LIMIT" and one["status"] == "NEW"
    }


def is_quiet(bot, client, *, dry):
    """Something is held, and its stops are in its data base: freqtrade forgets what it sends while it is killed."""
    known = {one["order_id"] for one in bot.query("select * from orders where status = 'open'")}
    held = bot.open_trades()
    return bool(held) and len(known) == len(held) and (dry or known == holds_guarded(client))


def run(report, program, folder, seconds, *, dry):
    """One mode: trade, be killed in the middle while something is held, go on, stop; then compare."""
    sys.stdout.write(f"freqtrade {'dry' if dry else 'live'}, {seconds} s\n")
    market = folder / "market"
    write_market(market)
    begin_s = (time.time() + 25) // 60 * 60 + 60
    begin = datetime.fromtimestamp(begin_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    arguments = ("--replay", str(market), "--base-frame", "1m", "--speed", "1", "--from", begin, "--wait")
    with ExchangeProcess(folder / "state", *arguments) as exchange:
        time.sleep(max(begin_s - time.time(), 0))
        with connect(f"ws://127.0.0.1:{exchange.endpoint['port']}/ws/btcusdt@trade"):
            pass  # the first listener sets the market going, at its own time by the wall
        client = Client(exchange.endpoint)
        before = client.balances()
        bot = Freqtrade(program, folder, configuration(exchange.endpoint, folder, dry=dry))
        bot.start()
        try:
            bot.wait(60, lambda: (folder / "trades.sqlite").exists() and bool(safe(bot.open_trades)))
            began_s = time.monotonic()
            bot.wait(seconds / 2)
            bot.wait(90, lambda: is_quiet(bot, client, dry=dry))
            held = {one["id"]: one for one in bot.open_trades()}
            guarded = holds_guarded(client)
            bot.stop(signal.SIGKILL)
            bot.start()
            bot.wait(max(seconds - (time.monotonic() - began_s), 30) + START_S)
            bot.wait(60, lambda: not bot.open_trades() or is_quiet(bot, client, dry=dry))
            code = bot.stop(signal.SIGINT)
        finally:
            if bot.running.poll() is None:
                bot.running.kill()
        report.check("it ended when it was told to", code in {0, -2, 130}, f"exit code {code}")
        judge_database(report, bot, held)
        judge = judge_dry if dry else judge_live
        judge(report, bot, client, before, guarded)


def safe(ask):
    """The data base is being made."""
    try:
        return ask()
    except sqlite3.OperationalError:
        return []


def judge_database(report, bot, held):
    trades = bot.query("select * from trades")
    orders = bot.query("select * from orders")
    kinds = Counter((one["ft_order_side"], one["status"]) for one in orders)
    report.check("entries were filled", kinds["buy", "closed"] >= 2, dict(kinds))
    closed = [one for one in trades if not one["is_open"]]
    report.check("round trips", len(closed) >= 2, f"{len(closed)} closed, {len(trades) - len(closed)} open")
    report.check("something was held when it was killed", bool(held), [one["pair"] for one in held.values()])
    after = {one["id"]: one for one in trades}
    report.check(
        "what was held was recovered and left later",
        bool(held) and all(not after[one]["is_open"] for one in held),
        [after[one]["exit_reason"] for one in held],
    )
    complaints = bot.complaints()
    report.check("it had nothing to complain about", not complaints, complaints[:5] or "no warning, no error")


def judge_live(report, bot, client, before, guarded):
    ours = {str(one["orderId"]): one for one in client.orders()}
    theirs = {one["order_id"]: one for one in bot.query("select * from orders")}
    shown = Counter((one["type"], one["side"], one["status"]) for one in ours.values())
    report.check(
        "orders at the exchange", len(ours) >= 6, {" ".join(key): count for key, count in shown.items()}
    )
    stops = [one for one in ours.values() if one["type"] == "STOP_LOSS_LIMIT"]
    report.check("stops rested at the exchange", len(stops) >= 2 and bool(guarded), f"{len(stops)} stops")
    unfilled = {name for name, one in ours.items() if one["side"] == "BUY" and not float(one["executedQty"])}
    unknown = (ours.keys() ^ theirs.keys()) - unfilled  # it deletes entries that never filled
    report.check("both know the same orders", not unknown, sorted(unknown))
    names = {"FILLED": "closed", "CANCELED": "canceled", "NEW": "open", "EXPIRED": "expired"}
    differ = [
        (name, ours[name]["status"], theirs[name]["status"])
        for name in ours.keys() & theirs.keys()
        if names.get(ours[name]["status"]) != theirs[name]["status"]
        or abs(float(ours[name]["executedQty"]) - (theirs[name]["filled"] or 0.0)) > 1e-8
    ]
    report.check("in the same state, equally filled", not differ, differ)
    open_trades = {one["pair"].replace("/", "") for one in bot.open_trades()}
    live_stops = {one["symbol"] for one in stops if one["status"] == "NEW"}
    report.check("what it holds at the end has its stop", open_trades <= live_stops, sorted(open_trades))
    judge_balances(report, client, before)


def judge_balances(report, client, before):
    expected = dict(before)

    def add(asset, amount):
        expected[asset] = expected.get(asset, Decimal(0)) + amount

    trades = client.trades()
    for one in trades:
        sign = 1 if one["isBuyer"] else -1
        add(one["symbol"].removesuffix("USDT"), sign * Decimal(one["qty"]))
        add("USDT", -sign * Decimal(one["quoteQty"]))
        add(one["commissionAsset"], -Decimal(one["commission"]))
    expected = {asset: amount for asset, amount in expected.items() if amount}
    found = client.balances()
    report.check(
        "balances are conserved",
        found == expected,
        f"{len(trades)} fills, USDT {before['USDT']} -> {found['USDT']}",
    )


def judge_dry(report, _bot, client, before, _guarded):
    report.check("nothing was ordered at the exchange", client.orders() == [])
    report.check("balances are as they were", client.balances() == before)


def main():
    # A background job of a shell is born deaf to SIGINT, and what it starts with it: freqtrade must hear it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", type=Path, help="freqtrade's executable")
    parser.add_argument("--seconds", type=int, default=100, help="of each mode")
    parser.add_argument("--mode", choices=["dry", "live", "both"], default="both")
    given = parser.parse_args()
    report = Report()
    home = Path(tempfile.mkdtemp(prefix="bnml-freqtrade-"))
    for mode in ("dry", "live") if given.mode == "both" else (given.mode,):
        folder = home / mode
        folder.mkdir()
        run(report, given.program.absolute(), folder, given.seconds, dry=mode == "dry")
    sys.stdout.write(f"verdict: {'FAILED' if report.failed else 'passed'} (logs and data bases: {home})\n")
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    main()
