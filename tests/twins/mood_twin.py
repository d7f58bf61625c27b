"""The mood of the market in plain Python: lists and dicts, statistics module, no kernel called."""

import statistics
from dataclasses import dataclass


def clipped(value, low, high):
    return min(high, max(low, value))


@dataclass
class Mood:
    """What is remembered between scans; `limits` is a plain dict, a voice too."""

    limits: dict
    scans: int = 0
    atr: float = 0.0
    score: float = 0.0
    confidence: float = 0.0
    side: int = 0
    leanings: tuple = ()
    risk: float = 0.0
    regime: str = "INSUFFICIENT_DATA"

    def hear(self, voices):
        spoke = [one for one in voices if one["spoke"]]
        if len(spoke) < 3 or len(spoke) / len(voices) < 0.35 or not self.limits["mood_smoothing"]:
            self.score = self.confidence = self.risk = 0.0
            self.side, self.leanings, self.regime = 0, (), "INSUFFICIENT_DATA"
            return self
        weights = [max(1.0, one["depth_e8"] / 1e8) for one in spoke]

        def mean(values):
            return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

        buyers = mean([one["action"] == 2 for one in spoke])
        sellers = mean([one["action"] == 0 for one in spoke])
        pressure = self.pressed(
            mean([one["atr_ratio"] for one in spoke]),
            mean([one["spread_ppm"] for one in spoke]),
            abs(sum(one["direction"] for one in spoke)) / len(spoke),
        )
        breadth, coverage = buyers - sellers, len(spoke) / len(voices)
        trend = 0.48 * breadth
        trend += 0.22 * mean([one["momentum"] / 50 - 1 for one in spoke])
        trend += 0.20 * mean([self.belief(one) for one in spoke])
        trend += 0.10 * mean([one["score"] / 50 - 1 for one in spoke])
        raw = clipped((trend - 0.30 * pressure) * (1 + coverage) / 2, -1, 1)
        alpha = 1.0 if self.regime == "INSUFFICIENT_DATA" else self.limits["mood_smoothing"]
        self.score = alpha * raw + (1 - alpha) * self.score
        scatter = statistics.pstdev([one["score"] for one in spoke])
        doubt = min(22, 0.35 * scatter) + min(20, 7.5 * pressure)
        sure = 95 * abs(raw) + 24 * abs(breadth) + 18 * max(0, coverage - 0.4)
        self.confidence = clipped(sure - doubt, 0, 100)
        self.lean()
        self.regime = self.named(buyers, sellers, pressure)
        return self

    @staticmethod
    def belief(voice):
        value = voice["confidence"] / 50 - 1
        return -abs(value) if voice["action"] == 0 else value

    def pressed(self, atr, spread, together):
        volatility = atr / self.atr if self.scans >= 96 else 1.0
        self.scans += 1
        parts = 1 / min(self.scans, 96)
        self.atr = parts * atr + (1 - parts) * self.atr
        volatility /= self.limits["mood_max_volatility"]
        spread /= self.limits["mood_max_spread_ppm"]
        pressure = 0.45 * max(0, volatility - 1) + 0.35 * max(0, spread - 1)
        pressure = min(3, pressure + 0.20 * max(0, (together - 0.75) * 4))
        self.risk = max(volatility, spread, pressure)
        return pressure

    def lean(self):
        leaning = (self.score >= -self.limits["mood_sell_score"]) - (
            self.score <= self.limits["mood_sell_score"]
        )
        self.leanings = (*self.leanings, leaning)[-2:]
        self.side = leaning if self.leanings.count(leaning) == 2 else 0

    def named(self, buyers, sellers, pressure):
        if self.risk >= 1 and sellers >= 0.9 * buyers:
            return "RISK_OFF"
        if self.side == 1 and pressure < 0.85:
            return "BULL_ACCELERATION"
        if self.side == -1 and pressure < 1.45:
            return "BEAR_PRESSURE"
        if pressure < 0.65 and abs(self.score) < 0.75 * abs(self.limits["mood_sell_score"]):
            return "MEAN_REVERSION"
        return "HIGH_RISK_NEUTRAL" if pressure >= 1 else "NEUTRAL"
