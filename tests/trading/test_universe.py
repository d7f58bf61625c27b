"""Who may be traded: the operator's list, or what the filters leave of everything."""

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


@pytest.mark.parametrize(("symbol", "words"), [("DOGEUSDT", "does not trade"), ("SOLEUR", "priced in EUR")])
def test_a_name_that_cannot_be_traded_is_told_of(symbol, words):
    with pytest.raises(Misconfigured, match=words):
        resolve(UniverseSettings(symbols=(symbol,)), pairs("BTC") | pairs("SOL", quote="EUR"), {}, 7)
