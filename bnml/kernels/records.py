"""Structured records and enums shared by Python and numba: named fields, never column numbers.

Units: prices in ticks, quantities in lots, money in 1e-8 of the quote asset, rates in ppm (1e-6),
times in UTC nanoseconds, durations in nanoseconds. All integer fields are int64.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

BAR = np.dtype(
    [
        ("ts_open_ns", np.int64),
        ("open", np.int64),
        ("high", np.int64),
        ("low", np.int64),
        ("close", np.int64),
        ("volume_lots", np.int64),
    ]
)
"""A closed candle in integers; one array per symbol, ascending, missing bars absent."""

INSTRUMENT = np.dtype(
    [
        ("tick_e8", np.int64),
        ("lot_e8", np.int64),
        ("notional_num", np.int64),
        ("notional_den", np.int64),
        ("min_lots", np.int64),
        ("max_lots", np.int64),
        ("min_notional_e8", np.int64),
        ("symbol_key", np.int64),  # stable hash of the symbol's name, see fills.symbol_key
    ]
)

COSTS = np.dtype(
    [
        ("tier", np.int64),  # FillTier
        ("seed", np.int64),
        ("maker_ppm", np.int64),  # commission of resting fills
        ("taker_ppm", np.int64),  # commission of fills that take liquidity
        ("slippage_ppm", np.int64),  # added to every taking fill
        ("spread_floor_ppm", np.int64),  # half spread at least
        ("spread_range_ppm", np.int64),  # half spread per unit of the bar's relative range
        ("spread_cap_ppm", np.int64),  # half spread at most
        ("volume_share_ppm", np.int64),  # F1: share of a bar's volume that one order may take
        ("touch_ppm", np.int64),  # F1: chance that a touched, not crossed, limit fills
    ]
)

RULES = np.dtype(
    [
        ("price_cap_ppm", np.int64),  # entry limit above the deciding close
        ("stop_atr_ppm", np.int64),  # initial stop distance in ATR (1.5 -> 1_500_000)
        ("hard_stop_ppm", np.int64),  # and at most this share below the reference
        ("trail_start_ppm", np.int64),  # trailing acts from this gain over the reference
        ("trail_atr_ppm", np.int64),  # trailing distance in ATR
        ("trail_step_ppm", np.int64),  # a stop is moved only by at least this share of its price
        ("target1_ppm", np.int64),
        ("target2_ppm", np.int64),
        ("share1_ppm", np.int64),  # share of the quantity with target 1
        ("share2_ppm", np.int64),
        ("time_stop_ns", np.int64),
        ("time_stop_band_ppm", np.int64),  # only when |P&L| is below this share of the cost
        ("dust_ppm", np.int64),  # a position below this share of active capital is closed
        ("exit_on_sell", np.int64),  # 1: a SELL prediction closes a long
        ("trail_ppm", np.int64),  # trailing distance as share of the print, instead of ATR
        ("target1_r_ppm", np.int64),  # target in multiples of reference - stop, instead of target1_ppm
        ("target2_r_ppm", np.int64),
        ("from_fill", np.int64),  # 1: levels are measured from the price of the entry, not the deciding close
        ("entry_taking", np.int64),  # Taking of an entry; 0: all or nothing (FOK)
    ]
)
"""How a position is entered, protected and left; 0 switches a stop, target, trailing or time stop off.

Fields are only ever added at the end: a shorter record kept by an older version means 0 in the others.
"""

LIMITS = np.dtype(
    [
        ("active_ppm", np.int64),  # share of equity that may be used at all
        ("max_quote_e8", np.int64),  # cap of the capital used; 0 = none
        ("risk_per_trade_ppm", np.int64),  # of equity, lost if the initial stop is hit
        ("max_position_ppm", np.int64),  # of active capital
        ("max_exposure_ppm", np.int64),  # of active capital
        ("max_positions", np.int64),
        ("min_confidence", np.float64),  # 0..100
        ("min_global_score", np.float64),  # 0..100
        ("top_n", np.int64),
        ("max_spread_ppm", np.int64),
        ("min_depth_e8", np.int64),
        ("max_correlation", np.float64),
        ("min_expected_edge_ppm", np.int64),
        ("max_daily_loss_ppm", np.int64),
        ("max_drawdown_ppm", np.int64),
        ("drawdown_pause_ns", np.int64),  # after it the peak is set to the equity of the moment
        ("max_losses_in_row", np.int64),
        ("loss_pause_ns", np.int64),  # the loss-streak breaker opens again after this
        ("max_volatility_ratio", np.float64),
        ("drift_ks", np.float64),
        ("drift_p", np.float64),
        ("drift_volatility_ratio", np.float64),
        ("daily_budget_ppm", np.int64),
        ("weekly_budget_ppm", np.int64),
        ("mood_smoothing", np.float64),  # share of a scan's own score in the smoothed one; 0 = nobody listens
        (
            "mood_sell_score",
            np.float64,
        ),  # smoothed score from which down the market says SELL; its negative: BUY
        ("mood_max_volatility", np.float64),  # mean ATR ratio over its own running mean: risk off from here
        ("mood_max_spread_ppm", np.int64),  # mean spread: risk off from here
        ("mood_sell_confidence", np.float64),  # a SELL of the market this sure stops entries; 0..100
        ("mood_min_score", np.float64),  # so does a smoothed score as low as this
        ("max_cost_e8", np.int64),  # most that all positions may have cost together; 0 = no limit
    ]
)

BREAKERS = np.dtype(
    [
        ("rolled", np.int64),  # 0 until the first scan has set the fields below
        ("day", np.int64),  # calendar day number in the configured zone
        ("day_start_equity_e8", np.int64),  # equity at the first scan of the day
        ("week_start_equity_e8", np.int64),
        ("peak_equity_e8", np.int64),
        ("drawdown_until_ns", np.int64),  # entries stopped until then; 0 = not tripped
        ("drawdown_ppm", np.int64),  # drawdown that tripped it
        ("losses_in_row", np.int64),
        ("loss_until_ns", np.int64),
        ("mood_scans", np.int64),  # in which enough symbols spoke
        ("mood_atr", np.float64),  # running mean of their ATR ratios
        ("mood_score", np.float64),  # smoothed, -1..1
        ("mood_confidence", np.float64),  # 0..100
        ("mood_side", np.int64),  # what the market says: -1 SELL, 0 HOLD, 1 BUY
        ("mood_leaning", np.int64),  # the same before it was held for long enough
        ("mood_streak", np.int64),  # scans in a row with this leaning
        ("mood_risk", np.float64),  # 1 and more: risk off, if the sellers are not the weaker side
        ("mood_regime", np.int64),  # MoodRegime
    ]
)
"""What the account remembers between scans; written by `kernels.breakers` and `kernels.mood` only.

It grows at its end only, and zero means that nothing is known: older snapshots are read, filled up with zeros.
"""

FACTS = np.dtype(
    [
        ("ts_ns", np.int64),  # closing time of the scan
        ("held", np.int64),  # 1: the symbol has a position (also one being closed) or an entry under way
        ("active", np.int64),  # 1: entries are enabled and the venue is connected
        ("global_score", np.float64),  # 0..100
        ("rank", np.int64),  # 1-based place among the BUY candidates of this scan, by (score desc, symbol)
        ("confidence", np.float64),  # 0..100
        ("spread_ppm", np.int64),
        ("depth_e8", np.int64),
        ("expected_edge_ppm", np.float64),  # NaN: not known (rule strategy), passes
        ("open_positions", np.int64),  # with those approved before it in this scan
        ("equity_e8", np.int64),
        ("day_start_equity_e8", np.int64),
        ("week_start_equity_e8", np.int64),
        ("drawdown_until_ns", np.int64),
        ("drawdown_ppm", np.int64),
        ("losses_in_row", np.int64),
        ("loss_until_ns", np.int64),
        ("volatility_ratio", np.float64),  # of the benchmark
        ("ks", np.float64),
        ("ks_p", np.float64),
        ("drift_volatility_ratio", np.float64),
        ("mood_score", np.float64),
        ("mood_confidence", np.float64),
        ("mood_side", np.int64),
        ("mood_risk", np.float64),
        ("mood_regime", np.int64),
        ("correlation", np.float64),  # the largest with any open position; 0 without one
        ("active_e8", np.int64),  # active capital
        ("exposure_e8", np.int64),  # open value and reserved notionals
        ("wanted_e8", np.int64),  # notional at the cap as sized by risk, position share, what limits leave
        ("size_e8", np.int64),  # the same, also bounded by the free quote
        ("minimum_e8", np.int64),  # smallest notional at the cap that filters and protection allow
        ("risk_e8", np.int64),  # lost if the initial stop is hit at its level
    ]
)
"""What one candidate for entry is measured by; see `limits.first_refusal`."""

OPINION = np.dtype(
    [
        ("bar", np.int64),  # index of the bar at whose close it is held; ascending, others mean HOLD
        ("action", np.int64),  # Action: BUY, or SELL (closes a long where rules say `exit_on_sell`)
        ("score", np.float64),  # ranks the buys of one scan, highest first; 0..100
        ("confidence", np.float64),  # 0..100
        ("expected_edge_ppm", np.float64),  # NaN: not known
        ("atr_ratio", np.float64),  # ATR / close; 0 where no rule asks for it
        ("size_ppm", np.int64),  # most of the equity that an entry may take; 0 = as the limits say
    ]
)
"""What one bar asks for; one array per symbol, without a row for bars that ask for nothing."""

QUANTILES = 101
BUCKETS = 20
POLICY = np.dtype(
    [
        ("rule", np.int64),  # DecisionRule
        ("cut", np.float64),  # directional score above which a BUY is possible
        ("min_buy", np.float64),
        ("min_sell", np.float64),
        ("min_margin", np.float64),
        ("hold_bias", np.float64),
        ("score_quantiles", np.float64, (QUANTILES,)),  # of s out of fold, 0..100 %
        ("bucket_edges", np.float64, (BUCKETS + 1,)),
        ("bucket_edge_ppm", np.float64, (BUCKETS,)),  # net expectation of the real exit rules, out of fold
        ("bucket_lower_ppm", np.float64, (BUCKETS,)),  # its lower bound
    ]
)


class FillTier(IntEnum):
    """F0 touch, F1 bar; the tiers with a book come with the full exchange."""

    F0 = 0
    F1 = 1


class Taking(IntEnum):
    """How an order takes: at any price, all or nothing within its limit, or what its limit allows."""

    MARKET = 0
    FOK = 1
    IOC = 2


class DecisionRule(IntEnum):
    """How probabilities become an action: by expected edge out of fold, or by absolute thresholds."""

    EXPECTED_EDGE = 0
    ABSOLUTE = 1


class Action(IntEnum):
    """Result of a decision; SELL means "would sell": on spot it only closes a long."""

    SELL = 0
    HOLD = 1
    BUY = 2


class MoodRegime(IntEnum):
    """What kind of market `kernels.mood` hears."""

    INSUFFICIENT_DATA = 0
    NEUTRAL = 1
    MEAN_REVERSION = 2
    BULL_ACCELERATION = 3
    BEAR_PRESSURE = 4
    HIGH_RISK_NEUTRAL = 5
    RISK_OFF = 6


class Reason(IntEnum):
    """Why a decision ended as it did: first the reasons to hold, then the refusing rule in order of checking.

    Journals keep the numbers, so a new rule takes a free one; the order is that of the lines.
    """

    NONE = 0
    POLICY = 1  # the decision rule says HOLD or SELL
    NO_MODEL = 2
    FEATURES_INCOMPLETE = 3
    ALREADY_HELD = 10
    NOT_ACTIVE = 11  # halted, reducing, or the venue is not fully connected
    GLOBAL_SCORE = 12
    NOT_IN_TOP = 13
    CONFIDENCE = 14
    SPREAD = 15
    DEPTH = 16
    EXPECTED_EDGE = 17
    MAX_POSITIONS = 18
    DAILY_LOSS = 19
    DRAWDOWN = 20
    LOSS_STREAK = 21
    VOLATILITY = 22
    DRIFT = 23
    MARKET_SELL = 30
    MARKET_RISK_OFF = 31
    MARKET_SCORE = 32
    CORRELATION = 24
    DAILY_BUDGET = 25
    WEEKLY_BUDGET = 26
    EXPOSURE = 27
    MINIMUM_SIZE = 28
    CAPITAL = 29


class ExitReason(IntEnum):
    """Why a quantity was sold."""

    NONE = 0
    TARGET1 = 1
    TARGET2 = 2
    STOP = 3  # initial stop by ATR
    HARD_STOP = 4  # initial stop bounded by the hard drawdown
    TRAILING = 5
    TIME = 6
    SIGNAL = 7
    DUST = 8
    GAP = 9  # any stop that was jumped over: filled at the first print beyond it
    OPERATOR = 10
    END_OF_DATA = 11  # marked to market, not sold


def record(dtype: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """A zeroed one-element array: how records cross into kernels (`rules[0]["target1_ppm"]`)."""
    return np.zeros(1, dtype=dtype)
