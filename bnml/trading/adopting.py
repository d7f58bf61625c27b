"""Orders of ours that the journal does not know become part of the books: their fills are counted, what rests protects."""

from __future__ import annotations

from bnml.core.commands import CancelList, CancelOrder
from bnml.core.events import Adoption, OrderReport, Stranger
from bnml.core.instrument import Instrument
from bnml.core.orders import FINAL_STATES, OrderType, Side
from bnml.core.outcomes import Trade
from bnml.kernels import exits
from bnml.kernels.fills import mul_ppm
from bnml.kernels.records import ExitReason
from bnml.trading.compile import EngineConfig
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.outbox import Outbox
from bnml.trading.portfolio import Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.state import EngineState

STOPS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
UNRULED_STOP_PPM = 50_000
"""Distance of the stop of a holding that was adopted bare, under rules without a hard one."""
_REASONS = {Role.WORKING: ExitReason.NONE, Role.TARGET: ExitReason.TARGET1, Role.STOP: ExitReason.STOP}


class AdoptionDesk:
    """Counts what was missed in one symbol, then shares what is held among the orders that rest there.

    Tranches that known orders still protect stay as they are. What nothing protects becomes a tranche of its own
    with a stop as far below its cost as the rules allow; protection places it at once.
    """

    def __init__(
        self, config: EngineConfig, state: EngineState, book: OrderBook, portfolio: Portfolio
    ) -> None:
        self._config = config
        self._state = state
        self._book = book
        self._portfolio = portfolio

    def adopt(self, event: Adoption, out: Outbox) -> None:
        """Take over one symbol; orders that have nothing to sell, and purchases that still rest, are cancelled."""
        instrument = self._state.symbols[event.symbol].instrument
        position = self._portfolio.positions.get(event.symbol)
        if position is None:
            position = Position(event.symbol, event.ts_ns, 0, 0, 0, self._config.rules.tobytes(), [])
        pool = self._pool(position)
        known = {one.client_order_id for one in event.orders if self._is_counted(one)}
        for stranger in event.orders:
            if stranger.client_order_id not in known:
                self._register(event.symbol, stranger, pool)
        for report in event.fills:
            self._count(report, position, pool, instrument, out)
        self._share([one for one in event.orders if one.client_order_id not in known], position, pool, out)
        self._lay_rest_aside(pool, position, instrument, event.ts_ns)
        if any(tranche.base_e8 or tranche.legs or tranche.working_id for tranche in position.tranches):
            self.measure(position, [one.ticks for one in event.orders if one.side is Side.BUY])
            self._portfolio.positions[event.symbol] = position
        else:
            self._portfolio.positions.pop(event.symbol, None)
        text = (
            f"{event.symbol}: {len(event.orders)} orders, {len(event.fills)} fills taken over from the venue"
        )
        out.alert("warning", "orders_adopted", text)

    def _is_counted(self, stranger: Stranger) -> bool:
        """A second telling of what is in the books already."""
        order = self._book.get(stranger.client_order_id)
        return order is not None and not (order.is_final and stranger.state not in FINAL_STATES)

    def _pool(self, position: Position) -> Tranche:
        """One tranche of all that no living order of ours stands for."""
        free = [one for one in position.tranches if not self._is_tended(one)]
        position.tranches = [one for one in position.tranches if one not in free]
        index = 1 + max((one.index for one in (*position.tranches, *free)), default=0)
        stops = [one.stop_ticks for one in free if one.base_e8]
        pool = Tranche(index, 0, max(stops, default=0), int(ExitReason.HARD_STOP))
        for one in free:
            pool.bought_lots += one.bought_lots
            pool.base_e8 += one.base_e8
            pool.cost_e8 += one.cost_e8
            pool.pnl_e8 += one.pnl_e8
        position.tranches.append(pool)
        return pool

    def _is_tended(self, tranche: Tranche) -> bool:
        names = (tranche.working_id, tranche.sale_id, *tranche.legs)
        orders = [order for name in names if (order := self._book.get(name)) is not None]
        return any(not order.is_settled for order in orders)

    def _register(self, symbol: str, stranger: Stranger, pool: Tranche) -> None:
        role = _role(stranger)
        order = Order(
            stranger.client_order_id,
            symbol,
            stranger.side,
            role,
            pool.index,
            stranger.quantity_lots,
            stranger.ticks,
            int(_REASONS.get(role, ExitReason.OPERATOR)),
            stranger.list_id,
        )
        order.state, order.cumulative_lots = stranger.state, stranger.executed_lots
        order.limit_ticks = stranger.ticks if stranger.type is OrderType.STOP_LOSS_LIMIT else 0
        self._book.register(order)

    def _count(
        self, report: OrderReport, position: Position, pool: Tranche, instrument: Instrument, out: Outbox
    ) -> None:
        order = self._book.orders[report.client_order_id]
        if not self._book.apply(report):
            return
        result_e8 = 0
        if report.side is Side.BUY:
            self._portfolio.buy(pool, report, instrument)
            position.entered_ns = position.entered_ns or report.ts_ns
        else:
            # What orders seem to stand for goes last: some of them may be over, or never have been there.
            sold = sorted(position.tranches, key=lambda one: one is not pool and 1 + self._is_tended(one))
            result_e8 = self._portfolio.sell(sold, report, instrument)
        out.outcomes.append(
            Trade(
                symbol=order.symbol,
                ts_ns=report.ts_ns,
                side=order.side,
                tranche=pool.index,
                quantity_lots=report.last_lots,
                price_ticks=report.last_ticks,
                commission_e8=report.commission_e8,
                commission_asset=report.commission_asset,
                reason=order.reason,
                pnl_e8=result_e8,
                client_order_id=order.client_order_id,
            )
        )

    def _share(self, strangers: list[Stranger], position: Position, pool: Tranche, out: Outbox) -> None:
        """A tranche for each group of orders that rests, as long as something is left to sell."""
        instrument = self._state.symbols[position.symbol].instrument
        groups: dict[str, list[Order]] = {}
        for stranger in strangers:
            order = self._book.orders[stranger.client_order_id]
            if not order.is_final:
                groups.setdefault(order.list_id or order.client_order_id, []).append(order)
        for name, legs in groups.items():
            lots = min(max(leg.open_lots for leg in legs), pool.lots(instrument.lot_e8))
            if any(leg.side is Side.BUY for leg in legs):
                self._cancel(name, legs, out)
                position.tranches.append(self._awaiting(legs, position))
            elif lots == 0:
                self._cancel(name, legs, out)
            else:
                position.tranches.append(self._split(pool, lots, legs, position, instrument))

    def _lay_rest_aside(self, pool: Tranche, position: Position, instrument: Instrument, ts_ns: int) -> None:
        """What no order sells beside those that rest, and the venue would not take: crumbs of all that was bought."""
        if len(position.tranches) == 1:
            return
        if pool.cost_e8 < instrument.min_notional_e8:
            self._portfolio.lay_aside(pool, instrument, ts_ns)
        if pool.base_e8 == 0 and not pool.pnl_e8:
            position.tranches.remove(pool)

    @staticmethod
    def _cancel(name: str, legs: list[Order], out: Outbox) -> None:
        for leg in legs:
            leg.cancel_sent = True
        if legs[0].list_id:
            out.commands.append(CancelList(legs[0].symbol, name, "adopted without anything to sell"))
        else:
            out.commands.append(CancelOrder(legs[0].symbol, name, "adopted without anything to sell"))

    def _awaiting(self, legs: list[Order], position: Position) -> Tranche:
        """A tranche for what a purchase may still buy before its cancel is carried out."""
        buy = next(leg for leg in legs if leg.side is Side.BUY)
        made = Tranche(
            1 + max(one.index for one in position.tranches),
            0,
            max(1, buy.ticks - mul_ppm(buy.ticks, hard_stop_ppm(self._config))) if buy.ticks else 0,
            int(ExitReason.HARD_STOP),
            legs=[leg.client_order_id for leg in legs if leg is not buy],
        )
        made.working_id = buy.client_order_id
        for leg in legs:
            leg.tranche = made.index
        return made

    @staticmethod
    def _split(
        pool: Tranche, lots: int, legs: list[Order], position: Position, instrument: Instrument
    ) -> Tranche:
        """Take `lots` out of the pool for the legs; the last of them also carry the dust."""
        whole = lots == pool.lots(instrument.lot_e8)
        base_e8 = pool.base_e8 if whole else lots * instrument.lot_e8
        cost_e8 = pool.cost_e8 if whole else pool.cost_e8 * base_e8 // pool.base_e8
        stop = next((leg for leg in legs if leg.role is Role.STOP), None)
        target = next((leg for leg in legs if leg.role is Role.TARGET), None)
        made = Tranche(
            1 + max(one.index for one in position.tranches),
            target.ticks if target is not None else 0,
            stop.ticks if stop is not None else pool.stop_ticks,
            int(ExitReason.STOP),
            legs=[leg.client_order_id for leg in legs],
            bought_lots=lots,
            base_e8=base_e8,
            cost_e8=cost_e8,
        )
        for leg in legs:
            leg.tranche = made.index
        pool.base_e8 -= base_e8
        pool.cost_e8 -= cost_e8
        pool.bought_lots = max(0, pool.bought_lots - lots)
        return made

    def measure(self, position: Position, limits: list[int]) -> None:
        """Levels that an adopted position lacks, from what was paid for it, or may be at most, and the rules."""
        instrument = self._state.symbols[position.symbol].instrument
        held_e8 = sum(tranche.base_e8 for tranche in position.tranches)
        paid = (
            position.cost_e8 * 10**8 // (held_e8 * instrument.tick_e8) if held_e8 else max(limits, default=0)
        )
        rules = self._config.rules[0]
        if not position.reference_ticks and paid:
            distance = mul_ppm(paid, hard_stop_ppm(self._config))
            position.reference_ticks = paid
            position.atr_ticks = distance * 1_000_000 // (int(rules["stop_atr_ppm"]) or 1_000_000)
            position.activation_ticks = int(exits.trail_activation(paid, rules))
        for tranche in position.tranches:
            if not tranche.stop_ticks and paid:
                tranche.stop_ticks = max(1, paid - mul_ppm(paid, hard_stop_ppm(self._config)))


def hard_stop_ppm(config: EngineConfig) -> int:
    """How far below its price the stop of a holding lies that no entry has given one."""
    return int(config.rules[0]["hard_stop_ppm"]) or UNRULED_STOP_PPM


def _role(stranger: Stranger) -> Role:
    """What an order of ours is for, by its side and type: entries buy, stops wait, targets rest, exits take."""
    if stranger.side is Side.BUY:
        return Role.WORKING
    if stranger.type in STOPS:
        return Role.STOP
    return Role.EXIT if stranger.type is OrderType.MARKET else Role.TARGET
