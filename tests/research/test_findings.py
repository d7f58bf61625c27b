"""What a report says of a run, against figures worked out by hand."""

import msgspec
import numpy as np
import pytest

from bnml.core.clock import NS_PER_DAY
from bnml.core.orders import Side
from bnml.kernels import fills
from bnml.kernels.records import ExitReason
from bnml.research.costs import fill_costs
from bnml.research.metrics import daily_returns, equity_rows
from bnml.research.positions import positions_of
from bnml.trading.filling import compile_costs
from tests.research.report_kit import E8, FIRST, conclusion, findings, market, round_trip
from tests.trading.kit import HOUR_NS, settings


@pytest.fixture(scope="module")
def made():
    return market()


@pytest.fixture(scope="module")
def trades(made):
    return [
        *round_trip(made, "BTCUSDT", 5, 20),
        *round_trip(made, "ETHUSDT", 30, 90, reason=ExitReason.TIME, move=90_000),
        *round_trip(made, "BTCUSDT", 700, 712, reason=ExitReason.TARGET1),
    ]


def test_a_position_is_measured_from_its_mean_entry(made, trades):
    first = positions_of(trades, made, initial_risk=lambda _symbol, _ts: 20_000)[0]
    buy, sell = trades[:2]
    one = made.instruments["BTCUSDT"]
    assert first.entry_ticks == buy.price_ticks
    assert first.exit_ticks == sell.price_ticks
    assert first.held_ns == 15 * HOUR_NS
    assert first.gain == sell.pnl_e8 / one.notional_e8(buy.price_ticks, buy.quantity_lots)
    assert first.r == pytest.approx(sell.pnl_e8 / one.notional_e8(20_000, buy.quantity_lots))
    bars = made.bars["BTCUSDT"][FIRST + 5 : FIRST + 20]
    highest = max(int(bars["high"].max()), sell.price_ticks)
    assert first.favourable == highest / buy.price_ticks - 1
    assert first.adverse == min(int(bars["low"].min()), sell.price_ticks) / buy.price_ticks - 1
    assert first.reason == "stop"


def test_fast_bars_are_read_where_they_are_given(made, trades):
    """A fast market that only moved in the first quarter of the holding time."""
    fast = np.repeat(made.bars["BTCUSDT"], 4)
    fast["ts_open_ns"] += np.tile(np.arange(4) * HOUR_NS // 4, len(fast) // 4)
    for name in ("open", "high", "low", "close"):
        fast[name] = trades[0].price_ticks
    at = int(np.searchsorted(fast["ts_open_ns"], trades[0].ts_ns)) + 2
    fast["high"][at] = trades[0].price_ticks * 2
    first = positions_of(trades, made, fast={"BTCUSDT": fast}, fast_frame_ns=HOUR_NS // 4)[0]
    assert first.favourable == 1.0
    slow = positions_of(trades, made)[0]
    assert slow.favourable < 1.0


def test_an_open_position_is_valued_at_the_last_close(made, trades):
    still = positions_of(trades[:1], made)[0]
    buy, one = trades[0], made.instruments["BTCUSDT"]
    close = int(made.bars["BTCUSDT"]["close"][-1])
    rest = (buy.quantity_lots * one.lot_e8 - buy.commission_e8) // one.lot_e8
    assert still.is_open
    assert still.reason == "end_of_data"
    assert still.pnl_e8 == one.notional_e8(close, rest) - one.notional_e8(buy.price_ticks, buy.quantity_lots)
    assert still.closed_ns == made.end_ns


def test_a_half_sold_position_counts_what_it_already_brought(made, trades):
    buy, one = trades[0], made.instruments["BTCUSDT"]
    half = msgspec.structs.replace(trades[1], quantity_lots=400)
    still = positions_of([buy, half], made)[0]
    got = one.notional_e8(half.price_ticks, 400) - half.commission_e8
    close = int(made.bars["BTCUSDT"]["close"][-1])
    rest = (buy.quantity_lots * one.lot_e8 - buy.commission_e8) // one.lot_e8 - 400
    assert still.is_open
    assert still.pnl_e8 == got + one.notional_e8(close, rest) - still.cost_e8


def test_costs_are_those_that_priced_the_fills(made):
    """A fill made by the exchange's own function is taken apart again: print, spread, slippage."""
    costs = compile_costs(settings().costs)
    bars = made.bars["BTCUSDT"]
    buy, sell = round_trip(made, "BTCUSDT", 5, 20)
    for trade, back, reason in (
        (buy, 1, 0),
        (sell, 2, int(ExitReason.STOP)),
        (sell, 1, int(ExitReason.TIME)),
    ):
        at = int(np.searchsorted(bars["ts_open_ns"], trade.ts_ns))
        is_buy = trade.side is Side.BUY
        _, price = fills.taker_fill(
            0, is_buy, trade.quantity_lots, 0, int(bars[at]["open"]), bars[at - back], costs[0]
        )
        priced = msgspec.structs.replace(trade, price_ticks=price, reason=reason)
        found = fill_costs([buy, priced], made, costs)[-1]
        expected = made.instruments["BTCUSDT"].notional_e8(
            abs(price - int(bars[at]["open"])), trade.quantity_lots
        )
        assert found.spread_e8 + found.slippage_e8 == pytest.approx(expected, rel=2e-3)
        assert found.maker_e8 == 0


def test_a_target_rests_and_pays_the_maker_only(made, trades):
    found = fill_costs(trades, made, compile_costs(settings().costs))[-1]
    assert found.maker_e8 == trades[-1].commission_e8
    assert (found.taker_e8, found.spread_e8, found.slippage_e8) == (0, 0, 0)


def test_days_of_the_table_are_those_of_the_metrics(made, trades):
    found = findings(made, trades)
    ended = conclusion(made, sorted(trades, key=lambda trade: (trade.ts_ns, trade.symbol)))
    returns = daily_returns(equity_rows(ended.equity), ended.initial_e8, ended.final_e8)
    table = found.tables["daily"]
    assert [row[2] for row in table.rows] == pytest.approx(returns.tolist(), abs=1e-15)
    assert table.rows[-1][1] == found.summary.final_equity
    assert min(row[3] for row in table.rows) >= -found.summary.max_drawdown - 1e-12
    assert all(row[0] % NS_PER_DAY == 0 for row in table.rows)


def test_months_compound_to_the_net_return(made, trades):
    found = findings(made, trades)
    whole = np.prod([1 + row[2] for row in found.tables["monthly"].rows])
    assert whole - 1 == pytest.approx(found.summary.net_return, abs=1e-12)


def test_groups_add_up_to_the_run(made, trades):
    found = findings(made, trades)
    for name in ("symbols", "reasons"):
        rows = found.tables[name].records()
        assert sum(row["positions"] for row in rows) == found.summary.trades
        assert sum(row["pnl"] for row in rows) == pytest.approx(sum(t.pnl_e8 for t in trades) / E8)
    costs = found.tables["costs"].records()
    assert costs[-1]["taker"] + costs[-1]["maker"] == pytest.approx(found.summary.costs, abs=1e-6)
    for part in ("total", "traded", "spread"):
        assert sum(row[part] for row in costs[:-1]) == pytest.approx(costs[-1][part])


def test_buy_and_hold_pays_its_way_in_and_follows_the_closes(made):
    found = findings(made)
    curves, initial = found.curves, found.summary.initial_equity
    parts = []
    for name in made.symbols:
        bars = made.bars[name][FIRST:]
        parts.append(float(bars["close"][-1]) / float(bars["open"][0]))
    gross = sum(parts) / len(parts)
    assert gross * 0.995 < curves.hold[-1] / initial < gross * 0.999
    assert (curves.matched == initial).all()  # never in the market


def test_the_matched_benchmark_moves_with_the_market_by_the_mean_exposure(made, trades):
    found = findings(made, trades)
    assert 0 < found.curves.matched.std() < found.curves.hold.std()
