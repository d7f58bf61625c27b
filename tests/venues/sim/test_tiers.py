"""What the fill tiers change: touches by chance, volume shares, slippage of large orders."""

import pytest

from bnml.core.events import Bar
from bnml.core.orders import Side, TimeInForce
from bnml.kernels.records import FillTier
from bnml.venues.sim.messages import Step
from tests.venues.sim.bench import HOUR_NS, ME, SYMBOL, T0, bench, limit, market, move, target


def with_volume(lots, **kind):
    """A bench whose last closed bar traded `lots`; a tenth of them is one order's share."""
    exchange = bench(tier=FillTier.F1, **kind)
    bar = Bar(SYMBOL, T0 - HOUR_NS, T0, 10_000, 10_000, 10_000, 10_000, lots)
    exchange.apply(Step(0, T0 + 1, closed_bars=(bar,)))
    return exchange


@pytest.mark.parametrize(
    ("tif", "status", "executed"),
    [
        (TimeInForce.GTC, "PARTIALLY_FILLED", 600),
        (TimeInForce.IOC, "EXPIRED", 600),
        (TimeInForce.FOK, "EXPIRED", 0),
    ],
)
def test_limit_larger_than_the_volume_share_takes_the_share(tif, status, executed):
    exchange = with_volume(6_000)
    order = exchange.place(ME, limit(Side.BUY, 1000, 10_100, tif)).order
    assert (str(order.status), order.executed_lots) == (status, executed)


def test_rest_of_a_partial_fill_fills_with_the_next_print_at_its_limit():
    exchange = with_volume(6_000)
    exchange.place(ME, limit(Side.BUY, 1000, 10_100, client_id="a"))
    exchange.drain()
    (report, _) = move(exchange, 10_050)
    assert (str(report.order.status), report.trade.quantity_lots, report.trade.price_ticks) == (
        "FILLED",
        400,
        10_100,
    )


def test_market_order_beyond_the_share_slips_in_proportion():
    assert (
        with_volume(10_000, slippage_ppm=1000).place(ME, market(Side.BUY, 1000)).fills[0].price_ticks
        == 10_010
    )
    assert (
        with_volume(5_000, slippage_ppm=1000).place(ME, market(Side.BUY, 1000)).fills[0].price_ticks == 10_020
    )
    assert with_volume(10, slippage_ppm=1000).place(ME, market(Side.BUY, 1000)).fills[0].price_ticks == 10_200


def touches(price):
    exchange = with_volume(10_000, base=1)
    exchange.place(ME, target(1000, price))
    exchange.drain()
    count = 0
    while exchange.read.open_orders(ME):
        move(exchange, price, price - 10)
        count += 1
    return count


def test_touch_fills_by_a_chance_that_repeats_itself():
    counts = [touches(price) for price in range(10_100, 10_130)]
    assert counts == [touches(price) for price in range(10_100, 10_130)]
    assert 1 in counts
    assert max(counts) > 1
    assert sum(counts) < 120  # about two a level at one half


def test_crossing_fills_for_certain():
    exchange = with_volume(10_000, base=1)
    exchange.place(ME, target(1000, 10_100))
    move(exchange, 10_101)
    assert exchange.read.open_orders(ME) == []
