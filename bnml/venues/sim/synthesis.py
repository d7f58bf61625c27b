"""Prices of the generated market: how each bar follows from the seed and the bars before it.

All symbols advance together; chunk k draws from its own generator (seed, k), so the path does not
depend on how far it was asked for at once.

The process, per symbol i and bar t, in logarithms:

    sigma = sigma_i * regime(t) * exp(v(t))            v: AR(1) around 0, volatility clusters
    return = sigma * (beta_i * market + sqrt(1 - beta_i^2) * own + drift) + jump + pull to the start price

`market` and `own` are standard normal draws; regimes (calm, normal, turbulent) hold for days; jumps are
rare and of 4 to 9 sigma, alone or for all symbols at once; about one open in a hundred leaves a gap.

THE PLANTED EDGE: volume leads price. Each symbol has a hidden order flow f(t), an AR(1) of unit variance
that forgets half in about three bars. `drift` is EDGE * f sigma a bar, and f shows: bars that go with it
trade exp(FLOW_IN_VOLUME * f) times as much, bars against it as much less, so that the balance of up and down
volume over the last bars follows f. Nothing else is predictable in direction. Per bar the drift explains
EDGE squared / (1 + EDGE squared) = 14 % of the variance; only rows with an extreme balance pay for the costs
of a trade (about 2 % of them, and those with well under 1 %). It is that strong so that models of a minute's
training find it and an operator sees the whole machine at work; real markets owe nobody that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

EDGE = 0.4
"""Drift at one standard deviation of flow, in standard deviations of a bar."""
FLOW_MEMORY = 0.8
FLOW_IN_VOLUME = 1.2
REGIME_FACTORS = np.array([0.8, 1.0, 1.4])
REGIME_CHANCE = 0.004  # of a change at a bar: about 2.6 days of 15 minutes
VOLATILITY_MEMORY, VOLATILITY_NOISE = 0.985, 0.03
JUMP_CHANCE, MARKET_JUMP_CHANCE = 0.0006, 0.0002
GAP_CHANCE = 0.01
PULL = 3e-5


class Path:
    """Carries the state from bar to bar; arrays have one element a symbol."""

    def __init__(self, seed: int, price: Floats, sigma: Floats, beta: Floats) -> None:
        self._seed = seed
        self._chunk = 0
        self._start = np.log(price)
        self._log_price = self._start.copy()
        self._sigma = sigma
        self._beta = beta
        self._volatility = np.zeros(len(price))
        self._volume = np.zeros(len(price))
        self._regime = 1
        self._flow = np.zeros(len(price))

    def chunk(self, bars: int) -> tuple[Floats, Floats]:
        """The next `bars` bars: prices [bar, (open, high, low, close), symbol] and relative volume [bar, symbol]."""
        random = np.random.default_rng((self._seed, self._chunk))
        self._chunk += 1
        shape = (bars, len(self._start))
        sigma = self._sigma * self._volatilities(random, shape) * self._regimes(random, bars)[:, None]
        flow = self._flows(random, shape)
        own = random.standard_normal(shape)
        market = random.standard_normal((bars, 1))
        mixed = self._beta * market + np.sqrt(1.0 - self._beta**2) * own
        move = sigma * (mixed + EDGE * flow + _jumps(random, shape))
        opened, closed = self._closes(move, sigma * _gaps(random, shape))
        high, low = _extremes(random, opened, closed, sigma)
        volume = self._volumes(random, mixed, flow)
        return np.exp(np.stack([opened, high, low, closed], axis=1)), volume

    def _regimes(self, random: np.random.Generator, bars: int) -> Floats:
        draws = random.random((2, bars))
        for t in range(bars):
            if draws[0, t] < REGIME_CHANCE:
                self._regime = int(draws[1, t] * len(REGIME_FACTORS))
            draws[0, t] = REGIME_FACTORS[self._regime]
        factors: Floats = draws[0]
        return factors

    def _volatilities(self, random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        values = random.standard_normal(shape) * VOLATILITY_NOISE
        for row in values:
            self._volatility = VOLATILITY_MEMORY * self._volatility + row
            row[:] = self._volatility
        factors: Floats = np.exp(values)
        return factors

    def _flows(self, random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        values = random.standard_normal(shape) * np.sqrt(1.0 - FLOW_MEMORY**2)
        for row in values:
            self._flow = FLOW_MEMORY * self._flow + row
            row[:] = self._flow
        flows: Floats = values
        return flows

    def _closes(self, move: Floats, gap: Floats) -> tuple[Floats, Floats]:
        opened, closed = np.empty_like(move), np.empty_like(move)
        price = self._log_price
        for t in range(len(move)):
            opened[t] = price + gap[t]
            price = opened[t] + move[t] + PULL * (self._start - opened[t])
            closed[t] = price
        self._log_price = price
        return opened, closed

    def _volumes(self, random: np.random.Generator, move: Floats, flow: Floats) -> Floats:
        noise = 0.12 * random.standard_normal(move.shape)
        for row in noise:
            self._volume = 0.9 * self._volume + row
            row[:] = self._volume
        activity = 0.25 * (np.abs(move) - 0.8) + 0.15 * random.standard_normal(move.shape)
        volumes: Floats = np.exp(noise + activity + FLOW_IN_VOLUME * flow * np.sign(move))
        return volumes


def _extremes(
    random: np.random.Generator, opened: Floats, closed: Floats, sigma: Floats
) -> tuple[Floats, Floats]:
    """Highest and lowest value of a Brownian bridge between open and close, each from its exact law."""
    move = closed - opened
    spread = -2.0 * sigma**2 * np.log(1.0 - random.random((2, *move.shape)))
    high = opened + 0.5 * (move + np.sqrt(move**2 + spread[0]))
    low = opened + 0.5 * (move - np.sqrt(move**2 + spread[1]))
    return high, low


def _jumps(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Rare moves, in sigma: of one symbol, or of all in the same direction."""
    bars, symbols = shape
    draws = random.random((3, bars, symbols + 1))
    size = (4.0 + 5.0 * draws[1]) * np.where(draws[2] < 0.5, -1.0, 1.0)
    alone = np.where(draws[0, :, :-1] < JUMP_CHANCE, size[:, :-1], 0.0)
    together = np.where(draws[0, :, -1:] < MARKET_JUMP_CHANCE, size[:, -1:], 0.0)
    jumps: Floats = alone + together
    return jumps


def _gaps(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Distance of an open from the close before, in sigma; mostly zero."""
    gaps: Floats = np.where(random.random(shape) < GAP_CHANCE, random.standard_normal(shape), 0.0)
    return gaps
