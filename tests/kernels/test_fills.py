import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bnml.kernels import fills, records
from bnml.kernels.records import Taking
from tests.twins import random_market as market
from tests.twins.backtest_twin import Market, draw

# Without compilation the hash of a draw wraps around in numpy scalars, which warn of it.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
RECORDS = {i.symbol: market.instrument_record(i)[0] for i in market.INSTRUMENTS}
instruments = st.sampled_from(market.INSTRUMENTS)
ppms = st.integers(0, 1_000_000)
SYMBOL_PRICES = {  # ticks from a deep low to ten times the highest ever
    "BTCUSDT": (100_000, 150_000_000),
    "ADAUSDT": (100, 400_000),
    "DOGEUSDT": (100, 800_000),
    "SHIBUSDT": (1, 90_000),
    "FINEUSDT": (100_000, 150_000_000),
}


@st.composite
def priced(draw_value):
    """(instrument, price in ticks, lots) up to a notional of 1e9 quote units."""
    instrument = draw_value(instruments)
    ticks = draw_value(st.integers(*SYMBOL_PRICES[instrument.symbol]))
    most = 10**17 * instrument.notional_den // (ticks * instrument.notional_num)
    return instrument, ticks, draw_value(st.integers(1, max(1, most)))


@st.composite
def barred(draw_value):
    """(instrument, bar) with a range of up to half its price and a volume of up to 1e9 quote units."""
    instrument, close, volume = draw_value(priced())
    low = close - draw_value(st.integers(0, close // 2))
    high = close + draw_value(st.integers(0, close // 2))
    bar = np.zeros(1, records.BAR)
    bar[0] = (market.START_NS, draw_value(st.integers(low, high)), high, low, close, volume)
    return instrument, bar[0]


costs_values = st.fixed_dictionaries(
    {
        "tier": st.sampled_from([0, 1]),
        "seed": st.integers(0, 2**31 - 1),
        "maker_ppm": st.integers(0, 50_000),
        "taker_ppm": st.integers(0, 50_000),
        "slippage_ppm": st.integers(0, 50_000),
        "spread_floor_ppm": st.integers(0, 2_000),
        "spread_range_ppm": st.integers(0, 1_000_000),
        "spread_cap_ppm": st.integers(2_000, 100_000),
        "volume_share_ppm": st.integers(0, 1_000_000),
        "touch_ppm": ppms,
    }
)


def plain(bar):
    return {name: int(bar[name]) for name in records.BAR.names}


@given(st.integers(-(10**18), 9 * 10**18), ppms)
@example(9 * 10**18, 1_000_000)
def test_ppm_of_an_amount_rounds_down_or_up(amount, ppm):
    assert fills.mul_ppm(amount, ppm) == amount * ppm // 1_000_000
    assert fills.ceil_ppm(amount, ppm) == -(-amount * ppm // 1_000_000)


@given(priced())
@example((market.FINE, 10_000_000, 99 * 10**10))  # price x lots alone is beyond int64
@example((market.FINE, 10_000_000, 9 * 10**12))
def test_notional_is_the_instruments(case):
    instrument, ticks, lots = case
    record = RECORDS[instrument.symbol]
    assert fills.notional_e8(ticks, lots, record) == instrument.notional_e8(ticks, lots)


@given(priced(), st.integers(-5, 9 * 10**16))
@example((market.FINE, 10_000_000, 1), 9 * 10**17)  # amount x denominator alone is beyond int64
def test_lots_for_an_amount_are_the_most_that_it_pays(case, amount):
    instrument, ticks, _ = case
    lots = int(fills.lots_for(amount, ticks, RECORDS[instrument.symbol]))
    exact = amount * instrument.notional_den // (ticks * instrument.notional_num)
    assert lots == max(0, exact)


@given(priced(), st.integers(0, 100_000))
def test_what_pends_is_what_was_bought_less_commission_in_whole_lots(case, ppm):
    instrument, _, lots = case
    lots = min(lots, 9 * 10**18 // instrument.lot_e8)
    bought_e8 = lots * instrument.lot_e8
    commission_e8 = bought_e8 * ppm // 1_000_000
    assert fills.commission_base_e8(lots, ppm, instrument.lot_e8) == commission_e8
    assert (
        fills.pending_lots(lots, ppm, instrument.lot_e8) == (bought_e8 - commission_e8) // instrument.lot_e8
    )


@given(barred(), costs_values)
def test_spread_depth_and_book_are_the_twins(case, values):
    instrument, bar = case
    costs = market.filled(records.COSTS, values)[0]
    record, twin = RECORDS[instrument.symbol], Market(values, market.instrument_values(instrument))
    half = fills.half_spread_ppm(bar, costs)
    assert half == twin.half_spread(plain(bar))
    assert values["spread_floor_ppm"] <= half <= values["spread_cap_ppm"]
    bid, ask, bid_lots, ask_lots, depth = map(int, fills.book_of_bar(bar["close"], bar, record, costs))
    assert 1 <= bid < ask
    assert (fills.spread_ppm(bid, ask), depth) == twin.book(int(bar["close"]), plain(bar))
    assert depth == instrument.notional_e8(bid, bid_lots) + instrument.notional_e8(ask, ask_lots)


@given(barred(), costs_values, st.integers(1, 10**9), st.booleans())
def test_a_market_order_fills_wholly_at_the_twins_price(case, values, lots, buy):
    instrument, bar = case
    costs = market.filled(records.COSTS, values)[0]
    twin = Market(values, market.instrument_values(instrument))
    close = int(bar["close"])
    got, price = fills.taker_fill(int(Taking.MARKET), buy, lots, 0, close, bar, costs)
    assert (got, price) == (lots, twin.market_price(close, lots, plain(bar), buy=buy))
    assert price >= close if buy else 1 <= price <= close


@given(barred(), costs_values, st.integers(1, 10**9), st.integers(-20_000, 200_000))
def test_fill_or_kill_buys_everything_or_nothing(case, values, lots, cap_ppm):
    instrument, bar = case
    costs = market.filled(records.COSTS, values)[0]
    close = int(bar["close"])
    limit = close + close * cap_ppm // 1_000_000
    price = Market(values, market.instrument_values(instrument)).fill_or_kill(close, lots, limit, plain(bar))
    got, at = fills.taker_fill(int(Taking.FOK), True, lots, limit, close, bar, costs)
    assert (got, at) == ((0, at) if price is None else (lots, price))
    share = int(bar["volume_lots"]) * values["volume_share_ppm"] // 1_000_000
    some, _ = fills.taker_fill(int(Taking.IOC), True, lots, limit, close, bar, costs)
    assert some == (0 if at > limit else min(lots, share) if values["tier"] else lots)


def one_bar(**changes):
    bar = np.zeros(1, records.BAR)
    bar[0] = (market.START_NS, 10_000, 10_100, 9_900, 10_000, 1_000)
    for name, value in changes.items():
        bar[name] = value
    return bar[0]


def test_slippage_grows_beyond_the_volume_share_up_to_twenty_times():
    costs = market.filled(records.COSTS, market.COSTS)[0]
    assert [int(fills.slippage_ppm(lots, 1_000, costs)) for lots in (1, 100, 150, 1_000, 10**9)] == [
        200,
        200,
        300,
        2_000,
        4_000,
    ]
    assert fills.slippage_ppm(1, 0, costs) == 4_000
    costs = market.filled(records.COSTS, {**market.COSTS, "tier": 0})[0]
    assert fills.slippage_ppm(10**9, 1_000, costs) == 200


def test_the_half_spread_grows_with_the_range_between_floor_and_cap():
    costs = market.filled(records.COSTS, market.COSTS)[0]
    assert fills.half_spread_ppm(one_bar(high=10_000, low=10_000), costs) == 100
    assert fills.half_spread_ppm(one_bar(), costs) == 100 + 20_000 * 5_000 // 1_000_000
    assert fills.half_spread_ppm(one_bar(high=15_000, low=5_000), costs) == 1_500


def test_the_path_of_a_bar_is_adverse_first_and_its_prints_stand_in_time_and_volume():
    assert tuple(fills.bar_path(one_bar())) == (10_000, 9_900, 10_100, 10_000)
    times = [
        int(fills.print_ts_ns(market.START_NS, market.HOUR_NS, slot)) - market.START_NS for slot in range(4)
    ]
    assert times == [0, market.HOUR_NS // 4, market.HOUR_NS // 2, market.HOUR_NS - 1_000_000]
    assert [int(fills.print_lots(11, slot)) for slot in range(4)] == [2, 2, 2, 5]
    assert [int(fills.print_lots(0, slot)) for slot in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("stop", "price", "jump", "met"),
    [(100, 99, False, 100), (100, 99, True, 99), (100, 100, False, 100), (100, 100, True, 100)],
)
def test_a_crossed_stop_meets_its_level_and_a_jumped_one_the_print(stop, price, jump, met):
    assert fills.stop_triggered(stop, price)
    assert fills.stop_print(stop, price, jump) == met
    assert not fills.stop_triggered(stop, stop + 1)


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(0, 2**62), st.integers(0, 2**53))
def test_a_draw_is_the_twins(seed, key, ts_ns, ordinal):
    assert fills.draw_ppm(seed, key, ts_ns, ordinal) == draw(seed, key, ts_ns, ordinal)


def test_draws_are_even_and_differ_by_each_argument():
    draws = np.array([fills.draw_ppm(7, 11, k * 900, 5) for k in range(20_000)])
    counts = np.histogram(draws, bins=20, range=(0, 1_000_000))[0]
    assert draws.min() >= 0
    assert draws.max() < 1_000_000
    assert np.abs(counts - 1_000).max() < 160  # five deviations
    others = [(8, 11, 900, 5), (7, 12, 900, 5), (7, 11, 901, 5), (7, 11, 900, 6)]
    assert all(fills.draw_ppm(*other) != fills.draw_ppm(7, 11, 900, 5) for other in others)


@pytest.mark.parametrize("buy", [True, False])
def test_a_resting_limit_fills_through_its_level_and_when_touched_by_chance(buy):
    beyond = -1 if buy else 1
    costs = market.filled(records.COSTS, market.COSTS)[0]
    touch = market.filled(records.COSTS, {**market.COSTS, "tier": 0})[0]
    key = fills.symbol_key("ADAUSDT")
    assert fills.limit_fills(buy, 100, 100 + beyond, key, 1, costs)
    assert not fills.limit_fills(buy, 100, 100 - beyond, key, 1, costs)
    assert fills.limit_fills(buy, 100, 100, key, 1, touch)
    assert not fills.limit_fills(buy, 100, 100 - beyond, key, 1, touch)
    touched = [bool(fills.limit_fills(buy, 100, 100, key, k, costs)) for k in range(4_000)]
    assert 0.46 < np.mean(touched) < 0.54
    assert touched == [draw(42, key, k, 100) < 500_000 for k in range(4_000)]


def test_symbol_keys_are_positive_distinct_and_never_change():
    keys = {fills.symbol_key(i.symbol) for i in market.INSTRUMENTS}
    assert len(keys) == len(market.INSTRUMENTS)
    assert all(0 <= key < 2**63 for key in keys)
    assert fills.symbol_key("") == 0xCBF29CE484222325 & 0x7FFFFFFFFFFFFFFF
    assert fills.symbol_key("a") == 0xAF63DC4C8601EC8C & 0x7FFFFFFFFFFFFFFF  # published vector of FNV-1a
