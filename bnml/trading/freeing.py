"""Whether an order that sells what other requests free or bring is certain to be refused when one of these fails."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from bnml.core.orders import OrderState, Side
from bnml.trading.coverage import held_lots, is_rest
from bnml.trading.orders import Role
from bnml.trading.refusals import is_sellable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.core.instrument import Instrument
    from bnml.trading.orders import Order, OrderBook
    from bnml.trading.portfolio import Portfolio
    from bnml.trading.positions import Tranche
    from bnml.trading.state import EngineState


_LOCKS = frozenset({OrderState.OPEN, OrderState.PARTLY_FILLED})


class Bond(Enum):
    """How surely a sale needs every single one of the cancels before it."""

    SURE = "sure"  # without one of them the venue refuses it for want of free coins
    LATER = "later"  # it will be once other orders of the position are no longer under way
    NONE = "none"  # coins of others in the account would do


def bond(
    legs: Sequence[Order], lots: int, instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> Bond:
    """Of a sale of `lots` with the cancels of these legs.

    The coins that would be free beside the smallest lock of them must not suffice: all that the account holds,
    coins of others and what entries may still bring included, less what other orders of ours lock for sure.
    Nor may coins of another tranche be free: with them the sale is taken in full though the legs have sold a part.
    """
    freed = locks(legs)
    position = portfolio.positions.get(instrument.symbol)
    if not freed or position is None:
        return Bond.NONE
    if any(_is_filling_untold(leg, book) for leg in legs):
        return (
            Bond.NONE
        )  # it frees less than we know: the venue would refuse what is made for all, or take coins of others
    is_filling = any(leg.state is OrderState.PARTLY_FILLED for leg in legs)
    if is_filling and not owns_all(instrument, book, portfolio):
        return Bond.NONE  # it may free less than we know, and coins of others make up for it
    coming_lots, others = _others(legs, instrument, book)
    all_lots = -(-portfolio.most_e8(instrument.base) // instrument.lot_e8)
    all_freed, smallest = sum(freed.values()), min(freed.values())
    free_lots = all_lots - sum(locks(others).values()) - smallest
    locked = {order.tranche for order in (*others, *legs)}
    loose_lots = sum(held_lots(one, instrument) for one in position.tranches if one.index not in locked)
    # The legs may lock what the other tranche waits for; but one that is just filling has less left already.
    is_less = lots < all_freed and not is_filling
    if free_lots + coming_lots < lots and (is_less or loose_lots <= lots - all_freed):
        return Bond.NONE if takes_others(legs, instrument, portfolio) else Bond.SURE
    return Bond.LATER if free_lots - loose_lots < lots else Bond.NONE


def _is_filling_untold(leg: Order, book: OrderBook) -> bool:
    """Whether the venue has ended the other leg of its list, which says that this one is filling, and not told how far."""
    mates = book.of_list(leg.list_id) if leg.list_id else ()
    is_alone = any(one.side is Side.SELL and one.state is OrderState.EXPIRED for one in mates)
    return is_alone and not leg.applied_lots


def may_wait(legs: Sequence[Order], lots: int) -> bool:
    """Whether a stop rests among these and locks no coins of another tranche, which may wait for them."""
    return any(leg.role is Role.STOP for leg in legs) and sum(locks(legs).values()) <= lots


def replaceable(legs: Sequence[Order], instrument: Instrument) -> Order | None:
    """The stop whose cancel, and that of its list, can be one request with the order that follows: nothing of it may be filling."""
    stops = [leg for leg in legs if leg.role is Role.STOP]
    if len(stops) != 1 or not instrument.cancel_replace_allowed:
        return None
    return stops[0] if all(leg.state is OrderState.OPEN for leg in legs) else None


def are_apart(
    tranches: Sequence[Tranche], instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> bool:
    """Whether one sale of all would wait for its cancels, or might sell coins of others, and a sale for each does neither.

    It waits, too, where it would be larger than the venue's largest sale at market, and is refused where orders of
    others lock one that has no stop for that reason. What is too small to be sold alone goes with the others.
    """
    for one in tranches:
        is_small = not is_sellable(held_lots(one, instrument), one.stop_ticks, instrument)
        if is_small and (one.legs or not one.lacks_coins):
            return False
    if any(one.legs for one in tranches) and any(one.lacks_coins and not one.legs for one in tranches):
        return True
    legs = [book.orders[leg] for tranche in tranches for leg in tranche.legs]
    each = [held_lots(tranche, instrument) for tranche in tranches]
    if not legs or not instrument.cancel_replace_allowed:
        return False
    if sum(each) > instrument.market_max_lots:
        return max(each) <= instrument.market_max_lots
    if owns_all(instrument, book, portfolio):
        return False
    return bond(legs, sum(each), instrument, book, portfolio) is Bond.NONE


def takes_others(legs: Sequence[Order], instrument: Instrument, portfolio: Portfolio) -> bool:
    """Whether coins of others are worth an order: one that leaves with the cancels of these legs could sell them.

    One of them may be filling in that moment, and its cancel ends it all the same.
    """
    lots = _foreign_e8(instrument, portfolio) // instrument.lot_e8
    return not is_rest(lots, min(leg.ticks for leg in legs), instrument)


def fits_beside(
    sale: Order, legs: Sequence[Order], instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> bool:
    """Whether the venue may have taken a sale while one of these legs locked its own: by what else there is, it was free."""
    coming_lots, others = _others([sale, *legs], instrument, book)
    all_lots = -(-portfolio.most_e8(instrument.base) // instrument.lot_e8)
    free_lots = all_lots - sum(locks(others).values()) - min(locks(legs).values())
    return free_lots + coming_lots >= sale.open_lots


def exclude_each_other(
    sales: Sequence[Order],
    tranche: Tranche,
    instrument: Instrument,
    book: OrderBook,
    portfolio: Portfolio,
) -> bool:
    """Whether the venue takes a further sale of a tranche only if it takes none of these, which are for the same coins.

    What the smallest of them locks, or has sold, must leave too little of all that could be free. Nor may there be
    coins of others or of other tranches among that, but for those that the same sale was to take: one of these orders
    that fills in part and ends would leave room for them.
    """
    position, held, lot_e8 = portfolio.positions.get(instrument.symbol), locks(sales), instrument.lot_e8
    if position is None or not held:
        return False
    dust = portfolio.ledger.dust.get(instrument.symbol)
    dust_e8 = dust.base_e8 if dust is not None else 0
    total_e8 = portfolio.most_e8(instrument.base)
    coming_lots, others = _others(sales, instrument, book)
    if coming_lots or total_e8 - dust_e8 - sum(one.base_e8 for one in position.tranches) >= lot_e8:
        return False
    shared = {order.client_order_id for order in sales} & {tranche.sale_id}
    mates = [one for one in position.tranches if one is tranche or one.sale_id in shared]
    free_e8 = total_e8 - sum(locks(others).values()) * lot_e8
    if free_e8 - dust_e8 - sum(one.base_e8 for one in mates) >= len(position.tranches) * lot_e8:
        return False  # each tranche may hold a part of a lot beside what is locked
    return free_e8 - min(held.values()) * lot_e8 < held_lots(tranche, instrument) * lot_e8


def owns_all(instrument: Instrument, book: OrderBook, portfolio: Portfolio) -> bool:
    """Whether an order of a position can sell nothing but coins of that position: there are no others, and none come."""
    if portfolio.positions.get(instrument.symbol) is None or _is_bought(instrument, book):
        return False
    return _foreign_e8(instrument, portfolio) < instrument.lot_e8


def _foreign_e8(instrument: Instrument, portfolio: Portfolio) -> int:
    """What there may be beside the position of a symbol, and its dust."""
    dust, position = portfolio.ledger.dust.get(instrument.symbol), portfolio.positions[instrument.symbol]
    own_e8 = sum(one.base_e8 for one in position.tranches) + (dust.base_e8 if dust is not None else 0)
    return portfolio.most_e8(instrument.base) - own_e8


def sells_enough(
    leg: Order, lots: int, instrument: Instrument, book: OrderBook, portfolio: Portfolio
) -> bool:
    """Whether a leg sells all; or all but a rest, where one that sells that, too, would follow its cancel by another request.

    A list is made for what is left when commissions are taken of the purchase, and they may be paid in another asset.
    Nor is it moved for a rest while more is bought: no spare may leave with it before that is over.
    """
    missing = lots - leg.open_lots
    if missing <= 0 or not is_rest(missing, leg.ticks, instrument):
        return missing == 0
    is_moved_at_once = instrument.cancel_replace_allowed or owns_all(instrument, book, portfolio)
    return _is_bought(instrument, book) or not is_moved_at_once


def fills_once(sale: Order, instrument: Instrument, book: OrderBook, portfolio: Portfolio) -> bool:
    """Whether the venue refuses this sale at market once it has taken it: no coins are there that it could sell as well."""
    if not owns_all(instrument, book, portfolio):
        return False
    _, others = _others([sale], instrument, book)
    free_lots = -(-portfolio.most_e8(instrument.base) // instrument.lot_e8) - sum(locks(others).values())
    return free_lots - sale.quantity_lots < sale.quantity_lots


def fills_once_now(state: EngineState, book: OrderBook, portfolio: Portfolio, name: str) -> bool:
    """The same by what is known by now: what was under way beside a sale when it left may be over, or coins have come."""
    sale = book.get(name)
    if sale is None or sale.symbol not in state.symbols:
        return False
    return fills_once(sale, state.symbols[sale.symbol].instrument, book, portfolio)


def strange_e8(asset: str, shown_e8: int, state: EngineState, book: OrderBook, portfolio: Portfolio) -> int:
    """How much more of a coin that we trade an account shows than we know, and than own purchases may have brought."""
    symbols = {name: one.instrument for name, one in state.symbols.items() if one.instrument.base == asset}
    if not symbols:
        return 0
    buys = [one for one in book.unsettled() if one.side is Side.BUY and one.symbol in symbols]
    coming_e8 = sum(one.due_lots * symbols[one.symbol].lot_e8 for one in buys)
    return max(0, shown_e8 - portfolio.total_e8(asset) - coming_e8)


def _is_bought(instrument: Instrument, book: OrderBook) -> bool:
    return any(one.symbol == instrument.symbol and one.side is Side.BUY for one in book.unsettled())


def _others(legs: Sequence[Order], instrument: Instrument, book: OrderBook) -> tuple[int, list[Order]]:
    """What purchases may still bring, and the sales that lock for sure beside `legs`.

    While anything of a tranche is under way or in doubt, what is called open of it may be over: an old answer says so.
    """
    chosen = {leg.client_order_id for leg in legs}
    own = [
        one
        for one in book.unsettled()
        if one.symbol == instrument.symbol and one.client_order_id not in chosen
    ]
    sales = [one for one in own if one.side is Side.SELL]
    moving = {
        one.tranche
        for one in sales
        if one.state not in _LOCKS or one.cancel_sent or one.role is Role.EXIT or book.is_ending(one)
    }
    coming_lots = sum(one.due_lots for one in own if one.side is Side.BUY)
    return coming_lots, [one for one in sales if one.tranche not in moving]


def is_alone(instrument: Instrument, book: OrderBook, portfolio: Portfolio) -> bool:
    """Whether nothing could be sold but what a purchase made now brings: no coins of others, and none on their way.

    A stop that leaves with the purchase is then refused when the purchase brings too little for it. Rests of our
    own are too small for any stop; below one lot, nothing can be sold.
    """
    dust = portfolio.ledger.dust.get(instrument.symbol)
    others_e8 = portfolio.most_e8(instrument.base) - (dust.base_e8 if dust is not None else 0)
    return others_e8 < instrument.lot_e8 and not any(
        order.symbol == instrument.symbol for order in book.unsettled()
    )


def locks(legs: Sequence[Order]) -> dict[str, int]:
    """Lots that resting sales lock, by list (its legs share one lock) or order."""
    found: dict[str, int] = {}
    for leg in legs:
        name = leg.list_id or leg.client_order_id
        found[name] = min(found.get(name, leg.open_lots), leg.open_lots)
    return found
