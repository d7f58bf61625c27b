"""Commissions in base, quote and BNB: our books against the exchange's, fill by fill."""

import random
from collections import deque

import pytest

from bnml.core.instrument import Instrument
from bnml.core.orders import OrderType, Side
from bnml.trading.portfolio import Ledger, Portfolio
from bnml.trading.positions import Tranche
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderRequest
from tests.trading.hand_venue import HandVenue
from tests.trading.kit import START_NS, instrument

BTC = instrument()
BNB = Instrument("BNBUSDT", "BNB", "USDT", 10**6, 10**5)


class Books:
    """One account at the exchange, and the ledger that only hears of its fills."""

    def __init__(self, seed, bnb_e8=10**8):
        self.random = random.Random(seed)
        self.venue = HandVenue({"BTCUSDT": BTC, "BNBUSDT": BNB}, {"USDT": 10**15, "BNB": bnb_e8}, fee_ppm=977)
        self.venue.print("BTCUSDT", 3_000_000, START_NS, jump=True)
        self.venue.print("BNBUSDT", 60_000, START_NS, jump=True)
        self.portfolio = Portfolio(Ledger("USDT"))
        self.portfolio.adopt(self.venue.balances().assets, 0)
        self.ts_ns = START_NS
        self.assets = []

    @property
    def account(self):
        return self.venue.exchange._desk.accounts[ACCOUNT]

    def trade(self, side, lots, tranche, one=BTC):
        self.venue.exchange.place(
            ACCOUNT,
            OrderRequest(symbol=one.symbol, side=side, type=OrderType.MARKET, quantity_e8=lots * one.lot_e8),
        )
        for report in self.venue.drain():
            if report.trade_id:
                self.assets.append(report.commission_asset)
                if side is Side.BUY:
                    self.portfolio.buy(tranche, report, one)
                else:
                    self.portfolio.sell([tranche], report, one)

    def sequence(self, one=BTC):
        """Buy in pieces, sell in pieces, at moving prices; the commission's asset changes as it likes."""
        draw, tranche = self.random, Tranche(1, 0, 1, 3)
        for _ in range(draw.randint(1, 3)):
            self.account.pays_in_bnb = draw.random() < 0.5
            self.trade(Side.BUY, draw.randint(1000, 50_000), tranche, one)
        assert tranche.bought_lots * one.lot_e8 >= tranche.base_e8
        while lots := tranche.lots(one.lot_e8):
            self.ts_ns += 10**9
            self.venue.print(one.symbol, draw.randint(2_000_000, 4_000_000), self.ts_ns, jump=True)
            self.account.pays_in_bnb = draw.random() < 0.5
            part = draw.randint(max(1, lots // 3), lots)
            self.trade(Side.SELL, lots if lots - part < 1000 else max(part, min(lots, 1000)), tranche, one)
        assert tranche.cost_e8 == 0
        self.portfolio.lay_aside(tranche, one, self.ts_ns)
        self.check()

    def check(self):
        venue = {asset: sum(pair) for asset, pair in self.venue.balances().assets.items()}
        ours = self.portfolio.ledger.totals
        assert {name: amount for name, amount in ours.items() if amount} == {
            n: a for n, a in venue.items() if a
        }
        dust = self.portfolio.ledger.dust.get("BTCUSDT")
        assert (dust.base_e8 if dust else 0) == venue.get("BTC", 0)


def run(sequences):
    made = 0
    for seed in range(-(-sequences // 500)):
        books = Books(seed)
        for _ in range(min(500, sequences - made)):
            books.sequence()
            made += 1
        assert set(books.assets) == {"BTC", "USDT", "BNB"}


def test_f66_the_ledger_equals_the_account_after_any_sequence_of_fills():
    run(1_500)


@pytest.mark.long
def test_f66_the_same_a_hundred_thousand_times():
    run(100_000)


def test_f67_when_bnb_runs_out_the_commission_changes_its_asset_and_the_ledger_follows():
    """That it runs low is told by the look at the fee reserve, before the last fill that it pays."""
    books, tranche = Books(7, bnb_e8=2_000_000), Tranche(1, 0, 1, 3)
    books.account.pays_in_bnb = True
    for _ in range(12):
        books.trade(Side.BUY, 20_000, tranche)
        books.trade(Side.SELL, 10_000, tranche)
        books.check_totals = {a: sum(p) for a, p in books.venue.balances().assets.items()}
        assert {n: a for n, a in books.portfolio.ledger.totals.items() if a} == {
            n: a for n, a in books.check_totals.items() if a
        }
    assert books.assets[0] == "BNB"
    assert books.assets[-2:] == ["BTC", "USDT"]
    assert tranche.base_e8 == books.check_totals["BTC"]


def test_a_ledger_that_forgets_a_commission_in_base_is_noticed(monkeypatch):
    """The planted defect: what the check would say if the position were the plain sum of its fills."""
    books = Books(3)
    real = Portfolio.buy

    def forgets(self, tranche, report, one):
        notional_e8 = real(self, tranche, report, one)
        if report.commission_asset == one.base:
            self._add(one.base, report.commission_e8)
        return notional_e8

    monkeypatch.setattr(Portfolio, "buy", forgets)
    with pytest.raises(AssertionError):
        deque((books.sequence() for _ in range(20)), maxlen=0)
