"""A tick or lot that changed while a position was held, and a restart after it: all is counted in the old ones."""

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app.compose import _instruments
from bnml.core.commands import Submit
from bnml.core.errors import Misconfigured
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


class Refusing(Venue):
    """Does not trade, or not for this account, what is asked for beside that."""

    async def load_instruments(self, symbols, _quote):
        raise Misconfigured(
            f"universe.symbols: the venue does not trade {symbols[0]}, or this account may not"
        )


async def test_an_order_of_ours_in_a_symbol_of_which_nothing_is_known_ends_no_start():
    """A lost journal and a permission that is gone: its history was asked for, and there was no such symbol here."""
    world = World()
    venue, engine = Refusing(world.instruments[SYMBOL]), Engine(world.config, None)
    with capture_logs() as logs:
        found = await _instruments(venue, engine, (SYMBOL, "GONEUSDT"), "USDT")
    assert tuple(found) == (SYMBOL,), "what is followed has its filters"
    assert [(one["event"], "by hand" in one["way_out"]) for one in logs] == [("traded_symbol_unknown", True)]
