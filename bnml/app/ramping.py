"""Whether a session's entries grow step by step: tells the engine at the start, and the operator when asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnml.app.spool import Answer
from bnml.core.events import OperatorCommand
from bnml.trading.filling import from_bps

if TYPE_CHECKING:
    from collections.abc import Callable

    from bnml.config import Settings
    from bnml.trading.engine import Engine


def begin(
    settings: Settings,
    engine: Engine,
    feed: Callable[[OperatorCommand], None],
    now_ns: int,
    *,
    is_stepped: bool,
) -> None:
    """Feed what the engine does not know yet of the configured ramp; as an event, so that a replay knows it too.

    Stepped runs compare no books with an account, so that no step of theirs could ever be released.
    """
    live, ramp = settings.live, engine.state.ramp
    is_wanted = live.ramp == "always" or (live.ramp == "live" and settings.venue.kind == "live")
    if not is_wanted or is_stepped:
        if ramp.round_trips:
            feed(OperatorCommand("ramp_end", now_ns))
        return
    wanted = live.ramp_round_trips, from_bps(live.ramp_slack_bps)
    if wanted != (ramp.round_trips, ramp.slack_ppm):
        feed(OperatorCommand("ramp_begin", now_ns, f"{wanted[0]} {wanted[1]}"))


def say(engine: Engine) -> Answer:
    """Where the ramp stands after a word of the operator."""
    words = engine.state.ramp.words()
    return Answer(words) if words else Answer("nothing was changed: no ramp is in use (live.ramp)", 3)
