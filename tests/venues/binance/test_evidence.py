"""What lists of orders and trades prove about an order that nobody shows."""

import json
from types import SimpleNamespace

import pytest

from bnml.core.errors import Rejected
from bnml.venues.binance.evidence import ORDERS_PER_PAGE, Evidence


def row(name, status, order_id=1, **more):
    return {"symbol": "BTCUSDT", "clientOrderId": name, "orderId": order_id, "status": status, **more}


async def shows_none(every, ended=""):
    async def read(path, _params, _lane=None):
        return json.dumps(every if path == "/api/v3/allOrders" else []).encode()

    return await Evidence(SimpleNamespace(read=read)).shows_none_of("BTCUSDT", {"new"}, ended)


PAGE = [row(f"o{n}", "FILLED", n + 10) for n in range(ORDERS_PER_PAGE)]


@pytest.mark.parametrize(
    ("every", "ended", "is_proven"),
    [
        pytest.param([], "", True, id="no orders"),
        pytest.param([row("new", "FILLED")], "", False, id="there it is"),
        pytest.param([row("old", "CANCELED")], "old", True, id="its cancel, and no sale"),
        pytest.param([row("x", "CANCELED", origClientOrderId="old")], "old", True, id="under its first name"),
        pytest.param([row("old", "NEW")], "old", False, id="older than the cancel"),
        pytest.param([row("old", "PARTIALLY_FILLED")], "old", False, id="older than its fills"),
        pytest.param([row("old", "NEW_STATUS")], "old", False, id="nothing known"),
        pytest.param([row("other", "FILLED")], "old", False, id="not shown yet"),
        pytest.param(PAGE, "old", True, id="so old that a page ends before it"),
    ],
)
async def test_a_sale_that_is_not_shown_is_absent_only_with_the_cancel_that_came_before_it(
    every, ended, is_proven
):
    """One request does both: a list that lags behind shows neither."""
    assert await shows_none(every, ended) is is_proven


@pytest.mark.parametrize(("code", "is_told"), [(-2013, True), (-2018, True), (-1102, False)])
async def test_a_list_that_the_venue_does_not_know_has_no_orders(code, is_told):
    """It is refused with a code of its own: a cancel of such a list stayed in doubt for ever."""

    async def read(*_):
        raise Rejected("Order list does not exist.", code=code)

    evidence = Evidence(SimpleNamespace(read=read))
    if is_told:
        assert await evidence.list_members("l") == []
    else:
        with pytest.raises(Rejected):
            await evidence.list_members("l")
