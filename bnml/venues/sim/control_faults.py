"""Controls of faults: put a script in, look at what it did, take it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bnml.core.errors import Misconfigured
from bnml.venues.sim.faults.injector import Faults
from bnml.venues.sim.faults.names import check_names
from bnml.venues.sim.faults.script import parse_script
from bnml.venues.sim.messages import VenueReject

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.venues.sim.venue import Venue


def fault_routes(venue: Venue) -> dict[tuple[str, str], Callable[[bytes], dict[str, Any]]]:
    """`/sim/faults`."""

    def view(_body: bytes) -> dict[str, Any]:
        faults = venue.faults
        return {"loaded": True, **faults.view()} if isinstance(faults, Faults) else {"loaded": False}

    def load(body: bytes) -> dict[str, Any]:
        try:
            script, words = parse_script(body.decode("utf-8", "replace"))
            check_names(script, words, venue)
        except Misconfigured as error:
            raise VenueReject(-1130, str(error)) from error
        Faults(venue, script).start()
        return view(body)

    def end(body: bytes) -> dict[str, Any]:
        ended = view(body)
        if isinstance(venue.faults, Faults):
            venue.faults.end()
        return {**ended, "loaded": False}

    path = "/sim/faults"
    return {("GET", path): view, ("POST", path): load, ("DELETE", path): end}
