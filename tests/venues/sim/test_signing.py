"""Signatures: the examples of Binance's documentation, and what is refused."""

import pytest

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.params import Params
from bnml.venues.sim.signing import ApiKey, KeyRing, read_request, rest_payload, sign, socket_payload

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
QUERY = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC"
REST = "quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
NOW_MS = 1_499_827_319_600


def test_the_documented_query_signature():
    expected = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert sign(SECRET, rest_payload(f"{QUERY}&{REST}", "")) == expected


def test_query_and_body_are_signed_without_a_separator():
    expected = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"
    assert sign(SECRET, rest_payload(QUERY, REST)) == expected


def test_the_signature_may_stand_anywhere():
    assert rest_payload(f"signature=ab&{QUERY}", "") == rest_payload(f"{QUERY}&signature=ab", "")


def test_socket_requests_sign_sorted_names_unencoded():
    assert socket_payload({"b": "ü", "a": "1", "signature": "x"}) == "a=1&b=ü".encode()


def test_the_query_wins_over_the_body():
    assert read_request("a=1", "a=2&b=3") == {"a": "1", "b": "3"}
    with pytest.raises(VenueReject) as caught:
        read_request("a=1&a=2", "")
    assert caught.value.reject_code == -1101


def verify(query, now_ms=NOW_MS, secret=SECRET):
    ring = KeyRing([ApiKey("key", SECRET, "main")])
    given = f"{query}&signature={sign(secret, rest_payload(query, ''))}"
    ring.verify(ring.find("key"), Params(read_request(given, "")), rest_payload(given, ""), now_ms)


@pytest.mark.parametrize(
    "query", [f"{QUERY}&{REST}", "timestamp=1499827319559123", "timestamp=1499827320599"]
)
def test_good_requests_pass(query):
    verify(query)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("timestamp=1499827320600", -1021),
        ("timestamp=1499827314599", -1021),
        ("timestamp=1499827319559&recvWindow=40.999", -1021),
        ("timestamp=1499827319559&recvWindow=60001", -1131),
        ("timestamp=1499827319559&recvWindow=5.0001", -1100),
        ("timestamp=now", -1100),
        ("symbol=LTCBTC", -1102),
    ],
)
def test_time_is_checked(query, code):
    with pytest.raises(VenueReject) as caught:
        verify(query)
    assert caught.value.reject_code == code


def test_another_secret_is_refused():
    with pytest.raises(VenueReject, match="Signature for this request is not valid") as caught:
        verify(f"{QUERY}&{REST}", secret="other")
    assert caught.value.reject_code == -1022


@pytest.mark.parametrize(("key", "code"), [(None, -2014), ("", -2014), ("unknown", -2014), ("u" * 64, -2015)])
def test_keys_are_known_or_refused(key, code):
    with pytest.raises(VenueReject) as caught:
        KeyRing([]).find(key)
    assert caught.value.reject_code == code
