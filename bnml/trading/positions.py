"""What a position is: its tranches in exact numbers, the rules it was opened with, the orders that protect it."""

from __future__ import annotations

import msgspec

from bnml.kernels.records import ExitReason


class Tranche(msgspec.Struct):
    """A part of a position with protection of its own; money is written by the ledger, orders by protection."""

    index: int  # 1-based
    target_ticks: int  # 0: none
    stop_ticks: int  # the stop as it should rest now
    stop_reason: int  # kernels.records.ExitReason of that stop
    working_id: str = ""
    legs: list[str] = msgspec.field(default_factory=list)  # protecting orders that are not settled
    sale_id: str = ""  # market sale under way, alone or with others
    exit_reason: int = 0  # not 0: protection is withdrawn and the rest is sold
    bought_lots: int = 0
    base_e8: int = 0  # held, net of commission in base
    cost_e8: int = 0  # of what is held
    pnl_e8: int = 0  # realised
    refusals: int = 0  # in a row, of what protects or sells it
    sell_after_ns: int = 0  # a sale was refused: guarded again, and not sold before this
    guard_after_ns: int = 0  # a stop was refused as well: no stop is asked for before this
    misses: int = 0  # cancels in a row of a stop that the venue shows, and does not know when it is cancelled
    move_after_ns: int = 0  # then that stop rests on until this
    insure_after_ns: int = 0  # nothing is asked for beside what is in doubt before this
    emulated_ticks: int = (
        0  # target that cannot rest beside its stop at this venue: sold at market from here on
    )
    short_lots: int = 0  # not asked for: orders of others lock them at the venue
    short_ns: int = 0  # when these became more
    strikes: int = 0  # of the refusals, those of stops that a sale would not meet as well
    lacks_coins: bool = False  # the last refusal was for want of free coins

    def lots(self, lot_e8: int) -> int:
        """Whole lots held; the rest below one lot is dust of the asset."""
        return self.base_e8 // lot_e8


class Position(msgspec.Struct):
    """All tranches of one entry. `rules` holds the bytes of its RULES record: they stay whatever the config says later."""

    symbol: str
    opened_ns: int  # time of the scan that opened it
    reference_ticks: int
    atr_ticks: int
    activation_ticks: int  # trailing acts from here
    rules: bytes
    tranches: list[Tranche]
    exit_reason: int = 0  # not 0: the whole position is being sold
    entered_ns: int = 0  # venue time of the first fill
    last_ticks: int = 0  # last print seen since
    look_ns: int = 0  # when something of it is overdue; 0: nothing is
    bare_since_ns: int = 0  # since when less than all of it has a live stop; 0: it has
    bare_lots: int = 0  # the most that had none in this spell
    bare_ns: int = 0  # all spells that are over
    longest_bare_ns: int = 0
    is_bareness_told: bool = False
    leaves_ns: int = 0  # since when all of it is to be sold and cannot be, as one of its orders is in doubt
    printed_ns: int = 0  # when the last print was seen
    is_shut: bool = False  # an order of it was refused because the symbol is closed; not tried again since

    def lots(self, lot_e8: int) -> int:
        """Whole lots held in all tranches."""
        return sum(tranche.lots(lot_e8) for tranche in self.tranches)

    def has_passed(self, tranche: Tranche) -> bool:
        """Whether the market has traded at the level of its stop: none could rest there any more."""
        return 0 < self.last_ticks <= tranche.stop_ticks

    def let_crumbs_go(self, gone_e8: int, lot_e8: int) -> int:
        """Take what is below a lot in each tranche first: no order locks it; returns what is left to be taken."""
        for tranche in reversed(self.tranches):
            taken_e8 = min(gone_e8, tranche.base_e8 % lot_e8)
            tranche.base_e8 -= taken_e8
            gone_e8 -= taken_e8
        return gone_e8

    @property
    def cost_e8(self) -> int:
        return sum(tranche.cost_e8 for tranche in self.tranches)

    @property
    def pnl_e8(self) -> int:
        return sum(tranche.pnl_e8 for tranche in self.tranches)

    @property
    def bought_lots(self) -> int:
        return sum(tranche.bought_lots for tranche in self.tranches)

    @property
    def is_of_dust(self) -> bool:
        """Made of what earlier positions had to leave; nothing was bought for it."""
        return self.exit_reason == ExitReason.DUST and not self.entered_ns
