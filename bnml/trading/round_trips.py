"""Round trips of the live ramp as data: what was decided, what was got, and what the cost model bears."""

from __future__ import annotations

import msgspec

SMALLEST, TENTH, WHOLE = range(3)
STEP_WORDS = ("smallest orders", "10 % of each order", "full size")


class Leg(msgspec.Struct):
    """All fills of one direction, in 1e-8 of the quote asset: at the price decided on, as filled, and at worst."""

    decided_e8: int = 0
    done_e8: int = 0
    bound_e8: int = 0

    @property
    def cost_bps(self) -> float:
        """How far from what was decided; above 0 for more money."""
        return 1e4 * (self.done_e8 - self.decided_e8) / self.decided_e8 if self.decided_e8 else 0.0

    @property
    def bound_bps(self) -> float:
        """How far it may be."""
        return 1e4 * (self.bound_e8 - self.decided_e8) / self.decided_e8 if self.decided_e8 else 0.0


class Trip(msgspec.Struct):
    """One position from its decision to its comparison with the venue's books."""

    symbol: str
    opened_ns: int
    step: int  # at which it was sized
    decided_ticks: int
    buys: Leg = msgspec.field(default_factory=Leg)
    sales: Leg = msgspec.field(default_factory=Leg)
    asked: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # market sales: last price when they were asked for
    is_measured: bool = True  # of each fill is known what was decided
    closed_ns: int = 0

    @property
    def is_inside(self) -> bool:
        """Whether neither direction cost more than the model bears."""
        return self.buys.done_e8 <= self.buys.bound_e8 and self.sales.done_e8 >= self.sales.bound_e8

    def words(self) -> str:
        """Both directions with their limits, as costs: above 0 is worse than decided."""
        return (
            f"bought {self.buys.cost_bps:+.1f} bps from the price decided on, at most {self.buys.bound_bps:+.1f}; "
            f"sold {self.sales.cost_bps:+.1f} bps, at least {self.sales.bound_bps:+.1f}"
        )


class Ramp(msgspec.Struct):
    """How much of the usual size entries may have; `round_trips` 0 means that no ramp is in use."""

    round_trips: int = 0  # that release a step
    slack_ppm: int = 0  # beyond the cost model, for what the price moves between decision and fill
    step: int = SMALLEST
    counted: int = 0  # at this step
    outside: int = 0  # round trips in a row whose slippage was outside
    flowed_ns: int = 0  # when ledger and account last differed, or money came or went
    open: dict[str, Trip] = msgspec.field(default_factory=dict)
    closed: list[Trip] = msgspec.field(default_factory=list)  # until the ledger is found equal to the account

    def words(self) -> str:
        """Where it stands; empty when it is not in use."""
        if not self.round_trips:
            return ""
        parts = [f"step {self.step + 1} of {len(STEP_WORDS)}, {STEP_WORDS[self.step]}"]
        if self.step < WHOLE:
            following = STEP_WORDS[self.step + 1]
            parts.append(f"{self.counted} of {self.round_trips} round trips until {following}")
        if self.closed:
            parts.append(f"{len(self.closed)} to be compared with the account")
        if self.outside:
            parts.append(f"{self.outside} in a row outside the cost model")
        return "; ".join(parts)
