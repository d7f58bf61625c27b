from bnml.venues.binance.signing import Signer

# Key and secret of the example in Binance's documentation of signed endpoints.
SIGNER = Signer(
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
)
DOCUMENTED = {
    "symbol": "LTCBTC",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "1",
    "price": "0.1",
    "recvWindow": "5000",
    "timestamp": "1499827319559",
}


def test_the_documented_rest_signature():
    query = SIGNER.query(DOCUMENTED)
    assert query.endswith("&signature=c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71")


def test_rest_signs_what_is_percent_encoded():
    assert SIGNER.query({"symbols": '["A"]'}).startswith("symbols=%5B%22A%22%5D&signature=")


def test_the_websocket_api_signs_sorted_by_name():
    one = SIGNER.signed({"b": "2", "a": "1"})
    two = SIGNER.signed({"a": "1", "b": "2"})
    assert one["signature"] == two["signature"]
    assert one["apiKey"] == SIGNER.api_key
