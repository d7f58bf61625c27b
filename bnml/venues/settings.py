"""The outside world: which venue, where it listens, and how the embedded exchange behaves."""

from typing import Literal, Self

from pydantic import SecretStr, field_validator, model_validator

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


class EndpointSettings(Settings):
    """Addresses of one Binance deployment."""

    rest_url: str = setting("", "URL", "REST API")
    stream_url: str = setting("", "URL", "market streams")
    api_url: str = setting("", "URL", "WebSocket API")

    @field_validator("rest_url")
    @classmethod
    def _rest_is_http(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError(f'"{url}" must begin with https:// (http:// only for this machine)')
        return url.rstrip("/")

    @field_validator("stream_url", "api_url")
    @classmethod
    def _socket_is_ws(cls, url: str) -> str:
        if url and not url.startswith(("wss://", "ws://127.0.0.1", "ws://localhost")):
            raise ValueError(f'"{url}" must begin with wss:// (ws:// only for this machine)')
        return url.rstrip("/")


class LiveEndpoints(EndpointSettings):
    """Binance Spot."""

    rest_url: str = setting("https://api.binance.com", "URL", "REST API")
    stream_url: str = setting("wss://stream.binance.com:9443", "URL", "market streams")
    api_url: str = setting("wss://ws-api.binance.com:443/ws-api/v3", "URL", "WebSocket API")


class TestnetEndpoints(EndpointSettings):
    """Binance Spot test network."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    rest_url: str = setting("https://testnet.binance.vision", "URL", "REST API")
    stream_url: str = setting("wss://stream.testnet.binance.vision", "URL", "market streams")
    api_url: str = setting("wss://ws-api.testnet.binance.vision/ws-api/v3", "URL", "WebSocket API")


class CostSettings(Settings):
    """What trading costs on the embedded exchange, in the backtest and in the sweep."""

    maker_bps: float = setting(10.0, "bps", "commission of an order that rested", ge=0, le=500)
    taker_bps: float = setting(10.0, "bps", "commission of an order that took", ge=0, le=500)
    slippage_bps: float = setting(2.0, "bps", "added to each fill that takes", ge=0, le=500)
    spread_floor_bps: float = setting(0.5, "bps", "half spread, at least", ge=0, le=500)
    spread_range_pct: float = setting(
        1.0, "% of the bar's range", "half spread, with the bar's range", ge=0, le=100
    )
    spread_cap_bps: float = setting(20.0, "bps", "half spread, at most", ge=0, le=1000)
    fill_tier: Literal["F0", "F1"] = setting(
        "F0", "", "F0: fills at the touched price; F1: part of the volume, and touched limits fill by chance"
    )
    volume_share_pct: float = setting(
        10.0, "% of the bar's volume", "F1: most that one order may take", gt=0, le=100
    )
    touch_pct: float = setting(50.0, "%", "F1: chance that a limit only touched is filled", ge=0, le=100)


class SimSettings(Settings):
    """The embedded exchange."""

    host: str = setting("127.0.0.1", "address", "where it listens; only this machine may reach it")
    port: int = setting(0, "TCP port, 0 = any free one", "where it listens", ge=0, le=65_535)
    feed: Literal["generated", "bars", "streams"] = setting(
        "generated", "", "generated market, recorded bars, or recorded raw streams"
    )
    seed: int = setting(1, "", "of the generated market and of fills by chance", ge=0, le=2**31 - 1)
    speed: float = setting(
        180.0,
        "market seconds per second",
        "pace of the market; 180 closes a 15m bar every 5 s",
        gt=0,
        le=1_000_000,
    )
    stepped: bool = setting(
        default=False, unit="", meaning="advance only when the daemon has finished its work"
    )
    quote_balance: float = setting(10_000.0, "quote asset", "money of the simulated account", gt=0, le=1e9)
    history_bars: int = setting(
        6000, "base bars", "generated history before the first live bar", ge=500, le=200_000
    )
    fast_frame: Literal["none", "1m", "5m"] = setting(
        "none", "frame", "finer recorded bars that a base bar's path is made of"
    )
    costs: CostSettings = section(CostSettings, "commission, spread, slippage")

    @field_validator("host")
    @classmethod
    def _loopback_only(cls, host: str) -> str:
        if host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(f'"{host}" can be reached from outside: write 127.0.0.1')
        return host


class LinkSettings(Settings):
    """Patience with the network."""

    request_timeout_s: float = setting(
        10.0, "s, wall time", "a request without answer is given up", gt=0, le=120
    )
    receive_window_ms: int = setting(
        5000, "ms, wall time", "age at which the venue refuses a request", ge=100, le=60_000
    )
    reconnect_first_s: float = setting(
        0.5, "s, wall time", "first pause before connecting again", gt=0, le=60
    )
    reconnect_most_s: float = setting(30.0, "s, wall time", "longest pause", gt=0, le=600)
    stale_s: float = setting(
        30.0, "s, wall time", "a stream silent for so long is connected again", gt=0, le=600
    )
    weight_share_pct: float = setting(
        70.0, "% of the venue's limit", "request weight used at most", gt=0, le=100
    )

    @model_validator(mode="after")
    def _pauses_are_ordered(self) -> Self:
        if self.reconnect_most_s < self.reconnect_first_s:
            raise ValueError("reconnect_most_s lies below reconnect_first_s")
        return self


class VenueSettings(Settings):
    """Where orders go."""

    kind: VenueKind = setting(
        "sim", "", "sim: embedded exchange; paper: the same on live prices; testnet and live: Binance"
    )
    sim: SimSettings = section(SimSettings, "the embedded exchange")
    testnet: EndpointSettings = section(TestnetEndpoints, "Binance Spot test network")
    live: EndpointSettings = section(LiveEndpoints, "Binance Spot")
    link: LinkSettings = section(LinkSettings, "patience with the network")
