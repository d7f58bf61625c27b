"""Everything that can refuse a new order or order list before anything of it exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.orders import OrderType, Side
from bnml.venues.sim import filters
from bnml.venues.sim.messages import OrderRequest, VenueReject
from bnml.venues.sim.orders import STOP_TYPES, SimOrder, new_order

if TYPE_CHECKING:
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import ListRequest

DUPLICATE = "Duplicate order sent."
WOULD_MATCH = "Order would immediately match and take."
WOULD_TRIGGER = "Stop price would trigger immediately."


class Checks:
    """Reads the desk, changes nothing."""

    def __init__(self, desk: Desk, matcher: Matcher) -> None:
        self._desk = desk
        self._matcher = matcher

    def static(self, request: OrderRequest, *, sized_later: bool = False) -> None:
        """Symbol, status, parameters and the filters that do not depend on the account."""
        instrument = self._desk.instrument(request.symbol)
        filters.check_status(instrument)
        filters.check_parameters(request, sized_later=sized_later)
        last_ticks = self._desk.market[request.symbol].state.last_ticks
        if not last_ticks:
            raise VenueReject(-2010, "Market is closed.")
        filters.check_amounts(request, instrument, last_ticks)

    def order(self, account: str, request: OrderRequest) -> int:
        """Whether a single order may be placed; returns its quantity in lots."""
        desk = self._desk
        desk.account(account)
        self.static(request)
        instrument = desk.instrument(request.symbol)
        filters.check_counts(desk.open_orders(account, request.symbol), (request,), instrument)
        self._new_id(account, request.client_order_id)
        trial = self.trial(account, request)
        self._price_relation(trial)
        needed = trial.needs_e8(instrument)
        if trial.type is OrderType.MARKET:
            needed = self._market_order(trial)
        desk.account(account).require(trial.paying_asset(instrument), needed)
        return trial.quantity_lots

    def order_list(self, account: str, request: ListRequest) -> None:
        """Whether a list may be placed; funds of pending legs are not needed yet."""
        desk = self._desk
        instrument = desk.instrument(request.symbol)
        filters.check_list(request, instrument)
        working = request.working
        legs = (working, *request.pending) if working else request.pending
        by_proceeds = request.kind.startswith("OPO")
        for leg in legs:
            if leg.symbol != request.symbol:
                raise VenueReject(-1121, "Invalid symbol.")
            self.static(leg, sized_later=by_proceeds and leg is not working)
        filters.check_counts(desk.open_orders(account, request.symbol), legs, instrument)
        self._new_ids(account, request, legs)
        at_once = [self.trial(account, leg) for leg in ((working,) if working else request.pending)]
        for trial in at_once:
            self._price_relation(trial)
        needed = max(trial.needs_e8(instrument) for trial in at_once)
        desk.account(account).require(at_once[0].paying_asset(instrument), needed)

    def trial(self, account: str, request: OrderRequest) -> SimOrder:
        """The order as it would be, with no number and no entry anywhere."""
        desk = self._desk
        return new_order(request, desk.instrument(request.symbol), account, 0, "", desk.now_ns)

    def _new_ids(self, account: str, request: ListRequest, legs: tuple[OrderRequest, ...]) -> None:
        given = [leg.client_order_id for leg in legs if leg.client_order_id]
        if len(set(given)) != len(given) or (account, request.list_client_order_id) in self._desk.open_lists:
            raise VenueReject(-2010, DUPLICATE)
        for client_order_id in given:
            self._new_id(account, client_order_id)

    def _new_id(self, account: str, client_order_id: str) -> None:
        if (account, client_order_id) in self._desk.open_ids:
            raise VenueReject(-2010, DUPLICATE)

    def _price_relation(self, trial: SimOrder) -> None:
        state = self._desk.market[trial.symbol].state
        if trial.type in STOP_TYPES:
            beyond = state.last_ticks - trial.stop_price_ticks
            if beyond == 0 or (beyond > 0) == trial.acts_from_below:
                raise VenueReject(-2010, WOULD_TRIGGER)
        elif trial.type is OrderType.LIMIT_MAKER and self._matcher.would_match(trial):
            raise VenueReject(-2010, WOULD_MATCH)

    def _market_order(self, trial: SimOrder) -> int:
        """Size a market order by quote if asked so; returns what it will pay."""
        pricing, instrument = self._desk.pricing, self._desk.instrument(trial.symbol)
        state = self._desk.market[trial.symbol].state
        if trial.quote_quantity_e8:
            _, price = pricing.take(trial, 0, state, at_any_price=True)
            lots = pricing.lots_for(trial.quote_quantity_e8, price, instrument)
            _, worse = pricing.take(trial, lots, state, at_any_price=True)
            trial.quantity_lots = min(lots, pricing.lots_for(trial.quote_quantity_e8, worse, instrument))
            filters.check_quantity(trial.type, trial.quantity_lots, price, instrument)
        if trial.side is Side.SELL:
            return trial.quantity_lots * instrument.lot_e8
        _, price = pricing.take(trial, trial.quantity_lots, state, at_any_price=True)
        return instrument.notional_e8(price, trial.quantity_lots)
