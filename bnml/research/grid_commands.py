"""The command `grid`: what was asked, or what a folder was made for, to a search or an opening and its answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from bnml.config import Settings
from bnml.core.errors import Misconfigured, UsageError
from bnml.options import GridOptions
from bnml.research.grid import GridRequest, World, manifest_of, open_sealed, search_grid
from bnml.research.grid_axes import parse_axes
from bnml.research.grid_store import read_manifest
from bnml.research.grid_text import opening_text, result_text
from bnml.research.grid_worlds import model_world, rules_world
from bnml.research.ledger import LEDGER_FILE, TrialLedger

DONE, FAILED = 0, 1
FOLDER = "grids"


def grid(settings: Settings, options: GridOptions) -> int:
    """Search, go on with a search, or open the sealed part; the answer goes to stdout, everything else to stderr."""
    if options.out is not None and not options.axes and options.grid_file is None:
        settings, options = _as_asked_then(settings, options)
    asked = GridRequest(
        axes=parse_axes(options.axes, options.grid_file),
        folder=options.out or Path(),
        sealed=options.sealed / 100.0,
        seed=options.draw_seed,
        min_trades=options.min_trades,
        resume=options.resume,
        threads=options.threads,
        request=_request(settings, options),
    )
    world = model_world(settings, options) if options.signals is None else rules_world(options)
    _note(*world.notes)
    if options.out is None:
        folder = settings.app.state_dir / FOLDER / manifest_of(world, asked).identity
        asked = msgspec.structs.replace(asked, folder=folder)
    ledger = TrialLedger(settings.app.state_dir / LEDGER_FILE)
    if options.open is not None:
        opening = open_sealed(world, asked, options.open, ledger)
        _say(msgspec.json.encode(opening).decode() if options.json else opening_text(opening))
        return DONE
    return _search(world, asked, ledger, json=options.json)


def _search(world: World, asked: GridRequest, ledger: TrialLedger, *, json: bool) -> int:
    try:
        result = search_grid(world, asked, ledger, _note)
    except KeyboardInterrupt:
        if not (asked.folder / "manifest.json").exists():
            raise
        sys.stderr.write(f"\nbnml: interrupted; go on with `bnml grid --out {asked.folder} --resume`\n")
        return FAILED
    _note(*result.notes)
    _say(msgspec.json.encode(result).decode() if json else result_text(result))
    return DONE


def _request(settings: Settings, options: GridOptions) -> dict[str, str | None]:
    """What `_as_asked_then` needs to ask the same again; data are named by absolute paths."""
    here = {
        name: value.resolve()
        for name in ("replay", "signals", "rules", "bars", "fast_bars", "grid_file")
        if (value := getattr(options, name)) is not None
    }
    asked = msgspec.structs.replace(options, **here, out=None, resume=False, open=None, json=False)
    models = settings.learning.models_dir.resolve()
    learning = settings.learning.model_copy(update={"models_dir": models})
    full = settings.model_copy(update={"learning": learning})
    return {
        "options": msgspec.json.encode(asked, enc_hook=str).decode(),
        "settings": full.model_dump_json(),
    }


def _as_asked_then(settings: Settings, options: GridOptions) -> tuple[Settings, GridOptions]:
    """Settings and options that the folder was made with; state folder and manner of answering are of this call."""
    if options.out is None or (not options.resume and options.open is None):
        raise UsageError("a grid needs at least one axis; write one as in --axis stop_pct=0.5:2:0.5")
    request = read_manifest(options.out).request
    try:
        then = msgspec.json.decode(request["options"] or "", type=GridOptions, dec_hook=_path)
        before = Settings.model_validate_json(request["settings"] or "")
    except (KeyError, ValueError) as error:
        raise Misconfigured(
            f"the manifest in {options.out} does not say how to ask for it again ({error}); write its axes"
        ) from error
    now = {
        name: getattr(options, name) for name in ("out", "resume", "open", "json", "threads", "min_trades")
    }
    return before.model_copy(update={"app": settings.app}), msgspec.structs.replace(then, **now)


def _path(kind: type, value: Any) -> Any:
    return kind(value)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _note(*sentences: str) -> None:
    sys.stderr.writelines(f"note: {sentence}\n" for sentence in sentences if sentence)
