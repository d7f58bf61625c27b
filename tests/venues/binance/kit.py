"""Instruments and frames for the tests of the Binance adapter."""

import msgspec

from bnml.core.instrument import Instrument

BTC = Instrument("BTCUSDT", "BTC", "USDT", tick_e8=1_000_000, lot_e8=1_000)
ETH_BTC = Instrument("ETHBTC", "ETH", "BTC", tick_e8=10, lot_e8=10_000)
BNB_BTC = Instrument("BNBBTC", "BNB", "BTC", tick_e8=10, lot_e8=1_000_000)
LTC_BTC = Instrument("LTCBTC", "LTC", "BTC", tick_e8=100, lot_e8=1_000_000)
ALL = {one.symbol: one for one in (BTC, ETH_BTC, BNB_BTC, LTC_BTC)}


def combined(stream, data, number=None):
    """A market frame as `/stream` sends it."""
    frame = {"stream": stream, "data": data}
    return msgspec.json.encode(frame if number is None else {**frame, "simSeq": number})
