"""Which of a venue's addresses is asked: the next one after so many failures in a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILURES_BEFORE_MOVING: Final = 3


class Endpoints:
    """Addresses of one deployment; all of them lead to the same account."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = tuple(dict.fromkeys(urls))
        self._failures = 0
        self._since_answer = 0
        self._at = 0

    @property
    def current(self) -> str:
        """The address to use now."""
        return self._urls[self._at]

    def answered(self) -> None:
        """Something came back, whatever it said."""
        self._failures = self._since_answer = 0

    def failed(self) -> None:
        """Nothing came back; after the third time in a row the next address is used."""
        self._failures += 1
        self._since_answer += 1
        if self._failures >= FAILURES_BEFORE_MOVING and len(self._urls) > 1:
            self._failures = 0
            self._at = (self._at + 1) % len(self._urls)

    def try_again(self) -> bool:
        """Whether the same request has an address left to be tried at: none twice more than the others."""
        return len(self._urls) > 1 and self._since_answer % (FAILURES_BEFORE_MOVING * len(self._urls)) != 0
