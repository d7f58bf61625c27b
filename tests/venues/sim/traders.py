"""An exchange with several rich accounts for tests, in any fill tier; without a bar the market itself offers nothing."""

import msgspec

from bnml.core.events import Bar
from bnml.core.instrument import E8
from bnml.kernels.records import FillTier
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import BookLevels, ExecutionReport, OrderKey, Step
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.tiers import Tier
from tests.venues.sim.bench import HOUR_NS, INSTRUMENT, SYMBOL, T0, costs

NAMES = ("ann", "bob", "cy")


def exchange_of(tier=Tier.F2, volume=0, *, model=None, names=NAMES, ledger=None, **kind):
    """Last price 100.00; `volume` lots of the last bar, of which a tenth is the depth of both sides."""
    made = costs(tier=FillTier.F1 if tier == "F1" else FillTier.F0, **kind)
    pricing = Pricing(made, tier=Tier(tier), model=model)
    exchange = Exchange(Market({SYMBOL: INSTRUMENT}, HOUR_NS, pricing), ledger=ledger)
    is_new = [exchange.open_account(name, {"USDT": 1_000_000 * E8, "BTC": 1_000 * E8}) for name in names]
    if any(is_new):
        if volume:
            bar = Bar(SYMBOL, T0 - HOUR_NS, T0, 10_000, 10_000, 10_000, 10_000, volume)
            exchange.apply(Step(0, T0, closed_bars=(bar,)))
        exchange.print_trade(SYMBOL, 10_000, 1, T0, jump=True)
    exchange.drain()
    return exchange


def told_of(exchange):
    """Drained reports in short: account, execution, client id, status."""
    return [
        (event.account, str(event.execution), event.order.client_order_id, str(event.order.status))
        for event in exchange.drain()
        if isinstance(event, ExecutionReport)
    ]


def fills(placed):
    return [(one.price_ticks, one.quantity_lots) for one in placed.fills]


def asked(request, **changes):
    return msgspec.structs.replace(request, **changes)


def tape(exchange):
    """Public trades: price, lots, whether the buyer was the maker."""
    return [
        (one.price_ticks, one.quantity_lots, one.buyer_is_maker) for one in exchange.market[SYMBOL].trades
    ]


def display(exchange, bids, asks, ts_ns=0):
    """The market displays these levels."""
    exchange.market.pricing.takes_recorded_books = True
    now_ns = ts_ns or exchange.now_ns + 1
    book = BookLevels(SYMBOL, now_ns, bids, asks, 0, update_id=now_ns)
    exchange.apply(Step(exchange.ordinal, now_ns, books=(book,)))
    exchange.drain()


def view(exchange, client_id, account="ann"):
    return exchange.read.order(account, OrderKey(symbol=SYMBOL, client_order_id=client_id))
