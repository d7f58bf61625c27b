"""The detailed path: exact sums, the usual order of levels, and the fills of the four prints."""

import duckdb
import msgspec
import numpy as np
import pytest

from bnml.core.events import Bar
from bnml.core.instrument import Instrument
from bnml.core.orders import OrderType, Side
from bnml.kernels.records import BAR, FillTier
from bnml.venues.bar_counts import load_counts
from bnml.venues.sim.bar_detail import Counted, detail_of, trades_of
from bnml.venues.sim.detailed import STEPS, DetailedFeed
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import STEPS_PER_BOUNDARY, BarFeed
from bnml.venues.sim.generated import GeneratedFeed
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import ExecutionReport
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import (
    HOUR_NS,
    INSTRUMENT,
    ME,
    SYMBOL,
    costs,
    fill_or_kill,
    limit,
    order,
    order_list,
    target,
)
from tests.venues.sim.bench import stop as stop_leg
from tests.venues.sim.public_side import PublicSide, candles_of, of_event, of_row, statistics

KEY = (7, 11)
ROOMY = msgspec.structs.replace(INSTRUMENT, max_algo_orders=10_000, max_orders=10_000)
START_NS = 500_000 * HOUR_NS


def random_bar(random, index=0):
    """Often flat, with open or close at an end, or with very few lots."""
    low = int(random.integers(9_000, 11_000))
    high = low + int(random.choice([0, 1, 2, 5, 60, 900]))
    opened, close = (int(random.choice([low, high, random.integers(low, high + 1)])) for _ in range(2))
    volume = int(random.choice([4, 5, 9, 1_000, 10**7, 10**12]))
    opens = START_NS + index * HOUR_NS
    return Bar(SYMBOL, opens, opens + HOUR_NS, opened, high, low, close, volume, 4)


def on_tape(detail):
    """The trades of a bar in their order of time."""
    first, low, high, close = detail.main
    legs = sorted([*low, *high, *detail.between], key=lambda one: one.ts_ns)
    return [one for one in (*first, *legs, *close) if one.quantity_lots]


@pytest.mark.parametrize("seed", range(4))
def test_prices_volume_and_number_of_trades_are_those_of_the_bar(seed):
    random = np.random.default_rng(seed)
    for index in range(200):
        bar = random_bar(random, index)
        counted = Counted(int(random.integers(1, 300)) if random.random() < 0.7 else -1)
        trades = trades_of(bar, counted, 60, KEY)
        tape = on_tape(detail_of(bar, trades, -1, KEY))
        prices = [one.price_ticks for one in tape]
        assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)
        assert sum(one.quantity_lots for one in tape) == bar.volume_lots
        assert len(tape) == trades
        least = len({bar.open, bar.high, bar.low, bar.close})
        if counted.trades >= 4:
            assert trades == min(counted.trades, bar.volume_lots)
        assert trades >= min(least, bar.volume_lots)
        assert all(bar.ts_open_ns <= one.ts_ns < bar.ts_close_ns for one in tape)
        assert detail_of(bar, trades, -1, KEY) == detail_of(bar, trades, -1, KEY)


def test_a_bar_of_no_lots_passes_its_prices_without_a_trade():
    bar = Bar(SYMBOL, START_NS, START_NS + HOUR_NS, 100, 110, 90, 95, 0, 4)
    detail = detail_of(bar, trades_of(bar, Counted(), 60, KEY), -1, KEY)
    assert [one.price_ticks for prints in detail.main for one in prints] == [100, 90, 110, 95]
    assert on_tape(detail) == []


def test_what_takers_bought_is_exact_where_it_is_known():
    random = np.random.default_rng(3)
    for index in range(300):
        bar = random_bar(random, index)
        trades = trades_of(bar, Counted(), 30, KEY)
        share = float(random.choice([0.0, 1.0, random.random()]))
        bought = round(bar.volume_lots * share)
        tape = on_tape(detail_of(bar, trades, bought, KEY))
        assert sum(one.quantity_lots for one in tape if not one.buyer_is_maker) == bought
        assert sum(one.quantity_lots for one in tape) == bar.volume_lots
        assert min(one.quantity_lots for one in tape) >= 1


def test_each_leg_goes_its_way():
    random = np.random.default_rng(4)
    for index in range(200):
        bar = random_bar(random, index)
        detail = detail_of(bar, trades_of(bar, Counted(120), 60, KEY), -1, KEY)
        path = sorted(
            [*detail.main[0][:1], *detail.main[1][:1], *detail.main[2][:1], *detail.between],
            key=lambda one: one.ts_ns,
        )
        low, high = path.index(detail.main[1][0]), path.index(detail.main[2][0])
        prices = [one.price_ticks for one in path]
        assert prices[: low + 1] == sorted(prices[: low + 1], reverse=True)
        assert prices[low : high + 1] == sorted(prices[low : high + 1])
        assert prices[high:] == sorted(prices[high:], reverse=True)


def feeds(seed, tier):
    """The same bars told as four prints, and in detail."""
    random = np.random.default_rng(seed)
    rows = np.zeros(80, dtype=BAR)
    close = 10_000
    for index in range(len(rows)):
        opened = close + int(random.integers(-30, 31))
        close = opened + int(random.integers(-80, 81))
        high, low = (
            max(opened, close) + int(random.integers(0, 60)),
            min(opened, close) - int(random.integers(0, 60)),
        )
        rows[index] = (START_NS + index * HOUR_NS, opened, high, low, close, random.integers(4, 10**6))
    pricing = Pricing(costs(tier, spread_ppm=300, slippage_ppm=100))

    def made():
        return BarFeed({SYMBOL: ROOMY}, {SYMBOL: rows}, HOUR_NS, pricing, START_NS + 5 * HOUR_NS)

    return made(), DetailedFeed(made(), seed, 40), pricing


def played(feed, pricing, steps, seed):
    """Random orders after each open; what was filled: order, price, lots, reason of the end."""
    exchange = Exchange(Market(feed.instruments, HOUR_NS, pricing, feed.history(0)))
    exchange.open_account(ME, {"USDT": 10**16, "BTC": 10**14})
    random = np.random.default_rng(seed)
    told = []
    ordinal = 0
    while (step := feed.step(ordinal)) is not None:
        exchange.apply(step)
        told += fills(exchange)
        if ordinal % steps == 0:
            place(exchange, random, ordinal // steps)
            told += fills(exchange)
        ordinal += 1
    return told


def place(exchange, random, number):
    last = exchange.market[SYMBOL].state.last_ticks
    for kind in range(4):
        side = Side.BUY if random.random() < 0.5 else Side.SELL
        sign = -1 if side is Side.BUY else 1
        away = int(random.integers(1, 120))
        name = f"{number}-{kind}"
        if kind == 0:
            exchange.place(ME, limit(side, 1000, last + sign * away, client_id=name))
        elif kind == 1:
            level = last - sign * away
            exchange.place(ME, order(OrderType.STOP_LOSS, side, 1000, stop=level, client_id=name))
        elif kind == 2:
            legs = (target(1000, last + away, f"t{name}"), stop_leg(1000, last - away, f"s{name}"))
            exchange.place_list(
                ME, order_list("OTOCO", legs, fill_or_kill(cap=last + 50, client_id=f"w{name}"), name)
            )
        else:
            buy = limit(Side.BUY, 1000, last - away, client_id=f"w{name}")
            legs = (target(1000, last - away + 40, f"t{name}"), stop_leg(1000, last - away - 40, f"s{name}"))
            exchange.place_list(ME, order_list("OTOCO", legs, buy, name))
    if len(exchange.read.open_orders(ME, SYMBOL)) > 60:
        exchange.cancel_all(ME, SYMBOL)


def fills(exchange):
    return [
        (event.order.client_order_id, str(event.order.status), event.trade and event.trade.price_ticks)
        for event in exchange.drain()
        if isinstance(event, ExecutionReport)
    ]


@pytest.mark.parametrize("tier", [FillTier.F0, FillTier.F1])
@pytest.mark.parametrize("seed", [1, 2])
def test_orders_and_stops_fill_as_by_the_four_prints(seed, tier):
    four, detailed, pricing = feeds(seed, tier)
    wanted = played(four, pricing, STEPS_PER_BOUNDARY, seed)
    assert sum(price is not None for _, _, price in wanted) > 60
    assert played(detailed, pricing, STEPS, seed) == wanted


def test_a_feed_can_be_entered_at_any_step_and_time_never_goes_back():
    _, feed, _ = feeds(5, FillTier.F0)
    steps = []
    while (step := feed.step(len(steps))) is not None:
        steps.append(step)
    assert [step.ordinal for step in steps] == list(range(len(steps)))
    times = [step.ts_ns for step in steps]
    assert times == sorted(times)
    assert all(one.ts_ns <= step.ts_ns for step in steps for one in step.prints)
    other = feeds(5, FillTier.F0)[1]
    assert [other.step(number) for number in (700, 20, 333)] == [steps[number] for number in (700, 20, 333)]
    assert len(feed.history(3 * STEPS + 1)[SYMBOL]) == len(feed.history(3 * STEPS)[SYMBOL]) + 1


@pytest.mark.parametrize("live", [True, False])
def test_candles_of_a_generated_market_are_the_sums_of_its_many_trades(live):
    pricing = Pricing(costs(spread_ppm=100))
    inner = GeneratedFeed(3, pricing, history_days=1)
    side = PublicSide(
        DetailedFeed(inner, 3, 25), pricing, ("trade", "kline_15m", "kline_1h", "aggTrade"), live=live
    )
    for _ in range(9 * STEPS + 1):
        side.step()
    for symbol in ("BTCUSDT", "XRPUSDT"):
        trades = side.trades(symbol)
        assert len(trades) > 9 * 15
        quarters = candles_of(trades, "15m")
        closed = [one["k"] for one in side.ear.heard[f"{symbol.lower()}@kline_15m"] if one["k"]["x"]]
        assert [of_event(one) for one in closed] == [quarters[one["t"]] for one in closed]
        assert len(closed) == 9
        rows = {row[0]: of_row(row) for row in side.get("klines", symbol=symbol, interval="15m", limit=20)}
        assert {at: rows[at] for at in quarters} == {at: one[:9] for at, one in quarters.items()}
        bars = side.market[symbol].klines.bars[-9:]
        assert [one[4] for one in quarters.values()][:-1] == [
            int(lots) * side.market[symbol].instrument.lot_e8 for lots in bars["volume_lots"]
        ]
        assert statistics(trades)[6] == sum(one["n"] for one in closed) + quarters[max(quarters)][6]


def test_recordings_may_count_their_trades(tmp_path):
    path = tmp_path / "BTCUSDT.parquet"
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            "COPY (SELECT 1000 * range AS open_time, 1.0 AS open, 1.0 AS high, 1.0 AS low, 1.0 AS close, "
            "5.0 AS volume, range + 7 AS trades, 0.5 * range AS taker_volume FROM range(3)) "
            f"TO '{path}' (FORMAT parquet)"
        )
    instrument = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=10**8, lot_e8=10**7)
    counted = load_counts(tmp_path, {"BTCUSDT": instrument})
    assert counted("BTCUSDT", 2 * 10**9) == Counted(9, 10)
    assert counted("BTCUSDT", 5 * 10**9) == Counted()
