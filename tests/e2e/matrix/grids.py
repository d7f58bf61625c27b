"""A venue that changes ticks, lots, and how many of them an order may have."""

from math import inf

import msgspec

from tests.e2e.matrix.causes import FILTERED

EACH_S = 10.0
STEPS = (1, 10, 100)  # of the exchange's own ticks and lots, in those that it shows
MOST_LOTS = 200_000  # of the exchange's own: about the largest position
LASTS_S = 12.0
KINDS = ("tick", "lot", "both", "least", "most")
OFTEN = (0.3, 0.3, 0.2, 0.1, 0.1)


class Grids:
    """Acts between two prints; orders that rest keep what they have, new ones are judged by what is in force."""

    def __init__(self, world, random):
        self._world = world
        self._random = random
        self._undo = []  # (when, what)
        self._instruments = world.exchange._desk.instruments
        for name in world.symbols:
            self._set(name, price_step=self._step(), lot_step=self._step())
        self._next_s = self._pause_s()

    def _step(self):
        return int(self._random.choice(STEPS))

    def _pause_s(self):
        return self._world.loop.time() + float(self._random.exponential(EACH_S))

    def look(self):
        """Do what is due."""
        now = self._world.loop.time()
        for due_s, undo in self._undo:
            if due_s <= now:
                undo()
        self._undo = [one for one in self._undo if one[0] > now]
        if now < self._next_s:
            return
        self._next_s = self._pause_s()
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
        self._undo.append((self._world.loop.time() + lasts_s, lambda: self._free(name)))

    def _free(self, name):
        self._set(name, min_lots=1, max_lots=2**53, market_max_lots=2**53)

    def _set(self, name, **changes):
        self._instruments[name] = msgspec.structs.replace(self._instruments[name], **changes)

    def rest(self):
        """Nothing more happens, and bounds that lasted are over; the grids stay as they are."""
        for _, undo in self._undo:
            undo()
        self._undo, self._next_s = [], inf
