"""What is too little for a stop is not judged as bare, and a lot more is."""

from contextlib import contextmanager
from types import SimpleNamespace

import msgspec
import pytest

from bnml.app.picture import Picture
from bnml.core.ids import PREFIX
from bnml.core.instrument import plain
from bnml.drill import judging
from bnml.drill.judging import _least_e8, _spells
from bnml.trading.portfolio import Dust
from tests.drill.test_cover import order, trade
from tests.trading.kit import instrument

ONE = msgspec.structs.replace(instrument(), min_notional_e8=10 * 10**8)
STEP = 10
REST_LOTS = 27  # nine of each tranche


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


def books(positions=(), dust_lots=0):
    """An engine that holds these tranches of `ONE`, and so much dust."""
    ledger = SimpleNamespace(
        dust={ONE.symbol: Dust(ONE.base, dust_lots * ONE.lot_e8, 10**8)} if dust_lots else {}, quote=ONE.quote
    )
    tranches = [SimpleNamespace(base_e8=lots * ONE.lot_e8) for lots in positions]
    symbol = SimpleNamespace(instrument=ONE, bar=SimpleNamespace(close=6_450_000))
    return SimpleNamespace(
        state=SimpleNamespace(symbols={ONE.symbol: symbol}, orders={1: ONE}, ledger=ledger),
        portfolio=SimpleNamespace(
            positions={ONE.symbol: SimpleNamespace(tranches=tranches)} if tranches else {}, ledger=ledger
        ),
    )


class Account:
    """What the venue shows of it; a symbol's times are seconds."""

    def __init__(self, orders, trades):
        self.shown = {
            "/api/v3/allOrders": [{**one, "clientOrderId": f"{PREFIX}{one['orderId']}"} for one in orders],
            "/api/v3/myTrades": trades,
        }

    async def market_ns(self):
        return 5_000 * 10**9

    async def read(self, path, _query):
        return self.shown[path]


def lots(count):
    return plain(count * ONE.lot_e8)


ROUNDS = [
    trade(1, 10, lots(100), bought=True),
    trade(2, 20, lots(100 - REST_LOTS), bought=False),
    trade(3, 30, lots(100), bought=True),
    trade(4, 40, lots(100 - REST_LOTS), bought=False),
    trade(5, 3_700, lots(2 * REST_LOTS), bought=False),
]
STOPS = [
    order(2, 10, lots(100 - REST_LOTS), until_s=20, status="FILLED"),
    order(4, 30, lots(100 - REST_LOTS), until_s=40, status="FILLED"),
]
ENDS = [order(number, at_s, kind="MARKET") for number, at_s in ((1, 10), (3, 30), (5, 3_700))]


@pytest.fixture
def said(monkeypatch):
    """Of dust, in the health rows of the daemon, in its own words."""
    rows = []

    @contextmanager
    def journal(_path):
        yield SimpleNamespace(statuses=lambda: iter(rows))

    def say(dust_lots):
        words = tuple(Picture._dust(SimpleNamespace(_engine=books(dust_lots=dust_lots))))
        rows.append(SimpleNamespace(dust=words))

    monkeypatch.setattr(judging, "JournalReader", journal)
    return say


async def bare(monkeypatch, tmp_path, engine, orders, trades, *, coarsest=STEP):
    """Seconds from and to which the drill finds something without a stop."""
    monkeypatch.setattr(judging, "recovered_engine", lambda _stage: engine)
    stage = SimpleNamespace(
        state=tmp_path,
        exchange=Account(orders, trades),
        coarsest={ONE.symbol: coarsest},
        most_dust_e8={},
        excuses=SimpleNamespace(from_ns=0),
    )
    return [(one.since_ns / 1e9, one.until_ns / 1e9) for one in await _spells(stage)]


async def test_dust_that_is_sold_in_the_end_was_no_position_without_a_stop(said, monkeypatch, tmp_path):
    """Found in two drills: the rests of two rounds lay an hour and were sold, and counted as bare all the time before."""
    said(REST_LOTS)
    said(2 * REST_LOTS)
    said(REST_LOTS)
    assert await bare(monkeypatch, tmp_path, books(), [*STOPS, *ENDS], ROUNDS) == []


async def test_a_position_beside_dust_is_judged_as_ever(said, monkeypatch, tmp_path):
    said(2 * REST_LOTS)
    beside = [trade(6, 50, lots(200), bought=True), trade(7, 60, lots(200), bought=False)]
    ends = [order(6, 50, kind="MARKET"), order(7, 60, kind="MARKET")]
    found = await bare(monkeypatch, tmp_path, books(), [*STOPS, *ENDS, *ends], [*ROUNDS, *beside])
    assert found == [(50, 60)]


async def test_dust_that_lies_there_still_does_not_hide_a_position(said, monkeypatch, tmp_path):
    """What is held now is counted with its dust, else the time before would show less than there was."""
    said(2 * REST_LOTS)
    engine = books([80], dust_lots=2 * REST_LOTS)
    held = [*ROUNDS[:4], trade(5, 3_700, lots(80), bought=True)]
    assert await bare(monkeypatch, tmp_path, engine, [*STOPS, *ENDS], held) == [(3_700, 5_000)]
