"""Money and coins that come or go without an order of ours: booked as flows, never as results."""

from __future__ import annotations

from bnml.core.events import Balances, CapitalFlow
from bnml.core.instrument import Instrument
from bnml.trading.capital import count_flow
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio, value_e8
from bnml.trading.positions import Position
from bnml.trading.protection import Protection
from bnml.trading.reports import ReportDesk
from bnml.trading.risk.breakers import Breakers
from bnml.trading.state import EngineState


class FlowDesk:
    """Keeps the ledger equal to the account when others move it, and what losses are measured by in proportion.

    Coins of an open position that are gone leave it at the last price, as a withdrawal of that value: what
    somebody else sold is no result of ours, and no stop may ask for what is not there.
    """

    def __init__(
        self,
        state: EngineState,
        portfolio: Portfolio,
        protection: Protection,
        reports: ReportDesk,
        breakers: Breakers,
    ) -> None:
        self._state = state
        self._portfolio = portfolio
        self._protection = protection
        self._reports = reports
        self._breakers = breakers

    def balances(self, event: Balances, out: Outbox) -> None:
        """Take the venue's account as the truth; what it has more or less than ours came or went."""
        off = self._portfolio.adopt(event.assets, event.ts_ns)
        if off:
            self._state.ramp.flowed_ns = self._state.now_ns
            text = ", ".join(f"{asset} by {amount}" for asset, amount in sorted(off.items()))
            out.alert("critical", "balances_adopted", f"the venue's balances differ from ours (1e-8): {text}")
        count_flow(self._state, self._breakers, off.get(self._state.ledger.quote, 0))
        for asset in sorted({*off, *event.assets}):
            self._let_go(asset, event.ts_ns, out)

    def flow(self, event: CapitalFlow, out: Outbox) -> None:
        """One asset grew or shrank; or more of it was seen than is known, and is nobody's of ours."""
        if event.strange_e8:
            self._portfolio.ledger.suspect(event.asset, event.strange_e8, event.ts_ns)
            self._protection.stir()  # beside coins of others less is done than without them
            return
        if event.is_compared:
            self._portfolio.ledger.explain(event.asset, event.amount_e8)
        self._portfolio.flow(event.asset, event.amount_e8)
        self._state.ramp.flowed_ns = self._state.now_ns
        if event.asset == self._state.ledger.quote:
            count_flow(self._state, self._breakers, event.amount_e8)
        else:
            self._let_go(event.asset, event.ts_ns, out)

    def _let_go(self, asset: str, ts_ns: int, out: Outbox) -> None:
        """What our books claim of an asset becomes what is there: dust goes first, then the last tranche."""
        count_flow(self._state, self._breakers, -self._portfolio.cut_dust(asset))
        for symbol, position in sorted(self._portfolio.positions.items()):
            symbol_state = self._state.symbols.get(symbol)
            if symbol_state is None or symbol_state.instrument.base != asset:
                continue
            self._protection.stir(symbol)  # beside coins of others less is done than without them
            gone_e8 = sum(one.base_e8 for one in position.tranches) - max(0, self._portfolio.total_e8(asset))
            if gone_e8 <= 0:
                continue
            mark_ticks = symbol_state.bar.close if symbol_state.bar is not None else 0
            worth_e8 = _take(position, gone_e8, mark_ticks, symbol_state.instrument)
            count_flow(self._state, self._breakers, -worth_e8)
            out.alert(
                "critical",
                "position_taken",
                f"{symbol}: {gone_e8} (1e-8) of {asset} that we held are gone from the account, not sold by us; "
                "the position is smaller by them, at the last price",
            )
            # What was refused for want of coins is asked for less now.
            self._protection.refusals.try_now(position)
            self._reports.advance(symbol, ts_ns, out, patient=False)


def takes_ours(flow: CapitalFlow, portfolio: Portfolio, state: EngineState) -> bool:
    """Whether, as far as the ledger knows the account, a payment leaves less of an asset than positions and dust claim.

    It need not be so: what others have bought is only known when the account has been compared. Until then a total
    that lacks it would make the next purchase smaller than it is.
    """
    ours_e8 = sum(one.base_e8 for one in state.ledger.dust.values() if one.asset == flow.asset)
    for symbol, position in portfolio.positions.items():
        if state.symbols[symbol].instrument.base == flow.asset:
            ours_e8 += sum(one.base_e8 for one in position.tranches)
    return flow.amount_e8 < 0 and portfolio.total_e8(flow.asset) + flow.amount_e8 < ours_e8


def _take(position: Position, gone_e8: int, mark_ticks: int, instrument: Instrument) -> int:
    """Remove so much of the base asset, from the last tranche on; returns its value at the mark (or at cost)."""
    before_e8 = value_e8(position, mark_ticks, instrument)
    gone_e8 = position.let_crumbs_go(gone_e8, instrument.lot_e8)
    for tranche in reversed(position.tranches):
        taken_e8 = min(gone_e8, tranche.base_e8)
        if taken_e8 == 0:
            continue
        cost_e8 = tranche.cost_e8 * taken_e8 // tranche.base_e8
        held_before_e8 = value_e8(position, mark_ticks, instrument)
        tranche.base_e8 -= taken_e8
        tranche.cost_e8 -= cost_e8
        tranche.pnl_e8 += held_before_e8 - value_e8(position, mark_ticks, instrument) - cost_e8
        gone_e8 -= taken_e8
    return before_e8 - value_e8(position, mark_ticks, instrument)
