"""Tables of recorded trades as a market."""

import pytest

from bnml.core.errors import Misconfigured
from bnml.core.instrument import Instrument
from bnml.venues.sim.minutes import MINUTE_NS
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.recorded import RecordedStreamFeed, infer_instruments, read_trades
from tests.venues.sim.bench import costs
from tests.venues.sim.public_side import PublicSide, candles_of, of_event

STREAMS = ("trade", "kline_1m", "kline_1h", "depth@100ms")


@pytest.fixture(scope="module")
def files(data_dir):
    return sorted((data_dir / "ticks").glob("*_trades*.parquet"))


def test_every_trade_is_served_with_its_number_and_candles_are_their_sums(files):
    instruments = infer_instruments(files)
    assert instruments == {"XRPETH": Instrument("XRPETH", "XRP", "ETH", tick_e8=1, lot_e8=10**8)}
    pricing = Pricing(costs(spread_ppm=100), takes_recorded_books=True)
    side = PublicSide(RecordedStreamFeed(files, instruments), pricing, STREAMS, live=False)
    for number in range(3000):
        assert side.step()
        if number == 0:
            book = side.get("depth", symbol="XRPETH")
            assert float(book["bids"][0][0]) < float(book["asks"][0][0])
    trades = side.trades("XRPETH")
    ids = [one.id for one in trades]
    assert ids == list(range(13519807, 13519807 + len(ids)))
    assert len(ids) > 3000 * 0.5
    recorded = [(one.data["t"], one.data["T"], one.data["m"]) for one in read_trades(files[0])][: len(ids)]
    assert [(one.id, one.ms, one.maker) for one in trades] == recorded
    made = candles_of(trades, "1m")
    closed = [one for one in side.ear.heard["xrpeth@kline_1m"] if one["k"]["x"]]
    assert len(closed) > 500
    for one in closed:
        assert of_event(one["k"]) == made[one["k"]["t"]]
        late_ms = one["E"] - one["k"]["T"]
        assert 0 < late_ms <= 2_101, "a minute closes in time, though nobody trades after it"
    assert all(one["k"]["T"] - one["k"]["t"] == MINUTE_NS // 10**6 - 1 for one in closed)


def test_a_table_without_its_columns_is_refused(data_dir):
    other = next((data_dir / "binance_spot" / "1m").glob("*.parquet"))
    with pytest.raises(Misconfigured, match="not a table of trades"):
        list(read_trades(other))
