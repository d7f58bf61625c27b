"""Which market the embedded exchange shows: generated from a seed, recorded bars, or recorded raw streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from bnml.app.logs import logger
from bnml.core.clock import NS_PER_MS, frame_ns
from bnml.core.errors import Misconfigured
from bnml.kernels.records import FillTier
from bnml.venues.bar_counts import load_counts
from bnml.venues.bar_tables import History, describe_gaps
from bnml.venues.history import load_history
from bnml.venues.sim.detailed import DetailedFeed
from bnml.venues.sim.feed import BarFeed, Feed
from bnml.venues.sim.generated import PROFILES, GeneratedFeed, Profile, profiles
from bnml.venues.sim.minutes import MINUTE_NS
from bnml.venues.sim.pricing import Pricing
from bnml.venues.sim.recorded import RecordedStreamFeed, infer_instruments
from bnml.venues.sim.tiers import BookModel, Tier

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bnml.config import Settings
    from bnml.core.instrument import Instrument
    from bnml.options import ExchangeOptions
    from bnml.venues.sim.ledger import Ledger

STREAM_FILES: Final = ("*.jsonl.gz", "*_trades*.parquet")

TOUCH: Final = "touch"
"""F0 and F1, which may take turns."""


def fill_tier(settings: Settings) -> Tier:
    """The tier that the embedded exchange fills orders by."""
    return Tier(settings.venue.sim.fill_tier or settings.costs.tier)


def make_pricing(
    settings: Settings, costs: NDArray[np.void], *, takes_recorded_books: bool = False
) -> Pricing:
    """The fill rules of the embedded exchange."""
    tier, sim = fill_tier(settings), settings.venue.sim
    if not tier.has_book:
        costs = costs.copy()
        costs["tier"] = FillTier[tier]
    model = BookModel(
        queue_power=sim.queue_power,
        submit_median_ns=round(sim.submit_latency_ms * NS_PER_MS),
        cancel_median_ns=round(sim.cancel_latency_ms * NS_PER_MS),
        sigma=sim.latency_sigma,
    )
    return Pricing(costs, takes_recorded_books=takes_recorded_books, tier=tier, model=model)


def record_tier(ledger: Ledger, tier: Tier) -> None:
    """Keep the tier with the ledger: numbers of trades and orders on their way do not survive a change of the book."""
    if ledger.note("fills") is None and ledger.position():
        ledger.pin("fills", TOUCH)
    ledger.pin("fills", tier if tier.has_book else TOUCH)
    ledger.note("fill_tier", tier)


def make_feed(settings: Settings, options: ExchangeOptions, costs: NDArray[np.void]) -> tuple[Pricing, Feed]:
    """The feed with its fill rules; raises Misconfigured when the data or symbols are not there."""
    length_ns = frame_ns(settings.features.base_frame)
    symbols = tuple(settings.universe.symbols)
    is_cut = options.from_ns is not None or options.to_ns is not None
    if options.replay is not None:
        streams = tuple(sorted(path for form in STREAM_FILES for path in options.replay.glob(form)))
        if streams:
            if is_cut:
                raise Misconfigured("recorded streams are served whole; leave out --from and --to")
            return _streams(streams, symbols, length_ns, settings, costs)
    pricing = make_pricing(settings, costs)
    if options.replay is None and is_cut:
        raise Misconfigured("--from and --to choose recorded data; name its folder with --replay, too")
    feed: BarFeed | GeneratedFeed
    if options.replay is not None:
        feed = _recorded(options.replay, symbols, length_ns, options, pricing, settings)
    else:
        seed = settings.venue.sim.seed
        feed = GeneratedFeed(seed, pricing, symbols=_profiles(symbols), frame_ns=length_ns)
    return pricing, _detailed(feed, options, settings) if settings.venue.sim.path == "detailed" else feed


def _detailed(feed: BarFeed | GeneratedFeed, options: ExchangeOptions, settings: Settings) -> DetailedFeed:
    """The same market with many trades a bar; recorded bars may say how many, and what takers bought."""
    counted = None
    if options.replay is not None:
        counted = load_counts(options.replay, feed.instruments)
    sim = settings.venue.sim
    return DetailedFeed(feed, sim.seed, sim.bar_trades, counted)


def _profiles(symbols: tuple[str, ...]) -> tuple[Profile, ...]:
    """All symbols of the generated market, whichever are traded: a price must not depend on that."""
    names = {profile.base + "USDT" for profile in PROFILES}
    numbered = [int(name[3:6]) for name in symbols if name.startswith("SIM") and name[3:6].isdigit()]
    made = profiles(len(PROFILES) + max(numbered, default=0))
    missing = set(symbols) - {profile.base + "USDT" for profile in made}
    if missing:
        raise Misconfigured(
            f"universe.symbols: the generated market has no {', '.join(sorted(missing))}; "
            f"it has {', '.join(sorted(names))} and SIM001USDT, SIM002USDT, ..."
        )
    return made


def _streams(
    files: tuple[Path, ...],
    symbols: tuple[str, ...],
    length_ns: int,
    settings: Settings,
    costs: NDArray[np.void],
) -> tuple[Pricing, Feed]:
    """Recorded raw streams: real trades and books, fills from the books; one-minute bars beside them are history."""
    if length_ns != MINUTE_NS:
        raise Misconfigured(
            f"recorded streams in {files[0].parent} make candles of one minute; add --base-frame 1m"
        )
    instruments = infer_instruments(files)
    missing = set(symbols) - set(instruments)
    if missing:
        raise Misconfigured(
            f"{files[0].parent} has no recorded stream of {', '.join(sorted(missing))}; "
            f"it has {', '.join(instruments)}"
        )
    history = {}
    if files[0].suffix != ".parquet" and any(files[0].parent.glob("*.parquet")):
        for name, one in load_history(files[0].parent, list(instruments), frame_ns=length_ns).items():
            instruments[name], history[name] = _in_finer_units(instruments[name], one)
    feed = RecordedStreamFeed(files, instruments, history)
    if feed.book_holes:
        logger().warning("book_has_holes", count=feed.book_holes, folder=str(files[0].parent))
    return make_pricing(settings, costs, takes_recorded_books=True), feed


def _in_finer_units(instrument: Instrument, history: History) -> tuple[Instrument, NDArray[np.void]]:
    """The recording's instrument with units that hold the history, too, and the history's bars in them."""
    tick = min(instrument.tick_e8, history.instrument.tick_e8)  # both are powers of ten
    lot = min(instrument.lot_e8, history.instrument.lot_e8)
    bars = history.bars.copy()
    for field in ("open", "high", "low", "close"):
        bars[field] *= history.instrument.tick_e8 // tick
    bars["volume_lots"] *= history.instrument.lot_e8 // lot
    return msgspec.structs.replace(instrument, tick_e8=tick, lot_e8=lot), bars


def _recorded(
    folder: Path,
    symbols: tuple[str, ...],
    length_ns: int,
    options: ExchangeOptions,
    pricing: Pricing,
    settings: Settings,
) -> BarFeed:
    """Recorded bars: what opens before --from is history, the rest is printed."""
    found = load_history(folder, symbols, frame_ns=length_ns, to_ns=options.to_ns)
    for one in found.values():
        if one.gaps:
            logger().warning("bars_missing", detail=describe_gaps(one))
    first_ns = options.from_ns
    if first_ns is None:
        opens = max(int(one.bars["ts_open_ns"][0]) for one in found.values())
        first_ns = opens + settings.features.history_bars * length_ns
    last_ns = max(int(one.bars["ts_open_ns"][-1]) for one in found.values())
    if last_ns < first_ns:
        raise Misconfigured(
            f"the recorded bars in {folder} end before trading could start; choose an earlier --from, "
            "or a smaller features.history_bars"
        )
    return BarFeed(
        {name: one.instrument for name, one in found.items()},
        {name: one.bars for name, one in found.items()},
        length_ns,
        pricing,
        first_ns,
        fingerprint=f"recorded:1:{folder.resolve()}:{','.join(found)}:frame={length_ns}:from={first_ns}:to={options.to_ns}",
    )
