"""What commissions are paid in is traded, too: no sale may ask for coins that commissions have taken."""

from bnml.core.events import OperatorCommand
from bnml.trading.portfolio import Dust
from bnml.venues.sim.inprocess import ACCOUNT
from tests.trading.hand_venue import changed, with_fees_in_bnb


def world(bnb_e8, ticks=60_000):
    return with_fees_in_bnb(changed(), ticks, BNB=bnb_e8)


def left(made):
    """What our books claim of the coin that commissions are paid in, and what is there."""
    ledger = made.engine.state.ledger
    position, dust = ledger.positions.get("BNBUSDT"), ledger.dust.get("BNBUSDT")
    held = sum(one.base_e8 for one in position.tranches) if position else 0
    return held + (dust.base_e8 if dust else 0), made.balance("BNB")


def test_f66_commissions_eat_the_rest_of_a_position_and_the_next_one_is_sold_whole():
    made = world(12 * 10**5)
    made.engine.state.ledger.dust["BNBUSDT"] = Dust("BNB", 12 * 10**5, 7 * 10**8, 1)
    for _ in range(4):
        made.enter(targets=((1, 10_000, 0),))
        made.settle()
        made.feed(OperatorCommand("flatten", made.now_ns, "BTCUSDT"))
        made.settle()
    assert made.balance("BNB") < 12 * 10**5
    made.enter("BNBUSDT", targets=((1, 100, 0),), stop=58_000, reference=60_000)
    made.settle()
    made.feed(OperatorCommand("flatten", made.now_ns, "BNBUSDT"))
    made.settle()
    made.pass_seconds(30)
    assert made.position("BNBUSDT") is None
    claimed, there = left(made)
    assert claimed <= there
    assert not made.ledger_differences()
    assert not made.halts


def test_f66_commissions_are_taken_of_a_position_as_well():
    """What lies free of it is a few crumbs, and nobody else's coins are there."""
    made = world(0, ticks=3_000_000)
    made.enter("BNBUSDT", targets=((1, 100, 0),))
    made.settle()
    made.enter(targets=((1, 10_000, 0),))
    made.settle()
    claimed, there = left(made)
    assert claimed == there < 9_992_500
    assert not made.ledger_differences()
    made.feed(OperatorCommand("flatten", made.now_ns))
    made.settle()
    assert not made.engine.portfolio.positions
    assert not made.halts


def test_f66_a_commission_that_only_crumbs_can_have_paid_moves_no_stop_and_contradicts_no_fill():
    """Each tranche has less than a lot that nothing locks; together they pay for another symbol's purchase."""
    made = world(0, ticks=60_000)
    tranches = ((1, 100, 61_200), (2, 60, 62_400), (3, 40, 0))
    made.enter("BNBUSDT", targets=tranches, stop=58_800, reference=60_000)
    made.settle()
    stops = made.stops("BNBUSDT")
    assert [lots for _, lots in stops] == [39, 59, 99]
    crumbs_e8 = made.venue.exchange.read.account(ACCOUNT).balances["BNB"][0]
    made.enter(targets=((1, 5000, 0),))
    made.execute()
    paid = next(one for one in made.reports if getattr(one, "commission_asset", "") == "BNB")
    assert 10**5 < paid.commission_e8 < crumbs_e8
    while made.reports:
        made.feed(made.reports.pop(0))
    assert "BNBUSDT" not in str(made.queue)  # no stop of that position has to move for it
    assert made.stops("BNBUSDT") == stops
    made.move(58_000, "BNBUSDT")
    assert made.position("BNBUSDT") is None
    assert not made.halts
    assert not made.ledger_differences()
    claimed, there = left(made)
    assert claimed == there


def test_f66_a_commission_that_is_told_before_the_purchase_of_its_coins_takes_none_of_them():
    """After an outage the fills of one symbol may be read before those of another that were earlier."""
    made = world(0, ticks=60_000)
    tranches = ((1, 100, 61_200), (2, 60, 62_400), (3, 40, 0))
    made.enter("BNBUSDT", targets=tranches, stop=58_800, reference=60_000)
    while made.queue:
        made.execute()
    told, made.reports = made.reports, []
    made.enter(targets=((1, 5000, 0),))
    made.settle()
    for report in told:
        made.feed(report)
    made.settle()
    assert [one.lots(10**5) for one in made.position("BNBUSDT").tranches] == [99, 59, 39]
    claimed, there = left(made)
    assert claimed == there
    made.move(58_000, "BNBUSDT")
    assert made.position("BNBUSDT") is None
    assert not made.halts
    assert not made.ledger_differences()


def test_f66_what_commissions_took_while_a_purchase_was_under_way_is_known_when_it_ends():
    made = world(0, ticks=60_000)
    made.enter("BNBUSDT", targets=((1, 100, 0), (2, 60, 0)), stop=58_800, reference=60_000)
    made.execute()
    late = made._answers(made.queue.pop(0), -1015, "Too many new orders.")
    made.enter(targets=((1, 2000, 0),))
    made.settle()
    assert "BNB" in {one.commission_asset for one in made.trades if one.symbol == "BTCUSDT"}
    for report in late:
        made.feed(report)
    claimed, there = left(made)
    assert claimed == there
    assert made.position("BNBUSDT").lots(10**5) == 99


def test_the_exchange_sizes_stops_by_all_that_was_bought_when_the_commission_is_not_taken_of_it():
    """It took the amount in BNB off the coins bought: 3 % of each entry had no stop until all of them had moved."""
    made = world(10**8)
    made.enter(targets=((1, 5000, 3_060_000), (2, 3000, 0)))
    made.settle()
    assert {one.commission_asset for one in made.trades} == {"BNB"}
    assert [lots for _, lots in made.stops()] == [3000, 5000]
    assert len(made.sent) == 2
    assert not made.bareness
