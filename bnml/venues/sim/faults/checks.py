"""What a well-formed script may still get wrong: rules that contradict themselves, and names nobody has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Misconfigured
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults.answers import PRESETS
from bnml.venues.sim.faults.rules import Seam
from bnml.venues.sim.faults.words import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bnml.venues.sim.faults.rules import Moment, Rule, Script

Fault = tuple[tuple[str | int, ...], str]
_ALLOWED = {
    Seam.REQUEST: get_args(acts.OnRequest | acts.OnSocket | acts.OnVenue),
    Seam.CONNECT: get_args(acts.Delay | acts.NoAnswer | acts.Answer | acts.OnSocket | acts.OnVenue),
    Seam.STREAM: get_args(acts.OnFrame | acts.OnSocket | acts.OnVenue),
    Seam.USER_EVENT: get_args(acts.OnFrame | acts.OnSocket | acts.OnVenue),
    Seam.TIME: get_args(acts.OnSocket | acts.OnVenue),
}
_USERS_OF = {
    "symbol": (Seam.REQUEST, Seam.STREAM, Seam.USER_EVENT),
    "client_order_id": (Seam.REQUEST, Seam.USER_EVENT),
    "account": (Seam.REQUEST, Seam.USER_EVENT),
    "closed": (Seam.STREAM,),
    "execution": (Seam.USER_EVENT,),
    "status": (Seam.USER_EVENT,),
}


def contradictions(script: Script) -> Iterator[Fault]:
    """(place, sentence) of everything in a script that cannot be meant."""
    names: dict[str, int] = {}
    for number, rule in enumerate(script.rules):
        place = ("rules", number)
        if rule.name and rule.name in names:
            yield (
                (*place, "name"),
                f"the name {rule.name!r} is also that of rules[{names[rule.name]}]; rename one",
            )
        names.setdefault(rule.name, number)
        yield from _in_match(rule, (*place, "match"))
        yield from _in_when(rule, (*place, "when"))
        if rule.at == "after" and rule.match.seam is not Seam.REQUEST:
            yield (*place, "at"), "only a request can be struck after it was carried out; leave `at` out"
        for index, action in enumerate(rule.do):
            yield from _in_action(rule, action, (*place, "do", index))


def _in_match(rule: Rule, place: tuple[str | int, ...]) -> Iterator[Fault]:
    match, seam = rule.match, rule.match.seam
    given = [one.value for one in _ALLOWED if one is not Seam.TIME and getattr(match, one.value)]
    if len(given) > 1:
        yield place, f"{' and '.join(given)} are both given; write a rule for each"
    for key, seams in _USERS_OF.items():
        if getattr(match, key) not in {(), "", None} and seam not in seams:
            yield (
                (*place, key),
                f"{key} is known only of {', '.join(seams)}; write one of these beside it, too",
            )


def _in_when(rule: Rule, place: tuple[str | int, ...]) -> Iterator[Fault]:
    when = rule.when
    for key in ("from_market", "until_market", "from_wall", "until_wall"):
        if fault := _moment_fault(getattr(when, key)):
            yield (*place, key), fault
    if rule.match.seam is not Seam.TIME:
        if when.every_market_s or when.every_wall_s:
            yield (
                place,
                "every_market_s and every_wall_s are for rules of time; write `every` or leave out `match`",
            )
        return
    if when.after or when.every != 1:
        yield (
            place,
            "after and every count matching events, and this rule matches none; write every_market_s or `match`",
        )
    if (when.from_wall or when.every_wall_s) and (when.from_market or when.every_market_s):
        yield (
            place,
            "a rule of time goes by one clock; write its `from` and `every` both by market or both by wall",
        )


def _in_action(rule: Rule, action: acts.AnyAction, place: tuple[str | int, ...]) -> Iterator[Fault]:
    seam, name = rule.match.seam, str(type(action).__struct_config__.tag)
    if not isinstance(action, _ALLOWED[seam]):
        fitting = [one.value for one, kinds in _ALLOWED.items() if isinstance(action, kinds)]
        yield (
            place,
            f"{name} cannot be done to what this rule matches ({seam}); match {' or '.join(fitting)} instead",
        )
    if seam is Seam.TIME and getattr(action, "sockets", "all") == "these":
        yield place, f"{name} at a time has no sockets of its own; write sockets: all, api or stream"
    if isinstance(action, acts.Lasting) and action.lasts_s and action.lasts_market_s:
        yield place, "lasts_s and lasts_market_s are both given; leave one out"
    if isinstance(action, acts.Answer):
        yield from _in_answer(action, place)
    if isinstance(action, acts.Filters) and not any(
        (action.tick, action.step, action.min_quantity, action.min_notional)
    ):
        yield place, "filters changes nothing; write tick, step, min_quantity or min_notional"


def _in_answer(action: acts.Answer, place: tuple[str | int, ...]) -> Iterator[Fault]:
    if action.like and action.like not in PRESETS:
        near = nearest(action.like, PRESETS)
        yield (
            (*place, "like"),
            f"there is no answer {action.like!r}; the nearest valid one is {near} (all: {', '.join(PRESETS)})",
        )
    if not action.like and not action.status:
        yield place, "answer has neither like nor status; write like: overloaded, or status: 503"
    if action.body and (action.code or action.text):
        yield place, "body replaces code and text; leave out either"
    if 0 < action.status < 200:
        yield (*place, "status"), f"{action.status} is no HTTP status of an answer; write 200 to 599"


def _moment_fault(moment: Moment) -> str:
    if isinstance(moment, str):
        if moment:
            try:
                parse_utc_ns(moment)
            except Misconfigured as error:
                return str(error)
        return ""
    if not math.isfinite(moment) or not 0 <= moment <= 1e9:
        return f"{moment} is no time; write 0 to 1e9 seconds since the script was loaded, or a UTC time"
    return ""
