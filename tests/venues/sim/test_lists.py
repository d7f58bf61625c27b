import pytest

from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import ListKey, OrderKey, VenueReject
from tests.venues.sim.bench import (
    INSTRUMENT,
    LOT,
    ME,
    SYMBOL,
    bench,
    fill_or_kill,
    limit,
    market,
    move,
    order,
    order_list,
    stop,
    target,
    told,
)

POSITION = ("AccountPosition",)
PENDING = "PENDING_NEW"


def state(exchange, client_id):
    view = exchange.read.order(ME, OrderKey(symbol=SYMBOL, client_order_id=client_id))
    return str(view.status), view.quantity_lots, view.executed_lots


def opoco(exchange, lots=1000):
    exchange.place_list(ME, order_list("OPOCO", (target(0), stop(0)), fill_or_kill(lots)))


def test_opoco_sizes_its_legs_by_what_the_working_order_paid_out():
    exchange = bench()
    opoco(exchange)
    assert told(exchange.drain()) == [
        ("LIST", "l", "EXEC_STARTED"),
        ("NEW", "w", "NEW"),
        ("NEW", "t", PENDING),
        ("NEW", "s", PENDING),
        ("TRADE", "w", "FILLED"),
        ("NEW", "t", "NEW"),
        ("NEW", "s", "NEW"),
        POSITION,
    ]
    assert state(exchange, "t") == ("NEW", 999, 0)
    assert state(exchange, "s") == ("NEW", 999, 0)
    assert exchange.read.account(ME).balances["BTC"] == (0, 999 * LOT)


def test_dust_below_a_lot_stays_free():
    exchange = bench()
    opoco(exchange, 1500)
    assert state(exchange, "s") == ("NEW", 1498, 0)
    assert exchange.read.account(ME).balances["BTC"] == (LOT // 2, 1498 * LOT)


def test_target_fills_as_maker_at_its_level_and_the_stop_expires():
    exchange = bench()
    opoco(exchange)
    exchange.drain()
    events = move(exchange, 10_300)
    assert told(events) == [
        ("EXPIRED", "s", "EXPIRED"),
        ("TRADE", "t", "FILLED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert events[0].order.expiry_reason == "OCO_TRIGGER"
    fill = events[1].trade
    assert (fill.price_ticks, fill.quantity_lots, fill.is_maker) == (10_200, 999, True)
    assert fill.commission_e8 == fill.quote_e8 // 1000
    assert exchange.read.open_orders(ME) == []


def test_stop_crossed_sells_from_its_level_and_the_target_expires():
    exchange = bench(slippage_ppm=1000)
    opoco(exchange)
    exchange.drain()
    events = move(exchange, 9_700)
    assert told(events)[:2] == [("EXPIRED", "t", "EXPIRED"), ("TRADE", "s", "FILLED")]
    assert events[1].trade.price_ticks == 9_800 - 10  # 0.1 % of 9,800 rounded up against the seller


def test_stop_jumped_over_sells_from_the_print():
    exchange = bench()
    opoco(exchange)
    exchange.drain()
    assert move(exchange, 9_500, jump=True)[1].trade.price_ticks == 9_500


def test_target_jumped_over_still_fills_at_its_level():
    exchange = bench()
    opoco(exchange)
    exchange.drain()
    assert move(exchange, 10_900, jump=True)[1].trade.price_ticks == 10_200


def test_fill_or_kill_that_does_not_fit_expires_the_whole_list():
    exchange = bench(price=10_060)
    before = exchange.read.account(ME).balances
    opoco(exchange)
    assert told(exchange.drain())[4:] == [
        ("EXPIRED", "w", "EXPIRED"),
        ("EXPIRED", "t", "EXPIRED"),
        ("EXPIRED", "s", "EXPIRED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert exchange.read.account(ME).balances == before


def test_pending_stop_that_the_entry_print_already_passed_sells_at_once():
    exchange = bench(price=9_700)
    opoco(exchange)
    assert told(exchange.drain())[5:] == [
        ("NEW", "t", "NEW"),
        ("NEW", "s", "NEW"),
        ("EXPIRED", "t", "EXPIRED"),
        ("TRADE", "s", "FILLED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert exchange.read.account(ME).balances["BTC"] == (0, 0)


def test_opo_has_one_pending_order():
    exchange = bench()
    exchange.place_list(ME, order_list("OPO", (stop(0),), fill_or_kill()))
    assert state(exchange, "s") == ("NEW", 999, 0)
    move(exchange, 9_800)
    assert state(exchange, "s") == ("FILLED", 999, 999)
    assert exchange.read.lists(ME, open_only=True) == []


def test_otoco_sells_the_quantity_that_was_asked_for():
    exchange = bench()
    exchange.place_list(ME, order_list("OTOCO", (target(998), stop(998)), fill_or_kill()))
    assert state(exchange, "t") == ("NEW", 998, 0)


def test_pending_order_larger_than_what_was_bought_expires():
    exchange = bench()
    exchange.place_list(ME, order_list("OTO", (stop(1000),), fill_or_kill()))
    view = exchange.read.order(ME, OrderKey(symbol=SYMBOL, client_order_id="s"))
    assert (str(view.status), view.expiry_reason) == ("EXPIRED", "INSUFFICIENT_BALANCE")


def test_resting_working_order_wakes_its_legs_only_on_the_full_fill():
    exchange = bench(base=0)
    working = limit(Side.BUY, 1000, 9_900, client_id="w")
    exchange.place_list(ME, order_list("OTOCO", (target(999), stop(999)), working))
    assert state(exchange, "s")[0] == PENDING
    move(exchange, 9_890)
    assert state(exchange, "w")[0] == "FILLED"
    assert state(exchange, "s")[0] == "NEW"


def test_one_move_fills_the_working_order_and_then_its_stop():
    exchange = bench()
    working = limit(Side.BUY, 1000, 9_900, client_id="w")
    exchange.place_list(ME, order_list("OTO", (stop(999),), working))
    exchange.drain()
    prices = [event.trade.price_ticks for event in move(exchange, 9_700) if getattr(event, "trade", None)]
    assert prices == [9_900, 9_800]


def test_oco_locks_once_and_canceling_a_leg_ends_both():
    exchange = bench(base=1)
    exchange.place_list(ME, order_list("OCO", (target(1000), stop(1000))))
    assert exchange.read.account(ME).balances["BTC"] == (0, E8)
    exchange.drain()
    canceled = exchange.cancel(ME, OrderKey(symbol=SYMBOL, client_order_id="t"), "c1")
    assert canceled.order_list.order_status == "ALL_DONE"
    events = exchange.drain()
    assert told(events) == [
        ("CANCELED", "t", "CANCELED"),
        ("CANCELED", "s", "CANCELED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert (events[0].client_order_id, events[0].original_client_order_id) == ("c1", "t")
    assert exchange.read.account(ME).balances["BTC"] == (E8, 0)


def test_buying_oco_locks_the_dearer_leg():
    exchange = bench()
    above = order(OrderType.STOP_LOSS_LIMIT, Side.BUY, 1000, price=10_300, stop=10_250)
    below = order(OrderType.LIMIT_MAKER, Side.BUY, 1000, 9_900)
    exchange.place_list(ME, order_list("OCO", (above, below)))
    assert exchange.read.account(ME).balances["USDT"][1] == 103 * E8
    move(exchange, 9_900)
    assert exchange.read.account(ME).balances["USDT"] == ((100_000 - 99) * E8, 0)


def test_cancel_list_while_the_legs_wait_gives_everything_back():
    exchange = bench()
    working = limit(Side.BUY, 1000, 9_900, client_id="w")
    exchange.place_list(ME, order_list("OPOCO", (target(0), stop(0)), working))
    view = exchange.cancel_list(ME, ListKey(list_client_order_id="l"), "c9")
    assert {str(leg.status) for leg in view.orders} == {"CANCELED"}
    assert exchange.read.account(ME).balances["USDT"] == (100_000 * E8, 0)
    with pytest.raises(VenueReject) as refusal:
        exchange.cancel_list(ME, ListKey(list_client_order_id="l"))
    assert refusal.value.reject_code == -2011


def test_list_that_cannot_be_sold_whole_is_refused_whole():
    exchange = bench(base=0)
    with pytest.raises(VenueReject, match="insufficient balance"):
        exchange.place_list(ME, order_list("OCO", (target(1000), stop(1000))))
    assert exchange.drain() == []
    assert exchange.read.lists(ME) == []


@pytest.mark.parametrize(
    ("pending", "code"),
    [
        ((target(1000, 9_700), stop(1000)), -2010),  # target below the stop
        ((stop(1000), stop(1000, 9_700, "s2")), -1168),  # both below
        ((target(1000), stop(999)), -2010),  # unequal quantities
        ((target(1000), market(Side.SELL, 1000)), -1158),
        ((target(1000),), -1102),
        ((target(1000), stop(1000, 10_000)), -2010),  # would trigger at once
        ((target(1000, client_id="x"), stop(1000, client_id="x")), -2010),  # one id for two legs
    ],
)
def test_oco_of_wrong_shape_is_refused(pending, code):
    exchange = bench(base=1)
    with pytest.raises(VenueReject) as refusal:
        exchange.place_list(ME, order_list("OCO", pending))
    assert refusal.value.reject_code == code
    assert exchange.read.open_orders(ME) == []


def test_symbol_without_opo_says_so():
    import msgspec  # noqa: PLC0415

    exchange = bench(instrument=msgspec.structs.replace(INSTRUMENT, opo_allowed=False))
    with pytest.raises(VenueReject, match="OPOCO orders are not supported"):
        opoco(exchange)


def test_leg_of_an_opo_must_not_name_a_quantity():
    exchange = bench()
    with pytest.raises(VenueReject, match="quantity"):
        exchange.place_list(ME, order_list("OPO", (stop(10),), fill_or_kill()))


def test_opo_works_with_a_buy_only():
    exchange = bench(base=1)
    working = limit(Side.SELL, 1000, 9_900, TimeInForce.FOK)
    with pytest.raises(VenueReject) as refusal:
        exchange.place_list(ME, order_list("OPO", (stop(0),), working))
    assert refusal.value.reject_code == -1222
