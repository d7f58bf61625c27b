"""Judges the time without protection of one drill, by the venue's history and by what the drill itself had broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from bnml.core.ids import PREFIX
from bnml.drill.books import recovered_engine, traded_symbols
from bnml.drill.cover import PROMISE_S, Judged, Spell, judge, spells
from bnml.journal.reader import JournalReader
from bnml.journal.schema import JOURNAL_FILE
from bnml.venues.binance.numbers import e8

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.drill.proof import Proof
    from bnml.drill.stage import Stage
    from bnml.trading.engine import Engine

_MANY_LOTS: Final = 10**6
MOST_TRANCHES: Final = 3  # of one entry: two targets and the rest
_MOST_TOLD: Final = 3


class History(msgspec.Struct, frozen=True):
    """Our own orders and trades of one symbol, as the venue tells them."""

    symbol: str
    orders: list[dict[str, Any]]
    trades: list[dict[str, Any]]


async def judge_cover(stage: Stage, proof: Proof) -> None:
    """While the daemon lived and the venue answered, nothing held may have been bare for longer than is promised."""
    if reason := stage.exchange.foreign_clock(stage.health()):
        proof.tell(f"time without a stop is not judged: {reason}")
        return
    found = [judge(one, stage.excuses.windows, stage.speed) for one in await _spells(stage)]
    worst = max(found, key=lambda one: one.seconds, default=None)
    longest_s = 0.0 if worst is None else worst.seconds
    where = f" ({worst.spell.symbol})" if worst is not None and longest_s > PROMISE_S else ""
    proof.must(
        f"longest time without a stop by the venue's history, the daemon living and the venue answering: {longest_s:.2f} s{where} "
        f"of the machine's clock, at most {PROMISE_S:g}",
        longest_s <= PROMISE_S,
    )
    excused = [one for one in found if _whole_s(one, stage.speed) > PROMISE_S and one.reasons]
    for one in sorted(excused, key=lambda judged: -judged.seconds)[:_MOST_TOLD]:
        proof.tell(
            f"{one.spell.symbol} had none for {_whole_s(one, stage.speed):.2f} s, because {' and '.join(one.reasons)}: "
            f"{one.seconds:.2f} s outside of that"
        )


def _whole_s(judged: Judged, speed: float) -> float:
    return (judged.spell.until_ns - judged.spell.since_ns) / 1e9 / speed


async def _spells(stage: Stage) -> list[Spell]:
    """All that reached into this drill."""
    engine = recovered_engine(stage)
    note_dust(stage, engine)
    now_ns = await stage.exchange.market_ns()
    found: list[Spell] = []
    for symbol in traded_symbols(engine):
        history = await read_history(stage, symbol)
        found += spells_of(stage, engine, history, booked_e8(engine, symbol), now_ns)
    return [one for one in found if one.until_ns > stage.excuses.from_ns]


async def read_history(stage: Stage, symbol: str) -> History:
    """Orders before trades: what is filled in between counts as sold, and not as a stop that went."""
    query = {"symbol": symbol, "limit": "1000"}
    orders = await stage.exchange.read("/api/v3/allOrders", query)
    trades = await stage.exchange.read("/api/v3/myTrades", query)
    ours = {row["orderId"] for row in orders if row["clientOrderId"].startswith(PREFIX)}
    return History(
        symbol,
        [row for row in orders if row["orderId"] in ours],
        [row for row in trades if row["orderId"] in ours],
    )


def spells_of(stage: Stage, engine: Engine, history: History, held_e8: int, now_ns: int) -> list[Spell]:
    """Of one symbol, of which so much is held now."""
    symbol = history.symbol
    instrument = engine.state.symbols[symbol].instrument
    stage.coarsest[symbol] = max(stage.coarsest.get(symbol, 1), instrument.lot_step)
    least_e8 = _least_e8(engine, instrument, stage.coarsest[symbol]) + stage.most_dust_e8.get(symbol, 0)
    return spells(
        symbol,
        history.orders,
        history.trades,
        asset=instrument.base,
        held_e8=held_e8,
        least_e8=least_e8,
        now_ns=now_ns,
    )


def booked_e8(engine: Engine, symbol: str) -> int:
    """With the dust: what it was at other times follows from trades, which say nothing of what is dust."""
    position, dust = engine.portfolio.positions.get(symbol), engine.portfolio.ledger.dust.get(symbol)
    tranches = () if position is None else position.tranches
    return sum(one.base_e8 for one in tranches) + (0 if dust is None else dust.base_e8)


def note_dust(stage: Stage, engine: Engine) -> None:
    """By the ledger now and by what the daemon has said since: it lies for an hour, and a drill may be longer."""
    found = [(symbol, dust.base_e8) for symbol, dust in engine.portfolio.ledger.dust.items()]
    with JournalReader(stage.state / JOURNAL_FILE) as journal:
        found += [_dust(words) for health in journal.statuses() for words in health.dust]
    for symbol, dust_e8 in found:
        stage.most_dust_e8[symbol] = max(stage.most_dust_e8.get(symbol, 0), dust_e8)


def _dust(words: str) -> tuple[str, int]:
    """Of `0.00031592 BTC of BTCUSDT, cost 18.08 USDT`."""
    quantity, _asset, _of, symbol, *_ = words.split()
    return symbol.rstrip(","), e8(quantity)


def _least_e8(engine: Engine, instrument: Instrument, step: int) -> int:
    """What is worth less than the venue's minimum is dust, and so is what a step leaves over of each tranche: no stop is for it."""
    bar = engine.state.symbols[instrument.symbol].bar
    worth_e8 = instrument.notional_e8(bar.close, _MANY_LOTS) if bar is not None else 0
    lots = instrument.min_notional_e8 * _MANY_LOTS // worth_e8 if worth_e8 else 0
    left_over = MOST_TRANCHES * (step - 1)
    return (max(lots, instrument.min_lots) + left_over + 1) * instrument.lot_e8
