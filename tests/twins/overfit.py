"""Twin of the probability of backtest overfitting: the definition, split by split, on the daily returns."""

from itertools import combinations
from math import log, sqrt

BLOCKS = 16


def sharpe(values):
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean / sqrt(variance)


def pbo(strategies):
    """Share of the splits with a logit of 0 or less, share with a loss; strategies as lists of daily returns."""
    days = len(strategies[0])
    parts = [
        [[row[d] for d in range(days) if d * BLOCKS // days == b] for b in range(BLOCKS)]
        for row in strategies
    ]
    splits = list(combinations(range(BLOCKS), BLOCKS // 2))
    overfitted = lost = 0
    for half in splits:
        others = [b for b in range(BLOCKS) if b not in half]
        chosen = [sharpe([value for b in half for value in row[b]]) for row in parts]
        judged = [sharpe([value for b in others for value in row[b]]) for row in parts]
        best = judged[chosen.index(max(chosen))]
        relative = (1 + sum(one < best for one in judged)) / (len(strategies) + 1)
        overfitted += log(relative / (1 - relative)) <= 0
        lost += best < 0
    return overfitted / len(splits), lost / len(splits)
