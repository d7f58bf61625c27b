import pytest

from bnml.app.strangers import (
    FRESH_NS,
    adoptions,
    fills_of_now,
    foreign,
    name_of,
    newest_epoch,
    refuse_second_daemon,
    touched_symbols,
)
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Rejected
from bnml.core.events import OrderReport
from bnml.core.ids import IdSource
from bnml.core.orders import OrderState, Side
from bnml.venues.binance.wire import OrderAnswer
from tests.trading.kit import instrument

NOW_NS = 1_700_000_000_000 * NS_PER_MS


def shown(name, *, age_ns=0, status="NEW", symbol="BTCUSDT"):
    touched_ms = (NOW_NS - age_ns) // NS_PER_MS
    return OrderAnswer(symbol=symbol, client_order_id=name, status=status, update_time=touched_ms)


def made(instance, epoch):
    return IdSource(instance, epoch).client_order_id(77, 0, "s")


@pytest.mark.parametrize("epoch", [1, 35, 36, 1295, 1_000_000])
def test_an_id_can_be_taken_apart(epoch):
    name = name_of(made("ab12", epoch))
    assert (name.instance, name.epoch, name.sequence) == ("ab12", epoch, 77)


@pytest.mark.parametrize("name", ["x-abc", "bnzz", "web_123", "bnab12!-1-0w", "bnab121-1-0w-"])
def test_ids_of_others_have_no_parts(name):
    assert name_of(name) is None


def test_the_newest_epoch_counts_orders_that_are_over_too():
    orders = [
        shown(made("ab12", 3)),
        shown(made("ab12", 9), status="FILLED"),
        shown(made("zz99", 40)),
        shown("web"),
    ]
    assert newest_epoch(orders, "ab12") == 9
    assert newest_epoch([], "ab12") == 0


@pytest.mark.parametrize(("instance", "epoch"), [("ab12", 8), ("zz99", 1)])
def test_fresh_orders_of_another_daemon_stop_the_start(instance, epoch):
    order = shown(made(instance, epoch), age_ns=FRESH_NS - 1)
    with pytest.raises(Rejected, match="bnml recover --acknowledge") as refusal:
        refuse_second_daemon([order], "ab12", 7, NOW_NS, 0)
    assert refusal.value.exit_code == 3
    refuse_second_daemon([order], "ab12", 7, NOW_NS, NOW_NS)
    refuse_second_daemon([shown(made(instance, epoch), age_ns=FRESH_NS + 1)], "ab12", 7, NOW_NS, 0)


def test_own_orders_and_those_of_people_are_no_reason():
    refuse_second_daemon([shown(made("ab12", 7)), shown("web_1"), shown("x-1")], "ab12", 7, NOW_NS, 0)


def test_foreign_orders_are_those_of_everybody_else_that_rest():
    orders = [shown(made("ab12", 1)), shown("web_1"), shown(made("zz99", 1)), shown("web_2", status="FILLED")]
    assert [order.client_order_id for order in foreign(orders, "ab12")] == ["web_1", made("zz99", 1)]


def test_symbols_with_something_of_ours_are_followed():
    old = {"age_ns": 100, "status": "CANCELED"}
    orders = [shown(made("ab12", 1)), shown(made("ab12", 1), symbol="OLD", **old), shown("web", symbol="WEB")]
    assert touched_symbols(orders, "ab12", NOW_NS) == ["BTCUSDT"]
    assert touched_symbols(orders, "ab12", NOW_NS - 1000 * NS_PER_MS) == ["BTCUSDT", "OLD"]


def fill(side, lots, commission_e8=0):
    return OrderReport(
        "BTCUSDT",
        "a",
        1,
        OrderState.FILLED,
        side,
        last_lots=lots,
        commission_e8=commission_e8,
        commission_asset="BTC",
    )


def test_only_the_round_that_is_still_held_matters_to_new_books():
    done = [fill(Side.BUY, 100, 50), fill(Side.SELL, 99)]
    now = [fill(Side.BUY, 10), fill(Side.SELL, 4)]
    assert fills_of_now([*done, *now], instrument()) == now
    assert fills_of_now(done, instrument()) == []
    assert fills_of_now([fill(Side.SELL, 5), *now], instrument()) == [fill(Side.SELL, 5), *now]


@pytest.mark.parametrize(("leg", "taken"), [("w", ["BTCUSDT"]), ("f", [])])
async def test_a_purchase_of_the_fee_reserve_is_nobodys_position(leg, taken):
    """Of a journal that was lost: an entry is taken over, what fees are paid in is only part of the balance."""

    class Venue:
        instruments = {"BTCUSDT": instrument()}  # noqa: RUF012 - read only

        async def order_reports(self, symbol, name):
            return [
                OrderReport(
                    symbol, name, NOW_NS, OrderState.FILLED, Side.BUY, 100, 1, 100, 3_000_000, 0, "BTC"
                )
            ]

    name = IdSource("ab12", 1).client_order_id(77, 0, leg)
    order = OrderAnswer(
        symbol="BTCUSDT",
        client_order_id=name,
        status="FILLED",
        side="BUY",
        type="MARKET",
        orig_qty="0.001",
        executed_qty="0.001",
        update_time=NOW_NS // NS_PER_MS,
    )
    found = await adoptions(Venue(), [order], "ab12", lambda _: False, 0, NOW_NS)
    assert [one.symbol for one in found] == taken
