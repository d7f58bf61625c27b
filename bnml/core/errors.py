"""The error tree: four verbs that say what the caller can do.

BnmlError
|-- Retryable      try again later: the world was not ready (network, overload, rate limit)
|   `-- AccessRefused  the key: a person must act first
|-- Rejected       this request will never succeed as it stands (filter, balance, refused by a rule)
|-- Misconfigured  the operator must change something (file, key, option, folder)
|   `-- UsageError    the command line itself is wrong
`-- Fatal          stop the owner of this task: its state can no longer be trusted
    `-- RecoveryNeeded  stop the daemon; the operator must look before it trades again
"""

from __future__ import annotations


class BnmlError(Exception):
    """Root of all errors that bnml raises on purpose; `exit_code` follows the documented table.

    `step` is what a venue's answer asks for next (`Step` of its adapter), empty for everything else.
    """

    exit_code = 1
    step: str = ""


class Retryable(BnmlError):
    """The same call may succeed later; `retry_after_s` is the venue's own word, when it gave one."""

    exit_code = 4

    def __init__(self, message: str, *, code: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class UnknownOutcome(Retryable):
    """The request may or may not have been executed: read the truth before anything else."""


class AccessRefused(Retryable):
    """The venue does not accept the key, its signature or its address: not executed, and nothing will be until a person acts."""

    exit_code = 2


class Rejected(BnmlError):
    """Refused for good as it stands; `code` is the venue's error code when a venue refused."""

    exit_code = 3

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Misconfigured(BnmlError):
    """The operator can mend this; the text says what is wrong, where, and what to write instead."""

    exit_code = 2


class UsageError(Misconfigured):
    """The command line asks for something that does not exist or contradicts itself."""


class Fatal(BnmlError):
    """An invariant is broken; the owner of the task stops."""

    exit_code = 1


class RecoveryNeeded(Fatal):
    """Recorded state and the venue, or the code, disagree; the operator decides."""

    exit_code = 5
