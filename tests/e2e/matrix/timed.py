"""What acts beside the daemon at times of its own, and what it does for a while only."""

from math import inf


class Timed:
    """Acts between two prints, about each `each_s` once it has begun; `_act` is what it does."""

    def __init__(self, world, random, each_s):
        self._world = world
        self._random = random
        self._each_s = each_s
        self._undo = []  # (when, what)
        self._next_s = inf

    def look(self):
        """Do what is due."""
        now = self._world.loop.time()
        for due_s, undo in self._undo:
            if due_s <= now:
                undo()
        self._undo = [one for one in self._undo if one[0] > now]
        if now >= self._next_s:
            self._begin()
            self._act()

    def rest(self):
        """Nothing more happens, and what lasted is over."""
        for _, undo in self._undo:
            undo()
        self._undo, self._next_s = [], inf

    def _begin(self):
        self._next_s = self._world.loop.time() + float(self._random.exponential(self._each_s))

    def _later(self, after_s, undo):
        self._undo.append((self._world.loop.time() + after_s, undo))
