"""A tick or lot that changed while a position was held, and a restart after it: all is counted in the old ones."""

import msgspec
import pytest

from bnml.app.compose import _instruments
from bnml.core.commands import Submit
from bnml.core.events import InstrumentUpdate, OperatorCommand
from bnml.trading.engine import Engine
from bnml.venues.binance.requests import request_of
from tests.trading.hand_venue import SYMBOL, World


class Venue:
    """Has read the filters that hold now."""

    def __init__(self, shown):
        self.instruments = {SYMBOL: shown}


@pytest.mark.parametrize(("tick", "lot"), [(10, 1), (1, 10), (10, 10)])
async def test_f71_a_position_is_sold_in_its_own_units_after_a_restart(tick, lot):
    world = World()
    world.enter()
    world.settle()
    old = world.instruments[SYMBOL]
    held = old.quantity_decimal(world.position().lots(old.lot_e8))
    shown = msgspec.structs.replace(old, tick_e8=old.tick_e8 * tick, lot_e8=old.lot_e8 * lot)
    venue, engine = Venue(shown), Engine.restore(world.config, None, world.engine.snapshot())
    instruments = await _instruments(venue, engine, (SYMBOL,), "USDT")
    engine.process(InstrumentUpdate(instruments[SYMBOL], world.now_ns), 1_000)
    commands = engine.process(OperatorCommand("flatten", world.now_ns, SYMBOL), 1_001)
    sale = next(one for one in commands if isinstance(one, Submit))
    quantity = request_of(sale, venue.instruments).params["quantity"]
    rest = 3 * lot * old.lot_e8 / 1e8  # of each tranche less than a lot
    assert float(held) - rest < float(quantity) <= float(held)
    one = engine.portfolio.positions[SYMBOL].tranches[0]
    assert venue.instruments[SYMBOL].price_decimal(one.stop_ticks) == old.price_decimal(one.stop_ticks)
