"""Further addresses of a venue: those of Binance beside Binance's own, none beside an address of the operator's."""

import pytest

from bnml.venues.settings import LiveEndpoints, PublicEndpoints, TestnetEndpoints


@pytest.mark.parametrize("field", ["rest_url", "stream_url", "api_url"])
def test_an_address_of_ones_own_does_not_lead_to_binance_when_it_fails(field):
    plain, own = LiveEndpoints(), "https://127.0.0.1:1" if field == "rest_url" else "wss://127.0.0.1:1"
    assert len(plain.others(field)) >= 1
    assert LiveEndpoints(**{field: own}).others(field) == ()
    more = f"more_{field}s"
    assert LiveEndpoints(**{field: own, more: (own,)}).others(field) == (own,)
    assert LiveEndpoints(**{more: ()}).others(field) == ()
    assert PublicEndpoints().others("stream_url") == ()


@pytest.mark.parametrize("kind", [LiveEndpoints, TestnetEndpoints])
def test_every_address_is_of_its_kind(kind):
    with pytest.raises(ValueError, match="must begin with wss://"):
        kind(more_stream_urls=("https://stream.binance.com",))
    with pytest.raises(ValueError, match="must begin with wss://"):
        kind(more_api_urls=("http://x",))
