"""What the decisions are made of: universe, features, scanner, decision, entry, exits, capital, costs."""

from typing import Any, Literal, Self

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

    symbols: tuple[str, ...] = setting(
        (),
        "Binance symbols",
        'symbols to trade, such as [BTCUSDT, ETHUSDT]; empty: all that the venue offers in sim; ["*/USDT"]: dynamic',
    )
    dynamic: bool = setting(
        default=False, unit="", meaning="discover every pair of the quote asset that passes the filters below"
    )
    quote: str = setting(
        "USDT", "asset", "the money that everything is bought with and counted in", min_length=2
    )
    min_volume_quote: float = setting(
        1_000_000.0, "quote asset per 24 h", "discovered pairs with less turnover are left out", ge=0
    )
    max_symbols: int = setting(150, "symbols", "discovered pairs are cut here, by turnover", ge=1, le=1000)
    exclude_bases: tuple[str, ...] = setting(
        STABLE_ASSETS + FIAT_ASSETS, "assets", "discovery skips pairs with one of these as base asset"
    )
    exclude_suffixes: tuple[str, ...] = setting(
        ("UP", "DOWN", "BULL", "BEAR"), "text", "discovery skips base assets that end so (leveraged tokens)"
    )
    exclude_prefixes: tuple[str, ...] = setting(
        ("LD", "BEAR", "BULL"),
        "text",
        "discovery skips base assets that begin so (earn and leveraged tokens)",
    )

    @model_validator(mode="before")
    @classmethod
    def _star_means_dynamic(cls, data: Any) -> Any:
        """Read `*/USDT` in the list as: dynamic, with that quote asset."""
        symbols = data.get("symbols") if isinstance(data, dict) else None
        if not isinstance(symbols, list | tuple):
            return data
        stars = [name for name in symbols if isinstance(name, str) and "*" in name]
        if not stars:
            return data
        if len(symbols) > 1 or not stars[0].startswith("*/") or len(stars[0]) < 4:
            raise ValueError(
                'symbols: write names such as "BTCUSDT", or exactly one "*/QUOTE" such as "*/USDT"'
            )
        return {**data, "symbols": (), "dynamic": True, "quote": stars[0].removeprefix("*/")}

    @field_validator("symbols")
    @classmethod
    def _names_are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        for symbol in symbols:
            if not (symbol.isascii() and symbol.isalnum() and symbol == symbol.upper()):
                raise ValueError(
                    f'"{symbol}" is no Binance symbol; write capitals and digits only, as in "BTCUSDT"'
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
        "coarser views, joined when their candle has closed; those not above the base frame are left out",
    )
    history_bars: int = setting(
        6000,
        "base bars",
        "bars fed before trading starts; the first of them is the anchor of all running values",
        ge=200,
        le=200_000,
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
        2000,
        "ms, market time",
        "how long a scan waits for the last symbols' bars; below the 3 s after which the embedded exchange tells "
        "the time, so that a scan is decided before the market's next print",
        ge=0,
        le=2900,
    )
    top_n: int = setting(10, "symbols", "candidates kept of each scan", ge=1, le=500)
    weight_ml: float = setting(0.50, "share", "of the model's confidence in the global score", ge=0, le=1)
    weight_technical: float = setting(0.30, "share", "of the technical score", ge=0, le=1)
    weight_momentum: float = setting(0.20, "share", "of the momentum score", ge=0, le=1)
    min_global_score: float = setting(
        60.0, "points of 100", "candidates below this global score are refused", ge=0, le=100
    )

    @model_validator(mode="after")
    def _weights_are_whole(self) -> Self:
        total = self.weight_ml + self.weight_technical + self.weight_momentum
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"the three weights add up to {total:g}; they must add up to 1")
        return self


class DecisionSettings(Settings):
    """From class probabilities to BUY, SELL or HOLD."""

    rule: Literal["expected_edge", "absolute"] = setting(
        "expected_edge",
        "",
        "expected_edge: p_buy - p_sell above the bundle's cut, in a bucket that earned money out of fold; "
        "absolute: the fixed probabilities below",
    )
    cut_quantile: float = setting(
        0.98, "quantile", "expected_edge: of the out-of-fold score, that a BUY must exceed", ge=0.5, lt=1
    )
    min_buy: float = setting(0.42, "probability", "absolute: lowest p_buy of a BUY", ge=0, le=1)
    min_sell: float = setting(0.42, "probability", "absolute: lowest p_sell of a SELL", ge=0, le=1)
    min_margin: float = setting(
        0.07, "probability", "absolute: lowest lead of the first class over the second", ge=0, le=1
    )
    hold_bias: float = setting(
        0.02, "probability", "absolute: lead of p_buy over p_sell (or the reverse) that is needed", ge=0, le=1
    )
    without_model: Literal["hold", "rule"] = setting(
        "hold",
        "",
        "symbols without a model: hold, or follow the RSI and MACD rule that reports use as baseline",
    )


class EntrySettings(Settings):
    """How a position is entered."""

    price_cap_bps: float = setting(
        50.0, "bps above the deciding close", "limit of the fill-or-kill entry order", ge=1, le=1000
    )


class ExitSettings(Settings):
    """How a position is left; a position keeps the rules that it was opened with."""

    target1_pct: float = setting(2.0, "% above entry", "first target", gt=0, le=100)
    target1_share_pct: float = setting(50.0, "% of the quantity", "sold at the first target", gt=0, le=100)
    target2_pct: float = setting(4.0, "% above entry", "second target", gt=0, le=100)
    target2_share_pct: float = setting(30.0, "% of the quantity", "sold at the second target", ge=0, le=100)
    stop_atr: float = setting(1.5, "ATR below entry", "initial stop", gt=0, le=20)
    hard_stop_pct: float = setting(
        3.0, "% below entry", "the initial stop is never lower than this", gt=0, le=50
    )
    trail_start_pct: float = setting(
        2.0, "% above entry", "price at which the stop starts to trail", gt=0, le=100
    )
    trail_atr: float = setting(1.0, "ATR below the price", "distance of the trailing stop", gt=0, le=20)
    trail_step_bps: float = setting(
        10.0, "bps of the stop", "a resting stop moves by at least this", ge=0, le=500
    )
    time_stop_h: float = setting(
        48.0, "h, market time", "age at which a position going nowhere is closed", gt=0, le=8760
    )
    time_stop_band_pct: float = setting(
        0.5, "% of cost", "a position within this profit or loss is going nowhere", ge=0, le=50
    )
    dust_pct: float = setting(
        1.0, "% of active capital", "a rest worth less than this is closed", ge=0, le=50
    )
    exit_on_sell: bool = setting(
        default=False, unit="", meaning="whether a SELL prediction closes a long position"
    )

    @model_validator(mode="after")
    def _tranches_fit(self) -> Self:
        if self.target1_share_pct + self.target2_share_pct > 100:
            raise ValueError("target1_share_pct and target2_share_pct add up to more than 100 %")
        if self.target2_pct <= self.target1_pct:
            raise ValueError("target2_pct must lie above target1_pct")
        return self


class CapitalSettings(Settings):
    """How much of the account works."""

    active_pct: float = setting(60.0, "% of equity", "capital that positions are sized from", gt=0, le=100)
    max_quote: float | None = setting(
        None, "quote asset, empty = no limit", "most capital used, at cost, whatever the account holds", gt=0
    )
    fee_reserve_quote: float = setting(
        0.0,
        "quote asset, 0 = not watched",
        "worth of BNB below which it is told that fees run out of it",
        ge=0,
    )
    fee_top_up: bool = setting(
        default=False,
        unit="",
        meaning="whether BNB is bought at market when the reserve is short; it is never sold",
    )
    fee_top_up_max_quote: float = setting(
        50.0, "quote asset", "most that one such purchase costs, one in 10 minutes", gt=0
    )
    depeg_symbol: str = setting(
        "", "Binance symbol such as USDCUSDT; empty = not watched", "pair that should cost 1"
    )
    depeg_pct: float = setting(1.0, "% from 1", "further away for so long: no entries", gt=0, le=50)
    depeg_minutes: float = setting(10.0, "minutes, market time", "for how long", gt=0, le=1440)
    delist_exit_h: float = setting(
        24.0, "h, market time", "what is held is sold so long before the venue delists it", ge=0, le=720
    )

    @model_validator(mode="after")
    def _a_top_up_has_a_level(self) -> Self:
        if self.fee_top_up and not self.fee_reserve_quote:
            raise ValueError("fee_top_up needs a level: write what shall be held as fee_reserve_quote")
        return self


class CostSettings(Settings):
    """What trading costs on the embedded exchange, in backtest and sweep, and in the labels."""

    tier: Literal["F0", "F1"] = setting(
        "F1", "", "F0: fills at the touched price; F1: part of the volume only, touched limits fill by chance"
    )
    seed: int = setting(42, "", "of fills by chance", ge=0, le=2**31 - 1)
    maker_bps: float = setting(10.0, "bps", "commission of an order that rested", ge=0, le=500)
    taker_bps: float = setting(10.0, "bps", "commission of an order that took", ge=0, le=500)
    slippage_bps: float = setting(2.0, "bps", "added to each fill that takes", ge=0, le=500)
    spread_floor_bps: float = setting(1.0, "bps", "half spread, at least", ge=0, le=500)
    spread_range_bps_per_pct: float = setting(
        0.5, "bps per % of the bar's range", "half spread, growing with the bar's range", ge=0, le=100
    )
    spread_cap_bps: float = setting(15.0, "bps", "half spread, at most", ge=0, le=1000)
    volume_share_pct: float = setting(
        10.0, "% of the bar's volume", "F1: most that one order takes without extra slippage", gt=0, le=100
    )
    touch_chance_pct: float = setting(
        50.0, "%", "F1: chance that a limit only touched is filled", ge=0, le=100
    )

    @model_validator(mode="after")
    def _spread_is_ordered(self) -> Self:
        if self.spread_cap_bps < self.spread_floor_bps:
            raise ValueError("spread_cap_bps lies below spread_floor_bps")
        return self
