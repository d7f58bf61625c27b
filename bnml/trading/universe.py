"""Who may be traded: the configured list, or every pair of the quote asset that passes the filters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bnml.core.errors import Misconfigured
from bnml.core.events import UniverseUpdate
from bnml.core.instrument import Instrument
from bnml.trading.settings import UniverseSettings

TRADING = "TRADING"


def resolve(
    settings: UniverseSettings,
    instruments: Mapping[str, Instrument],
    volumes_e8: Mapping[str, int],
    ts_ns: int,
) -> UniverseUpdate:
    """The universe as of now, as the event that the journal keeps of it; `volumes_e8` is the quote turnover of 24 h.

    A configured symbol that the venue does not have raises Misconfigured; discovery that finds nothing
    gives an empty universe, which trades nothing.
    """
    if settings.dynamic:
        found = discover(settings, instruments.values(), volumes_e8)
        return UniverseUpdate(found, ts_ns, tuple(volumes_e8.get(symbol, 0) for symbol in found))
    return UniverseUpdate(configured(settings, instruments), ts_ns)


def configured(settings: UniverseSettings, instruments: Mapping[str, Instrument]) -> tuple[str, ...]:
    """The operator's list in its order; an empty list means all that the venue trades in the quote asset."""
    if not settings.symbols:
        return tuple(sorted(name for name, one in instruments.items() if _is_tradable(one, settings.quote)))
    for symbol in settings.symbols:
        instrument = instruments.get(symbol)
        if instrument is None:  # one that has stopped may trade again, and others are held meanwhile
            raise Misconfigured(
                f"universe.symbols names {symbol}, which the venue does not have; "
                f"write one of its symbols, such as {_example(instruments)}"
            )
        if instrument.quote != settings.quote:
            raise Misconfigured(
                f"universe.symbols names {symbol}, which is priced in {instrument.quote}; "
                f"write symbols priced in {settings.quote}, or change universe.quote"
            )
    return settings.symbols


def discover(
    settings: UniverseSettings, instruments: Iterable[Instrument], volumes_e8: Mapping[str, int]
) -> tuple[str, ...]:
    """Pairs of the quote asset with enough turnover and no excluded base, by turnover, then by name."""
    least_e8 = int(settings.min_volume_quote * 1e8)
    ranked = sorted(
        (-volumes_e8.get(one.symbol, 0), one.symbol)
        for one in instruments
        if _is_tradable(one, settings.quote)
        and volumes_e8.get(one.symbol, 0) >= least_e8
        and not is_excluded(settings, one.base)
    )
    return tuple(symbol for _, symbol in ranked[: settings.max_symbols])


def is_excluded(settings: UniverseSettings, base: str) -> bool:
    """Stables, fiat money, leveraged and earn tokens; a coin named exactly as a prefix or suffix is none of them."""
    if base in settings.exclude_bases:
        return True
    is_longer = any(base != part for part in settings.exclude_suffixes if base.endswith(part))
    return is_longer or any(base != part for part in settings.exclude_prefixes if base.startswith(part))


def _is_tradable(instrument: Instrument, quote: str) -> bool:
    return instrument.quote == quote and instrument.status == TRADING


def _example(instruments: Mapping[str, Instrument]) -> str:
    return min(instruments, default="BTCUSDT")
