"""What the live view draws: one moment of a session, taken from the read model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bnml.app.logs import Line
from bnml.app.picture import Fill
from bnml.core.outcomes import Decision
from bnml.journal.schema import Health
from bnml.kernels.records import Action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.app.picture import Picture
    from bnml.app.retrain import Trainer


class Scene(msgspec.Struct, kw_only=True):
    """One moment; `health` is None until there is a session."""

    market: str
    log_file: str
    elapsed_s: float = 0.0
    is_stopping: bool = False
    health: Health | None = None
    decisions: tuple[Decision, ...] = ()
    prices: dict[str, str] = {}
    fills: tuple[Fill, ...] = ()
    training: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    failure: str = ""  # of the last training
    is_training_waiting: bool = False  # for room on the disk
    lines: tuple[Line, ...] = ()  # of the log, newest last


def add_session(scene: Scene, picture: Picture, health: Health, trainer: Trainer) -> None:
    """Fill in what a running session knows."""
    scene.health = health
    scene.decisions = ranked(picture.decisions.values(), {one.symbol for one in health.positions})
    scene.prices = picture.prices()
    scene.fills = tuple(picture.fills())
    scene.training = trainer.training
    scene.refused = trainer.refused
    scene.failure = trainer.failure
    scene.is_training_waiting = trainer.is_waiting


def ranked(decisions: Iterable[Decision], held: set[str]) -> tuple[Decision, ...]:
    """What is held first, then what would be bought, then by score."""

    def key(one: Decision) -> tuple[bool, bool, float, str]:
        return one.symbol not in held, one.action != Action.BUY, -one.score, one.symbol

    return tuple(sorted(decisions, key=key))
