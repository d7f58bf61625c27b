"""What the venue sent and nobody understands: counted, a few kept to look at, otherwise passed over."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from msgspec import MsgspecError

from bnml.core.errors import BnmlError

UNREADABLE: Final = (BnmlError, MsgspecError, ValueError, KeyError, ArithmeticError)
"""What reading a message of a new or broken kind raises."""
SAMPLES_KEPT: Final = 20
SAMPLE_CHARACTERS: Final = 200


class Oddities:
    """One for all connections of a session."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: deque[tuple[str, str, str]] = deque(maxlen=SAMPLES_KEPT)
        """(connection, beginning of the frame, why it was not understood)."""

    @property
    def total(self) -> int:
        """How many there were."""
        return self.counts.total()

    def take(self, source: str, frame: str | bytes, error: Exception) -> None:
        """Count one; the first of each hundred of a source is kept."""
        if self.counts[source] % 100 == 0:
            text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
            self.samples.append((source, text[:SAMPLE_CHARACTERS], f"{type(error).__name__}: {error}"))
        self.counts[source] += 1
