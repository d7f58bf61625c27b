"""What an API key may do: the right to withdraw is refused, what cannot be known must be accepted in writing."""

from types import SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app import keys as module
from bnml.app.keys import _same_orders, check_key, read_credentials
from bnml.config import load
from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, NS_PER_MS, LiveClock
from bnml.core.errors import Misconfigured, Rejected, Retryable
from bnml.core.orders import OrderState, Side
from bnml.trading.engine import Engine
from bnml.trading.orders import Order, Role
from tests.trading.kit import config

NOW_NS = 1_800_000_000 * 10**9


class Rest:
    def __init__(self, answer):
        self.answer = answer

    async def read(self, path, params):
        assert (path, params) == ("/sapi/v1/account/apiRestrictions", {})
        if isinstance(self.answer, Exception):
            raise self.answer
        return msgspec.json.encode(self.answer)


GOOD = {
    "ipRestrict": True,
    "enableReading": True,
    "enableSpotAndMarginTrading": True,
    "enableWithdrawals": False,
}


async def said(answer, **options):
    with capture_logs() as lines:
        await check_key(
            Rest(answer), load(None, {}, {key: (value, "") for key, value in options.items()}), NOW_NS
        )
    return [line["event"] for line in lines]


async def test_a_good_key_is_silent():
    assert await said(GOOD) == []


@pytest.mark.parametrize(
    ("right", "words"), [("enableWithdrawals", "withdraw"), ("enableSpotAndMarginTrading", "trade spot")]
)
async def test_a_key_that_can_take_money_out_or_cannot_trade_is_refused(right, words):
    with pytest.raises(Rejected, match=words):
        await said({**GOOD, right: not GOOD[right]})


async def test_a_key_without_addresses_or_with_transfers_is_warned_of():
    assert await said({**GOOD, "ipRestrict": False}) == ["key_without_addresses"]
    assert await said({**GOOD, "permitsUniversalTransfer": True}) == ["key_may_transfer"]


@pytest.mark.parametrize(("days", "events"), [(6, ["key_ends_soon"]), (8, [])])
async def test_the_end_of_a_key_is_told_in_time(days, events):
    ends_ms = (NOW_NS + days * NS_PER_DAY) // NS_PER_MS
    assert await said({**GOOD, "tradingAuthorityExpirationTime": ends_ms}) == events


async def test_what_is_no_reason_to_refuse_a_key_is_said_once_a_day():
    """Each hour it would be an alert."""
    told, settings = {}, load(None, {})
    lines = []
    for hour in range(49):
        with capture_logs() as said_now:
            await check_key(Rest({**GOOD, "ipRestrict": False}), settings, NOW_NS + hour * NS_PER_HOUR, told)
        lines += [line["event"] for line in said_now]
    assert lines == ["key_without_addresses"] * 3


async def test_a_venue_that_does_not_tell_needs_the_operators_word():
    silent = Rejected("404", code=-1)
    with pytest.raises(Rejected, match="key_permissions_unverified"):
        await said(silent)
    accepted = {"venue.key_permissions_unverified": "accept"}
    assert await said(silent, **accepted) == ["key_permissions_unverified"]
    with pytest.raises(Rejected, match="does not tell"):
        await said({"code": -1000, "msg": "try later"})
    with pytest.raises(Retryable):
        await said(Retryable("later"), **accepted)
    with pytest.raises(Rejected, match="withdraw"):  # known is known, whatever was accepted
        await said({**GOOD, "enableWithdrawals": True}, **accepted)


@pytest.mark.parametrize(("theirs", "is_ours"), [("105.5", True), ("99", False)])
async def test_with_nothing_that_rests_the_account_of_another_key_is_known_by_what_it_holds(theirs, is_ours):
    """After a key was lost any account's key was taken then, and traded with."""

    class Account:
        async def read(self, path, _params):
            assert path == "/api/v3/account"
            return msgspec.json.encode({"balances": [{"asset": "USDT", "free": theirs, "locked": "0"}]})

    engine = Engine(config(), None)
    engine.state.ledger.totals = {"USDT": 10_550 * 10**6, "BNB": 0}
    parts = SimpleNamespace(engine=engine)
    if is_ours:
        await _same_orders(parts, Account())
    else:
        with pytest.raises(Rejected, match="does not hold what the ledger says"):
            await _same_orders(parts, Account())


async def test_an_order_that_may_never_have_arrived_does_not_show_whose_a_key_is():
    """A purchase under way when the old key was lost made the right key look like another account's."""
    asked = []

    class Account:
        async def read(self, _path, params):
            asked.append(params["origClientOrderId"])
            return b"{}"

    engine = Engine(config(), None)
    for name, state in (
        ("lost", OrderState.UNKNOWN),
        ("asleep", OrderState.SLEEPING),
        ("stop", OrderState.OPEN),
    ):
        engine.book.register(Order(name, "BTCUSDT", Side.SELL, Role.STOP, 1, 100, 100, 3, state=state))
    await _same_orders(SimpleNamespace(engine=engine), Account())
    assert asked == ["stop"]


async def test_where_the_venue_does_not_tell_whose_account_it_is_our_orders_do(monkeypatch, tmp_path):
    """0 equals 0: any account's key was taken."""
    for name in ("binance_api_key", "binance_api_secret"):
        (tmp_path / name).write_text("k" * 64)

    class Account:
        def __init__(self, *_, **__):
            self.signer, self.budget, self.clock = SimpleNamespace(api_key="old", lost=""), None, None

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            return None

        async def read(self, path, params):
            if path.startswith("/sapi"):
                return msgspec.json.encode(GOOD)
            if "origClientOrderId" in params:
                raise Rejected("no such order", code=-2013)
            return b'{"balances":[]}'

    engine = Engine(config(), None)
    engine.book.register(
        Order("stop", "BTCUSDT", Side.SELL, Role.STOP, 1, 100, 100, 3, state=OrderState.OPEN)
    )
    parts = SimpleNamespace(
        engine=engine,
        settings=load(None, {}),
        clock=LiveClock(),
        deployment=SimpleNamespace(rest_url="", control=None),
        venue=SimpleNamespace(rest=Account()),
    )
    monkeypatch.setattr(module, "RestClient", Account)
    with pytest.raises(Rejected, match="belongs to another account"):
        await module.rotate(parts, tmp_path)


def test_credentials_lie_in_a_folder_as_systemds_do(tmp_path):
    with pytest.raises(Misconfigured, match="binance_api_key"):
        read_credentials(tmp_path)
    (tmp_path / "binance_api_key").write_text("key\n")
    (tmp_path / "binance_api_secret").write_text("")
    with pytest.raises(Misconfigured, match="empty"):
        read_credentials(tmp_path)
    (tmp_path / "binance_api_secret").write_text("secret\n")
    assert read_credentials(tmp_path) == ("key", "secret")
