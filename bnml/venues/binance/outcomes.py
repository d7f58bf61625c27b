"""The one table of what an answer means for the order it was about: by Binance's code, its text and the HTTP status."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What became of the order (or cancel) that a request carried."""

    DONE = "done"
    REFUSED = "refused"  # not executed, and never will be as it stands
    NOT_EXECUTED = "not executed"  # the same request may succeed later
    UNKNOWN = "unknown"  # executed or not: only a positive read tells


class Step(StrEnum):
    """What the answer asks for next."""

    NONE = ""
    WAIT = "wait"  # as long as the venue says
    BAN = "ban"  # no request at all until it ends
    FIREWALL = "firewall"  # a page of the firewall: rarely, until it lets us through
    PAUSE_ORDERS = "pause orders"  # new orders only; cancels and reads go on
    RESYNC = "resync"  # measure the clock anew, then once more
    ACCESS = "access"  # key, signature or permission: the operator must act
    REFILTER = "refilter"  # read the filters anew; one more attempt if they have changed
    QUARANTINE = "quarantine"  # the symbol is gone: leave it out
    PAUSE_SYMBOL = "pause symbol"  # its market is closed
    BALANCES = "balances"  # read the account anew before the next decision
    EXIT_NOW = "exit now"  # the price is beyond the order: it must not be asked for again
    QUERY = "query"  # read what became of it
    HALVES = "halves"  # of a replacement: each half has its own answer
    DROP = "drop"  # it can only be refused again


class Row(msgspec.Struct, frozen=True):
    """One line of the table: any of `codes` (0: no JSON body) with `text` somewhere in what the venue said."""

    codes: tuple[int, ...]
    outcome: Outcome
    step: Step
    text: str = ""


_INTERNAL = (-1000, -1001, -1006, -1007, -1008)
_SYNTAX = (*range(-1199, -1099), -1020, -1112, -1099)

# First match from above. Sources: the exchange's pages on errors and on general REST information.
ROWS: tuple[Row, ...] = (
    Row((-1003, -1034), Outcome.NOT_EXECUTED, Step.WAIT),
    Row((-1015,), Outcome.NOT_EXECUTED, Step.PAUSE_ORDERS),
    Row((-1016,), Outcome.NOT_EXECUTED, Step.WAIT),
    Row(_INTERNAL, Outcome.UNKNOWN, Step.QUERY),
    Row((-1021,), Outcome.NOT_EXECUTED, Step.RESYNC),
    Row((-1002, -1022, -2014, -2015), Outcome.REFUSED, Step.ACCESS),
    Row((-1013,), Outcome.REFUSED, Step.PAUSE_SYMBOL, "market is closed"),
    Row((-1013,), Outcome.REFUSED, Step.DROP, "notional"),
    Row((-1013,), Outcome.REFUSED, Step.DROP, "max_num"),
    Row((-1013,), Outcome.REFUSED, Step.REFILTER),
    Row((-1121,), Outcome.REFUSED, Step.QUARANTINE),
    Row((-1111,), Outcome.REFUSED, Step.REFILTER),
    Row(_SYNTAX, Outcome.REFUSED, Step.DROP),
    Row((-2010,), Outcome.UNKNOWN, Step.QUERY, "duplicate order"),  # the earlier request did arrive
    Row((-2010,), Outcome.REFUSED, Step.BALANCES, "insufficient balance"),
    Row((-2010,), Outcome.REFUSED, Step.EXIT_NOW, "immediately"),
    Row((-2010,), Outcome.REFUSED, Step.PAUSE_SYMBOL, "market is closed"),
    Row((-2010,), Outcome.REFUSED, Step.DROP),
    Row((-2011, -2013), Outcome.REFUSED, Step.QUERY),  # over, not yet shown, or never there
    Row((-2021, -2022), Outcome.REFUSED, Step.HALVES),
    Row((-2026,), Outcome.REFUSED, Step.NONE),
)


class Verdict(msgspec.Struct, frozen=True):
    """What an answer means, and what it asks for."""

    outcome: Outcome
    step: Step = Step.NONE


def verdict_of(status: int, code: int = 0, text: str = "") -> Verdict:
    """Judge an answer by HTTP status (0: none came), code (0: no JSON body came) and text.

    What the table does not name is judged by status; an error inside the venue (5xx) is unknown whatever its
    code, unless the code says that the request was not let in.
    """
    if status == 418:
        return Verdict(Outcome.NOT_EXECUTED, Step.BAN)
    lowered = text.lower()
    row = next((one for one in ROWS if code in one.codes and one.text in lowered), None)
    if row is not None and (status < 500 or (row.step in {Step.WAIT, Step.PAUSE_ORDERS} and code != -1016)):
        return Verdict(row.outcome, row.step)
    if status >= 500:
        return Verdict(Outcome.UNKNOWN, Step.QUERY)
    return Verdict(Outcome.REFUSED, Step.DROP) if code else _by_status(status)


def _by_status(status: int) -> Verdict:
    """An answer without a code of the venue: from something in between, or cut short."""
    if status == 429:
        return Verdict(Outcome.NOT_EXECUTED, Step.WAIT)
    if status == 403:
        return Verdict(Outcome.NOT_EXECUTED, Step.FIREWALL)
    if status == 401:
        return Verdict(Outcome.REFUSED, Step.ACCESS)
    if 200 <= status < 300:
        return Verdict(Outcome.DONE)
    return Verdict(Outcome.UNKNOWN, Step.QUERY)
