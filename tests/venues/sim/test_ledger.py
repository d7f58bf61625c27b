import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import pytest

from bnml.core.errors import Fatal, Misconfigured, RecoveryNeeded
from bnml.core.instrument import Instrument
from bnml.core.orders import Side
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import ME, SYMBOL, bench, costs, fill_or_kill, limit, order_list, stop, target
from tests.venues.sim.test_feed import HOUR_NS, rows

BARS = rows(*((hour, 10_000, 10_060, 9_950, 10_010, 400_000) for hour in range(40)))


def world(path):
    """An exchange on its ledger, standing where the ledger says."""
    pricing = Pricing(costs())
    feed = BarFeed(
        {SYMBOL: Instrument(SYMBOL, "BTC", "USDT", 10**6, 10**5)},
        {SYMBOL: BARS},
        HOUR_NS,
        pricing,
        10 * HOUR_NS,
    )
    ledger = Ledger(path, feed.fingerprint)
    market = Market(feed.instruments, HOUR_NS, pricing, feed.history(ledger.position()))
    exchange = Exchange(market, ledger=ledger)
    exchange.open_account(ME, {"USDT": 10**13})
    return feed, ledger, exchange


def act(exchange, ordinal):
    if ordinal % 7 == 3:
        exchange.place_list(
            ME,
            order_list("OPOCO", (target(0, 10_055, ""), stop(0, 9_960, "")), fill_or_kill(client_id=""), ""),
        )
    if ordinal % 11 == 5:
        exchange.place(ME, limit(Side.BUY, 1000, 9_970))


def picture(exchange):
    return (
        exchange.read.account(ME),
        exchange.read.all_orders(ME, SYMBOL),
        exchange.read.trades(ME, SYMBOL),
        exchange.read.lists(ME),
        exchange.now_ns,
        exchange.ordinal,
        exchange.market[SYMBOL].state,
        exchange.market[SYMBOL].klines.bars.tolist(),
    )


def test_reopened_exchange_goes_on_as_one_that_never_stopped(tmp_path):
    pictures, told = [], []
    for stops in ((), (4, 23, 24, 61)):
        events = []
        feed, ledger, exchange = world(tmp_path / str(len(stops)) / "ledger.sqlite")
        while (step := feed.step(exchange.ordinal)) is not None and step.ordinal < 90:
            exchange.apply(step)
            act(exchange, step.ordinal)
            events.extend(exchange.drain())
            if step.ordinal in stops:
                ledger.close()
                feed, ledger, exchange = world(tmp_path / str(len(stops)) / "ledger.sqlite")
        pictures.append(picture(exchange))
        told.append(events)
        ledger.close()
    assert len(pictures[0][2]) > 20
    assert pictures[0] == pictures[1]
    assert told[0] == told[1]


def test_what_was_acknowledged_before_a_kill_is_there(tmp_path):
    script = textwrap.dedent(
        """
        import os, pathlib, signal, sys
        from bnml.core.orders import Side
        from bnml.venues.sim.ledger import Ledger
        from tests.venues.sim.bench import ME, bench, limit, market
        exchange = bench(Ledger(pathlib.Path(sys.argv[1]), "test"))
        for number in range(20):
            exchange.place(ME, limit(Side.BUY, 1000, 9_000 + number, client_id=f"o{number}"))
        exchange.place(ME, market(Side.BUY, 500, "m"))
        print("acknowledged", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    path = tmp_path / "ledger.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "acknowledged\n", done.stderr
    ledger = Ledger(path, "test")
    exchange = bench(ledger)
    assert [view.client_order_id for view in exchange.read.open_orders(ME)] == [f"o{n}" for n in range(20)]
    assert exchange.read.trades(ME, SYMBOL)[0].quantity_lots == 500
    assert exchange.place(ME, limit(Side.BUY, 1000, 9_000)).order.order_id == 22
    ledger.close()


def test_ledger_of_another_market_is_refused(tmp_path):
    Ledger(tmp_path / "ledger.sqlite", "seed=1").close()
    with pytest.raises(RecoveryNeeded, match="seed=1"):
        Ledger(tmp_path / "ledger.sqlite", "seed=2")


def test_ledger_that_cannot_be_opened_says_where(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(Misconfigured, match="cannot be opened"):
        Ledger(tmp_path / "ledger.sqlite", "seed=1")


def test_notes_are_kept_with_the_ledger(tmp_path):
    first = Ledger(tmp_path / "ledger.sqlite", "x")
    first.note("api_key", "k")
    first.close()
    second = Ledger(tmp_path / "ledger.sqlite", "x")
    assert second.note("api_key") == "k"
    assert second.note("secret") is None
    second.close()


def test_a_grouped_ledger_saves_at_its_flush_what_came_together(tmp_path):
    path = tmp_path / "ledger.db"
    _, ledger, exchange = world(path)
    exchange.print_trade(SYMBOL, 10_000, 1, 10 * HOUR_NS, jump=True)
    waits = []
    ledger.group(lambda: waits.append(1))

    def saved():
        with closing(sqlite3.connect(path)) as other:
            return other.execute("SELECT count(*) FROM orders").fetchone()[0]

    for price in (9_900, 9_901, 9_902):
        exchange.place(ME, limit(Side.BUY, 100, price))
    assert (saved(), waits) == (0, [1]), "one flush will do"
    ledger.flush()
    assert saved() == 3
    ledger.flush()
    exchange.place(ME, limit(Side.BUY, 100, 9_903))
    exchange.print_trade(SYMBOL, 10_001, 1, 10 * HOUR_NS, jump=False)
    assert saved() == 4, "what needs no sync does not wait behind what does"
    exchange.place(ME, limit(Side.BUY, 100, 9_904))
    ledger.close()
    assert saved() == 5


def test_a_disk_that_takes_nothing_more_is_fatal(tmp_path):
    _, ledger, exchange = world(tmp_path / "ledger.db")
    exchange.print_trade(SYMBOL, 10_000, 1, 10 * HOUR_NS, jump=True)
    ledger.group(lambda: None)
    exchange.place(ME, limit(Side.BUY, 100, 9_900))
    ledger._db.execute("ROLLBACK")  # what sqlite does by itself when the disk is full
    with pytest.raises(Fatal, match="cannot be written"):
        ledger.flush()
    with pytest.raises(Fatal, match="cannot be written"):
        ledger.close()
