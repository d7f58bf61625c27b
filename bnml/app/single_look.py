"""What speaks against entries, looked at once: for a session that makes one scan and has nobody who watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.attention import STALE
from bnml.app.health import watch_space
from bnml.app.order_counts import OrderCounts
from bnml.app.weather import make_weather
from bnml.trading.guarding import ACTIVE

if TYPE_CHECKING:
    from bnml.app.compose import Parts
    from bnml.app.life import Life
    from bnml.app.outlook import Outlook


async def look_once(parts: Parts, life: Life, outlook: Outlook) -> None:
    """Raise what holds now, and end what an earlier session left and does not hold any more.

    Every owner says so of its own guards. Only that of silent streams (`Attention`) has no say here: there are
    no streams, each book is read just before it is decided on.
    """
    life.vitals.measure()  # a loop that has not been watched for long enough counts as quick
    watch_space(parts.journal, parts.guards)
    life.planned.look()
    for name in parts.guards.standing(STALE):
        parts.guards.report(name, ACTIVE)
    await make_weather(parts).look_anew()
    if not parts.venue.rest.budget.banned_s:  # else nothing may be asked
        await outlook.look()
        if parts.settings.venue.kind != "sim":  # whose windows are those of no clock here
            await OrderCounts(parts.venue.rest).look()
