"""Random trading of several accounts, with everything that must hold after each operation."""

import hashlib
import random

import msgspec

from bnml.core.events import Bar
from bnml.core.instrument import E8
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.venues.sim.messages import (
    AccountPosition,
    BookLevels,
    ExecutionReport,
    ListRequest,
    ListStatus,
    OrderKey,
    Step,
    VenueReject,
)
from bnml.venues.sim.rules import ALL_PREVENTIONS
from tests.venues.sim.bench import HOUR_NS, INSTRUMENT, LOT, SYMBOL, T0, limit, market, order
from tests.venues.sim.traders import NAMES, asked, exchange_of

STOPS = (OrderType.STOP_LOSS, OrderType.TAKE_PROFIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
OPEN = {"NEW", "PENDING_NEW", "PARTIALLY_FILLED"}


class Trading:
    """`step` does one random thing and looks at everything cheap; `audit` looks at everything."""

    def __init__(self, seed, tier, ledger=None):
        self.random = random.Random(seed)
        self.exchange = exchange_of(tier, 20_000, spread_ppm=100, slippage_ppm=100, ledger=ledger)
        self.tier = str(tier)
        self.has_book = tier in {"F2", "F3"}
        self.paid_in = {name: {"USDT": 1_000_000 * E8, "BTC": 1_000 * E8, "BNB": 0} for name in NAMES}
        self.reported = {}
        self.positions = {}
        self.ended = set()
        self.execution_id = 0
        self.digest = hashlib.sha256()
        self.refused = {}
        self.done = 0
        self.exchange.manage.set_commission("bob", SYMBOL, 200, 500)
        self.exchange.manage.set_group("ann", 1)
        self.exchange.manage.set_group("bob", 1)
        self.steps = (
            *[self.place_limit] * 8,
            *[self.place_market] * 3,
            *[self.place_stop] * 4,
            *[self.place_list] * 3,
            *[self.cancel] * 5,
            *[self.amend] * 2,
            *[self.replace] * 2,
            self.deposit,
            *[self.print] * 6,
            self.snapshot,
        )

    def step(self):
        self.random.choice(self.steps)()
        self.done += 1
        self.follow()
        self.conserves()

    def attempt(self, act, *arguments):
        try:
            act(*arguments)
        except VenueReject as refusal:
            key = refusal.reject_code, refusal.text
            self.refused[key] = self.refused.get(key, 0) + 1

    def follow(self):
        for event in self.exchange.drain():
            self.digest.update(msgspec.msgpack.encode(event))
            if isinstance(event, ExecutionReport):
                assert event.execution_id > self.execution_id
                self.execution_id = event.execution_id
                self.reported[event.order.order_id] = event.order
            elif isinstance(event, ListStatus) and event.order_list.list_status == "ALL_DONE":
                assert event.order_list.list_id not in self.ended
                self.ended.add(event.order_list.list_id)
            elif isinstance(event, AccountPosition):
                self.positions.setdefault(event.account, {}).update(event.assets)

    def pick(self, *choices):
        return self.random.choice(choices)

    def price(self):
        last = self.exchange.market[SYMBOL].state.last_ticks
        return max(1, last + round(self.random.gauss(0, 12)))

    def lots(self):
        return self.random.randint(60, 900)

    def dressed(self, request):
        """A request with a random prevention mode, sometimes as an iceberg."""
        if (
            request.price_e8
            and request.time_in_force in {None, TimeInForce.GTC}
            and self.random.random() < 0.2
        ):
            request = asked(request, iceberg_e8=max(1, request.quantity_e8 // LOT // 4) * LOT)
        return asked(request, prevention=self.pick("", *ALL_PREVENTIONS))

    def place_limit(self):
        side, kind = self.pick(*Side), self.pick("GTC", "GTC", "GTC", "IOC", "FOK", "MAKER")
        if kind == "MAKER":
            request = order(OrderType.LIMIT_MAKER, side, self.lots(), self.price())
        else:
            request = limit(side, self.lots(), self.price(), TimeInForce(kind))
        self.attempt(self.exchange.place, self.pick(*NAMES), self.dressed(request))

    def place_market(self):
        request = market(self.pick(*Side), self.lots())
        if self.random.random() < 0.3:
            request = asked(request, quantity_e8=0, quote_quantity_e8=self.random.randint(6, 90) * E8)
        self.attempt(self.exchange.place, self.pick(*NAMES), self.dressed(request))

    def place_stop(self):
        kind, side = self.pick(*STOPS), self.pick(*Side)
        price = self.price() if kind.endswith("LIMIT") else 0
        request = order(kind, side, self.lots(), price, self.price())
        if self.random.random() < 0.4:
            request = asked(request, trailing_bips=self.random.randint(10, 60))
            if self.random.random() < 0.5:
                request = asked(request, stop_price_e8=0)
        self.attempt(self.exchange.place, self.pick(*NAMES), self.dressed(request))

    def place_list(self):
        kind, lots, side = self.pick(*ListKind), self.lots(), self.pick(*Side)
        is_sized = kind.startswith("OPO")
        side = Side.SELL if is_sized else side
        last = self.exchange.market[SYMBOL].state.last_ticks
        up, down = last + self.random.randint(-2, 25), last - self.random.randint(-2, 25)
        pending_lots = 0 if is_sized else lots
        above, below = (up, down) if side is Side.SELL else (down, up)
        legs = [
            order(OrderType.LIMIT_MAKER, side, pending_lots, above),
            order(OrderType.STOP_LOSS, side, pending_lots, stop=below),
        ]
        if self.random.random() < 0.3:
            legs[1] = asked(legs[1], trailing_bips=self.random.randint(10, 60))
        working = None
        if kind is not ListKind.OCO:
            other = Side.BUY if side is Side.SELL else Side.SELL
            working = limit(other, lots, self.price(), self.pick(*TimeInForce))
        pending = legs if kind in {ListKind.OCO, ListKind.OTOCO, ListKind.OPOCO} else [self.pick(*legs)]
        request = ListRequest(symbol=SYMBOL, kind=kind, working=working, pending=tuple(pending))
        self.attempt(self.exchange.place_list, self.pick(*NAMES), request)

    def chosen(self):
        """An account and the key of one of its open orders."""
        name = self.pick(*NAMES)
        orders = self.exchange.read.open_orders(name)
        if not orders:
            return None
        view = self.random.choice(orders)
        return name, view, OrderKey(symbol=SYMBOL, order_id=view.order_id)

    def cancel(self):
        if self.random.random() < 0.02:
            self.attempt(self.exchange.cancel_all, self.pick(*NAMES), SYMBOL)
        elif chosen := self.chosen():
            self.attempt(self.exchange.cancel, chosen[0], chosen[2])

    def amend(self):
        if chosen := self.chosen():
            name, view, key = chosen
            lots = max(1, view.quantity_lots - self.random.randint(0, 200))
            self.attempt(self.exchange.amend, name, key, lots * LOT)

    def replace(self):
        if chosen := self.chosen():
            name, _, key = chosen
            request = limit(self.pick(*Side), self.lots(), self.price())
            mode = self.pick("STOP_ON_FAILURE", "ALLOW_FAILURE")
            self.attempt(self.exchange.cancel_replace, name, key, request, mode)

    def deposit(self):
        name, asset = self.pick(*NAMES), self.pick("USDT", "BTC", "BNB")
        amount = self.random.randint(-10, 12) * E8
        try:
            self.exchange.deposit(name, asset, amount)
            self.paid_in[name][asset] += amount
        except VenueReject:
            pass

    def print(self):
        price, lots = self.price(), self.random.randint(1, 1500)
        now_ns = self.exchange.now_ns + self.random.randint(1, 10**8)
        self.exchange.print_trade(SYMBOL, price, lots, now_ns, jump=self.random.random() < 0.3)

    def snapshot(self):
        """A bar; or a recorded book for a while, where the tier takes one."""
        exchange = self.exchange
        ordinal, now_ns = exchange.ordinal, exchange.now_ns + 1
        opened = T0 + ordinal * HOUR_NS
        bar = Bar(SYMBOL, opened, opened + HOUR_NS, *[exchange.market[SYMBOL].state.last_ticks] * 4, 20_000)
        exchange.apply(Step(ordinal, now_ns, closed_bars=(bar,)))

    def conserves(self):
        """Nothing negative; what is held and paid is what came in and what trades moved."""
        for name in NAMES:
            view = self.exchange.read.account(name)
            held = self.exchange.read.commissions(name)
            for asset, (free, locked) in view.balances.items():
                assert free >= 0
                assert locked >= 0
                held[asset] = held.get(asset, 0) + free + locked
            self.check_total(name, held)

    def check_total(self, name, held):
        if not hasattr(self, "moved"):
            self.moved = {one: {"USDT": 0, "BTC": 0, "BNB": 0} for one in NAMES}
            self.seen = self.seen_prevented = 0
        trades = self.exchange._desk.trades
        for one in trades[self.seen :]:
            sign = 1 if one.is_buyer else -1
            self.moved[one.account]["BTC"] += sign * one.quantity_lots * LOT
            self.moved[one.account]["USDT"] -= sign * one.quote_e8
        self.seen = len(trades)
        for one in list(self.exchange._desk.prevented.values())[self.seen_prevented :]:
            self.transfer(one)
            self.seen_prevented += 1
        for asset, amount in self.paid_in[name].items():
            assert held.get(asset, 0) == amount + self.moved[name][asset], (name, asset, self.done)

    def transfer(self, match):
        if match.mode != "TRANSFER" or match.taker_account == match.maker_account:
            return
        taker = self.exchange._desk.orders[match.taker_order_id]
        sign = 1 if taker.side is Side.BUY else -1
        quote = INSTRUMENT.notional_e8(match.price_ticks, match.lots)
        for name, way in ((match.taker_account, sign), (match.maker_account, -sign)):
            self.moved[name]["BTC"] += way * match.lots * LOT
            self.moved[name]["USDT"] -= way * quote

    def audit(self):
        """Reports tell the whole truth, locks are what open orders need, both sides of each trade agree."""
        for name in NAMES:
            for view in self.exchange._desk.held_by(name, SYMBOL).orders.values():
                assert self.reported[view.order_id] == view.view()
            view = self.exchange.read.account(name)
            assert view.balances.items() >= self.positions.get(name, {}).items()
            self.check_locks(name, view)
        for number, view in self.reported.items():
            assert self.exchange._desk.orders[number].view() == view
        self.check_trades()
        self.check_seats()
        self.check_book()

    def check_locks(self, name, view):
        groups = {}
        for one in self.exchange._desk.held_by(name, SYMBOL).orders.values():
            if one.is_live and one.type is not OrderType.MARKET:
                asset = one.paying_asset(INSTRUMENT)
                group = (one.order_id if one.list_id < 0 else -one.list_id), asset
                groups[group] = max(groups.get(group, 0), one.needs_e8(INSTRUMENT))
        for asset in ("USDT", "BTC"):
            needed = sum(amount for (_, what), amount in groups.items() if what == asset)
            assert view.balances.get(asset, (0, 0))[1] == needed, (name, asset, self.done)

    def check_trades(self):
        sides = {}
        for one in self.exchange._desk.trades:
            sides.setdefault(one.trade_id, []).append(one)
        for pair in sides.values():
            assert len(pair) <= 2
            if len(pair) == 2:
                taker, maker = pair
                assert (taker.price_ticks, taker.quantity_lots) == (maker.price_ticks, maker.quantity_lots)
                assert taker.is_buyer != maker.is_buyer
                assert (taker.is_maker, maker.is_maker) == (False, True)

    def check_seats(self):
        """Each live order has its place, nobody else has one."""
        desk = self.exchange._desk
        book = desk.books[SYMBOL]
        seated = {one.order_id for one in (*book.bids.orders(), *book.asks.orders())}
        stops = {one.order_id for one in (*book.ups.orders(), *book.downs.orders(), *book.trailing.values())}
        live = [one for one in desk.live[SYMBOL].values() if one.is_live and not one.enters_ns]
        assert seated == {one.order_id for one in live if not one.waits_for_trigger}
        assert stops == {one.order_id for one in live if one.waits_for_trigger}

    def check_book(self):
        book = self.exchange.market.book(SYMBOL, self.exchange.now_ns)
        assert isinstance(book, BookLevels)
        if self.has_book and book.bids and book.asks:
            assert book.bids[0][0] < book.asks[0][0]
        assert all(lots > 0 for _, lots in (*book.bids, *book.asks))


def outcome(seed, tier, operations, audit_every=50):
    """The digest of everything that a run said, after checking it."""
    trading = Trading(seed, tier)
    for number in range(operations):
        trading.step()
        if number % audit_every == 0:
            trading.audit()
    trading.audit()
    return trading.digest.hexdigest(), trading
