"""Which market is served, and the sentences for markets that do not exist."""

import pytest

from bnml.app.exchange_feed import make_feed
from bnml.config import Settings
from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Misconfigured
from bnml.options import ExchangeOptions
from bnml.trading.filling import compile_costs


def feed_of(settings=None, **options):
    made = Settings.model_validate(settings or {})
    return make_feed(made, ExchangeOptions(**options), compile_costs(made.costs))[1]


def test_the_generated_market_has_all_its_symbols_whichever_are_traded():
    feed = feed_of({"universe": {"symbols": ["BTCUSDT", "SIM002USDT"]}})
    assert {"ADAUSDT", "BTCUSDT", "SIM001USDT", "SIM002USDT"} <= set(feed.instruments)
    with pytest.raises(Misconfigured, match="the generated market has no NOPEUSDT; it has ADAUSDT, "):
        feed_of({"universe": {"symbols": ["NOPEUSDT"]}})


def test_dates_belong_to_recorded_data():
    with pytest.raises(Misconfigured, match="name its folder with --replay"):
        feed_of(from_ns=parse_utc_ns("2023-07-01"))


def test_recorded_bars_before_the_start_are_history(data_dir):
    start_ns = parse_utc_ns("2024-01-01")
    feed = feed_of(
        {"universe": {"symbols": ["XRPUSDT"]}},
        replay=data_dir / "binance_spot" / "15m", from_ns=start_ns, to_ns=parse_utc_ns("2024-01-02"),
    )  # fmt: skip
    assert feed.history(0)["XRPUSDT"]["ts_open_ns"][-1] < start_ns == feed.step(0).ts_ns
    assert feed.step(96 * 5) is None


def test_a_start_after_the_data_is_refused(data_dir):
    with pytest.raises(Misconfigured, match="choose an earlier --from"):
        feed_of(
            {"universe": {"symbols": ["XRPUSDT"]}},
            replay=data_dir / "binance_spot" / "15m", from_ns=parse_utc_ns("2030-01-01"),
        )  # fmt: skip


def test_recorded_streams_make_minutes(data_dir):
    folder = data_dir / "fixtures" / "binance_ws_recorded"
    with pytest.raises(Misconfigured, match="add --base-frame 1m"):
        feed_of(replay=folder)
    with pytest.raises(Misconfigured, match="leave out --from and --to"):
        feed_of(replay=folder, from_ns=0)
