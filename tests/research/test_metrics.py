import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnml.core.orders import Side
from bnml.core.outcomes import EquityPoint, Trade
from bnml.kernels.account import TRADE_ROW
from bnml.kernels.records import ExitReason
from bnml.kernels.results import HOLDING, book_rows
from bnml.research.metrics import Summary, equity_rows, measure_rows, summarize
from bnml.research.positions import closed_positions, commission_quote_e8
from bnml.trading.instruments import instrument_record
from tests.twins import random_market as market

ADA = market.ADA  # a tick is 0.0001, a lot 0.1
BOOK = {"ADAUSDT": ADA, "BTCUSDT": market.BTC}
E8 = 10**8
HOUR_NS = market.HOUR_NS


def buy(hour, tranche, lots, ticks=4_000, symbol="ADAUSDT"):
    instrument = BOOK[symbol]
    commission = lots * instrument.lot_e8 // 1_000
    return Trade(
        symbol, hour * HOUR_NS, Side.BUY, tranche, lots, ticks, commission, instrument.base, 0, 0, ""
    )


def sell(hour, tranche, lots, pnl_e8, ticks=4_000, symbol="ADAUSDT"):
    commission = BOOK[symbol].notional_e8(ticks, lots) // 1_000
    reason = int(ExitReason.STOP)
    return Trade(
        symbol, hour * HOUR_NS, Side.SELL, tranche, lots, ticks, commission, "USDT", reason, pnl_e8, ""
    )


def results(*trades):
    return [
        (r.symbol, r.opened_ns // HOUR_NS, r.closed_ns // HOUR_NS, r.pnl_e8)
        for r in closed_positions(trades, BOOK)
    ]


def test_a_position_is_all_tranches_of_one_entry_until_the_last_is_sold():
    entry = [buy(1, 1, 500), buy(1, 2, 300), buy(1, 3, 201)]
    assert results(*entry, sell(2, 1, 499, 7), sell(3, 0, 499, -20)) == [("ADAUSDT", 1, 3, -13)]
    assert results(*entry, sell(2, 1, 499, 7)) == []


def test_a_tranche_stopped_at_the_very_print_of_the_entry_does_not_split_the_position():
    trades = [
        buy(1, 1, 500),
        sell(1, 1, 499, -3),
        buy(1, 2, 300),
        sell(1, 2, 299, -2),
        buy(5, 1, 100),
        sell(6, 1, 99, 4),
    ]
    assert results(*trades) == [("ADAUSDT", 1, 1, -5), ("ADAUSDT", 5, 6, 4)]


def test_a_tranche_sold_in_parts_is_closed_by_its_last_lot():
    assert results(buy(1, 1, 500), sell(2, 1, 200, 1)) == []
    assert results(buy(1, 1, 500), sell(2, 1, 200, 1), sell(2, 1, 299, 2)) == [("ADAUSDT", 1, 2, 3)]


def test_symbols_do_not_mix_and_results_stand_in_order_of_closing():
    trades = [buy(1, 1, 500), buy(2, 1, 100, 3_000_000, "BTCUSDT"), sell(3, 1, 99, 9, 3_000_000, "BTCUSDT")]
    assert results(*trades, sell(4, 1, 499, 1)) == [("BTCUSDT", 2, 3, 9), ("ADAUSDT", 1, 4, 1)]


def test_a_commission_in_base_is_valued_at_the_price_of_its_fill():
    assert commission_quote_e8(buy(1, 1, 500), ADA) == 2 * E8 // 100  # 50 ADA x 0.4 x 0.1 %
    assert commission_quote_e8(sell(1, 1, 500, 0), ADA) == 2 * E8 // 100


def points(*equity):
    return [
        EquityPoint(24 * k * HOUR_NS, value * E8, (value - 100) * E8, 1) for k, value in enumerate(equity)
    ]


def summary(trades, equity, initial=1_000, final=1_100):
    return summarize(
        trades,
        equity,
        {"ADAUSDT": ADA},
        initial_e8=initial * E8,
        final_e8=final * E8,
        bars=4,
        span=("2023-07-01T00:00:00Z", "2023-07-05T00:00:00Z"),
        elapsed_s=0.5,
    )


def test_the_summary_says_each_figure_by_its_name():
    trades = [
        buy(1, 1, 500),
        sell(2, 1, 499, 30 * E8),
        buy(3, 1, 500),
        sell(4, 1, 499, -10 * E8),
        buy(5, 1, 500),
    ]
    made = summary(trades, points(1_000, 1_200, 900, 1_100))
    assert (made.trades, made.fills, made.bars, made.symbols) == (2, 5, 4, ("ADAUSDT",))
    assert made.net_return == pytest.approx(0.1)
    assert made.max_drawdown == pytest.approx(0.25)
    assert (made.profit_factor, made.win_rate, made.expectancy) == (3.0, 0.5, 10.0)
    assert made.costs == pytest.approx(5 * 0.02, rel=0.01)
    assert made.turnover == pytest.approx(100 / 1_050, rel=0.01)
    assert made.exposure == pytest.approx(sum(100 / v for v in (1_000, 1_200, 900, 1_100)) / 4)
    assert made.sharpe > 0


def test_the_summary_is_one_json_object_with_the_promised_keys():
    made = msgspec.json.decode(msgspec.json.encode(summary([], [])))
    promised = "trades symbols bars from to net_return max_drawdown profit_factor sharpe costs elapsed_s"
    assert set(promised.split()) <= set(made)
    assert made["from"] == "2023-07-01T00:00:00Z"
    assert made["trades"] == 0
    lucky = summary([buy(1, 1, 500), sell(2, 1, 499, 30)], points(1_000, 1_000))
    assert lucky.profit_factor is None
    assert isinstance(lucky, Summary)


NAMES = sorted(BOOK)
RECORDS = np.concatenate([instrument_record(BOOK[name]) for name in NAMES])


def as_rows(trades):
    return np.array(
        [
            (
                one.ts_ns,
                one.side is Side.BUY,
                one.tranche,
                one.quantity_lots,
                one.price_ticks,
                one.commission_e8,
                one.reason,
                one.pnl_e8,
                NAMES.index(one.symbol),
            )
            for one in trades
        ],
        dtype=TRADE_ROW,
    )


fills = st.lists(
    st.tuples(
        st.integers(0, 2),  # hours since the fill before
        st.sampled_from(NAMES),
        st.booleans(),
        st.integers(1, 400),
        st.integers(-(10**9), 10**9),
    ),
    max_size=60,
)


@given(fills)
def test_the_rows_of_a_sweep_say_what_the_fills_say(drawn):
    trades, hour = [], 0
    for later, symbol, is_buy, lots, pnl in drawn:
        hour += later
        ticks = 4_000 if symbol == "ADAUSDT" else 3_000_000
        trades.append(
            buy(hour, 1, lots, ticks, symbol) if is_buy else sell(hour, 1, lots, pnl, ticks, symbol)
        )
    results_e8 = np.empty(len(trades), dtype=np.int64)
    holdings = np.zeros(len(NAMES), dtype=HOLDING)
    count, traded, commission = book_rows(as_rows(trades), RECORDS, holdings, results_e8)
    assert sorted(results_e8[:count]) == sorted(one.pnl_e8 for one in closed_positions(trades, BOOK))
    assert traded == sum(BOOK[one.symbol].notional_e8(one.price_ticks, one.quantity_lots) for one in trades)
    assert commission == sum(commission_quote_e8(one, BOOK[one.symbol]) for one in trades)


def test_both_ways_give_the_same_figures():
    trades = [buy(1, 1, 500), sell(2, 1, 499, 30 * E8), buy(3, 1, 500), sell(4, 1, 499, -10 * E8)]
    equity = points(1_000, 1_200, 900, 1_100)
    made = summary(trades, equity)
    figures = measure_rows(
        as_rows(trades), equity_rows(equity), RECORDS, initial_e8=1_000 * E8, final_e8=1_100 * E8
    )
    assert all(getattr(made, name) == getattr(figures, name) for name in figures.__struct_fields__)
