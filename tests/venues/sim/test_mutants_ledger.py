"""What the ledger is told: at which moments, in which step of the feed, and whether it must be on disk before going on."""

from contextlib import closing

from bnml.core.orders import Side
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.messages import OrderKey, Step
from bnml.venues.sim.tiers import BookModel
from tests.venues.sim.bench import SYMBOL, limit
from tests.venues.sim.traders import exchange_of, told_of

SECOND = 10**9


class Listening:
    """A ledger that remembers what it was told."""

    def __init__(self):
        self.told = []

    def load(self, desk):
        del desk
        return 7

    def save(self, desk, ordinal, *, durable):
        self.told.append((ordinal, durable, bool(desk.changes)))

    def said(self):
        told, self.told = self.told, []
        return told


def test_what_somebody_was_told_is_on_disk_and_what_only_moves_the_market_need_not_be():
    ledger = Listening()
    exchange = exchange_of("F0", ledger=ledger, names=("ann",))
    assert ledger.said() == [(7, True, True), (7, False, False)]  # an account, a print
    exchange.place("ann", limit(Side.BUY, 300, 9_990, client_id="a"))
    exchange.deposit("ann", "USDT", 5)
    exchange.cancel("ann", OrderKey(symbol=SYMBOL, client_order_id="a"))
    exchange.manage.set_rates("ann", 1, 2)
    assert ledger.said() == [(7, True, True)] * 4
    exchange.apply(Step(20, exchange.now_ns + 1))
    assert ledger.said() == [(21, False, False)]
    exchange.place("ann", limit(Side.BUY, 300, 9_990))
    exchange.print_trade(SYMBOL, 9_980, 1, exchange.now_ns + SECOND, jump=False)
    assert ledger.said() == [(21, True, True)] * 2  # an order, its fill
    assert exchange.open_account("ann", {}) is False
    assert ledger.said() == []


def test_what_arrives_while_time_passes_is_on_disk():
    ledger = Listening()
    model = BookModel(submit_median_ns=SECOND, sigma=0)
    exchange = exchange_of("F3", ledger=ledger, names=("ann",), model=model)
    exchange.place("ann", limit(Side.BUY, 300, 9_990))
    ledger.said()
    placed_ns = exchange.now_ns
    exchange.set_time(placed_ns + SECOND - 1)
    assert ledger.said() == []
    exchange.set_time(placed_ns + SECOND)
    assert ledger.said() == [(7, True, True)]


def test_who_came_first_is_first_after_a_restart_too(tmp_path):
    file = tmp_path / "ledger.db"
    with closing(Ledger(file, "test")) as ledger:
        before = exchange_of("F2", ledger=ledger)
        for name in ("cy", "bob"):
            before.place(name, limit(Side.BUY, 100, 9_990, client_id=name))
    with closing(Ledger(file, "test")) as ledger:
        after = exchange_of("F2", ledger=ledger)
        after.drain()
        after.place("ann", limit(Side.SELL, 150, 9_990, client_id="s"))
        told = [one for one in told_of(after) if one[1] == "TRADE" and one[0] != "ann"]
    assert [(one[0], one[3]) for one in told] == [("cy", "FILLED"), ("bob", "PARTIALLY_FILLED")]
