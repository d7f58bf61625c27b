"""Who may be traded: the operator's list, or what the filters leave of everything."""

import duckdb
import msgspec
import pytest

from bnml.core.errors import Misconfigured
from bnml.core.events import UniverseUpdate
from bnml.trading.settings import UniverseSettings
from bnml.trading.universe import resolve
from tests.trading.kit import instrument

E8 = 10**8


def pairs(*bases, quote="USDT"):
    return {
        base + quote: msgspec.structs.replace(
            instrument(base + "USDT"), symbol=base + quote, base=base, quote=quote
        )
        for base in bases
    }


def discovered(instruments, volumes, **options):
    chosen = UniverseSettings(dynamic=True, **options)
    return resolve(chosen, instruments, {name: value * E8 for name, value in volumes.items()}, 5).symbols


def test_discovery_ranks_by_turnover_then_name_and_cuts():
    volumes = {"BTCUSDT": 9e6, "ADAUSDT": 3e6, "ETHUSDT": 3e6, "XRPUSDT": 5e6}
    found = discovered(
        pairs("BTC", "ETH", "ADA", "XRP"), {k: int(v) for k, v in volumes.items()}, max_symbols=3
    )
    assert found == ("BTCUSDT", "XRPUSDT", "ADAUSDT")


@pytest.mark.parametrize(
    "base", ["USDC", "EUR", "BTCUP", "ETHDOWN", "ADABULL", "XRPBEAR", "LDBTC", "BULLX", "BEARX"]
)
def test_discovery_leaves_out_stables_fiat_leveraged_and_earn_tokens(base):
    assert discovered(pairs("BTC", base), {"BTCUSDT": 10**7, base + "USDT": 10**9}) == ("BTCUSDT",)


def test_discovery_leaves_out_thin_paused_and_foreign_pairs():
    found = pairs("BTC", "ETH", "ADA") | pairs("SOL", quote="EUR")
    found["ETHUSDT"] = msgspec.structs.replace(found["ETHUSDT"], status="BREAK")
    volumes = {"BTCUSDT": 10**6, "ETHUSDT": 10**9, "ADAUSDT": 999_999, "SOLEUR": 10**9}
    assert discovered(found, volumes) == ("BTCUSDT",)


def test_a_coin_named_as_a_prefix_is_a_coin():
    assert discovered(pairs("UP", "LD"), {"UPUSDT": 10**7, "LDUSDT": 10**6}) == ("UPUSDT", "LDUSDT")


def test_the_list_keeps_the_operators_order():
    update = resolve(UniverseSettings(symbols=("ETHUSDT", "BTCUSDT")), pairs("BTC", "ETH", "ADA"), {}, 7)
    assert update == UniverseUpdate(("ETHUSDT", "BTCUSDT"), 7)


def test_an_empty_list_is_all_that_is_traded_in_the_quote_asset():
    found = pairs("ETH", "BTC") | pairs("SOL", quote="EUR")
    assert resolve(UniverseSettings(), found, {}, 7).symbols == ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(("symbol", "words"), [("DOGEUSDT", "does not have"), ("SOLEUR", "priced in EUR")])
def test_a_name_that_cannot_be_traded_is_told_of(symbol, words):
    with pytest.raises(Misconfigured, match=words):
        resolve(UniverseSettings(symbols=(symbol,)), pairs("BTC") | pairs("SOL", quote="EUR"), {}, 7)


def test_a_name_that_has_stopped_stays_in_the_list():
    """It may trade again within minutes; refused, a daemon with positions in the others could not be started."""
    found = pairs("BTC", "ETH")
    found["ETHUSDT"] = msgspec.structs.replace(found["ETHUSDT"], status="BREAK")
    chosen = UniverseSettings(symbols=("ETHUSDT", "BTCUSDT"))
    assert resolve(chosen, found, {}, 7).symbols == ("ETHUSDT", "BTCUSDT")


def recorded_turnover(data_dir, day):
    """Quote turnover (1e-8) of each pair of the recorded universe in its first or second 24 h."""
    rows = duckdb.execute(
        "SELECT symbol, sum(volume * close) FROM read_parquet(?) WHERE (open_time - 1721822400000) // 86400000 = ? GROUP BY symbol",
        [str(data_dir / "binance_spot" / "universe_5m.parquet"), day],
    ).fetchall()
    return {symbol: int(turnover * E8) for symbol, turnover in rows}


def test_the_recorded_universe_is_ranked_filtered_and_cut(data_dir):
    """Pairs of July 2024: what a daemon of that day would have traded."""
    volumes = recorded_turnover(data_dir, 0)
    assert len(volumes) == 378  # the 379th was listed within the second
    every = pairs(*(symbol.removesuffix("USDT") for symbol in volumes))
    update = resolve(UniverseSettings(dynamic=True), every, volumes, 7)
    assert update.symbols[:5] == ("BTCUSDT", "ETHUSDT", "SOLUSDT", "PEPEUSDT", "XRPUSDT")
    assert not {"USDCUSDT", "FDUSDUSDT", "TUSDUSDT", "USDPUSDT", "EURUSDT"} & set(update.symbols)
    assert len(update.symbols) == 150
    assert update.turnover_e8 == tuple(volumes[symbol] for symbol in update.symbols)
    assert list(update.turnover_e8) == sorted(update.turnover_e8, reverse=True)
    assert update.turnover_e8[-1] >= 10**6 * E8
    whole = resolve(UniverseSettings(dynamic=True, max_symbols=1000), every, volumes, 7)
    left_out = {symbol for symbol in volumes if volumes[symbol] >= 10**6 * E8} - set(whole.symbols)
    assert 150 < len(whole.symbols) <= 378 - len(left_out)
    assert min(whole.turnover_e8) >= 10**6 * E8


def test_the_next_recorded_day_has_another_universe(data_dir):
    every = pairs(*(symbol.removesuffix("USDT") for symbol in recorded_turnover(data_dir, 0)))
    first, second = (
        resolve(UniverseSettings(dynamic=True), every, recorded_turnover(data_dir, day), day).symbols
        for day in (0, 1)
    )
    assert 0 < len(set(first) ^ set(second)) < 60
