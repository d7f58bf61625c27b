"""The fee reserve of a daemon that is told to keep one: bought once although the answer is lost, and both books agree."""

import pytest
import yaml

from bnml.core.ids import is_of_fees
from tests.e2e.live import STILL, Live

FEES = "BNBUSDT"
SYMBOLS = f"ADAUSDT,{FEES},BTCUSDT,DOGEUSDT"
LOST = {
    "match": {"request": "*order*", "client_order_id": "bn*f"},
    "at": "after",
    "when": {"times": 1},
    "do": {"action": "no_answer"},
}


@pytest.fixture
def live(tmp_path, monkeypatch):
    faults = tmp_path / "faults.yaml"
    faults.write_text(yaml.safe_dump({"rules": [{"name": "lost", **LOST}]}))
    monkeypatch.setattr("tests.e2e.kills.SYMBOLS", SYMBOLS)
    for name, value in {
        "CAPITAL__FEE_TOP_UP": "true",
        "CAPITAL__FEE_RESERVE_QUOTE": "20",
        "VENUE__SIM__FAULTS": str(faults),
    }.items():
        monkeypatch.setenv(f"BNML_{name}", value)
    session = Live(tmp_path / "state", seed=1)
    session.start()
    yield session
    session.end()


def told(live):
    return [line["event"] for line in live.log()]


def test_f01_the_fee_reserve_is_bought_once_although_the_answer_is_lost(live):
    live.wait_trading(1)
    live.wait_until(lambda _: "fee_reserve_bought" in told(live), 60, "the purchase")
    assert live.control("GET", "/sim/faults")["rules"][0]["fired"] == 1
    assert live.stop() == 0
    live.start()  # and once more: a restart finds the reserve full, and nothing of it to take over
    live.wait_trading(2)
    live.speed(STILL)
    (bought,) = [one for one in live.all_orders(FEES) if is_of_fees(one["clientOrderId"])]
    assert bought["status"] == "FILLED"
    assert 20 <= float(bought["cummulativeQuoteQty"]) < 21
    assert live.stop() == 0
    assert not {"balances_differ", "orders_adopted", "trading_halted", "ledger_contradiction"} & set(
        told(live)
    )
    live.check()
