"""Tells what happened once the orders that came of it are on their way: lines and pictures can wait, orders cannot."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bnml.app.pump import Follower
    from bnml.core.events import Event
    from bnml.core.outcomes import Outcome

WAIT_S = 0.005
"""What the journal needs before a request may leave, and more: a timer may be early by a millisecond; nobody reads faster."""


class Afterwards:
    """A follower that holds back an event with something to tell, and all that come after it, for `WAIT_S`."""

    def __init__(self, following: Follower) -> None:
        self._following = following
        self._untold: deque[tuple[Event, Sequence[Outcome]]] = deque()

    def follow(self, event: Event, outcomes: Sequence[Outcome]) -> None:
        """One event and what came of it; needs a running loop."""
        if self._untold:
            self._untold.append((event, outcomes))
        elif outcomes:
            self._untold.append((event, outcomes))
            asyncio.get_running_loop().call_later(WAIT_S, self.tell)
        else:
            self._following.follow(event, outcomes)

    def tell(self) -> None:
        """Pass on now what is held back, in its order."""
        while self._untold:
            self._following.follow(*self._untold.popleft())
