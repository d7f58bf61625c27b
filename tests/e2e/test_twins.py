"""An engine restored from any snapshot goes on as the one that it was taken of: each command, and each byte of its state."""

import random

import pytest

from bnml.trading.engine import Engine
from tests.e2e.matrix.trial import try_seed
from tests.e2e.test_kill_matrix import quiet  # noqa: F401 - a fixture of every test here

LONGEST = 60  # events that a twin follows
SHARE = 0.02  # of the events after which one is made


class Twins:
    """Follows each engine of a trial, now and then, with one that has just come out of its snapshot."""

    def __init__(self, seed, *, forgets=False):
        self.random = random.Random(seed)
        self.forgets = forgets  # a planted defect
        self.compared = 0
        self.found = []
        self._twin, self._left = None, 0

    def follow(self, process):
        def processed(engine, event, sequence):
            if getattr(engine, "is_twin", False):
                return process(engine, event, sequence)
            commands = process(engine, event, sequence)
            if self._twin is not None and self._twin.of is engine:
                self._compare(engine, commands, process(self._twin, event, sequence), event)
            self._turn(engine)
            return commands

        return processed

    def _compare(self, engine, commands, others, event):
        self.compared += 1
        self._twin.drain()
        if commands != others:
            self.found.append(f"{event}: {commands}, from a snapshot {others}")
        elif self._left == 1 and self._twin.snapshot() != engine.snapshot():
            self.found.append(f"{event}: the state differs")

    def _turn(self, engine):
        self._left -= 1
        if self._left <= 0:
            self._twin = None
        if self._twin is None and self.random.random() < SHARE:
            self._twin = Engine.restore(engine.config, engine._reference._predictors, engine.snapshot())
            self._twin.of, self._twin.is_twin = engine, True
            self._left = self.random.randint(1, LONGEST)
            if self.forgets:
                for position in self._twin.portfolio.positions.values():
                    position.last_ticks = position.activation_ticks = 0


@pytest.mark.parametrize("first", [0, 20, 40])
def test_a_restored_engine_is_the_same(monkeypatch, first):
    twins = Twins(first)
    monkeypatch.setattr(Engine, "process", twins.follow(Engine.process))
    for seed in range(first, first + 20):
        try_seed(seed, catches=True)
    assert twins.compared > 1000
    assert not twins.found, twins.found[0]


def test_what_a_snapshot_lacks_is_seen(monkeypatch):
    twins = Twins(1, forgets=True)
    monkeypatch.setattr(Engine, "process", twins.follow(Engine.process))
    for seed in range(6):
        try_seed(seed, catches=True)
    assert twins.found
