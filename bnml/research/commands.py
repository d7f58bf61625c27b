"""The commands `backtest` and `parity`: settings and options in, a summary on stdout, an exit code out."""

from __future__ import annotations

import sys

import msgspec

from bnml.config import Settings
from bnml.core.clock import NS_PER_S, LiveClock
from bnml.core.errors import Misconfigured, Rejected
from bnml.journal.schema import JOURNAL_FILE
from bnml.options import BacktestOptions, MarketOptions, ParityOptions
from bnml.research.conclusion import Conclusion
from bnml.research.ledger import LEDGER_FILE, DataRange, count_run
from bnml.research.market import Market, load_market
from bnml.research.metrics import daily_returns, equity_rows, summarize
from bnml.research.models import Models, held_back, load_models, looking_ahead
from bnml.research.parity import Comparison, Rows, compare, judge
from bnml.research.report import path_decides, summary_text, verdict_text
from bnml.research.runs import initial_quote_e8, run_replay, run_sweep
from bnml.research.sessions import RecordedSession, read_session
from bnml.research.trade_file import write_trades
from bnml.trading.compile import compile_layout

DONE, FAILED = 0, 1


def backtest(settings: Settings, options: BacktestOptions) -> int:
    """Trade recorded (or generated) bars by replay or sweep and print the summary; trades to CSV if asked."""
    clock = LiveClock()
    started_ns = clock.monotonic_ns()
    market = load_market(settings, options)
    _note(*market.notes)
    models = load_models(settings, compile_layout(settings.features), market.symbols)
    notes = (held_back(models), looking_ahead(settings, models, market.first_ns), path_decides(settings))
    _note(*notes)
    run = _replay_run if options.engine == "replay" else _sweep_run
    conclusion = run(settings, market, models)
    if options.trades is not None:
        write_trades(options.trades, conclusion.trades, market.instruments)
    returns = daily_returns(equity_rows(conclusion.equity), conclusion.initial_e8, conclusion.final_e8)
    trials, warning = count_run(
        settings.app.state_dir / LEDGER_FILE, data_range(market), "backtest", returns, settings.content_hash()
    )
    _note(warning)
    summary = summarize(
        conclusion.trades,
        conclusion.equity,
        market.instruments,
        initial_e8=conclusion.initial_e8,
        final_e8=conclusion.final_e8,
        bars=market.traded_bars,
        span=market.span,
        elapsed_s=(clock.monotonic_ns() - started_ns) / NS_PER_S,
        market=market.source,
        trials=trials.count,
        sharpe_variance=trials.luck_variance(len(returns)),
    )
    if options.report is not None or options.tables is not None:
        from bnml.research.publishing import publish  # noqa: PLC0415 - nothing of it is needed otherwise

        publish(settings, options, market, models, conclusion, summary, notes)
    _say(msgspec.json.encode(summary).decode() if options.json else summary_text(summary, options.engine))
    return DONE


def data_range(market: Market) -> DataRange:
    """What the ledger of trials knows a market by."""
    return DataRange(market.symbols, market.frame_ns, market.first_ns, market.end_ns)


def parity(settings: Settings, options: ParityOptions) -> int:
    """Session against replay, replay against sweep, each with all symbols on one capital; 1 if they differ."""
    journal = settings.app.state_dir / JOURNAL_FILE
    comparisons: list[Comparison] = []
    market_options: MarketOptions = options
    used = anchors = None
    if journal.is_file():
        session = read_session(journal, options.replay)
        _same_tier(settings, session)
        settings, market_options = _session_settings(settings, session), session.options
        used, anchors = session.header.bundles, session.header.anchors
    elif options.replay is None:
        raise Misconfigured(
            f"there is no session in {journal} and no --replay; run `bnml run --stepped` first, "
            "or name a folder of recorded bars to compare replay and sweep on"
        )
    market = load_market(settings, market_options, anchors)
    _note(*market.notes)
    models = load_models(settings, compile_layout(settings.features), market.symbols, used)
    if journal.is_file():
        comparisons.append(compare_session(session, settings, market, models))
    comparisons.append(compare_sweep(settings, market, models))
    verdict = judge(comparisons)
    _say(msgspec.json.encode(verdict).decode() if options.json else verdict_text(verdict))
    return DONE if verdict.is_proven(allow_few=options.allow_few) else FAILED


def compare_session(
    session: RecordedSession, settings: Settings, market: Market, models: Models
) -> Comparison:
    """The daemon's rows against a replay of the same bars with the same bundles."""
    replayed = run_replay(settings, market, models, session.models_at)
    right = Rows("replay", replayed.decisions, replayed.trades)
    left = session.rows
    last_ns = max((one.ts_close_ns for one in right.decisions), default=0)
    if session.last_close_ns < last_ns:  # the session was stopped early
        left, right = left.until(session.last_close_ns), right.until(session.last_close_ns)
    return compare(left, right, market.frame_ns)


def compare_sweep(settings: Settings, market: Market, models: Models) -> Comparison:
    """Replay against sweep, all symbols on one capital."""
    replayed, swept = run_replay(settings, market, models), run_sweep(settings, market, models)
    return compare(
        Rows("replay", replayed.decisions, replayed.trades),
        Rows("sweep", swept.decisions, swept.trades),
        market.frame_ns,
    )


def _replay_run(settings: Settings, market: Market, models: Models) -> Conclusion:
    result = run_replay(settings, market, models)
    return Conclusion(result.trades, result.equity, result.initial_equity_e8, result.final_equity_e8)


def _sweep_run(settings: Settings, market: Market, models: Models) -> Conclusion:
    result = run_sweep(settings, market, models)
    return Conclusion(result.trades, result.equity, initial_quote_e8(settings), result.final_equity_e8)


def _same_tier(settings: Settings, session: RecordedSession) -> None:
    if session.header.tier not in {"F0", "F1"}:
        raise Rejected(
            f"the session's orders were filled by tier {session.header.tier}, from a displayed book; "
            "a replay fills by F0 or F1, so the two cannot be compared"
        )
    if settings.costs.tier != session.header.tier:
        raise Rejected(
            f"the session ran with costs.tier {session.header.tier}, the configuration says {settings.costs.tier}; "
            "fills of different tiers cannot be compared: set costs.tier to the session's"
        )


def _session_settings(settings: Settings, session: RecordedSession) -> Settings:
    """The session's own settings, with the folders of this call."""
    learning = session.settings.learning.model_copy(update={"models_dir": settings.learning.models_dir})
    universe = session.settings.universe.model_copy(update={"symbols": session.header.symbols})
    return session.settings.model_copy(
        update={"learning": learning, "universe": universe, "app": settings.app}
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _note(*sentences: str) -> None:
    """What a reader of the result must know goes to stderr: stdout is the result's."""
    sys.stderr.writelines(f"note: {sentence}\n" for sentence in sentences if sentence)
