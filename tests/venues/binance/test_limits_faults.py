"""Limits, bans and obstacles: what the venue demands is kept, by all processes, also by the next one."""

import asyncio
import errno
import multiprocessing
import os
import random
from pathlib import Path

import msgspec
import pytest

from bnml.app import limits
from bnml.app.deployment import Deployment
from bnml.app.limits import budget_folder, make_budget, readers_budget
from bnml.config import load
from bnml.core.clock import NS_PER_S, LiveClock, ManualClock
from bnml.core.commands import CancelOrder
from bnml.core.errors import Retryable, UnknownOutcome
from bnml.venues.binance import evidence
from bnml.venues.binance.budget import Lane, Ledger, OrderLimit, WeightBudget
from bnml.venues.binance.codec import MarketCodec
from bnml.venues.binance.market import MarketStream
from bnml.venues.binance.penalties import Penalties
from bnml.venues.binance.rest import RestClient
from bnml.venues.binance.shared_numbers import SharedNumbers
from bnml.venues.binance.signing import Signer
from bnml.venues.binance.venue import BinanceVenue
from bnml.venues.binance.venue_clock import VenueClock
from bnml.venues.binance.weights import orders_of
from bnml.venues.binance.wire import RateLimit
from bnml.venues.binance.wsapi import ApiConnection
from tests.e2e.matrix.virtual import VirtualClock, run_virtually
from tests.venues.binance.kit import ALL
from tests.venues.binance.web import Sink, answering, running, web

URGENT_FIRST = [Lane.CANCEL, Lane.EXIT, Lane.RECONCILE, Lane.DATA]


def ledger(folder):
    return Ledger(SharedNumbers(folder / "a", 3), SharedNumbers(folder / "b", 5))


def client(url, clock=None, **more):
    more = {"timeout_s": 2.0, "receive_window_ms": 5000, **more}
    return RestClient(url, Signer("key", "secret"), clock or LiveClock(), **more)


def test_f05_nothing_leaves_before_retry_after_and_exits_are_first():
    async def trial(loop):
        budget, left = WeightBudget(VirtualClock(loop)), []

        async def send(lane):
            await budget.wait(lane)
            left.append((round(loop.time(), 3), lane))

        budget.pause(30)
        lanes = [lane for lane in reversed(URGENT_FIRST) for _ in range(5)]
        await asyncio.gather(*(send(lane) for lane in lanes))
        return left

    left = run_virtually(trial)
    assert len(left) == 20
    assert min(at for at, _ in left) >= 30
    assert max(at for at, _ in left) <= 31
    assert [lane for _, lane in left] == [lane for lane in URGENT_FIRST for _ in range(5)]


def test_an_entry_does_not_wait_for_a_pause():
    async def trial(loop):
        budget = WeightBudget(VirtualClock(loop))
        budget.pause(30)
        with pytest.raises(Retryable, match="entry is held back"):
            await budget.wait(Lane.ENTRY, orders=1)
        return loop.time()

    assert run_virtually(trial) == 0


async def test_f05_the_pause_of_the_websocket_api_holds_back_both_transports():
    clock = ManualClock(10**18)
    asked = []

    def answer(request):
        asked.append(request["method"])
        until_ms = clock.now_ns() // 10**6 + 20_000
        return {
            "status": 429,
            "error": {"code": -1003, "msg": "too much", "data": {"retryAfter": until_ms}},
        }

    sink = Sink()
    async with web(socket=answering(answer)) as place, client(place.http, clock) as rest:
        api = ApiConnection(
            place.ws, Signer("key", "secret"), clock, timestamp_ms=rest.timestamp_ms, on_event=sink.event,
            on_link=sink.link, on_number=lambda _: None, timeout_s=2, receive_window_ms=5000, rest=rest,
        )  # fmt: skip
        async with running(api.run()):
            await sink.until(lambda: api.up)
            with pytest.raises(Retryable):
                await api.request("order.cancel", {}, order=True, lane=Lane.CANCEL)
            assert 19.9 < rest.budget.delay_s(Lane.CANCEL) <= 20
            waiting = asyncio.create_task(api.request("order.cancel", {}, order=True, lane=Lane.CANCEL))
            reading = asyncio.create_task(rest.public("/api/v3/time", {}))
            await asyncio.sleep(0.05)
            assert (len(asked), place.requests) == (1, [])
            clock.advance(21 * NS_PER_S)
            with pytest.raises(Retryable):
                await asyncio.wait_for(waiting, 3)
            assert len(asked) == 2
            reading.cancel()


def test_f06_a_ban_is_kept_to_its_end_and_by_the_next_process_too(tmp_path):
    clock = ManualClock(10**18)
    first = WeightBudget(clock, ledger=ledger(tmp_path), jitter=lambda: 0.5)
    first.ban(7200)
    assert first.banned_s == 7201  # and a moment more
    clock.advance(600 * NS_PER_S)
    first.ledger.close()
    restarted = WeightBudget(clock, ledger=ledger(tmp_path))
    assert restarted.banned_s == 6601
    assert {restarted.delay_s(lane) for lane in Lane} == {6601}
    clock.advance(6601 * NS_PER_S)
    assert restarted.banned_s == restarted.delay_s(Lane.DATA) == 0


def test_f06_a_shorter_ban_does_not_hide_the_longer_one_that_another_process_met(tmp_path):
    clock = ManualClock(10**18)
    first, second = (
        WeightBudget(clock, ledger=ledger(tmp_path), jitter=lambda: 0.0) for _ in range(2)
    )  # the second has not looked since the first was banned
    first.ban(3600)
    second.ban(30)
    assert [one.banned_s for one in (first, second)] == [3600, 3600]
    clock.advance(31 * NS_PER_S)
    assert second.banned_s == 3569
    second.ban(7200)
    assert [one.banned_s for one in (first, second)] == [7200, 7200]


async def test_f06_no_request_and_no_connection_leaves_while_banned(tmp_path):
    clock = ManualClock(10**18)
    async with web(reply=lambda _: (418, {"Retry-After": "120"}, b'{"code":-1003,"msg":"banned"}')) as place:
        budget = WeightBudget(clock, ledger=ledger(tmp_path))
        async with client(place.http, clock, budget=budget) as rest:
            with pytest.raises(Retryable) as caught:
                await rest.public("/api/v3/time", {})
            assert caught.value.retry_after_s == 120
        restarted = WeightBudget(clock, ledger=ledger(tmp_path))
        async with client(place.http, clock, budget=restarted) as rest:
            sink = Sink()
            api = ApiConnection(
                place.ws, Signer("key", "secret"), clock, timestamp_ms=rest.timestamp_ms, on_event=sink.event,
                on_link=sink.link, on_number=lambda _: None, timeout_s=2, receive_window_ms=5000, rest=rest,
            )  # fmt: skip
            async with running(api.run()), running(rest.public("/api/v3/time", {}, Lane.CANCEL)):
                await asyncio.sleep(0.1)
                assert (len(place.requests), place.sockets) == (1, 0)
                clock.advance(123 * NS_PER_S)
                async with asyncio.timeout(3):
                    while len(place.requests) < 2:  # noqa: ASYNC110
                        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["account", "market"])
@pytest.mark.parametrize(("status", "holds_all"), [(418, True), (429, False)])
async def test_f06_a_connection_that_is_refused_is_tried_again_when_the_venue_says(kind, status, holds_all):
    clock, sink = ManualClock(10**18), Sink()
    async with web() as place, client(place.http, clock) as rest:
        place.refusal = (status, {"Retry-After": "120"})
        if kind == "account":
            line = ApiConnection(
                place.ws, Signer("key", "secret"), clock, timestamp_ms=rest.timestamp_ms, on_event=sink.event,
                on_link=sink.link, on_number=lambda _: None, timeout_s=2, receive_window_ms=5000, rest=rest,
            )  # fmt: skip
        else:
            line = MarketStream(
                place.ws, MarketCodec(ALL, "1m"), ["btcusdt@trade"], clock, on_item=sink.item, on_link=sink.link,
                stale_s=60, admit=rest.penalties.admitted, on_refused=rest.penalties.turned_away,
            )  # fmt: skip
        async with running(line.run()):
            await asyncio.sleep(1.0)  # the second and third attempts were due
            assert place.sockets == 1
            # An exit waits for the end of a ban, but not for the limit of connections.
            assert (rest.budget.delay_s(Lane.EXIT) >= 120) is holds_all
            clock.advance(123 * NS_PER_S)
            async with asyncio.timeout(5):
                while place.sockets < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)


class Minute:
    """A venue that counts weight by the minute and answers after a moment."""

    def __init__(self, loop, budget):
        self._loop, self._budget, self.worst, self._window, self.used = loop, budget, 0, -1, 0

    async def take(self, weight):
        await asyncio.sleep(0.05)
        window = int(self._loop.time() // 60)
        if window != self._window:
            self._window, self.used = window, 0
        self.used += weight
        self.worst = max(self.worst, self.used)
        await asyncio.sleep(0.05)
        self._budget.observe({"X-MBX-USED-WEIGHT-1M": str(self.used)})


def test_f07_an_hour_of_bursts_never_uses_more_than_its_share():
    async def trial(loop):
        budget, dice, late = WeightBudget(VirtualClock(loop)), random.Random(7), []
        venue = Minute(loop, budget)

        async def send(lane, weight):
            began = loop.time()
            await budget.wait(lane, weight=weight)
            late.append((lane, loop.time() - began))
            await venue.take(weight)

        async def flood():
            while loop.time() < 3600:
                await asyncio.gather(
                    *(send(Lane.DATA, dice.choice((2, 20, 80))) for _ in range(dice.randrange(200)))
                )
                await asyncio.sleep(dice.uniform(0, 5))

        async def orders():
            while loop.time() < 3600:
                await asyncio.sleep(dice.uniform(0, 2))
                await send(dice.choice((Lane.ENTRY, Lane.EXIT, Lane.CANCEL)), 1)

        await asyncio.gather(flood(), orders())
        return venue.worst, late, budget.held_back

    worst, late, held_back = run_virtually(trial)
    assert worst <= 6000 * 0.95
    assert worst > 6000 * 0.5  # the test did press
    assert max(seconds for lane, seconds in late if lane is not Lane.DATA) == 0
    assert held_back[Lane.DATA] > 500


def test_f07_data_is_held_back_from_seventy_percent_on():
    budget = WeightBudget(ManualClock(10 * 60 * NS_PER_S))
    budget.observe({"X-MBX-USED-WEIGHT-1M": "4150"})
    assert budget.delay_s(Lane.DATA, weight=20) == 0
    budget.observe({"X-MBX-USED-WEIGHT-1M": "4190"})
    assert budget.delay_s(Lane.DATA, weight=20) > 0
    assert budget.delay_s(Lane.ENTRY) == 0


def test_f08_orders_are_paced_in_their_order_with_a_reserve_for_exits():
    async def trial(loop):
        budget, left = WeightBudget(VirtualClock(loop), entry_patience_s=1e9), []
        budget.order_limits = (OrderLimit("10S", 10_000, 50),)

        async def send(lane, number):
            await budget.wait(lane, orders=1)
            left.append((int(loop.time() // 10), lane, number))

        entries = [asyncio.create_task(send(Lane.ENTRY, number)) for number in range(100)]
        await asyncio.sleep(1)
        exits = [asyncio.create_task(send(Lane.EXIT, number)) for number in range(15)]
        cancel = asyncio.create_task(budget.wait(Lane.CANCEL))
        await asyncio.sleep(1)
        assert cancel.done()
        await asyncio.gather(*entries, *exits)
        return left

    left = run_virtually(trial)
    first_window = [lane for window, lane, _ in left if window == 0]
    assert (first_window.count(Lane.ENTRY), first_window.count(Lane.EXIT)) == (35, 15)  # 30 % for exits
    assert [number for _, lane, number in left if lane is Lane.ENTRY] == list(range(100))
    for window in range(4):
        assert sum(one[0] == window for one in left) <= 50


def test_f08_too_many_orders_stops_new_orders_only():
    budget = WeightBudget(ManualClock(10**18))
    budget.pause_orders(7)
    assert budget.delay_s(Lane.EXIT, orders=1) == 7
    assert [budget.delay_s(lane) for lane in (Lane.CANCEL, Lane.RECONCILE, Lane.DATA)] == [0, 0, 0]


def test_orders_are_counted_by_what_a_request_places():
    assert [
        orders_of(method)
        for method in ("order.place", "order.cancel", "order.cancelReplace", "orderList.place.otoco", "orderList.cancel", "ping")
    ] == [1, 0, 1, 3, 0, 0]  # fmt: skip
    assert orders_of("POST", "/api/v3/orderList/oco") == 2
    assert orders_of("POST", "/api/v3/order") == orders_of("POST", "/api/v3/order/cancelReplace") == 1
    assert orders_of("DELETE", "/api/v3/order") == orders_of("GET", "/api/v3/klines") == 0


def test_limits_are_those_that_the_venue_states():
    budget = WeightBudget(ManualClock(10**18))
    budget.adopt([
        RateLimit("REQUEST_WEIGHT", "MINUTE", 1, 1200), RateLimit("ORDERS", "SECOND", 10, 77),
        RateLimit("ORDERS", "DAY", 1, 9), RateLimit("RAW_REQUESTS", "MINUTE", 5, 6),
    ])  # fmt: skip
    assert budget.limit == 1200
    assert [(one.letter, one.limit) for one in budget.order_limits] == [("10S", 77), ("1D", 9)]
    budget.observe({"X-MBX-ORDER-COUNT-1D": "9"})
    assert budget.delay_s(Lane.EXIT, orders=1) > 0


def use_up(folder, count):
    async def leave():
        budget = WeightBudget(ManualClock(10**18), ledger=ledger(folder))
        for _ in range(count):
            budget._count(1, 1)
            await asyncio.sleep(0)  # the turn of the loop in which others are told
        await asyncio.sleep(0)

    asyncio.run(leave())


async def test_what_leaves_counts_here_at_once_and_for_others_with_the_next_turn_of_the_loop(tmp_path):
    mine, other = (WeightBudget(ManualClock(10**18), ledger=ledger(tmp_path)) for _ in range(2))
    limits = [RateLimit("ORDERS", "DAY", 1, 2)]
    mine.adopt(limits)
    other.adopt(limits)
    for _ in range(2):
        await mine.wait(Lane.EXIT, weight=7, orders=1)
    assert (mine.used_weight, other.used_weight) == (14, 0)
    assert mine.delay_s(Lane.EXIT, orders=1) > 0
    await asyncio.sleep(0)
    assert (mine.used_weight, other.used_weight) == (14, 14)
    assert mine.delay_s(Lane.EXIT, orders=1) > 0
    assert other.delay_s(Lane.EXIT, orders=1) > 0


def test_processes_of_the_machine_share_one_ledger(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=use_up, args=(tmp_path, 500)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    budget = WeightBudget(ManualClock(10**18), ledger=ledger(tmp_path))
    assert budget.used_weight == 1000


def test_who_only_reads_shares_the_address_with_the_daemon(tmp_path):
    settings = load(None, {"BNML_VENUE__BUDGET_DIR": str(tmp_path)})
    clock, url = LiveClock(), "https://api.example.com"
    deployment = Deployment(url, "", "", "key", "secret")
    daemon = make_budget(settings, deployment, clock, VenueClock(clock))
    daemon.ban(60)
    assert readers_budget(settings, url, clock).banned_s > 30
    assert readers_budget(settings, "http://127.0.0.1:1", clock).banned_s == 0
    other = Deployment(url, "", "", "another", "secret")
    again = make_budget(settings, other, clock, VenueClock(clock))
    again.pause_orders(5)
    assert again.banned_s > 30
    assert len(list(tmp_path.glob("*.limits"))) == 4  # the address, and each account


def test_f06_under_systemd_the_ledger_outlives_the_units_temporary_folder(monkeypatch, tmp_path):
    """The daemon and its watch each have a temporary folder of their own that goes when they stop, and one state folder."""
    units = [path.read_text() for path in sorted(Path("systemd").glob("*.service"))]
    folders = {line for text in units for line in text.splitlines() if line.startswith("StateDirectory=")}
    assert len(units) == 2
    assert folders == {"StateDirectory=bnml"}
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    settings = load(None, {"BNML_VENUE__KIND": "live"})
    assert budget_folder(settings, "https://api.example") == tmp_path / "limits"


def test_f06_a_ban_outlives_the_users_session_and_a_reboot(monkeypatch, tmp_path):
    """It lay in the run-time folder, which is gone with the last logout: the next start asked in the middle of the ban."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    monkeypatch.setenv("HOME", str(tmp_path))
    settings, url = load(None, {"BNML_VENUE__KIND": "live"}), "https://api.example"
    monkeypatch.setenv("XDG_STATE_HOME", "relative, so it is to be ignored")
    assert budget_folder(settings, url) == tmp_path / ".local" / "state" / "bnml" / "limits"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert budget_folder(settings, url) == tmp_path / "state" / "bnml" / "limits"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert budget_folder(settings, url) == Path(f"/var/tmp/bnml-limits-{os.getuid()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    clock = LiveClock()
    deployment = Deployment(url, "", "", "key", "secret")
    make_budget(settings, deployment, clock, VenueClock(clock)).ban(60)
    assert (tmp_path / ".local" / "state" / "bnml" / "limits").stat().st_mode & 0o777 == 0o700
    assert make_budget(settings, deployment, clock, VenueClock(clock)).banned_s > 30


def test_f06_a_users_state_that_cannot_be_written_ends_no_start(monkeypatch, tmp_path):
    """As `sudo pip install --user` leaves it: a daemon that had begun with the folder before would not begin with this one."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    lasting, url = Path(f"/var/tmp/bnml-limits-{os.getuid()}"), "https://api.example"
    settings = load(None, {"BNML_VENUE__KIND": "live"})
    theirs = tmp_path / ".local"
    theirs.mkdir()
    monkeypatch.setattr(limits.os, "access", lambda path, _mode: path != theirs)
    assert budget_folder(settings, url) == lasting
    monkeypatch.setenv("XDG_STATE_HOME", str(theirs / "elsewhere"))
    assert budget_folder(settings, url) == lasting
    monkeypatch.setattr(limits.os, "access", lambda _path, _mode: True)
    monkeypatch.setattr(limits.os, "geteuid", lambda: 0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    if os.getuid() == 0:
        os.chown(tmp_path, 1000, -1)
        os.chown(theirs, 1000, -1)
    assert budget_folder(settings, url) == lasting, "root would leave there what its user cannot open"


def test_a_damaged_ledger_bans_nobody_for_ever(tmp_path):
    (tmp_path / "a").write_bytes(b"\x7f" * 24)
    budget = WeightBudget(ManualClock(10**18), ledger=ledger(tmp_path))
    assert budget.delay_s(Lane.DATA) == 0


@pytest.mark.parametrize("bytes_before", [0, 24])
def test_f46_on_a_full_disk_a_ledger_without_blocks_of_its_own_is_an_error_and_no_death(
    tmp_path, monkeypatch, bytes_before
):
    """The first number that was written into the hole killed the process, panic's too: a bus error."""
    (tmp_path / "a").touch()
    os.truncate(tmp_path / "a", bytes_before)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        SharedNumbers(tmp_path / "a", 3)
    (tmp_path / "a").write_bytes(bytes(24))
    SharedNumbers(tmp_path / "a", 3)[0] = 5
    assert SharedNumbers(tmp_path / "a", 3)[0] == 5, "it has its blocks"


def test_one_who_stopped_with_the_lock_holds_up_nobody(tmp_path):
    one, other = SharedNumbers(tmp_path / "a", 3), SharedNumbers(tmp_path / "a", 3)
    with one.locked(), other.locked():
        other[0] = 5
    assert one[0] == 5


async def test_f10_a_firewall_is_asked_once_in_thirty_seconds():
    clock = ManualClock(10**18)
    async with (
        web(reply=lambda _: (403, {}, b"<html>Request blocked</html>")) as place,
        client(place.http, clock) as rest,
    ):
        with pytest.raises(Retryable) as caught:
            await rest.public("/api/v3/time", {})
        assert caught.value.retry_after_s == 30
        assert "firewall" in rest.penalties.obstacle
        tasks = [asyncio.create_task(rest.public("/api/v3/time", {})) for _ in range(5)]
        await asyncio.sleep(0.1)
        assert len(place.requests) == 1
        with pytest.raises(Retryable):
            await rest.public("/api/v3/order", {}, Lane.ENTRY)  # does not wait
        for attempts in (2, 3):
            clock.advance(30 * NS_PER_S)
            await asyncio.sleep(1.2)
            assert len(place.requests) == attempts
        place.reply = lambda _: (200, {}, b"{}")
        clock.advance(30 * NS_PER_S)
        done, _ = await asyncio.wait(tasks, timeout=5)
        assert len(done) == 5
        assert rest.penalties.obstacle == ""
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_f10_a_certificate_that_cannot_be_trusted_is_an_obstacle_too():
    async with web() as place, client(place.http.replace("http:", "https:"), ManualClock(10**18)) as rest:
        with pytest.raises(Retryable):
            await rest.public("/api/v3/time", {})
        assert "SSL" in rest.penalties.obstacle


async def test_f13_the_next_address_is_used_after_three_failures_with_the_same_id():
    def found(path):
        return (200, {}, msgspec.json.encode({"path": path}))

    async with web(reply=found) as good:
        dead = [f"http://127.0.0.1:{port}" for port in (1, 2)]
        async with client(dead[0], more_urls=(dead[1], good.http)) as rest:
            params = {"symbol": "BTCUSDT", "newClientOrderId": "bna1-7"}
            answer = await rest.signed("POST", "/api/v3/order", params, Lane.EXIT, order=True)
            assert "newClientOrderId=bna1-7" in msgspec.json.decode(answer.body)["path"]
            assert len(good.requests) == 1
            assert rest.endpoints.current == good.http


async def test_f13_when_no_address_answers_each_was_tried_three_times():
    dead = [f"http://127.0.0.1:{port}" for port in (1, 2)]
    async with client(dead[0], more_urls=dead[1:]) as rest:
        tried = []
        failed = rest.endpoints.failed
        rest.endpoints.failed = lambda: (tried.append(rest.endpoints.current), failed())
        with pytest.raises(Retryable) as caught:
            await rest.public("/api/v3/time", {})
        assert not isinstance(caught.value, UnknownOutcome)
        assert sorted(tried) == sorted(dead * 3)


async def test_an_exit_that_waits_for_the_clock_does_not_wait_for_the_minute():
    """Reconciliation has used its share; what measures the clock for an order is no reconciliation."""
    clock = ManualClock(1763718000 * NS_PER_S)
    async with (
        web(reply=lambda _: (200, {}, b'{"serverTime":1763718000000}')) as place,
        client(place.http, clock) as rest,
    ):
        rest.budget.observe({"X-MBX-USED-WEIGHT-1M": str(rest.budget.limit * 76 // 100)})
        assert rest.budget.delay_s(Lane.RECONCILE) > 0
        await asyncio.wait_for(BinanceVenue(rest, None, {}).resynchronise(), 2)
        assert len(place.requests) == 1  # each further one is a round trip in which nothing protects


async def test_an_exit_does_not_wait_for_a_clock_that_is_not_told(monkeypatch):
    monkeypatch.setattr(evidence, "CLOCK_PATIENCE_S", 0.05)
    async with web() as place, client(place.http) as rest:
        rest.public = lambda *_: asyncio.Event().wait()
        with pytest.raises(Retryable, match="not told"):
            async with asyncio.timeout(5):
                await BinanceVenue(rest, None, {}).resynchronise()


async def test_filters_are_read_with_the_rank_of_the_order_that_waits_for_them():
    """After -1013 a stop is placed anew: with a minute's weight used up it must not wait behind data."""
    lanes = []

    class Rest:
        async def public(self, _path, _params, lane=Lane.DATA):
            lanes.append(lane)
            raise Retryable("not now")

    venue = BinanceVenue(Rest(), None, dict(ALL))
    with pytest.raises(Retryable):
        await venue.fitted("BTCUSDT", CancelOrder("BTCUSDT", "a", ""))
    assert lanes == [Lane.CANCEL]


@pytest.mark.parametrize(("asked_s", "used"), [(59.99, 0), (60.05, 1), (61.0, 5_700)])
async def test_what_was_used_in_the_minute_before_is_not_taken_for_this_one(asked_s, used):
    """A stop waited out a whole minute that had just begun, for an answer that was late."""
    begun_ns = 1763718000 * NS_PER_S
    clock = ManualClock(begun_ns + int(asked_s * NS_PER_S))

    def late(_):
        clock.advance(NS_PER_S)
        return 200, {"X-MBX-USED-WEIGHT-1M": "5700", "X-MBX-ORDER-COUNT-10S": "49"}, b"{}"

    async with web(reply=late) as place, client(place.http, clock) as rest:
        await rest.public("/api/v3/ping", {})
        await asyncio.sleep(0)
        assert rest.budget.used_weight == used
        assert (rest.budget.delay_s(Lane.EXIT, weight=20) > 0) == (used > 1)
        assert (rest.budget.delay_s(Lane.ENTRY, orders=1) > 0) == (used > 1)


def test_f10_when_an_obstacle_may_be_tried_again_what_protects_goes_first_and_no_socket_in_its_place():
    """A socket that stands again says nothing of requests: each took half a minute away from a stop."""

    async def trial(loop):
        clock, gone = VirtualClock(loop), []
        penalties = Penalties(clock, WeightBudget(clock), lambda: 0)

        async def leave(what, way):
            await way
            gone.append(what)

        penalties.obstructed("403")
        waiting = [
            asyncio.create_task(leave(*one))
            for one in (
                ("socket", penalties.admitted()),
                ("socket", penalties.admitted()),
                ("data", penalties.wait(Lane.DATA)),
                ("stop", penalties.wait(Lane.EXIT)),
                ("cancel", penalties.wait(Lane.CANCEL)),
            )
        ]
        await asyncio.sleep(29.9)
        assert gone == []
        await asyncio.sleep(1)
        assert sorted(gone) == ["cancel", "socket", "socket"], "one request finds out"
        await asyncio.sleep(30)
        assert gone[3:] == ["stop"]
        penalties.served()
        await asyncio.wait(waiting)

    run_virtually(trial)
