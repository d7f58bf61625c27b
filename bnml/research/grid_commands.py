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
from bnml.research.grid_report import GridResult
from bnml.research.grid_store import MANIFEST, read_manifest, write_whole
from bnml.research.grid_text import opening_text, result_text, results_text
from bnml.research.grid_worlds import model_world, rules_world
from bnml.research.ledger import LEDGER_FILE, TrialLedger

DONE, FAILED = 0, 1
FOLDER = "grids"
EACH = "each.json"
"""In the folder of a grid for each symbol: what was asked."""
STATE_DIR = Settings().app.state_dir


def grid(settings: Settings, options: GridOptions) -> int:
    """Search, go on with a search, or open the sealed part; the answer goes to stdout, everything else to stderr."""
    if options.out is not None and not options.axes and options.grid_file is None:
        settings, options = _as_asked_then(settings, options)
    if options.per_symbol:
        return _each(settings, options)
    world, asked = _asked(settings, options)
    ledger = TrialLedger(settings.app.state_dir / LEDGER_FILE)
    if options.open is not None:
        opening = open_sealed(world, asked, options.open, ledger)
        _say(msgspec.json.encode(opening).decode() if options.json else opening_text(opening))
        return DONE
    result = _search(settings, world, asked, asked.folder)
    if result is None:
        return FAILED
    _say(msgspec.json.encode(result).decode() if options.json else result_text(result))
    return DONE


def _each(settings: Settings, options: GridOptions) -> int:
    """A grid of its own for each symbol, with all the capital, in folders below one."""
    world, whole = _asked(settings, options)
    if options.open is not None:
        raise Misconfigured(
            f"--open chooses a combination of one symbol; name its folder: `bnml grid --out "
            f"{whole.folder / world.data.symbols[0]} --open {options.open}`"
        )
    _keep_question(whole, resume=options.resume)
    results = {}
    for symbol in world.data.symbols:
        folder = whole.folder / symbol
        own = msgspec.structs.replace(
            options,
            out=folder,
            per_symbol=False,
            symbols=() if options.signals is None else (symbol,),
            resume=options.resume and (folder / MANIFEST).exists(),
        )
        universe = settings.universe.model_copy(update={"symbols": (symbol,)})
        _note(f"{symbol}: alone, with all the capital")
        result = _search(
            settings, *_asked(settings.model_copy(update={"universe": universe}), own), whole.folder
        )
        if result is None:
            return FAILED
        results[symbol] = result
    _say(msgspec.json.encode(results).decode() if options.json else results_text(results))
    return DONE


def _asked(settings: Settings, options: GridOptions) -> tuple[World, GridRequest]:
    """What is searched, and the request; says what the data lack."""
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
    if not options.per_symbol:  # each symbol says its own
        _note(*world.notes)
    if options.out is None:
        name = manifest_of(world, asked).identity + ("-each" if options.per_symbol else "")
        asked = msgspec.structs.replace(asked, folder=settings.app.state_dir / FOLDER / name)
    return world, asked


def _keep_question(asked: GridRequest, *, resume: bool) -> None:
    """Write what was asked of all symbols, so that `--out FOLDER --resume` asks it again."""
    there = asked.folder / EACH
    if there.exists() and not resume:
        raise Misconfigured(
            f"{asked.folder} holds a grid; go on with it by --resume, or choose another --out"
        )
    if not there.exists():
        if resume:
            raise Misconfigured(f"{asked.folder} holds no grid; leave out --resume, or name the right --out")
        try:
            asked.folder.mkdir(parents=True, exist_ok=True)
            write_whole(there, msgspec.json.format(msgspec.json.encode(asked.request)))
        except OSError as error:
            raise Misconfigured(
                f"{asked.folder} cannot be written ({error}); choose another --out"
            ) from error


def _search(settings: Settings, world: World, asked: GridRequest, folder: Path) -> GridResult | None:
    """The result, or None and how to go on with `folder` after an interruption."""
    ledger = TrialLedger(settings.app.state_dir / LEDGER_FILE)
    try:
        result = search_grid(world, asked, ledger, _note)
    except KeyboardInterrupt:
        if not (asked.folder / MANIFEST).exists():
            raise
        state = f" --state-dir {settings.app.state_dir}" if settings.app.state_dir != STATE_DIR else ""
        sys.stderr.write(f"\nbnml: interrupted; go on with `bnml grid --out {folder} --resume{state}`\n")
        return None
    _note(*result.notes)
    return result


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
    try:
        request = msgspec.json.decode((options.out / EACH).read_bytes(), type=dict[str, str | None])
    except FileNotFoundError:
        request = read_manifest(options.out).request
    except (OSError, msgspec.DecodeError) as error:
        raise Misconfigured(f"{options.out / EACH} cannot be read ({error}); write its axes") from error
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
