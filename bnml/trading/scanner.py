"""Which candidates come first: BUY opinions of one scan by global score, then by name."""

from __future__ import annotations

from collections.abc import Iterable

from bnml.kernels.records import Action
from bnml.trading.deciding import Opinion

_BUY = int(Action.BUY)


def ranked(opinions: Iterable[Opinion]) -> list[tuple[int, Opinion]]:
    """(rank, opinion) of every BUY, rank 1 first.

    Only buys compete: the model's part of the score is the rank of P(BUY) - P(SELL), so a strong SELL
    or HOLD takes no place from them.
    """
    buys = [opinion for opinion in opinions if opinion.action == _BUY]
    buys.sort(key=lambda opinion: (-opinion.score, opinion.symbol))
    return list(enumerate(buys, start=1))
