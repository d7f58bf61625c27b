"""Shortfall worked by hand: prices of decisions and fills from rows of a journal, and what is made of them."""

import pytest

from bnml.app.shortfall import Walk
from bnml.app.shortfall_report import make_report, text_of
from bnml.core.commands import CancelList, ReplaceOrder, Submit
from bnml.core.events import (
    Adoption,
    Bar,
    Book,
    InstrumentUpdate,
    OperatorCommand,
    Scan,
    Slice,
    Stranger,
    Timer,
)
from bnml.core.instrument import Instrument
from bnml.core.orders import (
    ApprovedOrder,
    ListKind,
    ListTicket,
    OrderState,
    OrderTicket,
    OrderType,
    Side,
    TimeInForce,
)
from bnml.core.outcomes import Trade
from bnml.kernels.records import ExitReason
from bnml.trading.dusting import DUST
from bnml.trading.filling import compile_costs
from bnml.trading.settings import CostSettings

E8 = 10**8
# Cents and thousandths; half spread 1 bps, slippage 2 bps, 10 bps commission: no figure depends on a bar's range.
INSTRUMENT = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=E8 // 100, lot_e8=E8 // 1000)
COSTS = CostSettings(tier="F0", spread_range_bps_per_pct=0.0)
ASKED = Timer("watch", 5)


def bar(close, ts_close_ns=100):
    return Bar("BTCUSDT", 0, ts_close_ns, close, close, close, close, 1000)


def entry_list(number="1"):
    """Buys 1 BTC for 1000.00, with a target at 1020.00 and a stop at 980.00."""
    return ListTicket(
        "BTCUSDT",
        f"l{number}",
        ListKind.OTOCO,
        OrderTicket("BTCUSDT", f"w{number}", Side.BUY, OrderType.LIMIT, 1000, 100_500, 0, TimeInForce.FOK),
        (
            OrderTicket("BTCUSDT", f"t{number}", Side.SELL, OrderType.LIMIT_MAKER, 1000, 102_000),
            OrderTicket("BTCUSDT", f"s{number}", Side.SELL, OrderType.STOP_LOSS, 1000, 0, 98_000),
        ),
    )


def trade(order_id, side, ticks, lots=1000, *, reason=ExitReason.NONE, fee=0, asset="USDT", ts_ns=200):
    return Trade("BTCUSDT", ts_ns, side, 1, lots, ticks, fee, asset, int(reason), 0, order_id)


def sale(order_id="x1"):
    ticket = OrderTicket("BTCUSDT", order_id, Side.SELL, OrderType.MARKET, 1000)
    return Submit(ApprovedOrder(ticket, "exit"))


@pytest.fixture
def walk():
    """After an entry decided on a close of 1000.00, before anything filled."""
    made = Walk(compile_costs(COSTS))
    made.see(InstrumentUpdate(INSTRUMENT, 0))
    made.see(bar(100_000))
    made.see(Scan(100, 101, (Book("BTCUSDT", 100_090, 100_110, 0),)))
    made.ask(Submit(ApprovedOrder(entry_list(), "entry tranche 1")))
    return made


def only(walk):
    (one,) = walk.filled
    return one


def test_an_entry_is_held_against_the_close_that_raised_it(walk):
    """Decided at 1000, met at 1001, 0.6 bought at 1001.50 and 0.4 at 1002 (mean 1001.70), 1.0017 USDT commission."""
    walk.fill(trade("w1", Side.BUY, 100_150, 600, fee=60_090_000))
    walk.fill(trade("w1", Side.BUY, 100_200, 400, fee=40_080_000))
    one = only(walk)
    assert (one.kind, one.decided, one.met, one.quantity) == ("entry", 1000.0, 1001.0, 1.0)
    assert one.delay == pytest.approx(10.0)
    assert one.execution == pytest.approx(7.0)
    assert one.commission == pytest.approx(10.017)
    assert one.total == pytest.approx(27.017)
    assert one.assumed == pytest.approx(3.0, abs=0.11)  # 3 bps of 1001.00, rounded up to a cent


def test_commission_in_what_was_bought_counts_at_its_price(walk):
    walk.fill(trade("w1", Side.BUY, 100_200, fee=E8 // 1000, asset="BTC"))
    assert only(walk).commission == pytest.approx(10.02)


def test_commission_in_a_third_asset_counts_at_its_last_price_or_not_at_all(walk):
    fill = trade("w1", Side.BUY, 100_100, fee=E8 // 400, asset="BNB")
    walk.fill(fill)
    assert only(walk).commission is None
    report = make_report(walk.filled, COSTS)
    assert report.unpriced == 1
    assert report.rows[0].mean == pytest.approx(10.0)
    assert [one.key for one in report.proposals] == ["slippage_bps"]
    priced = Walk(compile_costs(COSTS))
    priced.see(InstrumentUpdate(Instrument("BNBUSDT", "BNB", "USDT", tick_e8=E8 // 10, lot_e8=E8 // 1000), 0))
    priced.see(Bar("BNBUSDT", 0, 100, 3000, 3000, 3000, 3000, 1000))
    for event in (InstrumentUpdate(INSTRUMENT, 0), bar(100_000), ASKED):
        priced.see(event)
    priced.ask(Submit(ApprovedOrder(entry_list(), "entry tranche 1")))
    priced.fill(fill)
    assert only(priced).commission == pytest.approx(7.5)  # 0.0025 BNB of 300 on 1000


def test_a_stop_and_a_target_are_held_against_their_levels(walk):
    walk.fill(trade("s1", Side.SELL, 97_951, reason=ExitReason.STOP, fee=97_951_000))
    one = only(walk)
    assert (one.kind, one.decided, one.delay) == ("stop", 980.0, 0.0)
    assert one.execution == pytest.approx(5.0)
    assert one.commission == pytest.approx(9.995)
    walk.fill(trade("t1", Side.SELL, 102_000, reason=ExitReason.TARGET1))
    target = walk.filled[1]
    assert (target.kind, target.total, target.assumed, target.is_taker) == ("target", 0.0, 0.0, False)


def test_a_stop_that_moved_is_held_against_where_it_moved_to(walk):
    walk.see(Slice("BTCUSDT", 150, 102_500, 102_500, 102_500, 1))
    stop = OrderTicket("BTCUSDT", "s2", Side.SELL, OrderType.STOP_LOSS, 1000, 0, 101_000)
    walk.ask(ReplaceOrder("s1", stop, "stop of tranche 1 moves"))
    walk.fill(trade("s2", Side.SELL, 100_495, reason=ExitReason.GAP))
    one = only(walk)
    assert (one.kind, one.decided) == ("gap", 1010.0)
    assert one.execution == pytest.approx(50.0)
    assert make_report(walk.filled, COSTS).proposals[0].key != "slippage_bps"  # bars know of gaps already


def test_a_sale_at_market_is_held_against_the_price_at_which_its_stops_were_withdrawn(walk):
    """The scan decides on 1010.00 and withdraws; the sale leaves later, at a print of 1008.00."""
    walk.see(bar(101_000, 300))
    walk.see(Scan(300, 301, (Book("BTCUSDT", 100_890, 100_910, 0),)))
    walk.ask(CancelList("BTCUSDT", "l1", "protection of tranche 1 is replaced or withdrawn"))
    walk.see(Slice("BTCUSDT", 350, 100_800, 100_800, 100_800, 1))
    walk.ask(sale())
    walk.fill(trade("x1", Side.SELL, 100_799, reason=ExitReason.TIME))
    one = only(walk)
    assert (one.kind, one.decided, one.met) == ("exit", 1010.0, 1009.0)
    assert one.delay == pytest.approx(10_000 / 1010)
    assert one.execution == pytest.approx(10_000 * 1.01 / 1010)


def test_a_sale_of_dust_is_decided_when_it_has_become_worth_selling_not_when_it_was_laid_aside(walk):
    walk.see(Slice("BTCUSDT", 150, 99_000, 99_000, 99_000, 1))
    walk.ask(CancelList("BTCUSDT", "l1", "protection of tranche 1 is replaced or withdrawn"))
    walk.ask(sale())  # refused: too small
    walk.see(bar(140_000, 7_200))
    walk.see(Timer(DUST, 7_300))
    walk.ask(sale("x2"))  # refused for another reason, and asked for again
    walk.see(Slice("BTCUSDT", 7_400, 141_000, 141_000, 141_000, 1))
    walk.see(Timer("watch", 7_500))
    walk.ask(sale("x3"))
    walk.fill(trade("x3", Side.SELL, 139_300, reason=ExitReason.DUST))
    one = only(walk)
    assert (one.kind, one.decided, one.total) == ("exit", 1400.0, pytest.approx(50.0))


def test_stops_that_came_back_end_a_withdrawal(walk):
    """A list withdrawn to be moved, asked for anew; the sale that comes later was decided at its own print."""
    walk.see(Slice("BTCUSDT", 150, 101_000, 101_000, 101_000, 1))
    walk.ask(CancelList("BTCUSDT", "l1", "protection of tranche 1 is replaced or withdrawn"))
    _, stop = entry_list("2").pending
    walk.ask(Submit(ApprovedOrder(stop, "protection of tranche 1")))
    walk.see(Slice("BTCUSDT", 180, 100_700, 100_700, 100_700, 1))
    walk.see(OperatorCommand("flatten", 190))
    walk.ask(sale())
    walk.fill(trade("x1", Side.SELL, 100_700, reason=ExitReason.OPERATOR))
    assert only(walk).decided == 1007.0
    assert only(walk).total == 0.0


def test_a_sale_in_the_place_of_a_refused_stop_is_held_against_the_stop(walk):
    walk.see(Slice("BTCUSDT", 150, 97_500, 97_500, 97_500, 1))
    walk.ask(sale())
    walk.fill(trade("x1", Side.SELL, 97_510, reason=ExitReason.STOP))
    one = only(walk)
    assert (one.kind, one.decided) == ("stop", 980.0)
    assert one.execution == pytest.approx(50.0)


def test_a_print_of_after_the_bar_is_newer_than_its_close(walk):
    walk.see(Slice("BTCUSDT", 300, 100_600, 100_600, 100_600, 1))
    walk.see(bar(101_000, 300))
    walk.see(OperatorCommand("flatten", 310))
    walk.ask(sale())
    walk.fill(trade("x1", Side.SELL, 100_600, reason=ExitReason.OPERATOR))
    assert only(walk).decided == 1006.0


def test_orders_that_were_taken_over_are_measured_where_they_had_a_level(walk):
    rows = [
        ("s7", Side.SELL, OrderType.STOP_LOSS, 98_000),
        ("p7", Side.SELL, OrderType.MARKET, 0),
        ("w7", Side.BUY, OrderType.LIMIT, 100_500),
    ]
    orders = tuple(
        Stranger(name, "", side, kind, OrderState.OPEN, 1000, 0, ticks) for name, side, kind, ticks in rows
    )
    walk.see(Adoption("BTCUSDT", 400, orders, ()))
    walk.fill(trade("s7", Side.SELL, 97_902, reason=ExitReason.STOP))
    walk.fill(trade("p7", Side.SELL, 97_902, reason=ExitReason.OPERATOR))
    walk.fill(trade("w7", Side.BUY, 100_000))
    assert only(walk).execution == pytest.approx(10.0)
    assert walk.unknown == 2
    assert "2 orders filled without a decision" in text_of(make_report(walk.filled, COSTS, walk.unknown))


def test_another_tick_makes_what_was_decided_before_unknown(walk):
    walk.see(InstrumentUpdate(Instrument("BTCUSDT", "BTC", "USDT", tick_e8=E8 // 10, lot_e8=E8 // 1000), 300))
    walk.fill(trade("s1", Side.SELL, 9_790, reason=ExitReason.STOP))
    assert (walk.filled, walk.unknown) == ([], 1)


def test_rows_are_weighed_by_what_was_traded_and_say_median_tail_and_worst(walk):
    """Ten entries that lost 1 to 10 bps, the tenth for three times the money: 85 / 12 bps in the mean."""
    for number in range(1, 11):
        walk.ask(Submit(ApprovedOrder(entry_list(f"n{number}"), "entry tranche 1")))
        lots = 3000 if number == 10 else 1000
        walk.fill(trade(f"wn{number}", Side.BUY, 100_000 + 10 * number, lots, fee=0))
    report = make_report(walk.filled, COSTS)
    row = report.rows[0]
    assert (row.symbol, row.kind, row.side, row.orders) == ("BTCUSDT", "entry", "BUY", 10)
    assert (row.median, row.p90, row.worst) == (5.5, 9.0, 10.0)
    assert row.mean == pytest.approx((45 + 3 * 10) / 12)
    assert row.delay == pytest.approx(10.0)
    assert row.mean == pytest.approx(row.delay + row.execution + row.commission)
    assert row.assumed_commission == 10.0


def test_what_is_measured_is_offered_to_the_cost_model_with_how_much_it_is_worth(walk):
    """Fills 5 bps from where they met the market; the model says 3 (with 2 of slippage), so slippage is 4."""
    made = Walk(compile_costs(COSTS))
    made.see(InstrumentUpdate(INSTRUMENT, 0))
    made.see(bar(100_000))
    made.see(Scan(100, 101, ()))
    for number in range(30):
        made.ask(Submit(ApprovedOrder(entry_list(f"n{number}"), "entry tranche 1")))
        made.fill(trade(f"wn{number}", Side.BUY, 100_050, fee=75_000_000))
        made.fill(trade(f"tn{number}", Side.SELL, 102_000, reason=ExitReason.TARGET1, fee=51_000_000))
    text = text_of(make_report(made.filled[:-2], COSTS))
    assert "  slippage_bps: 4  # measured on 29 orders, now 2; FEW: below 30 this is chance" in text
    text = text_of(make_report(made.filled, COSTS))
    assert "costs:\n  slippage_bps: 4  # measured on 30 orders, now 2\n" in text
    assert "  taker_bps: 7.5  # measured on 30 orders, now 10\n" in text
    assert "  maker_bps: 5  # measured on 30 orders, now 10\n" in text
    assert max(map(len, text.splitlines())) <= 90


def test_nothing_to_measure_is_a_sentence():
    assert text_of(make_report([], COSTS)).startswith("no fill that can be measured")
