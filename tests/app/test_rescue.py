"""What is ours without the daemon: what fees are paid in is not among what is sold."""

import msgspec

from bnml.app.rescue import Rescue
from bnml.core.ids import IdSource
from tests.trading.kit import instrument


class Rest:
    """Answers every read with the same orders."""

    def __init__(self, *legs):
        self.orders = [
            {
                "symbol": "BTCUSDT",
                "clientOrderId": IdSource("ab12", 3).client_order_id(77, number, leg),
                "orderId": number + 1,
                "status": "FILLED",
                "side": "BUY",
                "type": "MARKET",
                "origQty": "0.5",
                "executedQty": "0.5",
            }
            for number, leg in enumerate(legs)
        ]

    async def read(self, path, *_):
        return b"[]" if path == "/api/v3/myTrades" else msgspec.json.encode(self.orders)


async def test_the_fee_reserve_is_no_holding_with_a_journal_or_without():
    for booked in ({}, None):
        rescue = Rescue(Rest("w", "f"), "ab12", booked)
        rescue.instruments["BTCUSDT"] = instrument()
        assert await rescue.held_e8("BTCUSDT") == 5 * 10**7
