"""Several accounts and keys over the wire: who may do what, how each kind of key signs, and what a restart knows."""

import time
from base64 import b64encode
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from bnml.venues.sim.access import Access
from tests.venues.sim.served import KEY, served, sign_as, signature

API = "/api/v3"
REFUSED = {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "80",
}


async def raw(client, method, path, query, body=None, key=KEY):
    """(status, body) of exactly these bytes."""
    headers = {"X-MBX-APIKEY": key.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    url = URL(f"{client.base}{path}" + (f"?{query}" if query else ""), encoded=True)
    async with client.session.request(method, url, data=body, headers=headers) as response:
        return response.status, await response.json()


def now_ms():
    return int(time.time() * 1000)


async def test_accounts_have_money_orders_and_numbers_of_their_own():
    async with served() as client:
        client.steps(1)
        bob = await client.new_account("bob", USDT="500", BTC="2")
        placed = (await client.signed("POST", f"{API}/order", key=bob, **LIMIT))[1]
        assert placed["status"] == "NEW"
        assert len((await client.signed("GET", f"{API}/openOrders", key=bob))[1]) == 1
        assert (await client.signed("GET", f"{API}/openOrders"))[1] == []
        other = await client.signed("GET", f"{API}/order", symbol="BTCUSDT", orderId=placed["orderId"])
        assert (other[0], other[1]["code"]) == (400, -2013), "another account's order does not exist for me"
        mine, his = [(await client.signed("GET", f"{API}/account", key=key))[1] for key in (KEY, bob)]
        assert {one["asset"]: (one["free"], one["locked"]) for one in his["balances"]} == {
            "BTC": ("2.00000000", "0.00000000"),
            "USDT": ("420.00000000", "80.00000000"),
        }
        assert mine["uid"] != his["uid"]


async def test_user_events_go_to_their_account_only():
    async with served() as client:
        client.steps(1)
        bob = await client.new_account("bob", USDT="500")
        api = await client.api()
        for number, key in enumerate((KEY, bob)):
            answer, _ = await api.ask("userDataStream.subscribe.signature", is_signed=True, key=key)
            assert answer["result"] == {"subscriptionId": number}
        _, before = await api.ask("order.place", is_signed=True, key=bob, **LIMIT)
        assert [(one["subscriptionId"], one["event"]["e"]) for one in before] == [
            (1, "executionReport"),
            (1, "outboundAccountPosition"),
        ]
        await client.control("POST", "/sim/deposit", {"asset": "BTC", "amount": "-0", "account": "main"})
        await client.control("POST", "/sim/deposit", {"asset": "USDT", "amount": "-7.5", "account": "main"})
        update = None
        while update is None or update["event"].get("a") != "USDT":
            update = await api.next()
        assert (update["subscriptionId"], update["event"]["e"]) == (0, "balanceUpdate")
        assert update["event"]["d"] == "-7.50000000"


@pytest.mark.parametrize(
    ("permissions", "method", "path", "params", "allowed"),
    [
        ({"trading": False}, "POST", "/order", LIMIT, False),
        ({"trading": False}, "POST", "/order/test", LIMIT, False),
        ({"trading": False}, "DELETE", "/openOrders", {"symbol": "BTCUSDT"}, False),
        ({"trading": False}, "GET", "/account", {}, True),
        ({"reading": False}, "GET", "/account", {}, False),
        ({"reading": False}, "POST", "/order", LIMIT, True),
        ({"addresses": ["10.1.2.3"]}, "GET", "/account", {}, False),
        ({"addresses": ["10.1.2.3", "127.0.0.1"]}, "GET", "/account", {}, True),
    ],
)
async def test_a_key_may_do_what_its_owner_allowed(permissions, method, path, params, allowed):
    async with served() as client:
        client.steps(1)
        key = await client.new_key(**permissions)
        status, body, _ = await client.signed(method, API + path, key=key, **params)
        assert (status == 200) is allowed, body
        if not allowed:
            assert (status, body) == (401, REFUSED)
            assert not client.venue.exchange.read.open_orders("main")


async def test_a_key_tells_its_own_restrictions():
    async with served() as client:
        key = await client.new_key(trading=False, addresses=["127.0.0.1"])
        status, body, headers = await client.signed("GET", "/sapi/v1/account/apiRestrictions", key=key)
        assert (status, body["ipRestrict"], body["enableReading"]) == (200, True, True)
        assert body["enableSpotAndMarginTrading"] is False
        assert body["enableWithdrawals"] is False
        assert abs(body["createTime"] - now_ms()) < 10_000
        assert headers["X-SAPI-USED-IP-WEIGHT-1M"] == "1"
        assert "X-MBX-USED-WEIGHT-1M" not in headers, "wallet and spot limits are two"


async def test_permissions_change_and_a_removed_key_is_unknown():
    async with served() as client:
        key = await client.new_key()
        assert (await client.signed("GET", f"{API}/account", key=key))[0] == 200
        await client.control("POST", "/sim/keys", {"apiKey": key.api_key, "reading": False})
        assert (await client.signed("GET", f"{API}/account", key=key))[1] == REFUSED
        assert (await client.control("DELETE", "/sim/keys", {"apiKey": key.api_key}))[0] == 200
        assert (await client.signed("POST", f"{API}/order", key=key, **LIMIT))[1] == REFUSED
        assert (await client.control("DELETE", "/sim/keys", {"apiKey": key.api_key}))[0] == 400


async def test_ed25519_signs_rest_requests_in_base64():
    async with served() as client:
        client.steps(1)
        key = await client.new_key(kind="ED25519")
        assert "BEGIN PRIVATE KEY" in key.secret
        status, body, _ = await client.signed("POST", f"{API}/order", key=key, **LIMIT)
        assert (status, body["status"]) == (200, "NEW")
        query = f"timestamp={now_ms()}"
        good = sign_as(key, query)
        for given, code in [
            (quote(good.swapcase(), safe=""), -1022),
            (quote(good[:-4], safe=""), -1022),
            (signature(KEY.secret, query), -1022),
            ("%C3%BC", -1100),
        ]:
            status, body = await raw(client, "GET", f"{API}/account", f"{query}&signature={given}", key=key)
            assert (status, body["code"]) == (400, code)


async def test_rsa_keys_are_uploaded_and_sign():
    private = generate_private_key(65537, 2048)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    async with served() as client:
        key = await client.new_key(kind="RSA", publicKey=public)
        query = f"timestamp={now_ms()}&recvWindow=6000.346"
        given = quote(b64encode(private.sign(query.encode(), PKCS1v15(), SHA256())), safe="")
        assert (await raw(client, "GET", f"{API}/account", f"{query}&signature={given}", key=key))[0] == 200
        other = query.replace("346", "347")
        status, body = await raw(client, "GET", f"{API}/account", f"{other}&signature={given}", key=key)
        assert (status, body["code"]) == (400, -1022)


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "RSA"},
        {"kind": "RSA", "publicKey": "no key"},
        {"kind": "ED25519", "publicKey": "AAAA"},
        {"kind": "DSA"},
        {"account": "nobody"},
        {"apiKey": "unknown"},
    ],
)
async def test_keys_that_cannot_be(wanted):
    async with served() as client:
        status, body = await client.control("POST", "/sim/keys", wanted)
        assert status == 400
        assert body["code"] in {-1102, -1130, -2015}


@pytest.mark.parametrize(
    ("sent", "signed", "code"),
    [
        ("encoded", "encoded", -1104),  # the signature is right: the parameter is one too many
        ("encoded", "plain", -1022),
        ("plain", "plain", -1022),
        ("plain", "encoded", -1022),
    ],
)
async def test_only_what_was_percent_encoded_before_it_was_signed_is_right(sent, signed, code):
    order = urlencode({**LIMIT, "timestamp": now_ms()})
    texts = {"plain": f"{order}&note=比特币", "encoded": f"{order}&note={quote('比特币')}"}
    async with served() as client:
        client.steps(1)
        good = signature(KEY.secret, texts[signed])
        body = f"{texts[sent]}&signature={good}".encode()
        assert (await raw(client, "POST", f"{API}/order", "", body))[1]["code"] == code


async def test_the_signature_stands_anywhere_and_the_query_wins():
    async with served() as client:
        client.steps(1)
        order = urlencode({**LIMIT, "timestamp": now_ms()})
        first, rest = order.split("&", 1)
        good = signature(KEY.secret, order)
        cases = [
            (f"signature={good}&{order}", None),
            (f"{first}&signature={good}&{rest}", None),
            (order, f"signature={good}"),
            (f"signature={good}", order),
            ("", f"{first}&signature={good}&{rest}"),
        ]
        for query, body in cases:
            status, answer = await raw(client, "POST", f"{API}/order", query, body)
            assert (status, answer.get("price")) == (200, "80.00000000"), (query, body, answer)
        query, body = order, "price=81&quantity=2"
        both = signature(KEY.secret, query + body)
        status, answer = await raw(client, "POST", f"{API}/order", f"{query}&signature={both}", body)
        assert (answer["price"], answer["origQty"]) == ("80.00000000", "1.00000000")
        twice = order + "&price=80"
        status, answer = await raw(
            client, "POST", f"{API}/order", f"{twice}&signature={signature(KEY.secret, twice)}"
        )
        assert (status, answer["code"]) == (400, -1101)


async def test_a_body_says_nothing_in_a_get():
    async with served() as client:
        query = f"timestamp={now_ms()}"
        body = f"{query}&signature={signature(KEY.secret, query)}"
        status, answer = await raw(client, "GET", f"{API}/account", "", body)
        assert (status, answer["code"]) == (400, -1102)


@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize(
    ("age_ms", "window", "code"),
    [
        (0, None, None),
        (-900, None, None),
        (-1500, None, -1021),
        (5_500, None, -1021),
        (5_500, "6000.346", None),
        (5_500, "59999.999", None),
        (0, "60000.001", -1131),
        (0, "60001", -1131),
        (0, "5000.0001", -1100),
        (0, "-1", -1100),
        (0, "1e3", -1100),
    ],
)
async def test_the_age_of_a_request(age_ms, window, code, unit):
    async with served() as client:
        params = {"timestamp": (now_ms() - age_ms) * unit} | (
            {} if window is None else {"recvWindow": window}
        )
        status, body, _ = await client.signed("GET", f"{API}/account", **params)
        assert (status, body.get("code")) == ((200, None) if code is None else (400, code))


async def test_accounts_of_a_session_and_its_end():
    async with served() as client:
        client.steps(1)
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        before, _ = await api.ask("session.status")
        assert before["result"]["apiKey"] is before["result"]["authorizedSince"] is None
        nothing, _ = await api.ask("userDataStream.subscribe")
        assert (nothing["status"], nothing["error"]["code"]) == (401, -2014)
        on, _ = await api.ask("session.logon", is_signed=True, key=key)
        assert on["result"]["apiKey"] == key.api_key
        assert abs(on["result"]["authorizedSince"] - now_ms()) < 10_000
        assert abs(on["result"]["connectedSince"] - now_ms()) < 10_000
        subscribed, _ = await api.ask("userDataStream.subscribe")
        assert subscribed["result"] == {"subscriptionId": 0}
        placed, events = await api.ask("order.place", timestamp=now_ms(), **LIMIT)
        assert placed["result"]["status"] == "NEW"
        assert [row["rateLimitType"] for row in placed["rateLimits"]] == [
            "ORDERS",
            "ORDERS",
            "REQUEST_WEIGHT",
        ]
        assert [one["event"]["e"] for one in events] == ["executionReport", "outboundAccountPosition"]
        late, _ = await api.ask("order.place", timestamp=now_ms() - 6_000, **LIMIT)
        assert late["error"]["code"] == -1021, "a session saves the signature, not the time"
        untimed, _ = await api.ask("account.status")
        assert untimed["error"]["code"] == -1102
        off, ended = await api.ask("session.logout")
        assert off["result"]["apiKey"] is None
        assert ended[0]["event"]["e"] == "eventStreamTerminated"
        assert off["result"]["userDataStream"] is False
        after, _ = await api.ask("account.status", timestamp=now_ms())
        assert (after["status"], after["error"]["code"]) == (401, -2014)


async def test_logout_leaves_subscriptions_that_were_signed():
    async with served() as client:
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        await api.ask("session.logon", is_signed=True, key=key)
        await api.ask("userDataStream.subscribe.signature", is_signed=True, key=key)
        _, ended = await api.ask("session.logout")
        assert ended == []
        assert (await api.ask("session.subscriptions"))[0]["result"] == [{"subscriptionId": 0}]


async def test_a_session_whose_key_is_revoked_is_told_so():
    async with served() as client:
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        await api.ask("session.logon", is_signed=True, key=key)
        await client.control("DELETE", "/sim/keys", {"apiKey": key.api_key})
        answer, before = await api.ask("account.status", timestamp=now_ms())
        assert before == [{"id": None, "status": 401, "error": REFUSED}]
        assert answer["error"]["code"] == -2014
        assert (await api.ask("session.status"))[0]["result"]["apiKey"] is None


async def test_sockets_sign_what_is_not_ascii_as_it_is():
    async with served() as client:
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        answer, _ = await api.ask("order.place", is_signed=True, key=key, **{**LIMIT, "symbol": "比特币USDT"})
        assert answer["error"]["code"] == -1121, "the signature is right, the symbol is not"


async def test_a_frozen_account_reads_but_neither_places_nor_cancels():
    async with served() as client:
        client.steps(1)
        order_id = (await client.order(**{**LIMIT, "price": "80"}))["orderId"]
        await client.control("POST", "/sim/accounts", {"account": "main", "canTrade": False})
        text = "This account may not place or cancel orders."
        assert (await client.order(**LIMIT)) == {"code": -2010, "msg": text}
        gone = await client.signed("DELETE", f"{API}/order", symbol="BTCUSDT", orderId=order_id)
        assert gone[1] == {"code": -2011, "msg": text}
        assert (await client.signed("GET", f"{API}/account"))[1]["canTrade"] is False
        locked = (await client.signed("GET", "/sapi/v1/account/apiTradingStatus"))[1]
        assert locked["data"]["isLocked"] is True
        await client.control("POST", "/sim/accounts", {"account": "main", "canTrade": True})
        assert (await client.order(**LIMIT))["status"] == "NEW"


class Memory:
    """Notes that outlive an Access."""

    def __init__(self):
        self.texts = {}

    def note(self, name, text=None):
        if text is not None:
            self.texts[name] = text
        return self.texts.get(name)


def test_keys_statuses_and_schedules_outlive_a_restart():
    memory = Memory()
    first = Access([KEY], memory)
    second_key = type(KEY)("b" * 64, "secret", "bob", trading=False, addresses=("10.0.0.1",))
    first.add_key(second_key)
    first.remove_key(KEY.api_key)
    first.freeze("bob", frozen=True)
    first.note_status("BTCUSDT", "HALT")
    first.schedule("ETHUSDT", 5)
    numbers = [first.number(name) for name in ("bob", "main", "bob")]
    again = Access([KEY], memory)
    assert list(again.keys) == [second_key], "a removed key stays removed"
    assert again.is_frozen("bob")
    assert (again.statuses, again.delistings) == ({"BTCUSDT": "HALT"}, {"ETHUSDT": 5})
    assert [again.number(name) for name in ("bob", "main", "bob")] == numbers == [1, 2, 1]


async def test_a_request_of_a_session_may_name_another_key():
    async with served() as client:
        client.steps(1)
        bob = await client.new_account("bob", USDT="500")
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        await api.ask("session.logon", is_signed=True, key=key)
        await api.ask("order.place", is_signed=True, key=bob, **LIMIT)
        assert len(client.venue.exchange.read.open_orders("bob")) == 1
        unsigned, _ = await api.ask("order.place", apiKey=bob.api_key, timestamp=now_ms(), **LIMIT)
        assert unsigned["error"]["code"] == -1102, "a key that is named has to sign"
        assert client.venue.exchange.read.open_orders("main") == []


@pytest.mark.parametrize(
    ("act", "shows"),
    [
        (lambda access: access.note_status("BTCUSDT", "HALT"), lambda access: access.statuses),
        (lambda access: access.schedule("BTCUSDT", 5), lambda access: access.delistings),
        (lambda access: access.freeze("bob", frozen=True), lambda access: access.is_frozen("bob")),
        (lambda access: access.remove_key(KEY.api_key), lambda access: not list(access.keys)),
        (lambda access: access.number("bob"), lambda access: access._kept.numbers),
    ],
)
def test_each_change_is_written_down_at_once(act, shows):
    memory = Memory()
    act(Access([KEY], memory))
    assert shows(Access([KEY], memory))


async def test_what_proves_a_key_has_to_name_it_even_in_a_session():
    async with served() as client:
        key = await client.new_key(kind="ED25519")
        api = await client.api()
        await api.ask("session.logon", is_signed=True, key=key)
        for method in ("session.logon", "userDataStream.subscribe.signature"):
            answer, _ = await api.ask(method, timestamp=now_ms())
            assert (answer["status"], answer["error"]["code"]) == (401, -2014), method


async def test_an_api_key_opens_the_controls_of_stepping_only():
    async with served() as client:
        for path, status in [("/sim/state", 200), ("/sim/ledger", 401), ("/sim/accounts", 401)]:
            headers = {"X-MBX-APIKEY": KEY.api_key}
            async with client.session.get(client.base + path, headers=headers) as response:
                assert response.status == status, path
