"""What is too little for a stop is not judged as bare, and a lot more is."""

from types import SimpleNamespace

import msgspec
import pytest

from bnml.drill.judging import _least_e8
from tests.trading.kit import instrument

ONE = msgspec.structs.replace(instrument(), min_notional_e8=10 * 10**8)


def least_lots(step, close_ticks=6_450_000):
    """Of an instrument with that step, in lots of the books."""
    state = SimpleNamespace(bar=SimpleNamespace(close=close_ticks))
    engine = SimpleNamespace(state=SimpleNamespace(symbols={ONE.symbol: state}))
    return _least_e8(engine, ONE, step) / ONE.lot_e8


def test_the_minimum_notional_decides_where_every_lot_can_be_sold():
    worth_e8 = ONE.notional_e8(6_450_000, 1)
    assert least_lots(1) == max(ONE.min_notional_e8 // worth_e8, ONE.min_lots) + 1


@pytest.mark.parametrize("step", [10, 100])
def test_a_coarser_step_leaves_a_rest_in_each_of_three_tranches(step):
    """Found in a drill: three rests of nine lots each counted as a position without a stop."""
    assert least_lots(step) - least_lots(1) == 3 * (step - 1)
