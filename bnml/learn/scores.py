"""What a directional score is worth: its distribution, the cut for buying, net expectation by bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnml.kernels.records import BUCKETS, POLICY, QUANTILES, record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

BUCKET_QUANTILES = (
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9),
    *(0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995, 1.0),
)
"""Narrow where decisions are made; one more edge than buckets."""
ONE_SIDED_95 = 1.645


def directional_scores(probabilities: Floats) -> Floats:
    """P(BUY) - P(SELL) of each row."""
    return probabilities[:, 2] - probabilities[:, 0]


def fit_policy(scores: Floats, outcomes: Floats, cut_quantile: float) -> NDArray[np.void]:
    """One POLICY record from out-of-fold scores and what an entry at each row earned ([n, 2]: ppm, bars).

    Rows in time order; a row whose entry would not have filled (NaN) counts for the distribution only.
    Expectations are made monotone in the score (pooling adjacent violators): the narrow buckets at the
    top hold few rows, and that a higher score means less is noise more often than not.
    """
    policy = record(POLICY)
    policy["score_quantiles"] = np.quantile(scores, np.linspace(0.0, 1.0, QUANTILES))
    policy["cut"] = np.quantile(scores, cut_quantile)
    edges = np.quantile(scores, BUCKET_QUANTILES)
    policy["bucket_edges"] = edges
    bucket = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, BUCKETS - 1)
    means, errors, counts = np.zeros(BUCKETS), np.zeros(BUCKETS), np.zeros(BUCKETS)
    filled = np.isfinite(outcomes[:, 0])
    for index in range(BUCKETS):
        inside = filled & (bucket == index)
        counts[index] = np.count_nonzero(inside)
        if counts[index]:
            means[index] = outcomes[inside, 0].mean()
            apart = separate_entries(np.flatnonzero(inside), outcomes[inside, 1])
            errors[index] = outcomes[inside, 0].std() / np.sqrt(apart)
    expectation, pooled_errors = pool(means, errors, counts)
    policy["bucket_edge_ppm"] = expectation
    policy["bucket_lower_ppm"] = expectation - ONE_SIDED_95 * pooled_errors
    return policy


def separate_entries(rows: NDArray[np.int64], held_bars: Floats) -> int:
    """How many of these entries do not overlap, taken greedily in time; the evidence that they really are."""
    free_from, count = -1.0, 0
    for row, held in zip(rows, held_bars, strict=True):
        if row >= free_from:
            count += 1
            free_from = row + held
    return count


def pool(means: Floats, errors: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Means made non-decreasing by pooling adjacent violators, weighted by counts; errors pooled alike.

    Empty entries take part with no weight and get the value of the pool that they end up in.
    """
    pools: list[tuple[float, float, float, int]] = []  # mean, squared error, weight, how many
    for mean, error, count in zip(means, errors, counts, strict=True):
        pools.append((float(mean), float(error) ** 2, float(count), 1))
        while len(pools) > 1 and (pools[-2][0] >= pools[-1][0] or not pools[-1][2] or not pools[-2][2]):
            upper, lower = pools.pop(), pools.pop()
            weight = lower[2] + upper[2]
            share = upper[2] / weight if weight else 0.5
            pools.append(
                (
                    (1 - share) * lower[0] + share * upper[0],
                    (1 - share) ** 2 * lower[1] + share**2 * upper[1],
                    weight,
                    lower[3] + upper[3],
                )
            )
    sizes = [size for *_, size in pools]
    return (
        np.repeat([mean for mean, *_ in pools], sizes),
        np.repeat([np.sqrt(square) for _, square, *_ in pools], sizes),
    )
