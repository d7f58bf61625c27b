"""What else happens to a real account: its owner pays, trades, cancels and converts; the venue halts and changes filters."""

import msgspec

from bnml.core.ids import PREFIX
from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.commissions import DISCOUNT_ASSET
from bnml.venues.sim.inprocess import ACCOUNT
from bnml.venues.sim.messages import OrderRequest, VenueReject
from tests.e2e.matrix.causes import FILTERED, HALTED, TOOK
from tests.e2e.matrix.liquidity import HALF_FILLED
from tests.e2e.matrix.timed import Timed

EACH_S = 8.0
OWNERS = ("pay", "coins", "cancel", "rest", "trade", "sweep", "convert")
VENUES = ("halt", "filter")
STATUSES = ("HALT", "BREAK", "CANCEL_ONLY")
PREVENTIONS = ("EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "NONE")
MOST_USUAL = (0.6, 0.15, 0.15, 0.1)
LASTS_S = 12.0


class Others(Timed):
    """Owner and venue; `kinds` are those that this trial has."""

    def __init__(self, world, random, kinds):
        super().__init__(world, random, EACH_S)
        self._kinds = kinds
        self.has_acted = False
        self.halted = set()
        if kinds:
            self._begin()
            prevention = world.exchange._matcher.taking._prevention
            self._prevent, prevention.prevent = prevention.prevent, self._noted
            for name in world.symbols:
                mode = str(random.choice(PREVENTIONS, p=MOST_USUAL))
                rules = world.exchange.manage.rules(name)
                world.exchange.manage.set_rules(name, msgspec.structs.replace(rules, prevention=mode))

    def _noted(self, taker, maker):
        self._world.cover.note(taker.symbol, "struck: prevention of a trade of the account with itself")
        self._prevent(taker, maker)

    def _act(self):
        self.has_acted = True
        name = str(self._random.choice(self._world.symbols))
        try:
            getattr(self, f"_{self._random.choice(self._kinds)}")(name)
        except VenueReject:
            return  # as the owner is told
        self._world.venue.settle_request()
        self._world.cover.look()

    # -- the owner -------------------------------------------------------------------------------------
    def _pay(self, _):
        """Money comes or goes."""
        free_e8, _ = self._world.exchange.read.account(ACCOUNT).balances["USDT"]
        self._world.exchange.deposit(ACCOUNT, "USDT", int(free_e8 * self._random.uniform(-0.05, 0.05)))

    def _coins(self, name):
        """Coins of what is traded come, or those of the owner go."""
        base, owners_e8 = self._world.instruments[name].base, self._world.owners_e8
        free_e8, _ = self._world.exchange.read.account(ACCOUNT).balances.get(base, (0, 0))
        mine_e8 = min(free_e8, owners_e8.get(base, 0))
        if mine_e8 and self._random.random() < 0.5:
            amount_e8 = -int(self._random.integers(1, mine_e8 + 1))
            self._world.cover.note("", TOOK)
        else:
            amount_e8 = int(self._random.integers(1, 5 * E8))
        self._world.exchange.deposit(ACCOUNT, base, amount_e8)
        owners_e8[base] = owners_e8.get(base, 0) + amount_e8

    def _cancel(self, name):
        """Everything that rests in a symbol."""
        if self._world.exchange.read.open_orders(ACCOUNT, name):
            self._world.cover.note(name, "struck: cancel_orders by hand")
            self._world.exchange.cancel_all(ACCOUNT, name)

    def _rest(self, name):
        """A limit order away from the market."""
        buys, away = self._buys(name), 1 + self._random.uniform(0.002, 0.02)
        price = self._world.prices[name] / away if buys else self._world.prices[name] * away
        self._place(name, buys, OrderType.LIMIT, price, TimeInForce.GTC)

    def _trade(self, name):
        """At market."""
        self._place(name, self._buys(name), OrderType.MARKET)

    def _sweep(self, name):
        """Whoever offers is bought from as far as our targets: the venue keeps the account from trading with itself."""
        ours = [one for one in self._world.exchange.read.open_orders(ACCOUNT, name) if _is_target(one)]
        if not ours:
            return
        price = max(one.price_ticks for one in ours)
        self._world.liquidity.is_gone = True
        try:
            self._place(name, True, OrderType.LIMIT, price, TimeInForce.IOC)
        finally:
            self._world.liquidity.is_gone = False
        left = {one.client_order_id: one for one in self._world.exchange.read.open_orders(ACCOUNT, name)}
        for one in ours:
            if left.get(one.client_order_id, one).executed_lots > one.executed_lots:
                self._world.cover.note(name, f"{one.client_order_id} {HALF_FILLED}")

    def _convert(self, name):
        """Small balances become BNB."""
        world, instrument = self._world, self._world.instruments[name]
        free_e8, _ = world.exchange.read.account(ACCOUNT).balances.get(instrument.base, (0, 0))
        worth_e8 = instrument.notional_e8(world.prices[name], free_e8 // instrument.lot_e8)
        is_ours = instrument.base != DISCOUNT_ASSET and not world.owners_e8.get(instrument.base)
        if free_e8 and is_ours and worth_e8 < instrument.min_notional_e8:
            world.cover.note("", TOOK)
            world.exchange.deposit(ACCOUNT, instrument.base, -free_e8)
            world.exchange.deposit(ACCOUNT, DISCOUNT_ASSET, 1 + worth_e8 // 100)
            world.owners_e8[DISCOUNT_ASSET] = world.owners_e8.get(DISCOUNT_ASSET, 0) + 1 + worth_e8 // 100

    def _buys(self, name):
        return (
            not self._world.owners_e8.get(self._world.instruments[name].base) or self._random.random() < 0.5
        )

    def _place(self, name, buys, kind, price=0.0, time_in_force=None):
        """An order of 10 to 60 USDT, or of what the owner has."""
        world, instrument = self._world, self._world.instruments[name]
        worth_e8 = int(self._random.integers(10 * E8, 60 * E8))
        lots = worth_e8 // instrument.notional_e8(world.prices[name], 1)
        if not buys:
            world.cover.note("", TOOK)
            lots = min(lots, world.owners_e8.get(instrument.base, 0) // instrument.lot_e8)
        request = OrderRequest(
            symbol=name,
            side=Side.BUY if buys else Side.SELL,
            type=kind,
            quantity_e8=lots * instrument.lot_e8,
            price_e8=round(price) * instrument.tick_e8,
            time_in_force=time_in_force,
            client_order_id=f"web_{int(self._random.integers(10**12))}",
        )
        world.exchange.place(ACCOUNT, request)

    # -- the venue -------------------------------------------------------------------------------------
    def _halt(self, name):
        """A symbol does not trade for a while; then it opens with a gap."""
        world, lasts_s = self._world, float(self._random.uniform(0.5, LASTS_S))
        world.exchange.set_status(name, str(self._random.choice(STATUSES)))
        world.cover.shut(name, HALTED, lasts_s)
        self.halted.add(name)
        self._later(lasts_s, lambda: (world.exchange.set_status(name, "TRADING"), self.halted.discard(name)))

    def _filter(self, name):
        """The smallest order becomes a larger one for a while."""
        lasts_s = float(self._random.uniform(0.5, LASTS_S))
        least_e8 = self._world.instruments[name].min_notional_e8
        factor = int(self._random.choice((2, 4, 20)))
        if least_e8 == 5 * E8:
            self._limit(name, least_e8 * factor)
            self._world.cover.shut(name, FILTERED, lasts_s)
            self._later(lasts_s, lambda: self._limit(name, least_e8))

    def _limit(self, name, least_e8):
        instruments = self._world.exchange._desk.instruments
        instruments[name] = msgspec.structs.replace(instruments[name], min_notional_e8=least_e8)


def is_ours(client_order_id):
    """Whether the daemon has named an order, and not its owner."""
    return client_order_id.startswith(PREFIX)


def _is_target(order):
    return order.side is Side.SELL and order.type is OrderType.LIMIT_MAKER and order.status != "PENDING_NEW"
