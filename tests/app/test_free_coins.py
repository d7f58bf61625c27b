"""What is free is read where the engine needs to know it, after it has been told of the refusal."""

import asyncio
from types import SimpleNamespace

from bnml.app.free_coins import TOLD_S, read_free
from bnml.core.events import Balances, FreeCoins
from tests.virtual_time import in_virtual_time


async def look(short, *, told_s=0.0, **shown):
    """A look that begins together with a refusal of which the engine is told so much later."""
    reads, engine = [], SimpleNamespace(shortage=SimpleNamespace(assets=[]))

    async def balances():
        reads.append(asyncio.get_running_loop().time())
        return Balances(7, shown)

    asyncio.get_running_loop().call_later(told_s, setattr, engine.shortage, "assets", short)
    return await read_free(SimpleNamespace(balances=balances), engine, lambda: 9), reads


@in_virtual_time
async def test_nothing_is_read_where_nothing_is_short():
    assert await look([]) == ([], [])


@in_virtual_time
async def test_what_is_free_is_told_for_each_asset_that_is_short():
    told, reads = await look(["AAA", "BBB"], told_s=TOLD_S / 2, AAA=(5, 3), CCC=(1, 1))
    assert told == [FreeCoins("AAA", 5, 9), FreeCoins("BBB", 0, 9)]
    assert len(reads) == 1
