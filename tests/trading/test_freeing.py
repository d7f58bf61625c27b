"""When a sale and the cancels before it may leave in one write: each thing that could let the sale in without them."""

from functools import partial

import msgspec
import pytest

from bnml.core.orders import OrderState, Side
from bnml.trading.freeing import Bond, bond, fills_once, fills_once_now, locks, owns_all
from bnml.trading.orders import Order, OrderBook, Role
from bnml.trading.portfolio import Dust, Ledger, Portfolio
from bnml.trading.positions import Position, Tranche
from bnml.trading.state import EngineState, SymbolState
from tests.trading.kit import instrument

ONE = instrument()
LOTS = 5000


class Desk:
    """Two tranches with a list each, and one with a stop alone; `foreign_lots` are of others."""

    def __init__(self, foreign_lots=0, lots=(LOTS, LOTS, LOTS)):
        self.book = OrderBook()
        held = [Tranche(index, 0, 1, 3, base_e8=one * ONE.lot_e8) for index, one in enumerate(lots, 1)]
        position = Position(ONE.symbol, 0, 1, 1, 1, b"", held)
        total_e8 = (sum(lots) + foreign_lots) * ONE.lot_e8
        self.portfolio = Portfolio(Ledger("USDT", {ONE.base: total_e8}, positions={ONE.symbol: position}))
        self.first = [self.rests("t1", Role.TARGET, 1, "l1"), self.rests("s1", Role.STOP, 1, "l1")]
        self.second = [self.rests("t2", Role.TARGET, 2, "l2"), self.rests("s2", Role.STOP, 2, "l2")]
        self.third = self.rests("s3", Role.STOP, 3, "")

    def rests(self, name, role, tranche, list_id):
        order = Order(name, ONE.symbol, Side.SELL, role, tranche, LOTS, 1, list_id=list_id)
        order.state = OrderState.OPEN
        self.book.register(order)
        return order

    def sold(self, order, lots, state=OrderState.PARTLY_FILLED):
        """As the ledger counts it, before the venue says what follows for the other leg."""
        order.applied_lots, order.state = lots, state
        self.portfolio.positions[ONE.symbol].tranches[order.tranche - 1].base_e8 -= lots * ONE.lot_e8
        self.portfolio.ledger.totals[ONE.base] -= lots * ONE.lot_e8

    def bond(self, legs=None, lots=LOTS, one=ONE):
        return bond(legs or self.first, lots, one, self.book, self.portfolio)


def test_a_list_and_its_successor_leave_together_while_all_others_rest():
    assert Desk().bond() is Bond.SURE


@pytest.mark.parametrize(
    ("is_told", "foreign_lots", "found"),
    [(True, 0, Bond.SURE), (True, 1, Bond.NONE), (False, 0, Bond.NONE), (False, 1, Bond.NONE)],
)
def test_a_target_that_is_filling_may_free_less_than_we_know(is_told, foreign_lots, found):
    """Its successor, for more than was left, was let in by coins of others once, and sold them: also by some nobody knew of."""
    desk = Desk(foreign_lots)
    target, stop = desk.first
    stop.state = OrderState.EXPIRED
    if is_told:
        desk.sold(target, 2000)
    assert desk.bond([target], target.open_lots) is found


@pytest.mark.parametrize(("strange_lots", "found"), [(0, Bond.SURE), (1, Bond.NONE)])
def test_coins_that_were_seen_and_not_compared_yet_count_as_those_of_others(strange_lots, found):
    desk = Desk()
    target, stop = desk.first
    stop.state = OrderState.EXPIRED
    desk.sold(target, 2000)
    desk.portfolio.ledger.suspect(ONE.base, strange_lots * ONE.lot_e8, 1)
    assert desk.bond([target], target.open_lots) is found


@pytest.mark.parametrize(("foreign_lots", "found"), [(0, Bond.SURE), (1, Bond.NONE)])
def test_a_stop_that_is_filling_may_free_less_than_we_know(foreign_lots, found):
    desk = Desk(foreign_lots)
    desk.sold(desk.third, 2000)
    assert desk.bond([desk.third], desk.third.open_lots) is found


def test_an_order_that_the_book_has_forgotten_may_fill_twice():
    desk = Desk()
    state = EngineState(desk.portfolio.ledger, None)
    assert not fills_once_now(state, desk.book, desk.portfolio, "nobody")


def test_coins_of_others_that_do_not_suffice_alone_untie_nothing():
    assert Desk(LOTS - 1).bond() is Bond.SURE
    assert Desk(LOTS).bond() is Bond.NONE


def test_a_part_of_a_lot_of_others_counts_as_a_lot():
    desk = Desk(LOTS - 1)
    desk.portfolio.ledger.totals[ONE.base] += 1
    assert desk.bond() is Bond.NONE


def purchase(state, told_lots=0):
    order = Order("w", ONE.symbol, Side.BUY, Role.WORKING, 4, LOTS, 1, state=state)
    order.cumulative_lots, order.applied_lots = LOTS, told_lots
    return order


def test_a_purchase_whose_fill_has_not_been_told_may_pay_for_a_sale():
    desk = Desk()
    desk.book.register(purchase(OrderState.FILLED))
    assert desk.bond() is not Bond.SURE
    assert not owns_all(ONE, desk.book, desk.portfolio)
    desk.book.register(purchase(OrderState.FILLED, LOTS))
    assert desk.bond() is Bond.SURE
    assert owns_all(ONE, desk.book, desk.portfolio)


@pytest.mark.parametrize("state", [OrderState.PENDING, OrderState.UNKNOWN])
def test_a_list_that_an_old_answer_calls_open_is_no_lock_while_its_successor_is_not_known(state):
    desk = Desk(lots=(LOTS, LOTS, 0))
    desk.book.expire("s3")
    assert desk.bond() is Bond.SURE
    desk.rests("t4", Role.TARGET, 2, "l4").state = state
    assert desk.bond() is Bond.LATER


def test_a_leg_in_doubt_makes_a_doubt_of_the_other():
    desk = Desk()
    desk.second[1].state = OrderState.UNKNOWN
    assert desk.bond() is Bond.LATER


def test_a_smaller_tranche_that_is_under_way_would_let_in_what_a_partial_fill_left_too_large():
    desk = Desk(lots=(LOTS, LOTS, 10))
    desk.third.quantity_lots = 10
    assert desk.bond() is Bond.SURE
    desk.third.cancel_sent = True
    assert desk.bond() is Bond.LATER


def test_a_sale_at_market_may_end_without_selling():
    desk = Desk(lots=(LOTS, LOTS, 10))
    desk.third.quantity_lots, desk.third.role = 10, Role.EXIT
    assert desk.bond() is Bond.LATER


def test_what_is_below_the_step_of_the_venue_is_in_nobodys_way():
    desk = Desk(lots=(LOTS, LOTS, 7))
    desk.book.expire("s3")
    assert desk.bond() is Bond.LATER
    assert desk.bond(one=msgspec.structs.replace(ONE, lot_step=10)) is Bond.SURE


def test_a_sale_of_everything_takes_the_free_tranche_along_and_can_sell_no_more():
    desk = Desk(lots=(LOTS, LOTS, 10))
    desk.book.expire("s3")
    assert desk.bond([*desk.first, *desk.second], 2 * LOTS + 10) is Bond.SURE


def test_legs_that_are_too_large_wait_for_no_tranche_whose_coins_they_lock():
    desk = Desk(lots=(LOTS, 3000, 2000))
    desk.book.expire("s3")
    assert desk.bond(desk.second, 3000) is Bond.SURE


def test_but_one_of_these_that_is_just_filling_may_have_less_left():
    desk = Desk(lots=(LOTS, 4000, 1000))
    desk.book.expire("s3")
    desk.sold(desk.second[0], 1000)
    assert desk.bond(desk.second, 3000) is Bond.LATER


def test_what_has_sold_a_part_still_locks_its_rest():
    desk = Desk()
    desk.sold(desk.third, 2000)
    assert desk.bond() is Bond.SURE


@pytest.mark.parametrize(("lots", "state"), [(3000, OrderState.PARTLY_FILLED), (LOTS, OrderState.FILLED)])
def test_a_leg_that_is_about_to_end_hides_no_coins_of_others(lots, state):
    """The list locks what its other leg has left to sell, and that is all."""
    desk = Desk(LOTS + 1000)
    desk.sold(desk.second[0], lots, state)
    assert desk.bond() is Bond.NONE


def test_the_legs_of_a_list_share_the_lock_of_what_is_left():
    desk = Desk()
    desk.sold(desk.second[0], 2000)
    assert locks([*desk.second, desk.third]) == {"l2": 3000, "s3": LOTS}


@pytest.mark.parametrize(
    ("foreign_lots", "count", "is_once"),
    [(0, 3, True), (0, 1, True), (LOTS, 3, False), (LOTS, 1, False)],
    ids=["all", "one of three", "all beside coins of others", "one beside coins of others"],
)
def test_a_sale_fills_once_where_nothing_else_is_there_to_be_sold(foreign_lots, count, is_once):
    desk = Desk(foreign_lots)
    tranches = desk.portfolio.positions[ONE.symbol].tranches[:count]
    sale = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 0 if count > 1 else 1, LOTS * count, 0)
    desk.book.register(sale)
    for tranche in tranches:
        tranche.sale_id = "x"
        for leg in [*desk.first, *desk.second, desk.third]:
            if leg.tranche == tranche.index:
                leg.state = OrderState.CANCELED
    assert fills_once(sale, ONE, desk.book, desk.portfolio) is is_once


def test_a_sale_of_less_than_half_of_all_would_fill_twice():
    """The venue's largest sale at market: what is left could be sold by the same once more."""
    desk = Desk()
    for leg in [*desk.first, *desk.second, desk.third]:
        leg.state = OrderState.CANCELED
    sale = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 0, LOTS, 0)
    assert not fills_once(sale, ONE, desk.book, desk.portfolio)


def test_a_sale_beside_a_tranche_without_a_stop_would_take_its_coins():
    desk = Desk()
    for leg in [*desk.first, desk.third]:
        leg.state = OrderState.CANCELED
    sale = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 1, LOTS, 0)
    desk.book.register(sale)
    assert not fills_once(sale, ONE, desk.book, desk.portfolio)


def test_a_sale_beside_what_is_under_way_fills_once_as_soon_as_that_has_ended():
    """Found in the kill matrix: what is not known when it leaves is known when it would be repeated."""
    desk = Desk()
    for leg in [*desk.first, *desk.second]:
        leg.state = OrderState.CANCELED
    sale = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 1, LOTS, 0)
    other = Order("y", ONE.symbol, Side.SELL, Role.EXIT, 2, LOTS, 0)
    purchase = Order("w", ONE.symbol, Side.BUY, Role.WORKING, 4, LOTS, 1)
    state = EngineState(desk.portfolio.ledger, None, orders=desk.book.orders)
    state.symbols[ONE.symbol] = SymbolState(ONE, None, None)
    for order in (sale, other, purchase):
        desk.book.register(order)
        order.state = OrderState.UNKNOWN
    is_once = partial(fills_once_now, state, desk.book, desk.portfolio, "x")
    assert not is_once()
    purchase.state = OrderState.REJECTED
    assert not is_once()
    desk.sold(other, LOTS, OrderState.FILLED)
    assert is_once()
    desk.portfolio.ledger.totals[ONE.base] += LOTS * ONE.lot_e8  # somebody has paid in
    assert not is_once()


def test_neither_a_cap_nor_dust_makes_a_sale_fill_once():
    """Found in a review: what a capped sale leaves of its own tranche would pay for the same once more."""
    desk = Desk(lots=(LOTS, 0, 0))
    for leg in [*desk.first, *desk.second, desk.third]:
        leg.state = OrderState.CANCELED
    capped = Order("x", ONE.symbol, Side.SELL, Role.EXIT, 1, LOTS // 3, 0)
    assert not fills_once(capped, ONE, desk.book, desk.portfolio)
    whole = Order("y", ONE.symbol, Side.SELL, Role.EXIT, 1, LOTS, 0)
    assert fills_once(whole, ONE, desk.book, desk.portfolio)
    ledger = desk.portfolio.ledger
    ledger.dust[ONE.symbol] = Dust(ONE.base, LOTS * ONE.lot_e8)
    ledger.totals[ONE.base] += LOTS * ONE.lot_e8
    assert not fills_once(whole, ONE, desk.book, desk.portfolio)
