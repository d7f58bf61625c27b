import numpy as np
import pytest

from bnml.core.clock import NS_PER_S, parse_utc_ns
from bnml.core.instrument import Instrument
from bnml.kernels.records import BAR
from bnml.venues.history import load_history
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.feed import BarFeed
from bnml.venues.sim.market import Market
from bnml.venues.sim.pricing import Pricing
from tests.venues.sim.bench import HOUR_NS, costs

QUARTER, HALF, MS = HOUR_NS // 4, HOUR_NS // 2, 10**6


def rows(*bars):
    made = np.zeros(len(bars), dtype=BAR)
    for i, (hour, *values) in enumerate(bars):
        made[i] = (hour * HOUR_NS, *values)
    return made


def small_feed(start_hour=0, **bars):
    instruments = {name: Instrument(name, name[:3], "USDT", 10**6, 10**5) for name in bars}
    return BarFeed(instruments, bars, HOUR_NS, Pricing(costs(spread_ppm=100)), start_hour * HOUR_NS)


def steps_of(feed):
    ordinal = 0
    while (step := feed.step(ordinal)) is not None:
        yield step
        ordinal += 1


def test_one_bar_is_printed_open_low_high_close_in_five_steps():
    feed = small_feed(BTCUSDT=rows((0, 10_000, 10_100, 9_900, 10_050, 43)))
    steps = list(steps_of(feed))
    assert [step.ts_ns for step in steps] == [0, 3 * NS_PER_S, QUARTER, HALF, HOUR_NS - MS]
    assert [step.beat for step in steps] == [False, True, False, False, False]
    prints = [step.prints[0] for step in steps if step.prints]
    assert [p.price_ticks for p in prints] == [10_000, 9_900, 10_100, 10_050]
    assert [p.quantity_lots for p in prints] == [10, 10, 10, 13]
    assert [p.jump for p in prints] == [True, False, False, False]
    assert not any(step.closed_bars or step.books for step in steps)
    assert steps[0].basis[0].close == 10_050  # the first bar of a market prices itself


def test_a_bar_is_published_after_the_next_open_with_a_book_around_that_open():
    feed = small_feed(
        ETHUSDT=rows((0, 10_000, 10_100, 9_900, 10_050, 4000), (1, 10_060, 10_070, 10_000, 10_010, 4)),
        BTCUSDT=rows((0, 20_000, 20_100, 19_900, 20_050, 4000), (1, 20_060, 20_070, 20_000, 20_010, 4)),
    )
    step = feed.step(5)
    assert [p.symbol for p in step.prints] == ["BTCUSDT", "ETHUSDT"]
    assert [p.price_ticks for p in step.prints] == [20_060, 10_060]
    assert [(bar.symbol, bar.ts_close_ns, bar.close) for bar in step.closed_bars] == [
        ("BTCUSDT", HOUR_NS, 20_050),
        ("ETHUSDT", HOUR_NS, 10_050),
    ]
    (bid, _), (ask, _) = step.books[1].bids[0], step.books[1].asks[0]
    assert (bid, ask) == (10_058, 10_062)  # 0.01 % of 10,060, rounded away from the middle


def test_after_an_outage_the_old_bar_is_published_at_the_next_existing_open():
    feed = small_feed(
        ETHUSDT=rows(
            (0, 1000, 1000, 1000, 1000, 4), (1, 1000, 1000, 1000, 1000, 4), (2, 1000, 1000, 1000, 1000, 4)
        ),
        BTCUSDT=rows((0, 2000, 2000, 2000, 2000, 4), (2, 2100, 2100, 2100, 2100, 4)),
    )
    published = [
        (bar.symbol, bar.ts_close_ns // HOUR_NS, step.ts_ns // HOUR_NS)
        for step in steps_of(feed)
        for bar in step.closed_bars
    ]
    assert published == [("ETHUSDT", 1, 1), ("BTCUSDT", 1, 2), ("ETHUSDT", 2, 2)]


def test_bars_before_the_start_are_history_and_never_printed():
    bars = rows(*((hour, 1000 + hour, 1000 + hour, 1000 + hour, 1000 + hour, 4) for hour in range(5)))
    feed = small_feed(start_hour=3, BTCUSDT=bars)
    assert len(feed.history(0)["BTCUSDT"]) == 3
    assert feed.step(0).prints[0].price_ticks == 1003
    assert feed.step(0).closed_bars == ()
    assert len(feed.history(5)["BTCUSDT"]) == 3
    assert len(feed.history(6)["BTCUSDT"]) == 4


@pytest.fixture(scope="module")
def outages(data_dir):
    """Two symbols over the outages of spring and summer 2021."""
    return load_history(
        data_dir / "binance_spot" / "1h",
        ("BTCUSDT", "ADAUSDT"),
        frame_ns=HOUR_NS,
        from_ns=parse_utc_ns("2021-04-20"),
        to_ns=parse_utc_ns("2021-08-20"),
    )


def test_published_klines_equal_the_recording_with_its_outages(outages):
    start_ns = parse_utc_ns("2021-04-22")
    pricing = Pricing(costs())
    feed = BarFeed(
        {name: one.instrument for name, one in outages.items()},
        {name: one.bars for name, one in outages.items()},
        HOUR_NS,
        pricing,
        start_ns,
    )
    assert sum(gap.bars for gap in outages["BTCUSDT"].gaps) > 3
    exchange = Exchange(Market(feed.instruments, HOUR_NS, pricing, feed.history(0)))
    before_ns = 0
    for step in steps_of(feed):
        assert step.ts_ns > before_ns
        before_ns = step.ts_ns
        for printed in step.prints:
            assert printed.ts_ns == step.ts_ns
        exchange.apply(step)
        if step.ordinal % 997 == 0:
            for name, bars in feed.history(step.ordinal + 1).items():
                assert np.array_equal(exchange.market[name].klines.bars, bars)
    for name, one in outages.items():
        assert np.array_equal(exchange.market[name].klines.bars, one.bars[:-1])
        candles = exchange.market.candles(name, 4 * HOUR_NS, exchange.now_ns, start_ns, limit=3)
        first = one.bars[one.bars["ts_open_ns"] >= start_ns][:4]
        assert candles[0].volume_lots == first["volume_lots"].sum()
        assert candles[0].high == first["high"].max()
        assert candles[0].close == first["close"][-1]
