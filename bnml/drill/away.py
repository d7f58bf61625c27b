"""A stage on paper or on the test network: the venue is not ours, so faults are made on the way to it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import yaml

from bnml.app.direct import account_of
from bnml.app.folder import write_durably
from bnml.app.limits import readers_budget
from bnml.app.sim_process import Endpoint, exchange_folder
from bnml.core.clock import NS_PER_S, parse_utc_ns
from bnml.core.errors import Misconfigured, Retryable
from bnml.drill.cover import Window, window_of
from bnml.drill.daemon_log import DaemonLog
from bnml.drill.exchange import Exchange
from bnml.drill.proxy import Addresses, Proxy
from bnml.drill.stage import CONFIG, START_S, Stage, end_daemon
from bnml.journal.schema import JOURNAL_FILE
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.signing import Signer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bnml.config import Settings
    from bnml.core.clock import Clock
    from bnml.journal.schema import Health

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT", "LTCUSDT")
OPEN_S: Final = 300.0  # a paper market reads the candles of every symbol first
POLL_S: Final = 0.1
ONE_CLOCK_S: Final = 60.0
"""A venue whose time is farther from ours is no exchange but a stand-in, and stamps orders by a clock of its own."""


class Away(Exchange):
    """Reads the venue directly, never by the proxies; `order_proxy` is on the daemon's way, the others on the exchange's."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, clock)
        self.order_proxy: Proxy | None = None
        self.data_proxy: Proxy | None = None
        self.rest_url = self.api_key = self.api_secret = ""

    async def faults(self, *rules: Mapping[str, Any]) -> None:
        """Put a script of faults in, in place of the one before; data of a paper market only break off."""
        if self.order_proxy is not None:
            self.order_proxy.load(rules)
        if self.data_proxy is not None:
            self.data_proxy.load([one for one in rules if _breaks_off(one)])

    async def fired(self) -> int:
        return 0 if self.order_proxy is None else self.order_proxy.rules.fired

    async def matched(self, name: str) -> int:
        return 0 if self.order_proxy is None else self.order_proxy.rules.matched(name)

    async def strikes(self, speed: float) -> list[Window]:
        """By the machine's clock, which is the venue's."""
        struck = [] if self.order_proxy is None else self.order_proxy.rules.log
        found = [
            window_of(at_ns, {**rule.action, "rule": rule.name, "about": about, "symbol": ""}, {}, speed)
            for at_ns, rule, about in struck
        ]
        return [one for one in found if one is not None]

    async def market_ns(self) -> int:
        return self._clock.now_ns()

    def foreign_clock(self, now: Health | None) -> str:
        if now is None or not now.market_time:
            return "the daemon has told no time of the market"
        apart_s = abs(parse_utc_ns(now.market_time) - now.ts_ns) / NS_PER_S
        return f"the venue's clock is {apart_s:.0f} s from this machine's" if apart_s > ONE_CLOCK_S else ""

    async def calm(self) -> None:
        await self.faults()

    async def pace(self, speed: float) -> None:
        """A market that is not ours neither stands nor runs."""

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        raise Misconfigured(
            f"{method} {path} with {body}: only the embedded exchange of --venue sim can be controlled"
        )

    def _client(self) -> RestClient:
        signer = Signer(self.api_key, self.api_secret)
        return RestClient(self.rest_url, signer, self._clock, timeout_s=10.0, receive_window_ms=5_000)


class AwayStage(Stage):
    """The daemon reaches the venue of `settings` by a proxy; nothing of the operator's state is used."""

    is_away = True
    looks = 40  # the market does not stand: what is under way shows as a difference for a moment
    patience_s = 3600.0
    settle_s = 300.0
    struck_s = 3600.0
    most_strikes = 1

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.kind = settings.venue.kind
        named = [one for one in settings.universe.symbols if "*" not in one]  # patterns are for discovery
        super().__init__(folder, named or SYMBOLS, speed=1.0)
        self._operator = settings
        self._paper: asyncio.subprocess.Process | None = None
        self._stack = AsyncExitStack()
        self._write_config({})
        self.away = Away(exchange_folder(self.settings), self.clock)
        self.exchange = self.away

    async def __aenter__(self) -> Self:
        self._refuse_while_banned()
        await self._stack.__aenter__()
        try:
            await (self._open_paper() if self.kind == "paper" else self._open_testnet())
            if (self.state / JOURNAL_FILE).is_file():
                await self._take_up()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await end_daemon(self)
            if self.kind == "testnet":
                await self._leave_nothing()
        finally:
            await self._stack.aclose()

    @property
    def run_words(self) -> tuple[str, ...]:
        return ("run", "--venue", self.kind, "--symbols", ",".join(self.symbols))

    def _refuse_while_banned(self) -> None:
        """The drill's daemon knows the address of a proxy, so nobody else looks into the ledger of the venue's.

        Nor does it write there: a drill makes up bans, and no other daemon is to keep them.
        """
        venue = self._operator.venue
        urls = venue.testnet if self.kind == "testnet" else venue.paper
        budget = readers_budget(self._operator, urls.rest_url, self.clock)
        banned_s = budget.banned_s
        budget.ledger.close()
        if banned_s:
            raise Retryable(
                f"the venue has banned this address for {banned_s:.0f} s more; drill when that is over",
                retry_after_s=banned_s,
            )

    async def _open_testnet(self) -> None:
        account, urls = account_of(self._operator), self._operator.venue.testnet
        self.away.rest_url = account.rest_url
        self.away.api_key, self.away.api_secret = account.api_key, account.api_secret
        proxy = await self._proxy(Addresses(urls.rest_url, urls.stream_url, urls.api_url))
        self.away.order_proxy = proxy
        ours = {"rest_url": f"http://127.0.0.1:{proxy.port}", "stream_url": f"ws://127.0.0.1:{proxy.port}"}
        self._write_config({"testnet": {**ours, "api_url": f"ws://127.0.0.1:{proxy.port}/ws-api/v3"}})

    async def _open_paper(self) -> None:
        """The exchange that keeps the paper money, its data by one proxy; the daemon finds it behind another."""
        urls = self._operator.venue.paper
        data = await self._proxy(Addresses(urls.rest_url, urls.stream_url))
        self.away.data_proxy = data
        ours = {"rest_url": f"http://127.0.0.1:{data.port}", "stream_url": f"ws://127.0.0.1:{data.port}"}
        self._write_config({"paper": ours})
        file = exchange_folder(self.settings) / "endpoint.json"
        file.unlink(missing_ok=True)
        with (self.folder / "exchange.log").open("ab") as log:
            self._paper = await self._spawn(
                ("exchange", "--venue", "paper", "--symbols", ",".join(self.symbols)), stdout=log, stderr=log
            )
        self._stack.push_async_callback(self._end_paper, self._paper)
        await self._until_written(file, self._paper)
        found = msgspec.json.decode(file.read_bytes(), type=Endpoint)
        host = f"127.0.0.1:{found.port}"
        self.away.rest_url = f"http://{host}"
        self.away.api_key, self.away.api_secret = found.api_key, found.secret
        orders = await self._proxy(Addresses(f"http://{host}", f"ws://{host}", f"ws://{host}/ws-api/v3"))
        self.away.order_proxy = orders
        # A daemon goes to the address that stands here, and leaves an exchange alone that it has not started.
        write_durably(file, msgspec.json.encode(msgspec.structs.replace(found, port=orders.port)))

    async def _take_up(self) -> None:
        """A folder that was drilled in before: its last word was a panic, which halts until a person resumes."""
        await self.launch()
        begun_ns = self.clock.now_ns()

        def state() -> str:
            now = self.health()
            is_up = now is not None and now.ts_ns > begun_ns and now.state.startswith(("running", "halted"))
            return now.state if now is not None and is_up else ""

        if (await self.until(state, START_S, "the daemon of an earlier drill starts again")) != "running":
            await self.command("resume")

    async def _until_written(self, file: Path, process: asyncio.subprocess.Process) -> None:
        deadline_ns = self.clock.monotonic_ns() + int(OPEN_S * 1e9)
        while not _is_written(file):
            if process.returncode is not None or self.clock.monotonic_ns() > deadline_ns:
                words = DaemonLog(self.folder / "exchange.log").last_words()
                raise Retryable(f"the paper exchange did not start: {words}")
            await asyncio.sleep(POLL_S)

    @staticmethod
    async def _end_paper(process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        await process.wait()

    async def _proxy(self, to: Addresses) -> Proxy:
        return await self._stack.enter_async_context(Proxy(to, self.clock))

    async def _leave_nothing(self) -> None:
        """Test money is lent: what the daemon of the drill holds is sold, what rests is cancelled."""
        await self.away.calm()
        code, said = await self.command("panic", "--yes")
        if code:
            sys.stderr.write(f"bnml: the drill could not leave its venue empty:\n{said}")

    def _write_config(self, urls: Mapping[str, Mapping[str, str]]) -> None:
        """The rules of every drill, with the addresses that the daemon is to know."""
        tree = yaml.safe_load(CONFIG)
        tree["venue"] = {
            "kind": self.kind,
            "request_timeout_s": 3.0,
            "stale_s": 10.0,
            "key_permissions_unverified": "accept",
            **urls,
        }
        self.config.write_bytes(msgspec.json.encode(tree))


def _is_written(file: Path) -> bool:
    return file.is_file()


def _breaks_off(rule: Mapping[str, Any]) -> bool:
    do: Any = rule["do"]
    return "match" not in rule and (do if isinstance(do, str) else do["action"]) == "reset"
