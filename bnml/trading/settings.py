"""What the decisions are made of: universe, features, scanner, decision, entry, exits, capital."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from bnml.schema import Settings, setting

Frame = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"]

FRAME_MS: dict[str, int] = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}

STABLE_ASSETS = ("USDT", "USDC", "BUSD", "FDUSD", "TUSD", "DAI", "USDP", "USDE", "PYUSD")
FIAT_ASSETS = ("EUR", "GBP", "TRY", "BRL", "AUD", "JPY", "RUB", "UAH", "NGN", "PLN", "ZAR")


class UniverseSettings(Settings):
    """Which symbols may be traded: a list, or everything of one quote asset that passes the filters."""

    quote_asset: str = setting("USDT", "asset", "the money that everything is bought with and counted in")
    symbols: tuple[str, ...] = setting(
        ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT"),
        "Binance symbols",
        'the symbols to trade; ["*/USDT"] discovers every pair of that quote asset',
        min_length=1,
    )
    min_quote_volume_24h: float = setting(
        1_000_000.0, "quote asset per 24 h", "discovered pairs with less turnover are left out", ge=0.0
    )
    max_symbols: int = setting(150, "symbols", "discovered pairs are cut here, by turnover", ge=1, le=1000)
    refresh_s: int = setting(900, "s, market time", "how often discovery is repeated", ge=30, le=86_400)
    excluded_assets: tuple[str, ...] = setting(
        STABLE_ASSETS + FIAT_ASSETS, "assets", "discovery skips pairs with one of these as base asset"
    )
    excluded_suffixes: tuple[str, ...] = setting(
        ("UP", "DOWN", "BULL", "BEAR"), "text", "discovery skips base assets that end so (leveraged tokens)"
    )
    excluded_prefixes: tuple[str, ...] = setting(
        ("LD", "BEAR", "BULL"),
        "text",
        "discovery skips base assets that begin so (earn and leveraged tokens)",
    )
    major_assets: tuple[str, ...] = setting(
        ("BTC", "ETH", "BNB", "SOL", "XRP"), "assets", "base assets that use the limits of majors in risk"
    )
    benchmark: str = setting(
        "BTCUSDT", "Binance symbol", "the symbol that stands for the market in correlation, volatility, drift"
    )

    @property
    def dynamic(self) -> bool:
        """Whether the symbols are discovered instead of listed."""
        return any(symbol.startswith("*/") for symbol in self.symbols)

    @field_validator("symbols")
    @classmethod
    def _one_kind_of_list(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        wild = [symbol for symbol in symbols if "*" in symbol]
        if wild and (len(symbols) > 1 or not wild[0].startswith("*/") or len(wild[0]) < 4):
            raise ValueError(
                'write either symbols such as "BTCUSDT", or exactly one "*/QUOTE" such as "*/USDT"'
            )
        for symbol in symbols:
            if not wild and not (symbol.isascii() and symbol.isalnum() and symbol == symbol.upper()):
                raise ValueError(
                    f'"{symbol}" is not a Binance symbol: write capitals and digits only, as in "BTCUSDT"'
                )
        if len(set(symbols)) != len(symbols):
            raise ValueError("each symbol may stand in the list once")
        return symbols


class FeatureSettings(Settings):
    """Frames of the feature row, and how much history stands before the first decision."""

    base_frame: Frame = setting("15m", "frame", "bars on which decisions are made")
    higher_frames: tuple[Frame, ...] = setting(
        ("1h", "4h", "1d"),
        "frames",
        "coarser views joined when their candle has closed; those not above the base frame are left out",
    )
    history_bars: int = setting(
        3000, "base bars", "history fetched before the first decision, for warm-up", ge=200, le=100_000
    )

    @property
    def base_frame_ms(self) -> int:
        """Length of a base bar in ms."""
        return FRAME_MS[self.base_frame]

    @property
    def frames_above_base(self) -> tuple[str, ...]:
        """Return the higher frames that are really higher than the base frame, ascending."""
        base = FRAME_MS[self.base_frame]
        return tuple(sorted((f for f in self.higher_frames if FRAME_MS[f] > base), key=FRAME_MS.__getitem__))

    @model_validator(mode="after")
    def _frames_nest(self) -> Self:
        base = FRAME_MS[self.base_frame]
        for frame in self.frames_above_base:
            if FRAME_MS[frame] % base:
                raise ValueError(f"higher frame {frame} is no multiple of the base frame {self.base_frame}")
        if len(set(self.higher_frames)) != len(self.higher_frames):
            raise ValueError("each higher frame may stand in the list once")
        return self


class ScannerSettings(Settings):
    """How the candidates of one bar are measured against each other."""

    grace_ms: int = setting(
        2000, "ms, market time", "how long a scan waits for the last symbols' bars", ge=0, le=60_000
    )
    top_n: int = setting(10, "symbols", "candidates kept of each scan", ge=1, le=500)
    min_score: float = setting(
        60.0, "points of 100", "candidates below this global score are dropped", ge=0, le=100
    )
    weight_model_pct: float = setting(
        50.0, "%", "share of the model's score in the global score", ge=0, le=100
    )
    weight_technical_pct: float = setting(30.0, "%", "share of the technical score", ge=0, le=100)
    weight_momentum_pct: float = setting(20.0, "%", "share of the momentum score", ge=0, le=100)

    @model_validator(mode="after")
    def _weights_are_whole(self) -> Self:
        total = self.weight_model_pct + self.weight_technical_pct + self.weight_momentum_pct
        if abs(total - 100.0) > 1e-9:
            raise ValueError(f"the three weights add up to {total:g} %, they must add up to 100 %")
        return self


class DecisionSettings(Settings):
    """From class probabilities to BUY, SELL or HOLD."""

    rule: Literal["expected_edge", "absolute"] = setting(
        "expected_edge",
        "",
        "expected_edge: p_buy - p_sell above the bundle's cut, and its bucket earned money out of fold; "
        "absolute: the fixed probabilities below",
    )
    cut_quantile_pct: float = setting(
        98.0, "%", "expected_edge: quantile of the out-of-fold score that a BUY must exceed", ge=50, lt=100
    )
    min_bucket_net_bps: float = setting(
        0.0,
        "bps",
        "expected_edge: net expectation of the score's bucket that a BUY must exceed",
        ge=-500,
        le=500,
    )
    min_buy_probability: float = setting(0.42, "probability", "absolute: lowest p_buy of a BUY", ge=0, le=1)
    min_sell_probability: float = setting(
        0.42, "probability", "absolute: lowest p_sell of a SELL", ge=0, le=1
    )
    min_margin: float = setting(
        0.07, "probability", "absolute: lowest lead of the first class over the second", ge=0, le=1
    )
    hold_bias: float = setting(
        0.02, "probability", "absolute: lead of p_buy over p_sell (or the reverse) that is needed", ge=0, le=1
    )
    without_model: Literal["hold", "rule"] = setting(
        "hold", "", "symbols without a model: hold, or the RSI and MACD rule that reports use as baseline"
    )
    exit_on_sell: bool = setting(
        default=False, unit="", meaning="whether a SELL prediction closes a long position"
    )


class EntrySettings(Settings):
    """How a position is entered."""

    price_cap_bps: int = setting(
        30, "bps above the decision's close", "limit price of the fill-or-kill entry order", ge=1, le=500
    )
    protection: Literal["auto", "opoco", "otoco", "market_then_oco"] = setting(
        "auto", "", "order-list form of entry and protection; auto takes the first that the symbol allows"
    )


class ExitSettings(Settings):
    """How a position is left; a position keeps the rules that it was opened with."""

    first_share_pct: float = setting(
        50.0, "% of the quantity", "tranche closed at the first target", ge=0, le=100
    )
    first_target_pct: float = setting(2.0, "% above entry", "first target", gt=0, le=100)
    second_share_pct: float = setting(
        30.0, "% of the quantity", "tranche closed at the second target", ge=0, le=100
    )
    second_target_pct: float = setting(4.0, "% above entry", "second target", gt=0, le=100)
    stop_atr: float = setting(1.5, "ATR below entry", "initial stop", gt=0, le=20)
    hard_drawdown_pct: float = setting(
        3.0, "% below entry", "the initial stop is never lower than this", gt=0, le=50
    )
    trailing_start_pct: float = setting(
        2.0, "% above entry", "price at which the stop starts to trail", gt=0, le=100
    )
    trailing_atr: float = setting(1.0, "ATR below the price", "distance of the trailing stop", gt=0, le=20)
    trailing_step_pct: float = setting(
        0.05, "% of the stop", "the resting stop is moved only by at least this", ge=0, le=10
    )
    time_stop_h: float = setting(
        48.0, "h, market time", "age at which a position going nowhere is closed", gt=0, le=8760
    )
    time_stop_band_pct: float = setting(
        0.5, "% of entry", "a position within this profit or loss is going nowhere", ge=0, le=50
    )
    dust_pct_of_active: float = setting(
        1.0, "% of active capital", "a runner worth less than this is closed", ge=0, le=50
    )

    @model_validator(mode="after")
    def _tranches_fit(self) -> Self:
        if self.first_share_pct + self.second_share_pct > 100.0:
            raise ValueError("first_share_pct and second_share_pct together exceed 100 %")
        if self.second_target_pct <= self.first_target_pct:
            raise ValueError("second_target_pct must lie above first_target_pct")
        return self


class CapitalSettings(Settings):
    """How much of the account works."""

    active_pct: float = setting(60.0, "% of equity", "capital that positions are sized from", gt=0, le=100)
    reserve_pct: float = setting(30.0, "% of equity", "capital kept for bad times, never used", ge=0, le=100)
    cash_pct: float = setting(10.0, "% of equity", "capital kept as cash for costs", ge=0, le=100)
    max_quote: float = setting(0.0, "quote asset, 0 = no limit", "largest amount put into one position", ge=0)
    max_position_pct: float = setting(20.0, "% of active capital", "largest position", gt=0, le=100)
    min_position_pct: float = setting(
        1.0, "% of active capital", "smallest position worth opening", ge=0, le=100
    )

    @model_validator(mode="after")
    def _split_is_whole(self) -> Self:
        total = self.active_pct + self.reserve_pct + self.cash_pct
        if abs(total - 100.0) > 1e-9:
            raise ValueError(
                f"active_pct, reserve_pct and cash_pct add up to {total:g} %, they must add up to 100 %"
            )
        if self.min_position_pct > self.max_position_pct:
            raise ValueError("min_position_pct lies above max_position_pct")
        return self
