"""`bnml panic` with the daemon alive, silent and dead: what is ours is sold, what is foreign is not, no entry follows."""

import resource
import signal

import pytest

from bnml.app.aftermath import HALT_FILE
from bnml.core.ids import LEG_PANIC
from tests.e2e.live import Live


@pytest.fixture
def live(tmp_path):
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def own_sales(live, symbols):
    return [
        order
        for symbol in symbols
        for order in live.all_orders(symbol)
        if order["clientOrderId"].endswith(LEG_PANIC)
    ]


def held(live, assets):
    return {asset: amount for asset, amount in live.balances().items() if asset in assets and amount}


def foreign(live, symbol, amount):
    """The owner buys by hand; returns base asset and amount."""
    base = symbol.removesuffix("USDT")
    live.control("POST", "/sim/deposit", {"account": "main", "asset": base, "amount": amount})
    return base


def bases(symbols):
    return {symbol.removesuffix("USDT") for symbol in symbols}


def flat_after_restart(live, before):
    """The next start counts what was sold without it, protects nothing that is not ours, and enters nothing."""
    live.start()
    health, _ = live.wait_until(
        lambda one: one.state.startswith("halted: panic") and not one.positions, 90, "the halt"
    )
    assert health.open_orders == ()
    assert live.open_orders() == []
    assert live.balances() == before
    assert live.bnml("resume").returncode == 0
    live.wait_until(lambda one: one.state == "running", 10, "trading")
    assert live.stop() == 0


def test_panic_without_the_daemon_sells_what_is_ours_and_halts_the_next_start(live):
    symbols = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    base = foreign(live, symbols[0], "5")
    live.kill()
    refused = live.bnml("panic")
    assert (refused.returncode, "--yes" in refused.stderr) == (3, True)
    done = live.bnml("panic", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert live.open_orders() == []
    assert {order["symbol"] for order in own_sales(live, symbols)} >= set(symbols)
    assert held(live, {base})[base] >= 5
    before = live.balances()
    again = live.bnml("panic", "--yes")
    assert (again.returncode, "sold" in again.stdout) == (0, False)
    flat_after_restart(live, before)


def take_nothing():
    """No file may grow, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_f46_panic_on_a_disk_that_takes_nothing_sells_and_says_that_the_next_start_is_not_halted(live):
    symbols = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    live.kill()
    done = live.bnml("panic", "--yes", first=take_nothing)
    assert done.returncode == 4, done.stdout + done.stderr
    assert live.open_orders() == []
    assert {order["symbol"] for order in own_sales(live, symbols)} >= set(symbols)
    assert "start no daemon" in done.stdout
    assert not (live.state / HALT_FILE).exists()
    before = live.balances()
    assert live.bnml("panic", "--yes").returncode == 0
    flat_after_restart(live, before)


def test_panic_of_one_symbol_without_the_daemon_leaves_the_others(live):
    meant, *others = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    live.kill()
    stops = {order["clientOrderId"] for order in live.open_orders() if order["symbol"] != meant}
    assert stops
    done = live.bnml("panic", "--yes", "--symbol", meant.lower())
    assert done.returncode == 0, done.stdout + done.stderr
    assert {order["clientOrderId"] for order in live.open_orders()} == stops
    assert own_sales(live, [meant])
    assert own_sales(live, others) == []
    live.start()
    health, _ = live.wait_until(
        lambda one: (
            one.state == "running"
            and any(reason.startswith(f"panic:{meant}") for reason in one.reasons)
            and meant not in [p.symbol for p in one.positions]
        ),
        90,
        "the restart",
    )
    assert {one.symbol for one in health.positions} >= set(others)
    assert live.bnml("resume", "--symbol", meant).returncode == 0
    live.wait_until(
        lambda one: not any(reason.startswith("panic:") for reason in one.reasons), 10, "the end of it"
    )
    assert live.stop() == 0


def test_panic_asks_a_living_daemon_and_kills_a_silent_one_only_by_force(live):
    symbols = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    live.daemon.send_signal(signal.SIGSTOP)
    refused = live.bnml("panic", "--yes")
    assert (refused.returncode, "--force" in refused.stderr) == (3, True)
    assert live.open_orders()
    (live.state / "journal.db").write_bytes(b"no journal")  # then the venue's orders alone say what is ours
    done = live.bnml("panic", "--yes", "--force")
    assert done.returncode == 0, done.stdout + done.stderr
    assert live.daemon.wait(timeout=5) == -signal.SIGKILL
    assert live.open_orders() == []
    assert {order["symbol"] for order in own_sales(live, symbols)} >= set(symbols)


@pytest.mark.long
def test_panic_by_the_daemon_sells_in_order_and_halts(live):
    live.wait_protected(2)
    live.speed(1)
    done = live.bnml("panic", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert live.open_orders() == []
    health, _ = live.wait_until(lambda one: one.state.startswith("halted: panic"), 5, "the halt")
    assert health.positions == ()
    assert own_sales(live, ["BTCUSDT", "DOGEUSDT", "ADAUSDT"]) == []
    assert live.stop() == 0


@pytest.mark.long
def test_a_symbol_is_flattened_alone_and_everything_halts(live):
    symbols = [one.symbol for one in live.wait_protected(2).positions]
    live.speed(1)
    assert live.bnml("flatten", "--symbol", symbols[0]).returncode == 0
    health, _ = live.wait_until(
        lambda one: symbols[0] not in [p.symbol for p in one.positions], 15, "the sale"
    )
    assert symbols[1] in [one.symbol for one in health.positions]
    assert health.state == "running"
    assert live.bnml("reduce").returncode == 0
    live.wait_until(lambda one: one.state.startswith("reducing"), 5, "reducing")
    assert live.bnml("flatten").returncode == 0
    live.wait_until(lambda one: one.state.startswith("halted: flattened") and not one.positions, 15, "flat")
    assert live.stop() == 0
