"""A request fitted to a coarser grid is still one that the venue can carry out whole."""

import msgspec
import pytest

from bnml.core.commands import Submit
from bnml.core.orders import ApprovedOrder, ListKind, ListTicket, OrderTicket, OrderType, Side, TimeInForce
from bnml.venues.binance.requantising import requantised
from tests.trading.kit import instrument

SYMBOL = "BTCUSDT"


def purchase(lots, pending_lots):
    working = OrderTicket(SYMBOL, "w", Side.BUY, OrderType.LIMIT, lots, 3_000_000, 0, TimeInForce.FOK)
    stop = OrderTicket(SYMBOL, "s", Side.SELL, OrderType.STOP_LOSS, pending_lots, 0, 2_900_000)
    return Submit(ApprovedOrder(ListTicket(SYMBOL, "l", ListKind.OTO, working, (stop,)), "entry"))


@pytest.mark.parametrize("lots", range(20_700, 20_800, 7))
def test_a_list_sells_no_more_than_its_smaller_purchase_brings(lots):
    """Each was rounded down for itself, and the venue refused the stop when the purchase had been made: for want of coins."""
    known = instrument()
    coarser = msgspec.structs.replace(known, lot_e8=known.lot_e8 * 10)
    net = lots - -(-lots * 1000 // 1_000_000)
    fitted = requantised(purchase(lots, net), known, coarser).order.ticket
    (stop,) = fitted.pending
    bought = fitted.working.quantity_lots
    assert bought == lots // 10 * 10
    assert stop.quantity_lots % 10 == 0
    assert bought - 20 <= stop.quantity_lots + -(-bought * 1000 // 1_000_000) <= bought


def test_one_that_sells_all_that_is_bought_still_does():
    """Its legs are sized by the venue, or commissions are paid in another asset."""
    known = instrument()
    coarser = msgspec.structs.replace(known, lot_e8=known.lot_e8 * 10)
    fitted = requantised(purchase(20_748, 20_748), known, coarser).order.ticket
    assert {one.quantity_lots for one in (fitted.working, *fitted.pending)} == {20_740}


def test_f43_a_purchase_without_its_list_is_not_fitted():
    """Its stop left in the same write and was refused, too: bought alone it lay bare until that had been fitted."""
    known = instrument()
    coarser = msgspec.structs.replace(known, lot_e8=known.lot_e8 * 10)
    working, stop = (
        msgspec.structs.replace(one, quantity_lots=20_748)
        for one in (purchase(1, 1).order.ticket.working, *purchase(1, 1).order.ticket.pending)
    )
    alone, guard = (Submit(ApprovedOrder(one, "")) for one in (working, stop))
    assert requantised(alone, known, coarser) is None
    assert requantised(guard, known, coarser).order.ticket.quantity_lots == 20_740
