"""Everything that can refuse a new order or order list before anything of it exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.core.clock import NS_PER_S
from bnml.core.orders import OrderType, Side
from bnml.venues.sim import filters, list_rules
from bnml.venues.sim.messages import OrderRequest, VenueReject
from bnml.venues.sim.orders import STOP_TYPES, SimOrder, new_order
from bnml.venues.sim.rules import ExchangeRules

if TYPE_CHECKING:
    from bnml.core.instrument import Instrument
    from bnml.venues.sim.desk import Desk
    from bnml.venues.sim.matching import Matcher
    from bnml.venues.sim.messages import ListRequest
    from bnml.venues.sim.rules import SymbolRules

DUPLICATE = "Duplicate order sent."
WOULD_MATCH = "Order would immediately match and take."
WOULD_TRIGGER = "Stop price would trigger immediately."
NO_LIQUIDITY = "Order book liquidity is less than `LOT_SIZE` filter minimum quantity."
NO_LIMITS = ExchangeRules()
ONLY_LAST = {0}


class Checks:
    """Reads the desk, changes nothing."""

    def __init__(self, desk: Desk, matcher: Matcher) -> None:
        self._desk = desk
        self._matcher = matcher

    def static(self, request: OrderRequest, *, sized_later: bool = False) -> None:
        """Symbol, status, parameters and the filters that do not depend on the account."""
        desk = self._desk
        instrument = desk.instrument(request.symbol)
        rules = desk.rulebook.of(request.symbol)
        filters.check_status(instrument)
        filters.check_parameters(request, sized_later=sized_later)
        filters.check_permissions(request, instrument, rules)
        last_ticks = desk.market[request.symbol].state.last_ticks
        if not last_ticks:
            raise VenueReject(-2010, "Market is closed.")
        filters.check_amounts(request, instrument, rules, self._averages(request.symbol, last_ticks, rules))

    def order(self, account: str, request: OrderRequest) -> SimOrder:
        """Whether a single order may be placed; returns it as it would be, with its quantity."""
        desk = self._desk
        desk.account(account)
        self.static(request)
        instrument = desk.instruments[request.symbol]
        rules = desk.rulebook.of(request.symbol)
        filters.check_counts(desk.held_by(account, request.symbol), (request,), instrument, rules)
        self._exchange_counts(account, (request,))
        self._new_id(account, request.client_order_id)
        trial = self.trial(account, request)
        self._price_relation(trial)
        if rules.max_position_e8:
            self._position(trial, instrument, rules)
        needed = trial.needs_e8(instrument)
        if trial.type is OrderType.MARKET:
            needed = self._market_order(trial, rules)
        desk.account(account).require(trial.paying_asset(instrument), needed)
        return trial

    def order_list(self, account: str, request: ListRequest) -> None:
        """Whether a list may be placed; funds of pending legs are not needed yet."""
        desk = self._desk
        instrument = desk.instrument(request.symbol)
        rules = desk.rulebook.of(request.symbol)
        list_rules.check_list(request, instrument)
        working = request.working
        legs = (working, *request.pending) if working else request.pending
        by_proceeds = request.kind.startswith("OPO")
        for leg in legs:
            if leg.symbol != request.symbol:
                raise VenueReject(-1121, "Invalid symbol.")
            self.static(leg, sized_later=by_proceeds and leg is not working)
        held = desk.held_by(account, request.symbol)
        filters.check_counts(held, legs, instrument, rules)
        list_rules.check_list_count(held, rules)
        self._exchange_counts(account, legs, lists=1)
        self._new_ids(account, request, legs)
        at_once = [self.trial(account, leg) for leg in ((working,) if working else request.pending)]
        for trial in at_once:
            self._price_relation(trial)
        if rules.max_position_e8:
            self._position(at_once[0], instrument, rules)
        needed = max(trial.needs_e8(instrument) for trial in at_once)
        desk.account(account).require(at_once[0].paying_asset(instrument), needed)

    def trial(self, account: str, request: OrderRequest) -> SimOrder:
        """The order as it would be, with no number and no entry anywhere."""
        desk = self._desk
        made = new_order(request, desk.instrument(request.symbol), account, 0, "", desk.now_ns)
        made.prevention = request.prevention or desk.rulebook.of(request.symbol).prevention
        self._matcher.value(made)
        return made

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
            if not trial.stop_price_ticks:
                return
            beyond = state.last_ticks - trial.stop_price_ticks
            if beyond == 0 or (beyond > 0) == trial.acts_from_below:
                raise VenueReject(-2010, WOULD_TRIGGER)
        elif trial.type is OrderType.LIMIT_MAKER and self._matcher.taking.would_match(trial):
            raise VenueReject(-2010, WOULD_MATCH)

    def _market_order(self, trial: SimOrder, rules: SymbolRules) -> int:
        """Size a market order by quote if asked so; returns what it will pay."""
        pricing, instrument = self._desk.pricing, self._desk.instrument(trial.symbol)
        state = self._desk.market[trial.symbol].state
        if self._matcher.has_book:
            return self._walk(trial, instrument, rules)
        if trial.quote_quantity_e8:
            _, price = pricing.take(trial, 0, state, at_any_price=True)
            lots = pricing.lots_for(trial.quote_quantity_e8, price, instrument)
            _, worse = pricing.take(trial, lots, state, at_any_price=True)
            trial.quantity_lots = min(lots, pricing.lots_for(trial.quote_quantity_e8, worse, instrument))
            filters.check_quantity(trial.type, trial.quantity_lots, price, instrument, rules)
        if trial.side is Side.SELL:
            return trial.quantity_lots * instrument.lot_e8
        _, price = pricing.take(trial, trial.quantity_lots, state, at_any_price=True)
        return instrument.notional_e8(price, trial.quantity_lots)

    def _walk(self, trial: SimOrder, instrument: Instrument, rules: SymbolRules) -> int:
        """As `_market_order`, over the levels of the book."""
        if trial.side is Side.SELL and not trial.quote_quantity_e8:
            return trial.quantity_lots * instrument.lot_e8
        lots, quote_e8 = self._matcher.taking.cost(trial)
        if trial.quote_quantity_e8:
            if lots < instrument.min_lots:
                raise VenueReject(-2010, NO_LIQUIDITY)
            trial.quantity_lots = lots
            last_ticks = self._desk.market[trial.symbol].state.last_ticks
            filters.check_quantity(trial.type, lots, last_ticks, instrument, rules)
        return trial.quantity_lots * instrument.lot_e8 if trial.side is Side.SELL else quote_e8

    def _position(self, trial: SimOrder, instrument: Instrument, rules: SymbolRules) -> None:
        """MAX_POSITION: what the account has of the base asset and could still buy."""
        if trial.side is Side.SELL:
            return
        held = self._desk.held_by(trial.account, trial.symbol).orders.values()
        lots = sum(one.remaining_lots for one in held if one.side is Side.BUY) + trial.quantity_lots
        own = self._desk.account(trial.account).balances.get(instrument.base, (0, 0))
        if sum(own) + lots * instrument.lot_e8 > rules.max_position_e8:
            raise filters.filter_failure("MAX_POSITION")

    def _exchange_counts(self, account: str, legs: tuple[OrderRequest, ...], lists: int = 0) -> None:
        rules = self._desk.rulebook.exchange
        if rules != NO_LIMITS:
            held = [one for (name, _), one in self._desk.held.items() if name == account]
            filters.check_exchange_counts(held, legs, rules, lists)

    def _averages(self, symbol: str, last_ticks: int, rules: SymbolRules) -> dict[int, int]:
        """The last price, and the averages over the minutes that the filters of a symbol ask for."""
        averages = {0: last_ticks}
        bands = (rules.band_by_side, rules.band)
        asked = {rules.notional_minutes, *(band.minutes for band in bands if band is not None)}
        if asked == ONLY_LAST:
            return averages
        market = self._desk.market[symbol]
        for minutes in asked - ONLY_LAST:
            since_ns = self._desk.now_ns - minutes * 60 * NS_PER_S
            recent = [trade for trade in market.trades if trade.ts_ns > since_ns]
            lots = sum(trade.quantity_lots for trade in recent)
            paid = sum(trade.price_ticks * trade.quantity_lots for trade in recent)
            averages[minutes] = paid // lots if lots else last_ticks
        return averages
