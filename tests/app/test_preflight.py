import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app.preflight import (
    LEAST_FREE_BYTES,
    LiveFacts,
    check_capital,
    check_live,
    say_what_is_off,
    smallest_capital_e8,
    within_live_capital,
)
from bnml.config import load
from bnml.core.errors import Rejected
from bnml.core.instrument import E8, Instrument

BTC = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=1_000_000, lot_e8=1_000)
PRICE = 6_000_000  # 60,000.00


def settings(**options):
    return load(None, {}, {key.replace("__", "."): (value, key) for key, value in options.items()})


def test_just_enough_passes_and_one_cent_less_is_refused_with_the_amount():
    chosen = settings()
    least_e8 = smallest_capital_e8(BTC, PRICE, chosen, split=False)
    check_capital(chosen, {"BTCUSDT": BTC}, {"BTCUSDT": PRICE}, least_e8)
    with pytest.raises(Rejected, match=f"at least {-(-least_e8 // 1_000_000) / 100:.2f} USDT"):
        check_capital(chosen, {"BTCUSDT": BTC}, {"BTCUSDT": PRICE}, least_e8 - 1_000_000)


def test_the_smallest_position_meets_the_notional_even_at_its_stop():
    chosen = settings()
    least_e8 = smallest_capital_e8(BTC, PRICE, chosen, split=False)
    position_e8 = least_e8 * 0.60 * 0.20
    assert position_e8 * 0.97 * 0.999 >= BTC.min_notional_e8
    assert position_e8 * 0.97 * 0.999 < BTC.min_notional_e8 * 1.2


def test_three_tranches_need_more_than_one():
    chosen = settings()
    one, three = (smallest_capital_e8(BTC, PRICE, chosen, split=split) for split in (False, True))
    assert three > 4.5 * one


def test_a_far_stop_makes_the_risk_limit_decide():
    near, far = settings(), settings(exits__hard_stop_pct=20.0)
    assert smallest_capital_e8(BTC, PRICE, far, split=False) > smallest_capital_e8(
        BTC, PRICE, near, split=False
    )


def test_max_quote_counts_as_the_capital():
    with pytest.raises(Rejected, match="too small"):
        check_capital(settings(capital__max_quote=10.0), {"BTCUSDT": BTC}, {"BTCUSDT": PRICE}, 10_000 * E8)


def test_the_cheapest_symbol_decides():
    coarse = msgspec.structs.replace(BTC, symbol="BIGUSDT", lot_e8=E8)
    both = {"BTCUSDT": BTC, "BIGUSDT": coarse}
    check_capital(settings(), both, dict.fromkeys(both, PRICE), 1_000 * E8)


def test_without_any_price_nothing_starts():
    with pytest.raises(Rejected, match="no symbol"):
        check_capital(settings(), {"BTCUSDT": BTC}, {}, 1_000 * E8)


GOOD = LiveFacts(
    has_credentials=True,
    api_up=True,
    skew_ms=0,
    free_bytes=LEAST_FREE_BYTES,
    quote_free_e8=1,
    prices={"BTCUSDT": 1},
)
READY = {"live__confirm": True, "live__max_capital": 100.0}


def test_live_passes_when_everything_holds():
    check_live(settings(**READY), GOOD)


@pytest.mark.parametrize(
    ("options", "facts", "word"),
    [
        ({"live__confirm": False}, {}, "live.confirm"),
        ({"live__max_capital": None}, {}, "live.max_capital"),
        ({"learning__gate": False}, {}, "learning.gate"),
        ({"venue__live": {"rest_url": "https://testnet.binance.vision"}}, {}, "not Binance"),
        ({"venue__live": {"api_url": "wss://testnet.binance.vision/x"}}, {}, "not Binance"),
        ({"venue__live": {"rest_url": "http://127.0.0.1:1"}}, {}, "here and elsewhere"),
        ({}, {"has_credentials": False}, "BINANCE_API_KEY"),
        ({}, {"api_up": False}, "WebSocket API"),
        ({}, {"skew_ms": 900}, "900 ms"),
        ({}, {"free_bytes": 1}, "MiB"),
        ({}, {"quote_free_e8": 0}, "no USDT"),
        ({}, {"prices": {}}, "price"),
        ({}, {"prices": {"BTCUSDT": 0}}, "price"),
    ],
)
def test_live_is_refused_for_each_fault(options, facts, word):
    with pytest.raises(Rejected, match=word):
        check_live(settings(**{**READY, **options}), msgspec.structs.replace(GOOD, **facts))


def test_a_rehearsal_of_live_on_this_machine_is_allowed_when_all_of_it_is_here():
    urls = {"rest_url": "http://localhost:1", "stream_url": "ws://127.0.0.1:1", "api_url": "ws://127.0.0.1:1"}
    check_live(settings(**READY, venue__live=urls), GOOD)


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({"venue__kind": "live"}, 100.0),
        ({"venue__kind": "live", "capital__max_quote": 40.0}, 40.0),
        ({"venue__kind": "live", "capital__max_quote": 400.0}, 100.0),
        ({"venue__kind": "testnet"}, None),
    ],
)
def test_the_capital_of_live_is_a_limit_that_no_setting_lifts(options, limit):
    assert within_live_capital(settings(**READY, **options)).capital.max_quote == limit


BOTH = {"alerts__webhook_url": "https://example.org/", "capital__depeg_symbol": "USDCUSDT"}


@pytest.mark.parametrize(
    ("options", "level", "words"),
    [
        ({"venue__kind": "live"}, "warning", ["alerts.webhook_url", "capital.depeg_symbol"]),
        ({"venue__kind": "live", **BOTH, "alerts__webhook_url": ""}, "warning", ["alerts.webhook_url"]),
        ({"venue__kind": "live", **BOTH, "capital__depeg_symbol": ""}, "warning", ["capital.depeg_symbol"]),
        ({"venue__kind": "testnet"}, "info", ["alerts.webhook_url", "capital.depeg_symbol"]),
        ({"venue__kind": "paper", **BOTH}, "info", ["delist schedule"]),
    ],
)
def test_a_start_says_in_one_line_what_nobody_watches(options, level, words):
    with capture_logs() as lines:
        say_what_is_off(settings(**options))
    ((event, severity, text),) = [(one["event"], one["log_level"], one["text"]) for one in lines]
    assert (event, severity) == ("guards_off", level)
    assert [word in text for word in words] == [True] * len(words)
    assert text.count("; ") == len(words) - 1


@pytest.mark.parametrize("options", [{"venue__kind": "live", **BOTH}, {}])
def test_a_start_is_silent_where_all_is_watched_or_nothing_is_at_stake(options):
    with capture_logs() as lines:
        say_what_is_off(settings(**options))
    assert lines == []
