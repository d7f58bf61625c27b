"""The embedded exchange in process: orders with filters, matching and ledger of accounts, and prints past resting orders."""

from __future__ import annotations

from bnml.bench.case import Effort, Figure, at_least, processor_s
from bnml.core.clock import NS_PER_HOUR
from bnml.core.events import Bar
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.trading.filling import compile_costs
from bnml.trading.settings import CostSettings
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import OrderKey, OrderRequest, Print, Step
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.tiers import Tier

SYMBOL = "BTCUSDT"
INSTRUMENT = Instrument(SYMBOL, "BTC", "USDT", tick_e8=E8 // 100, lot_e8=E8 // 1000)
NAMES = ("first", "second", "third")
START_NS = 480_000 * NS_PER_HOUR
LAST = 10_000  # ticks
LOTS = 100
RESTING = 60
PRINTS_A_STEP = 100


def orders(effort: Effort) -> list[Figure]:
    """Limits that rest, that meet other accounts and the market, market orders, stops and cancels, in turns."""
    count = effort.size(4_000, 1_000)
    return [
        at_least(
            20e3,
            name=f"exchange orders, tier {tier}",
            bnml=max(_orders_a_second(tier, count) for _ in range(effort.rounds)),
            yardstick=None,
            unit="orders and cancels a second",
            against="-",
        )
        for tier in (Tier.F1, Tier.F2)
    ]


def prints(effort: Effort) -> list[Figure]:
    """Trades of the market between the levels of resting orders, and now and then through one."""
    steps = effort.size(400, 100)
    return [
        at_least(
            200e3,
            name=f"exchange prints, tier {tier}",
            bnml=max(_prints_a_second(tier, steps) for _ in range(effort.rounds)),
            yardstick=None,
            unit="prints a second",
            against="-",
        )
        for tier in (Tier.F1, Tier.F2)
    ]


def _exchange(tier: Tier) -> Exchange:
    pricing = Pricing(compile_costs(CostSettings()), tier=tier)
    exchange = Exchange(Market({SYMBOL: INSTRUMENT}, NS_PER_HOUR, pricing))
    for name in NAMES:
        exchange.open_account(name, {"USDT": 10**9 * E8, "BTC": 10**6 * E8})
    bar = Bar(SYMBOL, START_NS - NS_PER_HOUR, START_NS, LAST, LAST + 50, LAST - 50, LAST, 10**8)
    exchange.apply(Step(0, START_NS, closed_bars=(bar,)))
    exchange.print_trade(SYMBOL, LAST, 1, START_NS, jump=True)
    for index in range(RESTING):
        away = 200 + 7 * index
        exchange.place(NAMES[index % 3], _limit(Side.BUY, LAST - away))
        exchange.place(NAMES[index % 3], _limit(Side.SELL, LAST + away))
    return exchange


def _orders_a_second(tier: Tier, count: int) -> float:
    exchange = _exchange(tier)
    requests = 0
    before = processor_s()
    for index in range(count):
        maker, taker = NAMES[index % 3], NAMES[(index + 1) % 3]
        exchange.place(maker, _limit(Side.BUY, LAST - 1))  # within the spread: nobody is better
        exchange.place(taker, _limit(Side.SELL, LAST - 1, TimeInForce.IOC))
        left = exchange.place(maker, _limit(Side.BUY, LAST - 100 - index % 40))
        stop = exchange.place(maker, _request(OrderType.STOP_LOSS, Side.SELL, stop=LAST - 2_000))
        exchange.place(taker, _request(OrderType.MARKET, Side.BUY if index % 2 else Side.SELL))
        for placed in (left, stop):
            exchange.cancel(maker, OrderKey(symbol=SYMBOL, order_id=placed.order.order_id))
        requests += 7
        exchange.drain()
        if index % 10 == 0:
            exchange.print_trade(SYMBOL, LAST, 1, exchange.now_ns + 1, jump=True)
    return requests / (processor_s() - before)


def _prints_a_second(tier: Tier, steps: int) -> float:
    exchange = _exchange(tier)
    first = exchange.ordinal
    made = [
        Step(
            first + step,
            START_NS + (step + 1) * PRINTS_A_STEP,
            prints=tuple(
                Print(
                    SYMBOL, LAST + (step + number) % 9, 5, START_NS + step * PRINTS_A_STEP + number, jump=True
                )
                for number in range(PRINTS_A_STEP)
            ),
        )
        for step in range(steps)
    ]
    before = processor_s()
    for step in made:
        exchange.place("first", _limit(Side.BUY, LAST + 1))
        exchange.apply(step)
        exchange.drain()
    return steps * PRINTS_A_STEP / (processor_s() - before)


def _limit(side: Side, price: int, tif: TimeInForce = TimeInForce.GTC) -> OrderRequest:
    return _request(OrderType.LIMIT, side, price=price, tif=tif)


def _request(
    type_: OrderType, side: Side, *, price: int = 0, stop: int = 0, tif: TimeInForce | None = None
) -> OrderRequest:
    return OrderRequest(
        symbol=SYMBOL,
        side=side,
        type=type_,
        quantity_e8=LOTS * INSTRUMENT.lot_e8,
        price_e8=price * INSTRUMENT.tick_e8,
        stop_price_e8=stop * INSTRUMENT.tick_e8,
        time_in_force=tif,
    )
