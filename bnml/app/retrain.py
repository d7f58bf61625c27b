"""Trains missing and old models in a child process, loads what it publishes off the loop, and tells the engine."""

from __future__ import annotations

import asyncio
import shutil
import sys
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from bnml.app.hardening import childs_environment
from bnml.app.logs import logger
from bnml.app.vitals import has_disk_room
from bnml.core.clock import NS_PER_HOUR, format_utc
from bnml.core.errors import Rejected
from bnml.core.events import ModelPublished
from bnml.learn.bundle import current_version, other_versions, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bnml.app.compose import Parts
    from bnml.config import Settings
    from bnml.learn.predictors import ModelStore
    from bnml.options import RunOptions

POLL_S = 0.5
STOP_TIMEOUT_S = 3.0
REST_AFTER_FAILURE_S = 300.0
ROOM_S = 30.0
NO_ROOM = "the disk has less free than guards.least_free_mib"
NICENESS = "10"
KEPT_IN_MEMORY = 2  # bundles of a symbol: until the engine is told of the new one it decides with that before


class Trainer:
    """Owns the child process; `publish` receives a ModelPublished for each verified bundle."""

    def __init__(
        self,
        settings: Settings,
        options: RunOptions,
        store: ModelStore,
        publish: Callable[[ModelPublished], None],
        now_ns: Callable[[], int],
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._options = options
        self._store = store
        self._publish = publish
        self._now_ns = now_ns
        self._has_room = has_room
        self._versions: dict[str, str] = {}
        self._loaded: dict[str, list[str]] = {}  # by symbol: its bundles in memory, the one in use last
        self._refused: dict[str, str] = {}
        self._wanted: dict[str, str] = {}
        self._trained: set[str] = set()
        self._wake = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self.training: tuple[str, ...] = ()  # still to come from the child that runs
        self.failure = ""  # last words of the newest child, if it failed
        self.is_waiting = False  # for room on the disk

    @property
    def _models_dir(self) -> Path:
        return self._settings.learning.models_dir

    def request(self, symbols: Sequence[str], reason: str) -> None:
        """Want these symbols trained; they are taken together by the next child."""
        if not self._settings.app.retrain or self._options.stepped:
            return
        for symbol in symbols:
            if symbol not in self.training:  # the child that runs will publish it
                self._wanted.setdefault(symbol, reason)
        if self._wanted:
            self._wake.set()

    def due(self, symbols: Sequence[str]) -> dict[str, str]:
        """Symbols that have no bundle, one older than `learning.max_age_h`, or one that was refused, with the reason.

        What this run has trained itself and refused (the gate) would come out the same again: it waits until it
        is old. Recorded data never grow, so nothing of them is ever old.
        """
        found = {}
        grows = self._options.replay is None and not self._options.stepped
        for symbol in symbols:
            try:
                current = current_version(self._models_dir, symbol)
                if current is None:
                    found[symbol] = "missing"
                elif self._is_refused(symbol, current.version) and symbol not in self._trained:
                    found[symbol] = "refused"
                elif grows:
                    metadata = read_metadata(
                        self._models_dir, symbol, current.version, current.metadata_sha256
                    )
                    age_h = (self._now_ns() - metadata.trained_to_ns) / NS_PER_HOUR
                    if age_h > self._settings.learning.max_age_h:
                        found[symbol] = f"{age_h:.0f} h old"
            except Rejected as error:
                found[symbol] = str(error)
        return found

    def _is_refused(self, symbol: str, version: str) -> bool:
        return self._refused.get(symbol) == version and symbol not in self._versions

    async def load_all(self, symbols: Sequence[str]) -> None:
        """Load every current bundle that is new to us; where it is refused, the previous one is used."""
        for symbol in symbols:
            version = ""
            try:
                current = current_version(self._models_dir, symbol)
                if current is None:
                    continue
                version = current.version
                if version in {self._versions.get(symbol), self._refused.get(symbol)}:
                    continue
                bundle_id = await asyncio.to_thread(self._store.load, symbol, None)
            except Rejected as error:
                if self._refused.get(symbol) != version:
                    self._refused[symbol] = version
                    self._settled(symbol)
                    logger().warning("model_refused", symbol=symbol, reason=str(error))
                    await self._load_previous(symbol, version)
                continue
            self._adopt(symbol, version, bundle_id)

    async def _load_previous(self, symbol: str, refused: str) -> None:
        """At a start nothing is in use yet: take the newest older version that can be."""
        if symbol in self._versions:
            return
        for version in other_versions(self._models_dir, symbol, refused):
            try:
                bundle_id = await asyncio.to_thread(self._store.load, symbol, version)
            except Rejected as error:
                logger().warning("model_refused", symbol=symbol, reason=str(error))
                continue
            self._adopt(symbol, version, bundle_id)
            return

    def _adopt(self, symbol: str, version: str, bundle_id: str) -> None:
        self._versions[symbol] = version
        self._settled(symbol)
        self._publish(ModelPublished(symbol, bundle_id, self._now_ns()))
        loaded = self._loaded.setdefault(symbol, [])
        if bundle_id not in loaded:
            loaded.append(bundle_id)
        if len(loaded) > KEPT_IN_MEMORY:
            self._store.forget(loaded.pop(0))
        logger().info("model_published", symbol=symbol, bundle=bundle_id)

    def _settled(self, symbol: str) -> None:
        self.training = tuple(one for one in self.training if one != symbol)

    @property
    def refused(self) -> tuple[str, ...]:
        """Symbols that hold because their newest model was refused and no older one is in use."""
        return tuple(sorted(set(self._refused) - set(self._versions)))

    async def train(self, symbols: Sequence[str]) -> bool:
        """Run one child for these symbols and publish what it makes, as it makes it; whether it ended well.

        On a disk that is nearly full none is begun, and one that runs is ended.
        """
        if not self._may_write():
            return False
        log_file = self._settings.app.state_dir / "train.log"
        self.training = tuple(symbols)
        self._trained.update(symbols)
        logger().info("training_started", symbols=list(symbols), log=str(log_file))
        with log_file.open("ab") as output:
            nice = shutil.which("nice")
            self._process = await asyncio.create_subprocess_exec(
                *([nice, "-n", NICENESS] if nice else []),
                sys.executable,
                "-m",
                "bnml",
                *train_arguments(self._settings, self._options, symbols),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=childs_environment(),
            )
        try:
            code: int | None = None
            while code is None and self._may_write():
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        code = await asyncio.shield(self._process.wait())
                await self.load_all(symbols)
        finally:
            left, self.training = self.training, ()
            await self._stop_child()
        self.failure = _last_words(log_file) if code else ""
        if code is None:
            self._trained.difference_update(left)
            logger().warning("training_ended_early", symbols=list(symbols), reason=NO_ROOM)
        elif code:
            logger().error("training_failed", exit_code=code, words=self.failure, log=str(log_file))
        else:
            logger().info("training_ended", symbols=list(symbols))
        return code == 0

    async def run(self) -> None:
        """Serve requests until cancelled, one child at a time; after a failure rest before trying again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked, self._wanted = self._wanted, {}
            wanted = self.due(tuple(asked))  # the child before may have made what was asked for meanwhile
            if wanted and not await self.train(sorted(wanted)):
                if self.is_waiting:
                    self.request(sorted(wanted), NO_ROOM)
                await asyncio.sleep(ROOM_S if self.is_waiting else REST_AFTER_FAILURE_S)

    def _may_write(self) -> bool:
        """What room a disk that is nearly full has belongs to the journal; told when it begins, and when it is over."""
        has_room = self._has_room()
        if has_room == self.is_waiting:
            self.is_waiting = not has_room
            logger().warning("training_waits" if self.is_waiting else "training_goes_on", reason=NO_ROOM)
        return has_room

    async def _stop_child(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()


def make_trainer(
    parts: Parts, publish: Callable[[ModelPublished], None], now_ns: Callable[[], int]
) -> Trainer:
    """Of a composed session."""
    has_room = partial(has_disk_room, parts)
    return Trainer(parts.settings, parts.options, parts.bundles.store, publish, now_ns, has_room)


def _last_words(log_file: Path) -> str:
    lines = [line.strip() for line in log_file.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("bnml: ") if lines else "it said nothing"


def train_arguments(settings: Settings, options: RunOptions, symbols: Sequence[str]) -> list[str]:
    """The command line of the child: the data that lie before what this run trades."""
    arguments = ["train", "--symbols", ",".join(symbols), "--base-frame", settings.features.base_frame]
    arguments += [
        "--models-dir",
        str(settings.learning.models_dir),
        "--state-dir",
        str(settings.app.state_dir),
    ]
    if options.config is not None:
        arguments += ["--config", str(options.config)]
    if options.replay is None:
        return [*arguments, "--venue", settings.venue.kind]
    arguments += ["--replay", str(options.replay)]
    return [*arguments, "--to", format_utc(options.from_ns)] if options.from_ns is not None else arguments
