"""What is not the same for every account and symbol: how likely each is in a trial."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Oddities:
    """Chances, drawn once for each trial, or for each of its symbols."""

    no_stop_loss: float = 0.12  # of a symbol: only STOP_LOSS_LIMIT, which may rest when it is triggered
    no_replace: float = 0.1  # no cancelReplace
    no_pairs: float = 0.1  # no OCO, and no list with one
    bnb: float = 0.3  # of an account: commissions are paid in BNB while there is any
    trades_fees: float = 0.15  # BNB is one of the symbols traded
    thin: float = 0.25  # of a market: what takes finds a part of it now and then
    owner: float = 0.3  # of an account: its owner trades, pays, cancels and converts
    venue: float = 0.15  # of a venue: it halts symbols and changes filters
    lagging: float = 0.15  # of a venue: reads of orders, trades and balances are up to 2 s old
    grids: float = 0.03  # of a venue: it changes ticks, lots, and how many lots an order may have
    patient: float = 0.1  # of a daemon: it looks at the account each minute, as it does by default
    turns: float = 0.5  # the price turns at orders that rest, and leaves them half filled


USUAL = Oddities()
NONE = Oddities(**dict.fromkeys(Oddities.__dataclass_fields__, 0.0))
THIN = 0.15  # of what takes in a thin market
"""The rest of it waits, or ends without it."""
