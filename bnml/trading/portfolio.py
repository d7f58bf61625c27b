"""The exact ledger: balances by asset, positions with cost and result, equity; integers only."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bnml.core.clock import NS_PER_S
from bnml.core.events import OrderReport
from bnml.core.instrument import Instrument
from bnml.trading.positions import Position, Tranche

LAG_NS = 5 * NS_PER_S
"""What an account that is read says nothing of: it may be read from a place that lags behind."""


class Dust(msgspec.Struct):
    """Remainders of one symbol that are ours and cannot be sold alone: crumbs below a lot, rests below the minimum.

    Crumbs cost nothing: the last whole lots of a tranche carry all of its cost. A rest keeps its cost, and is
    worth that until it is sold, so that neither result nor equity tells of a loss that nobody made.
    """

    asset: str
    base_e8: int = 0
    cost_e8: int = 0
    since_ns: int = 0


class Ledger(msgspec.Struct):
    """What the account holds, as our own reports make it; 1e-8 of each asset."""

    quote: str
    totals: dict[str, int] = msgspec.field(default_factory=dict)  # free and locked together
    flows_e8: int = 0  # deposits less withdrawals of the quote asset since the start
    positions: dict[str, Position] = msgspec.field(default_factory=dict)
    dust: dict[str, Dust] = msgspec.field(default_factory=dict)  # by symbol
    strange: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    """By asset: what the account was seen to have beyond `totals`, and when; until it is booked or has gone."""

    def suspect(self, asset: str, more_e8: int, ts_ns: int) -> None:
        """So much more was seen than is known."""
        known_e8, _ = self.strange.get(asset, (0, 0))
        self.strange[asset] = max(known_e8, more_e8), ts_ns

    def explain(self, asset: str, booked_e8: int) -> None:
        """So much was booked of it; what was seen beyond that may have come since."""
        more_e8, ts_ns = self.strange.pop(asset, (0, 0))
        if more_e8 > max(0, booked_e8):
            self.strange[asset] = more_e8 - max(0, booked_e8), ts_ns

    def trust(self, read_ns: int) -> None:
        """The account was read, and agrees by now: what was seen long enough before that has gone."""
        for asset in [one for one, (_, ts_ns) in self.strange.items() if ts_ns <= read_ns - LAG_NS]:
            del self.strange[asset]


class Portfolio:
    """Applies fills and flows to the ledger and answers what is held; knows nothing of orders' states."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    @property
    def positions(self) -> dict[str, Position]:
        return self.ledger.positions

    def total_e8(self, asset: str) -> int:
        return self.ledger.totals.get(asset, 0)

    def most_e8(self, asset: str) -> int:
        """What the account may hold: coins included that others have brought and no comparison has booked yet."""
        return self.total_e8(asset) + self.ledger.strange.get(asset, (0, 0))[0]

    def adopt(self, assets: Mapping[str, tuple[int, int]], read_ns: int) -> dict[str, int]:
        """Take the venue's balances as the truth; return by how much each known asset was off."""
        seen = {asset: free + locked for asset, (free, locked) in assets.items()}
        off = {
            asset: seen.get(asset, 0) - total
            for asset, total in self.ledger.totals.items()
            if seen.get(asset, 0) != total
        }
        for asset in list(self.ledger.strange):
            self.ledger.explain(asset, seen.get(asset, 0) - self.total_e8(asset))
        self.ledger.totals = {asset: total for asset, total in sorted(seen.items()) if total}
        self.ledger.trust(read_ns)
        return off

    def flow(self, asset: str, amount_e8: int) -> None:
        """Book a deposit or withdrawal: it changes what is held and is no result."""
        self._add(asset, amount_e8)

    def buy(self, tranche: Tranche, report: OrderReport, instrument: Instrument) -> int:
        """Book the fill of an entry; returns its notional."""
        notional_e8 = instrument.notional_e8(report.last_ticks, report.last_lots)
        bought_e8 = report.last_lots * instrument.lot_e8
        self._add(instrument.quote, -notional_e8)
        self._add(instrument.base, bought_e8)
        self._add(report.commission_asset, -report.commission_e8)
        in_base = report.commission_e8 if report.commission_asset == instrument.base else 0
        in_quote = report.commission_e8 if report.commission_asset == instrument.quote else 0
        tranche.bought_lots += report.last_lots
        tranche.base_e8 += bought_e8 - in_base
        tranche.cost_e8 += notional_e8 + in_quote
        return notional_e8

    def buy_reserve(self, report: OrderReport, instrument: Instrument) -> int:
        """Book the fill of a purchase that is no position; returns the quote that went."""
        notional_e8 = instrument.notional_e8(report.last_ticks, report.last_lots)
        self._add(instrument.quote, -notional_e8)
        self._add(instrument.base, report.last_lots * instrument.lot_e8)
        self._add(report.commission_asset, -report.commission_e8)
        return notional_e8 + (report.commission_e8 if report.commission_asset == instrument.quote else 0)

    def sell(self, tranches: list[Tranche], report: OrderReport, instrument: Instrument) -> int:
        """Book the fill of a sale over `tranches` in their order; returns its result in quote.

        Result = notional - commission in quote - cost of what was sold; the last lots of a tranche carry
        all of its remaining cost. A commission in a third asset leaves that asset's balance only.
        """
        notional_e8 = instrument.notional_e8(report.last_ticks, report.last_lots)
        self._add(instrument.quote, notional_e8)
        self._add(instrument.base, -report.last_lots * instrument.lot_e8)
        self._add(report.commission_asset, -report.commission_e8)
        in_quote = report.commission_e8 if report.commission_asset == instrument.quote else 0
        proceeds_e8 = notional_e8 - in_quote
        left_lots, left_e8, result_e8 = report.last_lots, proceeds_e8, 0
        for tranche in tranches:
            held_lots = tranche.lots(instrument.lot_e8)
            lots = min(held_lots, left_lots)
            if lots == 0:
                continue
            share_e8 = left_e8 if lots == left_lots else left_e8 * lots // left_lots
            cost_e8 = tranche.cost_e8 if lots == held_lots else tranche.cost_e8 * lots // held_lots
            tranche.base_e8 -= lots * instrument.lot_e8
            tranche.cost_e8 -= cost_e8
            tranche.pnl_e8 += share_e8 - cost_e8
            result_e8 += share_e8 - cost_e8
            left_lots -= lots
            left_e8 -= share_e8
        return result_e8

    def lay_aside(self, tranche: Tranche, instrument: Instrument, ts_ns: int) -> None:
        """Move what is left of a tranche to the dust, with its cost."""
        if not tranche.base_e8 and not tranche.cost_e8:
            return
        dust = self.ledger.dust.setdefault(instrument.symbol, Dust(instrument.base, since_ns=ts_ns))
        dust.base_e8 += tranche.base_e8
        dust.cost_e8 += tranche.cost_e8
        tranche.base_e8 = tranche.cost_e8 = 0
        if not dust.base_e8:
            del self.ledger.dust[instrument.symbol]

    def take_along(self, tranche: Tranche, instrument: Instrument) -> None:
        """Add the dust of a symbol to a tranche that is about to be sold, if a whole rest is among it."""
        dust = self.ledger.dust.get(instrument.symbol)
        if dust is not None and dust.cost_e8:  # crumbs stay: they change no quantity that was decided upon
            self.take_up(tranche, instrument)

    def take_up(self, tranche: Tranche, instrument: Instrument) -> None:
        """Move all dust of a symbol, if there is any, to a tranche, with its cost."""
        dust = self.ledger.dust.pop(instrument.symbol, None)
        if dust is not None:
            tranche.base_e8 += dust.base_e8
            tranche.cost_e8 += dust.cost_e8

    def cut_dust(self, asset: str) -> int:
        """Let go of dust of an asset that is not there any more, positions first; returns what it had cost."""
        before_e8, left_e8 = self.dust_e8, max(0, self.total_e8(asset))
        ours = {symbol: dust for symbol, dust in self.ledger.dust.items() if dust.asset == asset}
        for symbol, dust in sorted(ours.items()):
            position = self.positions.get(symbol)
            held_e8 = sum(one.base_e8 for one in position.tranches) if position is not None else 0
            self._shrink(symbol, dust, left_e8 - held_e8)
        return before_e8 - self.dust_e8

    def cut(self, position: Position, instrument: Instrument) -> None:
        """Let go of coins of a position that are not there any more, from its last tranche on; what they cost is lost."""
        held_e8 = sum(one.base_e8 for one in position.tranches)
        gone_e8 = max(0, held_e8 - max(0, self.total_e8(instrument.base)))
        gone_e8 = position.let_crumbs_go(gone_e8, instrument.lot_e8)
        for tranche in reversed(position.tranches):
            taken_e8 = min(gone_e8, tranche.base_e8)
            tranche.base_e8 -= taken_e8
            gone_e8 -= taken_e8

    def _shrink(self, symbol: str, dust: Dust, held_e8: int) -> None:
        """The venue holds less of the asset than our dust: the operator has converted or withdrawn it."""
        if held_e8 >= dust.base_e8:
            return
        if held_e8 <= 0:
            del self.ledger.dust[symbol]
            return
        dust.cost_e8 = dust.cost_e8 * held_e8 // dust.base_e8
        dust.base_e8 = held_e8

    def equity_e8(self, marks: Mapping[str, int], instruments: Mapping[str, Instrument]) -> int:
        """Quote held, whole lots of open positions at `marks` (ticks), dust at cost; without a mark at cost, too."""
        return (
            self.total_e8(self.ledger.quote)
            + sum(
                value_e8(position, marks.get(symbol, 0), instruments[symbol])
                for symbol, position in self.positions.items()
            )
            + self.dust_e8
        )

    @property
    def paid_e8(self) -> int:
        """What everything of ours has cost, dust as well."""
        return sum(position.cost_e8 for position in self.positions.values()) + self.dust_e8

    @property
    def dust_e8(self) -> int:
        """What all dust has cost."""
        return sum(one.cost_e8 for one in self.ledger.dust.values())

    def _add(self, asset: str, amount_e8: int) -> None:
        if amount_e8:
            self.ledger.totals[asset] = self.ledger.totals.get(asset, 0) + amount_e8


def value_e8(position: Position, mark_ticks: int, instrument: Instrument) -> int:
    """What a position is worth at a price of `mark_ticks`; at cost where no price is known (0)."""
    if mark_ticks == 0:
        return position.cost_e8
    return instrument.notional_e8(mark_ticks, position.lots(instrument.lot_e8))
