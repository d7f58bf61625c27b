import re

from bnml.venues.sim import page
from bnml.venues.sim.rest import ROUTES
from bnml.venues.sim.wsapi import METHODS
from tests.venues.sim.served import KEY, served


async def test_the_page_tells_everything_but_secrets_and_needs_nothing_else():
    async with served() as client, client.session.get(client.base + "/") as answer:
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
    for method, path in ROUTES:
        assert f"<code>{method} {path}</code>" in text
    for name in page._CONTROLS:
        assert f"<code>{name}</code>" in text
    for name in METHODS:
        assert f"<code>{name}</code>" in text
    assert client.base.removeprefix("http://") in text
    assert KEY.secret not in text
    assert KEY.api_key not in text
    assert not re.search(r"(src|href)=", text)


async def test_a_strange_host_header_stays_text():
    async with served() as client:
        async with client.session.get(client.base + "/", headers={"Host": "<b>x"}) as answer:
            text = await answer.text()
        assert "<b>" not in text
