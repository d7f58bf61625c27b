"""What must hold before trading: enough capital for the filters, and for real money everything else too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import yarl

from bnml.app.logs import logger
from bnml.core.errors import Rejected
from bnml.core.instrument import E8, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnml.config import Settings
    from bnml.core.instrument import Instrument
    from bnml.venues.settings import Credentials

LARGEST_SKEW_MS = 500
LEAST_FREE_BYTES = 500 * 1024 * 1024
HUNDRED = 100.0


def smallest_position_e8(instrument: Instrument, price_ticks: int, settings: Settings, *, split: bool) -> int:
    """Quote value of the smallest entry that the filters allow together with its protection.

    The protecting stop is the cheapest order of the entry, at most `hard_stop_pct` below it, after the
    commission in base; with `split` every tranche carries its own, so the smallest share decides.
    """
    exits, costs = settings.exits, settings.costs
    stop_share = (1 - exits.hard_stop_pct / HUNDRED) * (1 - costs.taker_bps / 1e4)
    shares = [exits.target1_share_pct, exits.target2_share_pct]
    shares.append(HUNDRED - sum(shares))
    share = min(share for share in shares if share > 0) / HUNDRED if split else 1.0
    least_lots = max(instrument.min_lots, 1)
    lot_value_e8 = max(1, instrument.notional_e8(price_ticks, 1))
    by_notional = instrument.min_notional_e8 / stop_share / lot_value_e8
    lots = int(max(least_lots / (1 - costs.taker_bps / 1e4), by_notional) / share) + 1
    return lots * lot_value_e8


def smallest_capital_e8(instrument: Instrument, price_ticks: int, settings: Settings, *, split: bool) -> int:
    """Equity below which sizing never reaches the smallest position (see `kernels.sizing`)."""
    risk, active = settings.risk, settings.capital.active_pct / HUNDRED
    by_position = active * risk.max_position_pct / HUNDRED
    by_exposure = active * risk.max_exposure_pct / HUNDRED
    by_risk = risk.risk_per_trade_pct / settings.exits.hard_stop_pct  # when the stop is as far as it may be
    position_e8 = smallest_position_e8(instrument, price_ticks, settings, split=split)
    return int(position_e8 / min(by_position, by_exposure, by_risk)) + 1


def check_capital(
    settings: Settings, instruments: Mapping[str, Instrument], prices: Mapping[str, int], equity_e8: int
) -> None:
    """Refuse when not even the cheapest symbol can be traded; name the symbols that cannot."""
    limit = settings.capital.max_quote
    capital_e8 = equity_e8 if limit is None else min(equity_e8, int(limit * E8))
    needs = {
        symbol: smallest_capital_e8(instruments[symbol], price, settings, split=False)
        for symbol, price in prices.items()
        if price > 0
    }
    if not needs:
        raise Rejected(
            "no symbol of the universe has a price yet; check universe.symbols and the market data"
        )
    least_e8 = min(needs.values())
    quote = settings.universe.quote
    if capital_e8 < least_e8:
        raise Rejected(
            f"capital of {plain(capital_e8, 2)} {quote} is too small: filters, stop distance and position limits need at "
            f"least {plain(-(-least_e8 // 1_000_000) * 1_000_000, 2)} {quote}; deposit more, raise capital.active_pct "
            "or risk.max_position_pct, or choose cheaper symbols"
        )
    too_small = sorted(symbol for symbol, need in needs.items() if need > capital_e8)
    if too_small:
        logger().warning("symbols_beyond_capital", symbols=too_small)
    whole = [
        symbol
        for symbol, price in prices.items()
        if price > 0 and smallest_capital_e8(instruments[symbol], price, settings, split=True) > capital_e8
    ]
    if whole:
        logger().info(
            "symbols_without_tranches", symbols=sorted(whole), note="one list protects the whole position"
        )


class LiveFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured before live trading."""

    has_credentials: bool
    api_up: bool
    skew_ms: int
    free_bytes: int
    quote_free_e8: int
    prices: dict[str, int]  # ticks


def check_live(settings: Settings, facts: LiveFacts) -> None:
    """Everything that must hold before real money moves; the refusal names each fault and what to do."""
    live, venue = settings.live, settings.venue.live
    fields = ("rest_url", "stream_url", "api_url")
    urls = [url for field in fields for url in (getattr(venue, field), *venue.others(field))]
    skew = f"this machine's clock is {facts.skew_ms} ms off the venue's; synchronise it (chrony, systemd-timesyncd)"
    demands = [
        (live.confirm, "live.confirm is false; set it to true only when this account may trade real money"),
        (live.max_capital is not None, "live.max_capital is empty; write the most that may be used"),
        (
            facts.has_credentials,
            "there is no API key; set BINANCE_API_KEY and BINANCE_API_SECRET, or LoadCredential",
        ),
        (
            not any("testnet" in url for url in urls),
            f"venue.live has an address of the test network ({', '.join(urls)}), which is not Binance's market",
        ),
        (
            len({is_loopback(url) for url in urls}) == 1,
            f"venue.live has addresses here and elsewhere ({', '.join(urls)}); a rehearsal on this machine needs all three",
        ),
        (settings.learning.gate, "learning.gate is off; it may be off only in sim and backtest"),
        (
            bool(facts.prices) and min(facts.prices.values(), default=0) > 0,
            "a symbol of the universe has no price",
        ),
        (facts.quote_free_e8 > 0, f"the account holds no {settings.universe.quote}"),
        (abs(facts.skew_ms) <= LARGEST_SKEW_MS, skew),
        (
            facts.free_bytes >= LEAST_FREE_BYTES,
            f"less than {LEAST_FREE_BYTES >> 20} MiB are free on the disk of the state folder",
        ),
        (facts.api_up, "the WebSocket API with the user data stream is not connected"),
    ]
    faults = [text for holds, text in demands if not holds]
    if faults:
        raise Rejected("live trading is refused: " + "; ".join(faults))
    if is_loopback(venue.rest_url):
        logger().warning("live_is_a_rehearsal", address=venue.rest_url, note="no real money")


def say_what_is_off(settings: Settings) -> None:
    """What nobody watches because it is not configured, in one line: a warning where real money is at stake."""
    faults = []
    if not settings.alerts.webhook_url:
        faults.append(
            "alerts.webhook_url is empty: nobody is told when trading halts or a position has no stop"
        )
    if not settings.capital.depeg_symbol:
        faults.append("capital.depeg_symbol is empty: a quote asset that loses its peg stops no entries")
    kind = settings.venue.kind
    if kind == "paper":
        faults.append(
            "Binance tells its delist schedule to a key only: on paper no symbol is left before it is delisted"
        )
    if faults and kind != "sim":
        (logger().warning if kind == "live" else logger().info)("guards_off", text="; ".join(faults))


def within_live_capital(settings: Settings) -> Settings:
    """The settings, in live with `live.max_capital` as a limit that no other setting can lift."""
    most = settings.live.max_capital
    if settings.venue.kind != "live" or most is None:
        return settings
    limit = settings.capital.max_quote
    capital = settings.capital.model_copy(update={"max_quote": most if limit is None else min(limit, most)})
    return settings.model_copy(update={"capital": capital})


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine: then no real money can move, and the run is a rehearsal."""
    return yarl.URL(url).host in {"127.0.0.1", "::1", "localhost"}


def check_live_intent(settings: Settings, credentials: Credentials) -> None:
    """The part of the preflight that needs no network, before anything is opened."""
    check_live(
        settings,
        LiveFacts(
            has_credentials=credentials.present,
            api_up=True,
            skew_ms=0,
            free_bytes=LEAST_FREE_BYTES,
            quote_free_e8=1,
            prices={"": 1},
        ),
    )
