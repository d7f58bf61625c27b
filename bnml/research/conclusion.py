"""What a run over a market concluded, whichever engine made it."""

from __future__ import annotations

import msgspec

from bnml.core.outcomes import EquityPoint, Trade


class Conclusion(msgspec.Struct, frozen=True):
    """Fills, equity at each scan, and the account before and after; what is open at the end is marked, not sold."""

    trades: list[Trade]
    equity: list[EquityPoint]
    initial_e8: int
    final_e8: int
