"""Whether a script means anybody: its endpoints, streams, symbols and accounts against those of this exchange."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from bnml.core.errors import Misconfigured
from bnml.venues.sim import rest, wsapi
from bnml.venues.sim.faults import actions as acts
from bnml.venues.sim.faults.describe import KINDS
from bnml.venues.sim.faults.words import nearest
from bnml.venues.sim.hub import canonical
from bnml.venues.sim.messages import Execution, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bnml.core.instrument import Instrument
    from bnml.venues.sim.faults.rules import Globs, Rule, Script
    from bnml.venues.sim.faults.words import Place, Words
    from bnml.venues.sim.venue import Venue

SESSION_METHODS: Final = (
    *("userDataStream.subscribe", "userDataStream.subscribe.signature", "userDataStream.unsubscribe"),
    *("session.logon", "session.logout", "session.status", "session.subscriptions"),
)
_KINDS: Final = (
    *("trade", "aggTrade", "bookTicker", "miniTicker", "ticker", "ticker_1h", "ticker_4h", "ticker_1d"),
    *(f"depth{levels}{speed}" for levels in ("", 5, 10, 20) for speed in ("", "@100ms")),
    *("avgPrice", "referencePrice"),
    *(
        f"kline_{one}"
        for one in [
            "1s",
            "1m",
            "3m",
            "5m",
            "15m",
            "30m",
            "1h",
            "2h",
            "4h",
            "6h",
            "8h",
            "12h",
            "1d",
            "3d",
            "1w",
            "1M",
        ]
    ),
)
_ALL_MARKET: Final = ("!miniTicker@arr", "!ticker_1h@arr", "!ticker_4h@arr", "!ticker_1d@arr")


def check_names(script: Script, words: Words, venue: Venue) -> None:
    """Raise Misconfigured with one sentence for each name that nobody here has."""
    faults = [
        f"{words.at(place)}: {sentence}"
        for number, rule in enumerate(script.rules)
        for place, sentence in (*_in_match(rule, number, venue), *_in_actions(rule, number, venue))
    ]
    if faults:
        raise Misconfigured("\n".join(faults))


def _in_match(rule: Rule, number: int, venue: Venue) -> Iterator[tuple[Place, str]]:
    match, symbols = rule.match, list(venue.instruments)
    streams = [*(f"{name.lower()}@{kind}" for name in symbols for kind in _KINDS), *_ALL_MARKET]
    paths = [f"{method} {path}" for method, path in rest.ROUTES]
    endpoints = [*paths, *(path for _, path in rest.ROUTES), *wsapi.METHODS, *SESSION_METHODS]
    known: dict[str, Iterable[str]] = {
        "request": endpoints,
        "stream": streams,
        "user_event": KINDS.values(),
        "symbol": symbols,
        "account": venue.exchange.read.accounts(),
        "execution": Execution,
        "status": Status,
    }
    for key, names in known.items():
        for glob in _globs(getattr(match, key)):
            meant = canonical(glob) if key == "stream" else glob
            if not any(fnmatchcase(name, meant) for name in names):
                yield ("rules", number, "match", key), _unknown(key, glob, names)
    reached = [name for name in endpoints if any(fnmatchcase(name, glob) for glob in _globs(match.request))]
    if reached:
        for index, action in enumerate(rule.do):
            if fault := _cannot(action, reached):
                yield ("rules", number, "do", index), fault


def _cannot(action: acts.AnyAction, reached: list[str]) -> str:
    """What cannot be done to the endpoints that a rule reaches."""
    by_rest = [name for name in reached if "/" in name]
    if isinstance(action, acts.SlowBody) and not by_rest:
        return "only REST answers have a body; match a path such as POST /api/v3/order, or write delay"
    these = getattr(action, "sockets", "") == "these"
    if these and isinstance(action, acts.Cut | acts.Silent | acts.NoPings) and len(by_rest) == len(reached):
        return "a REST request comes on no socket; write sockets: all, api or stream, or match a method"
    if isinstance(action, acts.HalfReplace) and not any("cancelReplace" in name for name in reached):
        return (
            "only a cancelReplace has halves; match order.cancelReplace or POST /api/v3/order/cancelReplace"
        )
    return ""


def _in_actions(rule: Rule, number: int, venue: Venue) -> Iterator[tuple[Place, str]]:
    symbols, accounts = list(venue.instruments), venue.exchange.read.accounts()
    assets = sorted(
        {asset for one in venue.instruments.values() for asset in (one.base, one.quote)} | {"BNB"}
    )
    for index, action in enumerate(rule.do):
        place: Place = ("rules", number, "do", index)
        for key, names in (("symbol", symbols), ("account", accounts)):
            glob = getattr(action, key, "*")
            if not any(fnmatchcase(name, glob) for name in names):
                yield (*place, key), _unknown(key, glob, names)
        if isinstance(action, acts.Transfer) and action.asset not in assets:
            yield (*place, "asset"), _unknown("asset", action.asset, assets)
        if isinstance(action, acts.Filters):
            for name in symbols:
                if fnmatchcase(name, action.symbol):
                    yield from _in_filters(action, venue.instruments[name], place)


def _in_filters(action: acts.Filters, instrument: Instrument, place: Place) -> Iterator[tuple[Place, str]]:
    units = {"tick": instrument.tick_e8, "step": instrument.lot_e8, "min_quantity": instrument.lot_e8}
    for key in ("tick", "step", "min_quantity", "min_notional"):
        text = getattr(action, key)
        if not text:
            continue
        try:
            value_e8 = Decimal(text).scaleb(8)
        except InvalidOperation:
            yield (*place, key), f"{text!r} is no number; write a decimal in quotes, such as '0.10'"
            continue
        unit_e8 = units.get(key, 1)
        if not value_e8.is_finite() or value_e8 <= 0 or value_e8 % unit_e8:
            unit = f"{Decimal(unit_e8).scaleb(-8):f}"
            yield (
                (*place, key),
                f"{text} cannot be the {key} of {instrument.symbol}; write a multiple of {unit}",
            )


def _unknown(key: str, glob: str, names: Iterable[str]) -> str:
    return f"no {key} here is {glob!r}; the nearest is {nearest(glob, names)}"


def _globs(globs: Globs) -> tuple[str, ...]:
    return (globs,) if isinstance(globs, str) and globs else tuple(globs)
