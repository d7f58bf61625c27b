"""Random requests and prints against invariants: nothing made, nothing lost, nothing negative, nothing unreported."""

import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bnml.core.events import Bar
from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.kernels.records import FillTier
from bnml.venues.sim.ledger import Ledger
from bnml.venues.sim.messages import (
    AccountPosition,
    ExecutionReport,
    ListKey,
    ListStatus,
    OrderKey,
    Step,
    VenueReject,
)
from tests.venues.sim.bench import (
    HOUR_NS,
    INSTRUMENT,
    LOT,
    ME,
    SYMBOL,
    T0,
    bench,
    limit,
    market,
    order,
    order_list,
)

SIDES = st.sampled_from(Side)
LOTS = st.integers(40, 3000)
PRICES = st.integers(9_000, 11_000)
STOPS = st.sampled_from(
    (OrderType.STOP_LOSS, OrderType.TAKE_PROFIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
)
LISTS = st.sampled_from(("OCO", "OTO", "OTOCO", "OPO", "OPOCO"))
TIMES = st.sampled_from(TimeInForce)
PRICED = {OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}


class ExchangeModel(RuleBasedStateMachine):
    @initialize(tier=st.sampled_from(FillTier), base=st.integers(0, 5))
    def open(self, tier, base):
        self.folder = Path(tempfile.mkdtemp())
        self.kind = {"tier": tier, "slippage_ppm": 300, "spread_ppm": 200}
        self.base = base
        self.ledger = Ledger(self.folder / "ledger.sqlite", "test")
        self.exchange = bench(self.ledger, quote=1_000, base=base, **self.kind)
        self.reported = {}
        self.lists = {}
        self.balances = self.exchange.read.account(ME).balances
        self.execution_id = 0
        self.volume(50)

    def attempt(self, act, *arguments):
        try:
            act(ME, *arguments)
        except VenueReject:
            # A refused request says nothing and does nothing; a failed replacement may have canceled.
            if act.__name__ != "cancel_replace":
                assert self.exchange.drain() == []
        self.follow()

    def follow(self):
        events = self.exchange.drain()
        for event in events:
            if isinstance(event, ExecutionReport):
                assert event.execution_id > self.execution_id
                self.execution_id = event.execution_id
                self.reported[event.order.order_id] = event.order
            elif isinstance(event, ListStatus):
                self.lists[event.order_list.list_id] = event.order_list.order_status
            elif isinstance(event, AccountPosition):
                self.balances = {**self.balances, **event.assets}
        if any(isinstance(event, ExecutionReport) and event.trade for event in events):
            assert isinstance(events[-1], AccountPosition)

    @rule(side=SIDES, lots=LOTS, price=PRICES, tif=TIMES)
    def place_limit(self, side, lots, price, tif):
        self.attempt(self.exchange.place, limit(side, lots, price, tif))

    @rule(side=SIDES, lots=LOTS, price=PRICES)
    def place_maker(self, side, lots, price):
        self.attempt(self.exchange.place, order(OrderType.LIMIT_MAKER, side, lots, price))

    @rule(side=SIDES, lots=LOTS)
    def place_market(self, side, lots):
        self.attempt(self.exchange.place, market(side, lots))

    @rule(type_=STOPS, side=SIDES, lots=LOTS, price=PRICES, stop=PRICES)
    def place_stop(self, type_, side, lots, price, stop):
        request = order(type_, side, lots, price if type_ in PRICED else 0, stop)
        self.attempt(self.exchange.place, request)

    @rule(kind=LISTS, lots=LOTS, price=PRICES, above=PRICES, below=PRICES, tif=TIMES, flip=st.booleans())
    def place_list(self, kind, lots, price, above, below, tif, flip):
        pending_lots = 0 if kind.startswith("OPO") else lots - lots // 500 - 1
        side = Side.BUY if flip and not kind.startswith("OPO") else Side.SELL
        legs = [
            order(OrderType.LIMIT_MAKER, side, pending_lots, above),
            order(OrderType.STOP_LOSS, side, pending_lots, stop=below),
        ]
        working = (
            None if kind == "OCO" else limit(Side.SELL if side is Side.BUY else Side.BUY, lots, price, tif)
        )
        pending = legs[1:] if kind in {"OTO", "OPO"} else legs
        self.attempt(self.exchange.place_list, order_list(kind, pending, working, client_id=""))

    @rule(data=st.data())
    def cancel(self, data):
        if orders := self.exchange.read.open_orders(ME):
            chosen = data.draw(st.sampled_from(orders))
            self.attempt(self.exchange.cancel, OrderKey(symbol=SYMBOL, order_id=chosen.order_id))

    @rule(data=st.data())
    def cancel_list(self, data):
        if lists := self.exchange.read.lists(ME, open_only=True):
            chosen = data.draw(st.sampled_from(lists))
            self.attempt(self.exchange.cancel_list, ListKey(list_id=chosen.list_id))

    @rule(
        data=st.data(),
        side=SIDES,
        lots=LOTS,
        price=PRICES,
        mode=st.sampled_from(("STOP_ON_FAILURE", "ALLOW_FAILURE")),
    )
    def replace(self, data, side, lots, price, mode):
        if orders := self.exchange.read.open_orders(ME):
            chosen = data.draw(st.sampled_from(orders))
            key = OrderKey(symbol=SYMBOL, order_id=chosen.order_id)
            self.attempt(self.exchange.cancel_replace, key, limit(side, lots, price), mode)

    @rule(price=PRICES, jump=st.booleans())
    def print(self, price, jump):
        self.exchange.print_trade(SYMBOL, price, 1, self.exchange.now_ns + 10**9, jump=jump)
        self.follow()

    @rule(volume=st.integers(0, 20_000))
    def volume(self, volume):
        opened = T0 + self.exchange.ordinal * HOUR_NS
        bar = Bar(SYMBOL, opened, opened + HOUR_NS, 10_000, 10_000, 10_000, 10_000, volume)
        self.exchange.apply(Step(self.exchange.ordinal, self.exchange.now_ns + 1, closed_bars=(bar,)))
        self.follow()

    @rule()
    def restart(self):
        before = self.picture()
        self.ledger.close()
        self.ledger = Ledger(self.folder / "ledger.sqlite", "test")
        self.exchange = bench(self.ledger, quote=1, base=1, **self.kind)
        assert self.picture() == before

    def picture(self):
        exchange = self.exchange
        return (
            exchange.read.account(ME),
            exchange.read.commissions(ME),
            exchange.read.all_orders(ME, SYMBOL),
            exchange.read.open_orders(ME),
            exchange.read.lists(ME),
            exchange.read.trades(ME, SYMBOL),
            exchange.now_ns,
            exchange.ordinal,
            exchange.market[SYMBOL].state,
        )

    @invariant()
    def conserves(self):
        account, paid = self.exchange.read.account(ME), self.exchange.read.commissions(ME)
        base, quote = self.base * E8, 1_000 * E8
        for trade in self.exchange.read.trades(ME, SYMBOL, limit=1000):
            sign = 1 if trade.is_buyer else -1
            base += sign * trade.quantity_lots * LOT
            quote -= sign * trade.quote_e8
        for asset, amount in (("BTC", base), ("USDT", quote)):
            free, locked = account.balances.get(asset, (0, 0))
            assert free >= 0
            assert locked >= 0
            assert free + locked + paid.get(asset, 0) == amount

    @invariant()
    def locks_what_open_orders_need(self):
        needed = {"BTC": 0, "USDT": 0}
        pairs = {}
        for view in self.exchange.read.open_orders(ME):
            if str(view.status) == "PENDING_NEW":
                continue
            rest = view.quantity_lots - view.executed_lots
            asset = "BTC" if view.side is Side.SELL else "USDT"
            price = view.price_ticks or view.stop_price_ticks
            amount = rest * LOT if asset == "BTC" else INSTRUMENT.notional_e8(price, rest)
            group = view.order_id if view.list_id < 0 else -view.list_id
            pairs[group, asset] = max(amount, pairs.get((group, asset), 0))
        for (_, asset), amount in pairs.items():
            needed[asset] += amount
        locked = {asset: pair[1] for asset, pair in self.exchange.read.account(ME).balances.items()}
        assert {"BTC": 0, "USDT": 0, **locked} == needed

    @invariant()
    def reports_tell_the_whole_truth(self):
        for view in self.exchange.read.all_orders(ME, SYMBOL, limit=1000):
            assert self.reported[view.order_id] == view
        for view in self.exchange.read.lists(ME):
            assert self.lists[view.list_id] == view.order_status
        assert self.exchange.read.account(ME).balances == self.balances

    @invariant()
    def open_lists_have_open_orders(self):
        for view in self.exchange.read.lists(ME):
            is_open = any(
                str(leg.status) in {"NEW", "PENDING_NEW", "PARTIALLY_FILLED"} for leg in view.orders
            )
            assert is_open == (view.order_status == "EXECUTING")

    def teardown(self):
        if hasattr(self, "ledger"):
            self.ledger.close()
            shutil.rmtree(self.folder)


TestExchangeModel = ExchangeModel.TestCase
TestExchangeModel.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
