"""Order lists by the rule: places of the legs, shapes, what is locked when, and that a list ends once."""

import msgspec
import pytest

from bnml.core.instrument import E8
from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.list_rules import check_list, check_places
from bnml.venues.sim.messages import OrderKey, VenueReject
from bnml.venues.sim.rules import SymbolRules
from tests.venues.sim.bench import (
    INSTRUMENT,
    LOT,
    ME,
    SYMBOL,
    T0,
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
from tests.venues.sim.traders import asked, exchange_of

POSITION = ("AccountPosition",)
MAKER, STOP, STOP_LIMIT, TAKE, TAKE_LIMIT = (
    OrderType.LIMIT_MAKER,
    OrderType.STOP_LOSS,
    OrderType.STOP_LOSS_LIMIT,
    OrderType.TAKE_PROFIT,
    OrderType.TAKE_PROFIT_LIMIT,
)


def code(check, *arguments):
    try:
        check(*arguments)
    except VenueReject as refusal:
        return refusal.reject_code
    return 0


def state(exchange, client_id, account=ME):
    view = exchange.read.order(account, OrderKey(symbol=SYMBOL, client_order_id=client_id))
    return str(view.status), view.expiry_reason


@pytest.mark.parametrize(
    ("side", "above", "below", "expected"),
    [
        (Side.BUY, MAKER, MAKER, -1168),
        (Side.SELL, MAKER, MAKER, -1168),
        (Side.BUY, MAKER, STOP, -1165),
        (Side.BUY, MAKER, TAKE, -1165),
        (Side.SELL, STOP, MAKER, -1166),
        (Side.SELL, TAKE, MAKER, -1166),
        (Side.BUY, STOP, STOP_LIMIT, -1196),
        (Side.SELL, STOP_LIMIT, STOP, -1197),
        (Side.BUY, TAKE, TAKE_LIMIT, -1198),
        (Side.SELL, TAKE_LIMIT, TAKE, -1199),
        (Side.BUY, STOP, MAKER, 0),
        (Side.BUY, STOP_LIMIT, TAKE, 0),
        (Side.SELL, MAKER, STOP, 0),
        (Side.SELL, TAKE_LIMIT, STOP_LIMIT, 0),
    ],
)
def test_which_leg_may_stand_where(side, above, below, expected):
    assert code(check_places, side, above, below) == expected


@pytest.mark.parametrize(
    ("kind", "needs"),
    [
        ("OCO", {"oco"}),
        ("OTO", {"oto"}),
        ("OTOCO", {"oto", "oco"}),
        ("OPO", {"opo"}),
        ("OPOCO", {"opo", "oco"}),
    ],
)
def test_kinds_that_a_symbol_allows(kind, needs):
    lots = 0 if kind.startswith("OPO") else 100
    legs = (target(lots), stop(lots)) if kind.endswith("OCO") else (stop(lots),)
    request = order_list(kind, legs, None if kind == "OCO" else limit(Side.BUY, 100, 9_900))
    assert code(check_list, request, INSTRUMENT) == 0
    for name in ("oco", "oto", "opo"):
        without = msgspec.structs.replace(INSTRUMENT, **{f"{name}_allowed": False})
        assert code(check_list, request, without) == (-2010 if name in needs else 0)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (order_list("OCO", (target(100), stop(100)), limit(Side.BUY, 100, 9_900)), -1106),
        (order_list("OTO", (stop(100),)), -1102),
        (order_list("OTO", (stop(100),), market(Side.BUY, 100)), -1102),
        (order_list("OTO", (target(100), stop(100)), limit(Side.BUY, 100, 9_900)), -1102),
        (order_list("OTOCO", (stop(100),), limit(Side.BUY, 100, 9_900)), -1102),
        (order_list("OPO", (stop(0),), limit(Side.SELL, 100, 9_900)), -1222),
        (order_list("OPO", (order(STOP, lots=0, stop=10_100),), limit(Side.BUY, 100, 9_900)), -1223),
        (order_list("OCO", (order(MAKER, lots=100, price=9_900), stop(100))), -2010),
        (order_list("OCO", (target(100, 9_800), stop(100))), -2010),  # at one price
        (order_list("OCO", (target(100, 9_801), stop(100))), 0),
        (order_list("OCO", (stop(100), target(100))), 0),
        (order_list("OCO", (order(TAKE, Side.SELL, 100, stop=10_100), stop(100))), 0),
        (order_list("OCO", (asked(stop(100, 0), trailing_bips=10), target(100, 9_000))), 0),
    ],
)
def test_shapes(request_, expected):
    assert code(check_list, request_, INSTRUMENT) == expected


def test_a_list_of_another_symbol_or_of_ids_in_use_is_refused():
    exchange = bench(base=10)
    pair = (target(100, client_id=""), stop(100, client_id=""))
    assert code(exchange.place_list, ME, order_list("OCO", (pair[0], asked(pair[1], symbol="NOPE")))) == -1121
    exchange.place_list(ME, order_list("OCO", pair))
    assert code(exchange.place_list, ME, order_list("OCO", pair)) == -2010
    exchange.place(ME, limit(Side.BUY, 100, 9_000, client_id="t"))
    assert code(exchange.place_list, ME, order_list("OCO", (target(100), pair[1]), client_id="m")) == -2010
    exchange.cancel_all(ME, SYMBOL)
    exchange.drain()
    exchange.place_list(ME, order_list("OCO", (target(100), pair[1])))  # its id is free again
    assert code(exchange.place_list, ME, order_list("OCO", pair)) == -2010


def test_funds_of_what_is_live_at_once_are_needed_and_no_more():
    exchange = bench(quote=99, base=1)
    working = limit(Side.BUY, 1_000, 9_900, client_id="w")
    assert code(exchange.place_list, ME, order_list("OTO", (stop(5_000),), working)) == 0
    exchange.cancel_all(ME, SYMBOL)
    assert (
        code(exchange.place_list, ME, order_list("OTO", (stop(100),), limit(Side.BUY, 1_001, 9_900))) == -2010
    )
    assert code(exchange.place_list, ME, order_list("OCO", (target(1_001), stop(1_001)))) == -2010
    above = order(STOP_LIMIT, Side.BUY, 1_000, price=9_901 + 400, stop=10_250)
    assert (
        code(exchange.place_list, ME, order_list("OCO", (above, order(MAKER, lots=1_000, price=9_000))))
        == -2010
    )
    assert code(exchange.place_list, ME, order_list("OCO", (target(1_000), stop(1_000)))) == 0


def test_legs_that_would_act_at_once_are_refused():
    exchange = bench(base=10)
    assert code(exchange.place_list, ME, order_list("OCO", (target(100, 10_000), stop(100)))) == -2010
    assert code(exchange.place_list, ME, order_list("OCO", (target(100), stop(100, 10_001)))) == -2010
    working = order(MAKER, Side.BUY, 100, 10_000)
    assert code(exchange.place_list, ME, order_list("OTO", (stop(100),), working)) == -2010


def test_legs_wake_with_reports_of_their_own_and_hold_the_larger_need():
    exchange = bench(base=10)
    working = limit(Side.SELL, 1_000, 10_100, client_id="w")
    above = order(STOP_LIMIT, Side.BUY, 1_000, price=10_300, stop=10_250, client_id="up")
    below = order(MAKER, Side.BUY, 1_000, 9_900, client_id="down")
    exchange.place_list(ME, order_list("OTOCO", (below, above), working))
    exchange.drain()
    free = exchange.read.account(ME).balances["USDT"][0]
    events = move(exchange, 10_150)
    assert told(events) == [("TRADE", "w", "FILLED"), ("NEW", "down", "NEW"), ("NEW", "up", "NEW"), POSITION]
    fee = 101 * E8 // 1_000
    assert exchange.read.account(ME).balances["USDT"] == (free + 101 * E8 - fee - 103 * E8, 103 * E8)
    assert told(move(exchange, 10_260))[:2] == [("EXPIRED", "down", "EXPIRED"), ("NEW", "up", "NEW")]
    assert exchange.read.account(ME).balances["USDT"][1] == 0  # it has bought at once


def test_legs_that_cannot_be_paid_or_sized_expire_with_the_reason():
    exchange = bench(quote=103, base=1)
    working = limit(Side.SELL, 100, 10_100, client_id="w")
    for lots, status in (
        (1_108, "NEW"),
        (1_109, "EXPIRED"),
    ):  # 103 and 10.0899 of quote buy 1,108 lots at 102.00
        exchange = bench(quote=103, base=1)
        buy = order(STOP_LIMIT, Side.BUY, lots, price=10_200, stop=10_150, client_id="p")
        exchange.place_list(ME, order_list("OTO", (buy,), working))
        move(exchange, 10_101)
        assert state(exchange, "p") == (status, "" if status == "NEW" else "INSUFFICIENT_BALANCE")
    exchange = bench(instrument=msgspec.structs.replace(INSTRUMENT, min_lots=100))
    exchange.place_list(ME, order_list("OPO", (stop(0),), fill_or_kill(100)))
    assert state(exchange, "s") == ("EXPIRED", "LOT_SIZE")
    exchange.place_list(ME, order_list("OPO", (stop(0, client_id="s2"),), fill_or_kill(101, client_id="w2")))
    assert state(exchange, "s2") == ("NEW", "")  # exactly the least


def test_proceeds_are_summed_over_fills_after_their_commissions():
    exchange = exchange_of("F2")
    for lots, price in ((600, 9_990), (500, 10_000)):
        exchange.place("bob", limit(Side.SELL, lots, price))
    working = limit(Side.BUY, 1_100, 10_000, TimeInForce.FOK, "w")
    exchange.place_list("ann", order_list("OPO", (stop(0, 9_900),), working))
    view = exchange.read.order("ann", OrderKey(symbol=SYMBOL, client_order_id="s"))
    assert (view.quantity_lots, str(view.status)) == (1_098, "NEW")  # 1,100 less 0.6 and 0.5
    assert exchange.read.account("ann").balances["BTC"][1] == 1_098 * LOT


def test_the_working_order_that_ends_unfilled_takes_its_legs_along():
    exchange = bench()
    exchange.place_list(ME, order_list("OTOCO", (target(900), stop(900)), fill_or_kill(1_000, 9_999)))
    assert [event for event in told(exchange.drain()) if event[0] != "NEW"] == [
        ("LIST", "l", "EXEC_STARTED"),
        ("EXPIRED", "w", "EXPIRED"),
        ("EXPIRED", "t", "EXPIRED"),
        ("EXPIRED", "s", "EXPIRED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert state(exchange, "t") == ("EXPIRED", "OTO_PHASE_ONE_EXPIRED")
    assert state(exchange, "w") == ("EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED")


def test_a_leg_that_the_exchange_gives_up_takes_its_sibling_along():
    exchange = exchange_of("F2")
    exchange.place_list("ann", order_list("OCO", (target(500, 10_100), stop(500, 9_000))))
    exchange.drain()
    buy = asked(limit(Side.BUY, 500, 10_100), prevention="EXPIRE_MAKER")
    exchange.place("ann", buy)
    assert state(exchange, "t", "ann")[0] == "EXPIRED_IN_MATCH"
    assert state(exchange, "s", "ann") == ("EXPIRED", "OCO_TRIGGER")
    assert exchange.read.lists("ann", open_only=True) == []
    lists = [event for event in told(exchange.drain()) if event[0] == "LIST"]
    assert lists == [("LIST", "l", "ALL_DONE")]


def test_a_pending_maker_that_would_take_is_rejected_with_its_pair():
    exchange = bench(base=5)
    working = limit(Side.BUY, 1_000, 9_900, client_id="w")
    exchange.place_list(ME, order_list("OTOCO", (target(900, 9_850), stop(900, 9_000)), working))
    exchange.drain()
    assert told(move(exchange, 9_890, jump=True)) == [
        ("TRADE", "w", "FILLED"),
        ("NEW", "t", "NEW"),
        ("NEW", "s", "NEW"),
        ("EXPIRED", "t", "EXPIRED"),
        ("EXPIRED", "s", "EXPIRED"),
        ("LIST", "l", "ALL_DONE"),
        POSITION,
    ]
    assert (state(exchange, "t"), state(exchange, "s")) == (
        ("EXPIRED", "REJECTED"),
        ("EXPIRED", "OCO_TRIGGER"),
    )
    assert exchange.read.account(ME).balances["BTC"][1] == 0


def test_a_partly_filled_leg_keeps_the_list_until_it_is_over():
    exchange = exchange_of("F2")
    exchange.place_list("ann", order_list("OCO", (target(500, 10_100), stop(500, 9_000))))
    exchange.place("bob", limit(Side.BUY, 200, 10_100))
    assert state(exchange, "t", "ann")[0] == "PARTIALLY_FILLED"
    assert state(exchange, "s", "ann") == ("EXPIRED", "OCO_TRIGGER")
    assert len(exchange.read.lists("ann", open_only=True)) == 1
    assert exchange.read.account("ann").balances["BTC"][1] == 300 * LOT
    exchange.place("bob", limit(Side.BUY, 300, 10_100))
    assert exchange.read.lists("ann", open_only=True) == []


def test_lists_count_until_they_are_over():
    exchange = exchange_of("F0")
    exchange.manage.set_rules(SYMBOL, SymbolRules(max_lists=2))
    legs = (target(100, client_id=""), stop(100, client_id=""))
    for _ in range(2):
        for name in ("a", "b"):
            exchange.place_list("ann", order_list("OCO", legs, client_id=name))
        with pytest.raises(VenueReject, match="MAX_NUM_ORDER_LISTS"):
            exchange.place_list("ann", order_list("OCO", legs, client_id="c"))
        for price in (9_700, 10_000):  # both stop out
            exchange.print_trade(SYMBOL, price, 1, T0 + E8, jump=True)
