"""The outside world: which venue, where it listens, and how the embedded exchange behaves."""

import re
from typing import Literal

from pydantic import SecretStr, field_validator

from bnml.schema import Settings, section, setting

VenueKind = Literal["sim", "paper", "testnet", "live"]


class Credentials(Settings):
    """The API key of an account; only from the environment or systemd credentials, never from the file."""

    api_key: SecretStr = setting(SecretStr(""), "", "Binance API key")
    api_secret: SecretStr = setting(SecretStr(""), "", "its secret (HMAC)")

    @property
    def present(self) -> bool:
        """Whether both halves are there."""
        return bool(self.api_key.get_secret_value() and self.api_secret.get_secret_value())


_MORE = (
    "further addresses of the same, each used after three connections in a row that did not come up or last"
)


class PublicEndpoints(Settings):
    """Where the public data of Binance come from; paper trading needs no more."""

    rest_url: str = setting("https://api.binance.com", "URL", "REST API")
    more_rest_urls: tuple[str, ...] = setting(
        (), "URLs", "further addresses of the same REST API, each used after three failures of the one before"
    )
    stream_url: str = setting("wss://stream.binance.com:9443", "URL", "market streams")
    more_stream_urls: tuple[str, ...] = setting((), "URLs", _MORE)

    def others(self, field: str) -> tuple[str, ...]:
        """Further addresses beside the one of `field`; an address of the operator's own has none but his."""
        more = f"more_{field}s"
        known, listed = (type(self).model_fields[name].default for name in (field, more))
        urls: tuple[str, ...] = getattr(self, more)
        return () if getattr(self, field) != known and urls == listed else urls

    @field_validator("rest_url")
    @classmethod
    def _rest_is_http(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError(f'"{url}" must begin with https:// (http:// only for this machine)')
        return url.rstrip("/")

    @field_validator("more_rest_urls")
    @classmethod
    def _more_are_http(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._rest_is_http(url) for url in urls)

    @field_validator("more_stream_urls", "more_api_urls", check_fields=False)
    @classmethod
    def _more_are_ws(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(cls._socket_is_ws(url) for url in urls)

    @field_validator("stream_url", "api_url", check_fields=False)
    @classmethod
    def _socket_is_ws(cls, url: str) -> str:
        if url and not url.startswith(("wss://", "ws://127.0.0.1", "ws://localhost")):
            raise ValueError(f'"{url}" must begin with wss:// (ws:// only for this machine)')
        return url.rstrip("/")


class LiveEndpoints(PublicEndpoints):
    """Binance Spot."""

    more_rest_urls: tuple[str, ...] = setting(
        tuple(f"https://api{number}.binance.com" for number in range(1, 5)),
        "URLs",
        "further addresses of the same REST API, each used after three failures of the one before",
    )
    more_stream_urls: tuple[str, ...] = setting(
        ("wss://stream.binance.com:443", "wss://data-stream.binance.vision"), "URLs", _MORE
    )
    api_url: str = setting("wss://ws-api.binance.com:443/ws-api/v3", "URL", "WebSocket API")
    more_api_urls: tuple[str, ...] = setting(("wss://ws-api.binance.com:9443/ws-api/v3",), "URLs", _MORE)


class TestnetEndpoints(PublicEndpoints):
    """Binance Spot test network."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    rest_url: str = setting("https://testnet.binance.vision", "URL", "REST API")
    stream_url: str = setting("wss://stream.testnet.binance.vision", "URL", "market streams")
    more_stream_urls: tuple[str, ...] = setting(("wss://stream.testnet.binance.vision:9443",), "URLs", _MORE)
    api_url: str = setting("wss://ws-api.testnet.binance.vision/ws-api/v3", "URL", "WebSocket API")
    more_api_urls: tuple[str, ...] = setting(
        ("wss://ws-api.testnet.binance.vision:9443/ws-api/v3",), "URLs", _MORE
    )


class SimSettings(Settings):
    """The embedded exchange."""

    port: int = setting(
        0, "TCP port, 0 = any free one", "where it listens, on this machine only", ge=0, le=65_535
    )
    speed: float = setting(
        180.0,
        "market seconds per second",
        "pace of the market; 180 closes a 15m bar every 5 s",
        gt=0,
        le=1_000_000,
    )
    seed: int = setting(2674, "", "of the generated market", ge=0, le=2**31 - 1)
    feed: Literal["generated", "recorded"] = setting(
        "generated", "", "generated market (simulated prices), or recorded data as given with --replay"
    )
    faults: str = setting(
        "", "file", "script of faults that the exchange meets its clients with; empty = none"
    )
    path: Literal["four", "detailed"] = setting(
        "four",
        "",
        "how a bar is traded: four prints, or many trades that pass the same prices in the same order",
    )
    bar_trades: int = setting(
        60, "trades", "of a usual bar in the detailed path, where the recording counts none", ge=4, le=100_000
    )
    fill_tier: Literal["", "F0", "F1", "F2", "F3"] = setting(
        "",
        "empty = costs.tier",
        "F2: orders walk the displayed book and are part of it; F3: and wait in its queues, after a latency",
    )
    submit_latency_ms: float = setting(
        20.0, "ms, market time", "F3: median way of an order to the book", ge=0, le=10_000
    )
    cancel_latency_ms: float = setting(
        20.0, "ms, market time", "F3: median way of a cancel to the book", ge=0, le=10_000
    )
    latency_sigma: float = setting(
        0.5, "", "F3: deviation of the logarithm of a way, which is drawn from the seed of costs", ge=0, le=3
    )
    queue_power: int = setting(
        2,
        "",
        "F3: cancellations come from before an order in proportion to this power of the queue",
        ge=1,
        le=5,
    )
    initial_quote: float = setting(10_000.0, "quote asset", "money of a new simulated account", gt=0, le=1e9)
    accounts: tuple[str, ...] = setting(
        (),
        "NAME or NAME=AMOUNT of the quote asset",
        "accounts beside main, each with a key of its own, such as [second, third=500]; without AMOUNT initial_quote",
    )
    socket_time_scale: float = setting(
        1.0,
        "times as fast as on Binance",
        "pace of pings (20 s), pong timeouts (60 s), the life of connections (24 h) and their limit (300 in 5 min)",
        gt=0,
        le=100_000,
    )

    @field_validator("accounts")
    @classmethod
    def _accounts_are_readable(cls, accounts: tuple[str, ...]) -> tuple[str, ...]:
        for text in accounts:
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,40}(=[0-9]{1,12}(\.[0-9]{1,8})?)?", text):
                raise ValueError(f'"{text}" must be a name, or a name and an amount, as in "second=500"')
        names = [text.partition("=")[0] for text in accounts]
        if len(set(names)) != len(names) or "main" in names:
            raise ValueError('each account needs a name of its own; "main" always exists')
        return accounts


class VenueSettings(Settings):
    """Where orders go."""

    kind: VenueKind = setting(
        "sim",
        "",
        "sim: embedded exchange; paper: the same, fed by Binance's public streams; testnet and live: Binance",
    )
    request_timeout_s: float = setting(
        10.0, "s, wall time", "an order's request without answer is given up and read", gt=0, le=120
    )
    data_timeout_s: float = setting(
        5.0, "s, wall time", "the same for requests that only read, in a timed market", gt=0, le=120
    )
    doubt_after_s: float = setting(
        1.0,
        "s, wall time",
        "an order's request unanswered for so long (an exit, stop or cancel: 0.4 of it) is read up, while its answer is waited for",
        gt=0,
        le=120,
    )
    receive_window_ms: int = setting(
        5000, "ms, wall time", "age at which the venue refuses a request", ge=100, le=60_000
    )
    protective_window_ms: int = setting(
        1000,
        "ms, wall time",
        "the same for an exit, a stop or a cancel, until one was refused for its age: a lost one is known lost soon",
        ge=100,
        le=60_000,
    )
    stale_s: float = setting(
        30.0, "s, wall time", "a stream silent for so long is connected again", gt=0, le=600
    )
    event_interval_s: float = setting(
        5.0,
        "s, wall time",
        "expected between two events of a symbol's book or candle; after three times this (or its own longest "
        "interval, if that is longer) nothing is bought of it and it is subscribed anew",
        gt=0,
        le=600,
    )
    rotate_after_s: float = setting(
        82_800.0,
        "s, wall time",
        "age at which a connection is replaced, before the venue ends it after 24 hours",
        ge=1,
        le=86_000,
    )
    probe_s: float = setting(
        0.5,
        "s, wall time",
        "the account's connection is asked for a sign of life after so much silence; 0 never asks",
        ge=0,
        le=60,
    )
    budget_dir: str = setting(
        "",
        "folder",
        "ledger of used limits and bans, shared by all daemons behind one address; empty = limits in a systemd "
        "unit's state folder, bnml/limits in the user's (XDG_STATE_HOME, ~/.local/state), and the daemon's own for an "
        "exchange on this machine",
    )
    key_permissions_unverified: Literal["refuse", "accept"] = setting(
        "refuse",
        "",
        "where the venue does not tell what the API key may do: accept says that it cannot withdraw",
    )
    sim: SimSettings = section(SimSettings, "the embedded exchange; port and initial_quote also in paper")
    paper: PublicEndpoints = section(
        PublicEndpoints, "public market data for paper trading; no key is sent there"
    )
    testnet: TestnetEndpoints = section(TestnetEndpoints, "Binance Spot test network")
    live: LiveEndpoints = section(LiveEndpoints, "Binance Spot")
