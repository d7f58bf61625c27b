"""The command `backtest --signals`: anyone's signals and rules through the one backtest loop, on any bars."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_S, LiveClock, format_utc
from bnml.kernels.records import Action, Reason
from bnml.research.ledger import LEDGER_FILE, DataRange, count_run
from bnml.research.metrics import daily_returns, summarize
from bnml.research.report import labelled, summary_text
from bnml.research.rules import Rules
from bnml.research.rules_file import load_rules
from bnml.research.signal_inputs import Prepared, prepare
from bnml.research.sweep import SweepResult, sweep
from bnml.research.trade_file import write_trades
from bnml.venues.bar_tables import frame_text

if TYPE_CHECKING:
    from pathlib import Path

    from bnml.core.instrument import Instrument
    from bnml.options import SignalsOptions
    from bnml.research.metrics import Summary

DONE = 0
MOST_UNITS = 8
"""Symbols whose tick and lot are told."""


def backtest_signals(options: SignalsOptions) -> int:
    """Trade the given signals and print the summary with what was assumed; trades to CSV if asked."""
    clock = LiveClock()
    started_ns = clock.monotonic_ns()
    rules = Rules() if options.rules is None else load_rules(options.rules)
    prepared = prepare(options, rules)
    sys.stderr.writelines(f"note: {sentence}\n" for sentence in prepared.notes)
    result = sweep(prepared.inputs, prepared.config)
    instruments = prepared.instruments
    if options.trades is not None:
        write_trades(options.trades, result.trades, instruments)
    span_ns = _span_ns(prepared)
    returns = daily_returns(result.curve, prepared.config.initial_quote_e8, result.final_equity_e8)
    trials, warning = count_run(
        options.state_dir / LEDGER_FILE,
        DataRange(tuple(sorted(instruments)), prepared.inputs[0].frame_ns, *span_ns),
        "signals",
        returns,
        _hash(rules, options.signals),
    )
    if warning:
        sys.stderr.write(f"note: {warning}\n")
    summary = summarize(
        result.trades,
        result.curve,
        instruments,
        initial_e8=prepared.config.initial_quote_e8,
        final_e8=result.final_equity_e8,
        bars=sum(len(one.bars) - one.first for one in prepared.inputs),
        span=(format_utc(span_ns[0]), format_utc(span_ns[1])),
        elapsed_s=(clock.monotonic_ns() - started_ns) / NS_PER_S,
        market=f"bars of {options.bars}",
        trials=trials.count,
        sharpe_variance=trials.luck_variance(len(returns)),
    )
    assumed = assumptions(rules, prepared, options)
    if options.report is not None or options.tables is not None:
        from bnml.research.publishing import publish_given  # noqa: PLC0415 - nothing of it is needed otherwise

        publish_given(rules, prepared, result, summary, assumed, options)
    tell = _json if options.json else _text
    sys.stdout.write(tell(summary, assumed, prepared, result, options) + "\n")
    return DONE


def _json(
    summary: Summary,
    assumed: dict[str, str],
    prepared: Prepared,
    result: SweepResult,
    options: SignalsOptions,
) -> str:
    extra = {
        "signals": {
            "file": str(options.signals),
            "buys": prepared.buys,
            "exits": prepared.exits,
            "not_entered": refusals(result),
        },
        "assumptions": assumed,
        "open_at_end": _still_open(prepared, result),
        "notes": list(prepared.notes),
    }
    return msgspec.json.encode(msgspec.to_builtins(summary) | extra).decode()


def _text(
    summary: Summary,
    assumed: dict[str, str],
    prepared: Prepared,
    result: SweepResult,
    options: SignalsOptions,
) -> str:
    counted = ", ".join(f"{count:,} {words}" for words, count in refusals(result).items()) or "none"
    lines = (
        *assumed.items(),
        ("not entered", f"{counted} of {prepared.buys:,} buys in {options.signals.name}"),
        ("open at the end", "; ".join(_still_open(prepared, result)) or "nothing"),
    )
    return "\n".join((summary_text(summary, "given signals"), "", *(labelled(*line) for line in lines)))


def assumptions(rules: Rules, prepared: Prepared, options: SignalsOptions) -> dict[str, str]:
    """What the result rests on, in words."""
    slow = prepared.inputs[0]
    path = f"{frame_text(slow.frame_ns)} bars decide"
    inside = f"{frame_text(slow.fast_frame_ns)} bars" if slow.fast is not None else "the same bars"
    wait = f"{rules.latency_ms} ms" if rules.latency_ms else f"{rules.latency_bars} bars"
    tier = (
        f"F1: at most {rules.volume_share_pct:g} % of a bar's volume, a touched limit fills by chance "
        f"({rules.touch_chance_pct:g} %)"
        if rules.tier == "F1"
        else "F0: a touched limit fills, volume does not matter"
    )
    half_spread = (
        f"half spread {rules.spread_floor_bps:g} bps + {rules.spread_range_bps_per_pct:g} per % of the bar's range, "
        f"at most {rules.spread_cap_bps:g}"
    )
    return {
        "signals": f"given in {options.signals}: {prepared.buys:,} buys, {prepared.exits:,} exits; not bnml's own",
        "rules": str(options.rules or "the defaults of --rules-template"),
        "prices": f"{path}, exits are looked for in {inside}, each walked open, low, high, close",
        "fills": f"tier {tier}; entries {rules.entry}, at most {rules.price_cap_bps:g} bps above the close",
        "costs": f"maker {rules.maker_bps:g} bps, taker {rules.taker_bps:g} bps, slippage {rules.slippage_bps:g} bps, "
        + half_spread,
        "latency": f"next open + {wait}",
        "units": "; ".join(_units(one.instrument) for one in prepared.inputs[:MOST_UNITS]),
    }


def refusals(result: SweepResult) -> dict[str, int]:
    """Buys that did not lead to an entry: by the rule that refused them, or because nothing was filled."""
    counts: dict[str, int] = {}
    approved = 0
    for decision in result.decisions:
        if decision.action == Action.BUY and decision.reason != Reason.NONE:
            words = Reason(decision.reason).name.lower().replace("_", " ")
            counts[words] = counts.get(words, 0) + 1
        approved += decision.quantity_lots > 0
    bought = result.trade_rows[result.trade_rows["is_buy"] == 1]
    missed = approved - len(np.unique(bought[["symbol", "ts_ns"]]))
    if missed:
        counts["not filled"] = missed  # above the price cap, too little volume, or still under way at the end
    return counts


def _hash(rules: Rules, signals: Path) -> str:
    """Equal for equal rules and signals, whatever their files are called."""
    return hashlib.sha256(msgspec.json.encode(rules) + signals.read_bytes()).hexdigest()[:16]


def _units(instrument: Instrument) -> str:
    tick, lot = instrument.price_text(1), instrument.quantity_text(1)
    return f"{instrument.symbol} tick {tick}, lot {lot}"


def _span_ns(prepared: Prepared) -> tuple[int, int]:
    first = min(int(one.bars["ts_open_ns"][one.first]) for one in prepared.inputs)
    last = max(int(one.bars["ts_open_ns"][-1]) + one.frame_ns for one in prepared.inputs)
    return first, last


def _still_open(prepared: Prepared, result: SweepResult) -> list[str]:
    said = []
    for trade in result.open_at_end:
        instrument = prepared.instruments[trade.symbol]
        said.append(
            f"{trade.symbol} {instrument.quantity_text(trade.quantity_lots)} marked at the last close "
            f"{instrument.price_text(trade.price_ticks)} ({trade.pnl_e8 / 1e8:+.2f} {instrument.quote}), not sold"
        )
    return said
