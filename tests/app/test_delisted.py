"""A symbol that the venue does not name any more while it is held: parked, and nobody else is touched."""

import msgspec

from bnml.app.reconcile import missed_reports, recheck
from bnml.app.vigil import changed_orders
from bnml.core.events import CapitalFlow, InstrumentUpdate, OperatorCommand, OrderReport, Slice, Timer
from bnml.core.instrument import DELISTED
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import RECONCILE, Engine
from bnml.trading.orders import KEEP_FINAL, Order, Role
from bnml.trading.positions import Position, Tranche
from tests.trading.hand_venue import SYMBOL, World
from tests.trading.kit import config, instrument
from tests.virtual_time import in_virtual_time

GONE, STAYS = "GONEUSDT", "BTCUSDT"


def held(engine, symbol):
    """A position whose stop the venue has cancelled: in a symbol that trades it is protected at once."""
    engine.process(InstrumentUpdate(instrument(symbol), 1), 1)
    rules = engine.config.rules.tobytes()
    tranche = Tranche(
        1, 0, 2_900_000, 3, legs=[f"{symbol}-s"], bought_lots=100_000, base_e8=10**8, cost_e8=10**12
    )
    engine.book.register(
        Order(f"{symbol}-s", symbol, Side.SELL, Role.STOP, 1, 100_000, 2_900_000, 3, state=OrderState.OPEN)
    )
    engine.portfolio.positions[symbol] = Position(symbol, 1, 3_000_000, 1000, 3_100_000, rules, [tranche])


class Venue:
    """Knows one symbol; of the other it answers -1121, which must not be asked for."""

    def __init__(self):
        self.instruments = {
            STAYS: instrument(STAYS),
            GONE: msgspec.structs.replace(instrument(GONE), status=DELISTED),
        }
        self.asked = []

    async def order_reports(self, symbol, client_order_id):
        self.asked.append(symbol)
        assert symbol == STAYS
        return [OrderReport(symbol, client_order_id, 5, OrderState.CANCELED, Side.SELL)]

    async def open_orders(self):
        return []


async def test_f72_a_delisted_position_is_parked_and_others_go_on():
    engine, venue = Engine(config(), None), Venue()
    for symbol in (GONE, STAYS):
        held(engine, symbol)
    engine.process(InstrumentUpdate(venue.instruments[GONE], 2), 2)
    missed = await missed_reports(venue, engine.book)
    assert venue.asked == [STAYS]
    assert missed.absent == []
    commands = [command for report in missed.reports for command in engine.process(report, 3)]
    assert [command.order.ticket.symbol for command in commands] == [STAYS]
    assert engine.process(OrderReport(GONE, f"{GONE}-s", 6, OrderState.CANCELED, Side.SELL), 4) == []
    assert all(getattr(one, "symbol", STAYS) == STAYS for one in engine.process(Timer(RECONCILE, 7), 5))
    engine.process(InstrumentUpdate(instrument(STAYS), 8), 6)
    assert engine.needs_seconds  # the one that stays has lost its stop
    del engine.portfolio.positions[STAYS]
    assert not engine.needs_seconds  # a row of the journal each second, for as long as it is parked
    held(engine, STAYS)
    restarted = Engine.restore(engine.config, None, engine.snapshot())
    assert set(restarted.portfolio.positions) == {GONE, STAYS}
    assert restarted.state.symbols[GONE].instrument.status == DELISTED


def test_f72_orders_that_the_venue_ended_are_forgotten_and_the_parked_position_stays():
    """Its reconciliation asked for one that the book had let go after a thousand others: each minute, after each start."""
    engine = Engine(config(), None)
    held(engine, GONE)
    engine.process(InstrumentUpdate(msgspec.structs.replace(instrument(GONE), status=DELISTED), 2), 2)
    engine.process(OrderReport(GONE, f"{GONE}-s", 6, OrderState.CANCELED, Side.SELL), 3)
    for number in range(2 * KEEP_FINAL):
        engine.book.register(
            Order(f"x{number}", STAYS, Side.BUY, Role.WORKING, 1, 1, 1, state=OrderState.EXPIRED)
        )
    engine.book.forget()
    assert engine.book.get(f"{GONE}-s") is None
    for one in (engine, Engine.restore(engine.config, None, engine.snapshot())):
        assert one.process(Slice(GONE, 7, 2_000_000, 2_000_000, 2_000_000, 1), 4) == []
        one.process(Timer(RECONCILE, 8), 5)
        assert one.portfolio.positions[GONE].tranches[0].base_e8 == 10**8


def test_f72_a_parked_position_ends_when_its_coins_have_left_the_account():
    """The operator has withdrawn or converted them; parked for good, it kept a place that a position may take."""
    engine = Engine(config(), None)
    held(engine, GONE)
    engine.portfolio.flow("GONE", 10**8)
    engine.process(InstrumentUpdate(msgspec.structs.replace(instrument(GONE), status=DELISTED), 2), 2)
    engine.process(CapitalFlow("GONE", -4 * 10**7, 3), 3)
    assert engine.portfolio.positions[GONE].tranches[0].base_e8 == 6 * 10**7
    engine.process(CapitalFlow("GONE", -6 * 10**7, 4), 4)
    assert GONE not in engine.portfolio.positions
    assert not engine.book.open()


def test_f72_what_is_just_bought_of_a_symbol_that_is_called_gone_keeps_its_stop():
    """The venue may say so by mistake, and be right again with the next look."""
    world = World()
    world.enter(targets=((1, 5000, 0),))
    world.feed(InstrumentUpdate(msgspec.structs.replace(world.instruments[SYMBOL], status=DELISTED), 2))
    world.feed(OperatorCommand("reduce", 3))  # whatever makes it look at all positions
    world.settle()
    world.feed(InstrumentUpdate(world.instruments[SYMBOL], 4))
    world.settle()
    assert [lots for _, lots in world.stops()] == [4995]
    assert world.position().tranches[0].legs == [one.client_order_id for one in world.open_orders()]
    assert world.alerts == []


@in_virtual_time
async def test_orders_of_a_delisted_symbol_do_not_end_the_comparison_of_the_others():
    """A minute's comparison, and the reads in place of the user stream: -1121 would end the daemon, again and again."""
    engine, venue = Engine(config(), None), Venue()
    for symbol in (GONE, STAYS):
        held(engine, symbol)
    engine.process(InstrumentUpdate(venue.instruments[GONE], 2), 2)
    assert [one.symbol for one in await recheck(venue, engine)] == [STAYS]
    told = []
    await changed_orders(venue, engine.book, told.extend)
    assert [one.symbol for one in told] == [STAYS]
