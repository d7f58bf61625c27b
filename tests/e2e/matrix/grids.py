"""A venue that changes ticks, lots, and how many of them an order may have."""

import msgspec

from tests.e2e.matrix.causes import FILTERED
from tests.e2e.matrix.timed import Timed

EACH_S = 10.0
STEPS = (1, 10, 100)  # of the exchange's own ticks and lots, in those that it shows
MOST_LOTS = 200_000  # of the exchange's own: about the largest position
LASTS_S = 12.0
KINDS = ("tick", "lot", "both", "least", "most")
OFTEN = (0.3, 0.3, 0.2, 0.1, 0.1)


class Grids(Timed):
    """Orders that rest keep what they have, new ones are judged by what is in force; at rest the grids stay."""

    def __init__(self, world, random):
        super().__init__(world, random, EACH_S)
        self._instruments = world.exchange._desk.instruments
        for name in world.symbols:
            self._set(name, price_step=self._step(), lot_step=self._step())
        self._begin()

    def _step(self):
        return int(self._random.choice(STEPS))

    def _act(self):
        name, kind = str(self._random.choice(self._world.symbols)), self._random.choice(KINDS, p=OFTEN)
        if kind in {"least", "most"}:
            self._bound(name, kind)
            return
        steps = {"price_step": self._step()} if kind in {"tick", "both"} else {}
        steps |= {"lot_step": self._step()} if kind in {"lot", "both"} else {}
        self._set(name, **steps)
        self._world.cover.note(name, f"the grid is another: {steps}")

    def _bound(self, name, kind):
        """For a while the smallest order is larger, or the largest one smaller."""
        if self._instruments[name].min_lots > 1 or self._instruments[name].max_lots < 2**53:
            return
        lasts_s = float(self._random.uniform(0.5, LASTS_S))
        if kind == "least":
            self._set(name, min_lots=int(self._random.integers(2, MOST_LOTS // 10)))
        else:
            most = int(self._random.integers(MOST_LOTS // 20, MOST_LOTS))
            both = {"max_lots": most} if self._random.random() < 0.5 else {}
            self._set(name, market_max_lots=most, **both)
        self._world.cover.shut(name, FILTERED, lasts_s)
        self._later(lasts_s, lambda: self._free(name))

    def _free(self, name):
        self._set(name, min_lots=1, max_lots=2**53, market_max_lots=2**53)

    def _set(self, name, **changes):
        self._instruments[name] = msgspec.structs.replace(self._instruments[name], **changes)
