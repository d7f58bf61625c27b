"""Where the event loop is stuck: a thread that looks at the main thread's stack while no beat comes."""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bnml.core.clock import Clock

LOOK_S: Final = 0.05
FRAMES: Final = 6  # the innermost


class StackSampler:
    """One sample for each stall; `beat` is called by the loop, which must run in the thread that made this."""

    def __init__(self, clock: Clock, stall_ms: float) -> None:
        self._clock = clock
        self._stall_ns = int(stall_ms * 1e6)
        self._main = threading.get_ident()
        self._beat_ns = clock.monotonic_ns()
        self._sampled_ns = 0
        self._sample = ""
        self._over = threading.Event()

    def start(self) -> None:
        """Look until `stop`."""
        threading.Thread(target=self._run, name="stall-sampler", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()

    def beat(self) -> None:
        """The loop turns."""
        self._beat_ns = self._clock.monotonic_ns()

    def take(self) -> str:
        """The stack of the last stall, once."""
        sample, self._sample = self._sample, ""
        return sample

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            beat_ns = self._beat_ns
            if beat_ns == self._sampled_ns or self._clock.monotonic_ns() - beat_ns < self._stall_ns:
                continue
            self._sampled_ns = beat_ns
            frame = sys._current_frames().get(self._main)  # noqa: SLF001 - it has no other name
            if frame is not None:
                lines = traceback.extract_stack(frame)[-FRAMES:]
                self._sample = " > ".join(
                    f"{line.filename.rpartition('/')[2]}:{line.lineno} {line.name}" for line in lines
                )
