"""The charts over time: equity with its benchmarks, drawdown, exposure, and prices with entries and exits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.core.instrument import E8
from bnml.research.page.axes import (
    Scale,
    Tick,
    decimals_for,
    log_ticks,
    padded,
    round_ticks,
    time_ticks,
)
from bnml.research.page.charts import Plot, legend
from bnml.research.page.words import number, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bnml.research.findings import Findings
    from bnml.research.positions import Position

    Floats = NDArray[np.float64]

MOST_PRICE_CHARTS = 12
MOST_TICKS = 12
LOG_FROM_RATIO = 2.5
FAR_APART = 3.0
"""Buy and hold that moves this many times as far as the run gets a view of its own."""


def span_ns(findings: Findings) -> tuple[int, int]:
    """First and last moment of every chart over time."""
    return findings.market.first_ns, findings.market.end_ns


def value_ticks(low: float, high: float, *, is_log: bool = False, as_percent: bool = False) -> list[Tick]:
    """Labels of a value axis."""
    ticks = log_ticks(low, high) if is_log else round_ticks(low, high)
    if as_percent:
        decimals = max(0, decimals_for(ticks) - 2)
        return [Tick(at, percent(at, decimals)) for at in ticks]
    return [Tick(at, number(at, 0 if is_log and at >= 10 else decimals_for(ticks))) for at in ticks]


def _over_time(findings: Findings, low: float, high: float, label: str, **options: bool) -> Plot:
    start, end = span_ns(findings)
    is_log = options.get("is_log", False)
    return Plot(
        Scale(start, end),
        Scale(low, high, is_log),
        label,
        time_ticks(start, end, MOST_TICKS),
        value_ticks(low, high, is_log=is_log, as_percent=options.get("as_percent", False)),
        kind="time",
        attributes={"from": str(start // 1_000_000), "to": str(end // 1_000_000)},
    )


def equity_views(findings: Findings) -> list[tuple[str, str]]:
    """(name, plot) of each way to look at the equity; the first one is shown at once."""
    curves, chance = findings.curves, findings.chance
    band = [] if chance is None else [chance.low, chance.high]
    own = np.concatenate([curves.equity, curves.matched, *band])
    everything = np.concatenate([own, curves.hold])
    views = []
    if np.ptp(everything) > FAR_APART * np.ptp(own):
        views.append(("Run", _equity_plot(findings, own, with_hold=False)))
    views.append(("With buy and hold", _equity_plot(findings, everything)))
    if everything.min() > 0 and everything.max() / everything.min() > LOG_FROM_RATIO:
        views.append(("Logarithmic", _equity_plot(findings, everything, is_log=True)))
    return views


def _equity_plot(findings: Findings, values: Floats, *, with_hold: bool = True, is_log: bool = False) -> str:
    curves, chance = findings.curves, findings.chance
    initial = findings.summary.initial_equity
    low, high = min(initial, float(values.min())), max(initial, float(values.max()))
    low, high = (low / 1.05, high * 1.05) if is_log else padded(low, high)
    plot = _over_time(findings, low, high, "Equity over time", is_log=is_log)
    plot.zero = initial
    x = curves.ts_ns.astype(np.float64)
    if chance is not None:
        plot.area("band", x, chance.low, chance.high)
        plot.line("middle", x, chance.middle)
    if with_hold:
        plot.line("hold", x, curves.hold)
    plot.line("matched", x, curves.matched)
    plot.line("net", x, curves.equity)
    return plot.html()


def equity_legend(findings: Findings) -> str:
    """Each curve with what it came to."""
    curves, initial, chance = findings.curves, findings.summary.initial_equity, findings.chance

    def came_to(curve: Floats) -> str:
        return percent(float(curve[-1]) / initial - 1, signed=True)

    entries = [
        ("net", f"This run {percent(findings.summary.net_return, signed=True)}"),
        ("matched", f"Each symbol at the run's mean exposure to it {came_to(curves.matched)}"),
        ("hold", f"Buy and hold in equal parts {came_to(curves.hold)}"),
    ]
    if chance is not None:
        entries.append(
            ("band", f"Random entries, same exits {came_to(chance.low)} to {came_to(chance.high)}")
        )
    return legend(entries)


def drawdown(findings: Findings) -> str:
    """How far below its highest mark the account was."""
    curves, initial = findings.curves, findings.summary.initial_equity
    depth = curves.equity / np.maximum.accumulate(np.maximum(curves.equity, initial)) - 1.0
    low = min(float(depth.min(initial=0.0)) * 1.08, -0.0005)
    plot = _over_time(findings, low, 0.0, "Drawdown over time", as_percent=True)
    x = curves.ts_ns.astype(np.float64)
    plot.area("drawdown", x, depth, np.zeros(len(depth)))
    plot.line("drawdown", x, depth)
    return plot.html()


def exposure(findings: Findings) -> str:
    """Share of equity in positions."""
    curves = findings.curves
    high = max(float(curves.invested.max(initial=0.0)) * 1.08, 0.01)
    plot = _over_time(findings, 0.0, high, "Share of equity in positions over time", as_percent=True)
    x = curves.ts_ns.astype(np.float64)
    plot.area("exposure", x, np.zeros(len(x)), curves.invested)
    plot.line("exposure", x, curves.invested)
    return plot.html()


def price_views(findings: Findings) -> list[tuple[str, str]]:
    """(symbol, plot) of the symbols with the most positions."""
    by_symbol: dict[str, list[Position]] = {name: [] for name in findings.market.symbols}
    for one in findings.positions:
        by_symbol[one.symbol].append(one)
    order = sorted(by_symbol, key=lambda name: -len(by_symbol[name]))[:MOST_PRICE_CHARTS]
    return [(name, _price_plot(findings, name, by_symbol[name])) for name in sorted(order)]


def _price_plot(findings: Findings, symbol: str, positions: Sequence[Position]) -> str:
    market = findings.market
    tick = market.instruments[symbol].tick_e8 / E8
    bars = market.bars[symbol][market.first_row(symbol) :]
    opens = bars["ts_open_ns"].astype(np.float64)
    x = np.repeat(opens, 2) + np.tile([market.frame_ns / 4, market.frame_ns], len(bars))
    y = np.empty(2 * len(bars))
    falling = bars["close"] < bars["open"]
    y[0::2] = np.where(falling, bars["high"], bars["low"]) * tick
    y[1::2] = np.where(falling, bars["low"], bars["high"]) * tick
    low, high = padded(float(y.min()), float(y.max()))
    plot = _over_time(findings, low, high, f"Price of {symbol} with entries and exits")
    plot.kind = "price"
    plot.attributes |= {"symbol": symbol, "low": repr(low), "high": repr(high)}
    plot.line("price", x, y)
    times = np.array([[one.opened_ns, one.closed_ns] for one in positions], dtype=np.float64).reshape(-1, 2)
    prices = np.array([[one.entry_ticks, one.exit_ticks] for one in positions]).reshape(-1, 2) * tick
    won = np.array([one.pnl_e8 > 0 for one in positions], dtype=bool)
    for name, chosen in (("loss", ~won), ("win", won)):
        plot.segments(f"held {name}", times[chosen], prices[chosen])
    plot.dots("entry", times[:, 0], prices[:, 0])
    sold = np.array([not one.is_open for one in positions], dtype=bool)
    for name, chosen in (("loss", sold & ~won), ("win", sold & won)):
        plot.dots(name, times[chosen, 1], prices[chosen, 1])
    return plot.html()


def price_legend() -> str:
    """Colours of the price charts."""
    return legend([("dot entry", "entry"), ("dot win", "exit with a gain"), ("dot loss", "exit with a loss")])
