"""The fee reserve bought on the embedded exchange: once, to the last unit, never a position, and no loss of anybody's."""

import pytest

from bnml.core.events import FeePurchase, Guard, OperatorCommand, OrderReport
from bnml.core.ids import is_of_fees
from bnml.core.instrument import Instrument
from bnml.core.orders import OrderState, OrderType, Side
from bnml.trading.fees import PAUSE_NS
from bnml.trading.orders import Role
from tests.trading.hand_venue import WORDS, World
from tests.trading.kit import instrument

E8 = 10**8
BNB = "BNBUSDT"
LOTS = 100  # 0.1 BNB: 30 USDT at 300


def world(**options):
    """30,000 USDT and no BNB; a BNB costs 30,000.00, as everything here does at first, then 300.00."""
    made = World(
        {"BTCUSDT": instrument(), BNB: Instrument(BNB, "BNB", "USDT", 10**6, 10**5)},
        balances={"USDT": 30_000 * E8},
        **options,
    )
    made.venue.print(BNB, 30_000, made.now_ns, jump=True)
    return made


def purchase(made, lots=LOTS):
    return FeePurchase(BNB, lots, 30_000, made.now_ns)


def orders_of_fees(made):
    """Everything that the venue has seen of them."""
    return [
        one for one in made.venue.exchange.read.all_orders("main", BNB) if is_of_fees(one.client_order_id)
    ]


def test_the_reserve_is_bought_and_the_books_agree_to_the_last_unit():
    made = world()
    made.feed(purchase(made))
    (sent,) = made.queue
    assert (sent.order.ticket.type, sent.order.ticket.side) == (OrderType.MARKET, Side.BUY)
    made.settle()
    assert made.ledger_differences() == {}
    assert made.balance("BNB") == LOTS * 10**5 * 999 // 1000  # commission in what was bought
    assert made.position(BNB) is None
    assert made.trades == []
    assert made.halts == []
    spent_e8 = 30_000 * E8 - made.balance("USDT")
    assert spent_e8 >= 30 * E8
    assert made.engine.state.ledger.flows_e8 == -spent_e8
    assert [one.name for one in made.alerts] == ["fee_reserve_bought"]


@pytest.mark.parametrize("equity", [9_000, 9_900])
def test_what_was_spent_is_no_loss_of_the_day_and_no_drawdown(equity):
    """An account that has lost some of 10,000 has lost the same share of it after the purchase."""
    made = world()
    memory = made.engine.state.breakers
    bases = ("day_start_equity_e8", "week_start_equity_e8", "peak_equity_e8")
    for name in bases:
        memory[name] = 10_000 * E8
    made.engine.state.last_equity_e8 = equity * E8
    made.feed(purchase(made))
    made.settle()
    now_e8 = made.engine.state.last_equity_e8
    assert equity * E8 - now_e8 == -made.engine.state.ledger.flows_e8 > 0
    for name in bases:
        assert now_e8 / int(memory[name][0]) == pytest.approx(equity / 10_000, abs=1e-9)


def test_it_is_never_sold_with_what_is_held_beside_it():
    made = world()
    made.enter(reference=3_000_000)
    made.settle()
    made.feed(purchase(made))
    made.settle()
    bought = made.balance("BNB")
    made.feed(OperatorCommand("panic", made.now_ns))
    made.settle()
    assert made.position() is None
    assert made.balance("BNB") == bought > 0
    assert made.ledger_differences() == {}


def test_a_lost_answer_makes_one_order():
    """It was executed, nobody heard: the doubt is asked about, and no second order leaves while it lasts or after."""
    made = world()
    made.feed(purchase(made))
    made.execute()
    (order,) = [one for one in made.engine.book.open() if one.role is Role.FEES]
    heard, made.reports = made.reports, []
    name = order.client_order_id
    made.feed(OrderReport(BNB, name, made.now_ns, OrderState.UNKNOWN, Side.BUY))
    made.feed(purchase(made))
    assert len(made.queue) == 1, "the question, and no second purchase"
    made.restart()
    made.settle()
    for report in (*heard, *heard):
        made.feed(report)
    made.settle()
    assert len(orders_of_fees(made)) == 1
    assert made.ledger_differences() == {}
    made.feed(purchase(made))
    assert made.queue == []
    made.now_ns += PAUSE_NS
    made.feed(purchase(made))
    assert len(made.queue) == 1


def test_one_that_counted_as_never_there_is_booked_when_it_is_shown():
    made = world()
    made.feed(purchase(made))
    made.execute()
    heard, made.reports = made.reports, []
    name = next(one.client_order_id for one in made.engine.book.open())
    made.feed(OrderReport(BNB, name, made.now_ns, OrderState.REJECTED, Side.BUY, code=-2013))
    assert [one.name for one in made.alerts] == ["fee_reserve_refused"]
    for report in heard:
        made.feed(report)
    made.settle()
    assert made.ledger_differences() == {}
    assert made.position(BNB) is None
    assert [one.name for one in made.alerts] == ["fee_reserve_refused", "fee_reserve_bought"]
    assert len(made.sent) == 1, "nothing is cancelled"


@pytest.mark.parametrize(
    ("asset", "spent_e8", "bnb_e8"),
    [("USDT", 30 * E8 + 7, 10**7), ("BNB", 30 * E8, 10**7 - 7), ("KCS", 30 * E8, 10**7)],
)
def test_its_commission_counts_in_whatever_it_was_charged(asset, spent_e8, bnb_e8):
    made = world()
    made.feed(purchase(made))
    (order,) = made.engine.book.open()
    fill = OrderReport(
        BNB, order.client_order_id, 1, OrderState.FILLED, Side.BUY, LOTS, 1, LOTS, 30_000, 7, asset
    )
    made.feed(fill)
    totals = made.engine.state.ledger.totals
    assert (30_000 * E8 - totals["USDT"], totals["BNB"]) == (spent_e8, bnb_e8)
    assert made.engine.state.ledger.flows_e8 == -spent_e8
    assert totals.get("KCS", 0) == (-7 if asset == "KCS" else 0)


def test_a_refusal_is_told_and_waits_ten_minutes():
    made = world()
    made.refuse(OrderType.MARKET, "notional")
    made.feed(purchase(made))
    made.settle()
    assert [(one.name, WORDS["notional"][1] in one.text) for one in made.alerts] == [
        ("fee_reserve_refused", True)
    ]
    assert made.engine.state.activity.rejects == 0, "no refusal of trading"
    made.feed(purchase(made))
    assert made.queue == []


def stop_by(kind):
    def stop(made):
        match kind:
            case "halt" | "reduce":
                made.feed(OperatorCommand(kind, made.now_ns))
            case "guard":
                made.feed(Guard("clock", "REDUCING", made.now_ns, "off"))
            case "symbol":
                made.feed(Guard(f"stale:{BNB}", "REDUCING", made.now_ns, "silent"))
            case "breaker":
                made.engine.state.breakers["losses_in_row"] = 1000
                made.engine.state.breakers["loss_until_ns"] = 2**62
                made.engine.state.scanned_ns = made.now_ns
                made.engine.state.last_equity_e8 = E8
            case "position":
                made.enter(BNB, targets=((1, 5000, 31_000),), stop=29_000, reference=30_000)
                made.settle()
            case "poor":
                made.engine.state.ledger.totals["USDT"] = 29 * E8

    return stop


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("halt", "entries are off"),
        ("reduce", "entries are off"),
        ("guard", "entries are off"),
        ("symbol", "entries are off"),
        ("breaker", "entries are off"),
        ("position", "held as a position"),
        ("poor", "not enough USDT"),
    ],
)
def test_it_is_not_bought_while(kind, why):
    made = world()
    stop_by(kind)(made)
    assert why in made.engine.fees.obstacle(purchase(made))
    made.feed(purchase(made))
    assert made.queue == []
    assert made.engine.state.fees_asked_ns == 0


def test_a_guard_of_another_symbol_does_not_matter():
    made = world()
    made.feed(Guard("stale:BTCUSDT", "REDUCING", made.now_ns, "silent"))
    assert made.engine.fees.obstacle(purchase(made)) == ""
