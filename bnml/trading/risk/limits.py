"""The facts of one candidate against every limit: approved, or refused by the first rule with value and limit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnml.core.events import Book
from bnml.core.instrument import Instrument
from bnml.core.orders import RefusedOrder
from bnml.kernels import fills, limits
from bnml.kernels.records import FACTS, Reason, record
from bnml.trading.deciding import Opinion
from bnml.trading.risk.sizing import Capital, SizedEntry

NO_BOOK_SPREAD_PPM = 1_000_000
"""A symbol whose book was never seen counts as 100 % wide and has no depth."""

WORDS: dict[Reason, str] = {
    Reason.NONE: "approved",
    Reason.POLICY: "the decision rule sees no buy",
    Reason.NO_MODEL: "no model",
    Reason.FEATURES_INCOMPLETE: "features are not complete yet",
    Reason.ALREADY_HELD: "a position is open",
    Reason.NOT_ACTIVE: "entries are stopped or the venue is not fully connected",
    Reason.GLOBAL_SCORE: "global score too low",
    Reason.NOT_IN_TOP: "other candidates rank higher",
    Reason.CONFIDENCE: "confidence too low",
    Reason.SPREAD: "spread too wide (%)",
    Reason.DEPTH: "book too thin (quote)",
    Reason.EXPECTED_EDGE: "expected profit too small (%)",
    Reason.MAX_POSITIONS: "too many open positions",
    Reason.DAILY_LOSS: "loss of the day too large (%)",
    Reason.DRAWDOWN: "pause after a drawdown (%)",
    Reason.LOSS_STREAK: "pause after losses in a row",
    Reason.VOLATILITY: "market too volatile (ratio to its median)",
    Reason.DRIFT: "the market's returns have changed",
    Reason.MARKET_SELL: "the whole market says sell (confidence)",
    Reason.MARKET_RISK_OFF: "the whole market is too volatile or too wide (share of what is borne)",
    Reason.MARKET_SCORE: "mood of the whole market too low (-1..1)",
    Reason.CORRELATION: "too correlated with an open position",
    Reason.DAILY_BUDGET: "risk budget of the day used up (%)",
    Reason.WEEKLY_BUDGET: "risk budget of the week used up (%)",
    Reason.EXPOSURE: "too much capital in positions (%)",
    Reason.MINIMUM_SIZE: "position would be too small (quote)",
    Reason.CAPITAL: "not enough free money (quote)",
}
"""What a reason code says to people; the unit of measured value and limit in brackets."""

_ORDER = tuple(Reason)
_BEFORE_SIZE = frozenset(_ORDER[: _ORDER.index(Reason.CORRELATION)])


def new_facts() -> NDArray[np.void]:
    """An empty FACTS record; what all candidates of a scan share is written once."""
    return record(FACTS)


def write_account(
    facts: NDArray[np.void], ts_close_ns: int, equity_e8: int, active_e8: int, *, is_active: bool
) -> None:
    """Facts that all candidates of a scan share, besides the breakers' own."""
    one = facts[0]
    one["ts_ns"] = ts_close_ns
    one["active"] = int(is_active)
    one["equity_e8"] = equity_e8
    one["active_e8"] = active_e8


def write_candidate(
    facts: NDArray[np.void],
    opinion: Opinion,
    rank: int,
    book: Book | None,
    *,
    is_held: bool,
    open_positions: int,
) -> None:
    """Facts of the opinion, of the book as last seen before the scan, and of the positions beside it."""
    one = facts[0]
    one["held"] = int(is_held)
    one["open_positions"] = open_positions
    one["rank"] = rank
    one["global_score"] = opinion.score
    one["confidence"] = opinion.confidence
    one["expected_edge_ppm"] = opinion.expected_edge_ppm
    one["spread_ppm"] = NO_BOOK_SPREAD_PPM if book is None else fills.spread_ppm(book.bid, book.ask)
    one["depth_e8"] = 0 if book is None else book.depth_e8


def write_size(
    facts: NDArray[np.void], sized: SizedEntry, capital: Capital, instrument: Instrument, correlation: float
) -> None:
    """What the entry would cost and risk, and how alike it is to what is held; dear, and asked last."""
    one = facts[0]
    one["correlation"] = correlation
    one["exposure_e8"] = capital.exposure_e8
    one["wanted_e8"] = instrument.notional_e8(sized.cap_ticks, sized.wanted_lots)
    one["size_e8"] = instrument.notional_e8(sized.cap_ticks, sized.lots)
    one["minimum_e8"] = instrument.notional_e8(sized.cap_ticks, sized.minimum_lots)
    one["risk_e8"] = sized.risk_e8


def is_before_size(refusal: RefusedOrder) -> bool:
    """Whether the refusing rule comes before all that need size or correlation: then it is the first one."""
    return refusal.code in _BEFORE_SIZE


def first_refusal(
    symbol: str, facts: NDArray[np.void], limit_record: NDArray[np.void]
) -> RefusedOrder | None:
    """The first rule that refuses, in the order of `Reason`; None if the entry is approved."""
    reason, measured, limit = limits.first_refusal(facts[0], limit_record[0])
    if reason == Reason.NONE:
        return None
    return RefusedOrder(symbol, int(reason), float(measured), float(limit))


def explain(reason: int, measured: float, limit: float) -> str:
    """A refusal in words, for views and logs."""
    words = WORDS[Reason(reason)]
    return words if reason < Reason.GLOBAL_SCORE else f"{words}: {measured:g}, limit {limit:g}"
