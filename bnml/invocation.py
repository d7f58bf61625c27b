"""Turns parsed options into settings, a piece of market data, and a state folder that can be used."""

from pathlib import Path
from typing import Any

from bnml.config import Settings, load
from bnml.core.clock import parse_utc_ns
from bnml.core.errors import Misconfigured, UsageError
from bnml.state_folder import own_folder

SETTING_OF_OPTION = {
    "venue": "venue.kind",
    "symbols": "universe.symbols",
    "base_frame": "features.base_frame",
    "retrain": "app.retrain",
    "speed": "venue.sim.speed",
    "seed": "venue.sim.seed",
    "fill_tier": "venue.sim.fill_tier",
    "port": "venue.sim.port",
    "faults": "venue.sim.faults",
    "feed": "venue.sim.feed",
    "state_dir": "app.state_dir",
    "models_dir": "learning.models_dir",
}
"""Options that are another way to write a setting; they win over file and environment."""


def read_settings(config: Path | None, **given: Any) -> Settings:
    """Load settings with the options that were given (those not None); raises Misconfigured."""
    if isinstance(given.get("symbols"), str):
        given["symbols"] = [name.strip() for name in given["symbols"].split(",") if name.strip()]
    return load(
        config,
        options={
            SETTING_OF_OPTION[name]: (value, "--" + name.replace("_", "-"))
            for name, value in given.items()
            if value is not None
        },
    )


def market_fields(replay: Path | None, from_: str | None, to: str | None) -> dict[str, Any]:
    """Return the fields of MarketOptions that say which recorded data is meant."""
    if replay is not None and not replay.is_dir():
        raise Misconfigured(
            f"there is no data folder {replay}; name one that holds recorded data with --replay"
        )
    from_ns = parse_utc_ns(from_) if from_ else None
    to_ns = parse_utc_ns(to) if to else None
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise UsageError(f"--from {from_} does not lie before --to {to}")
    return {"replay": replay, "from_ns": from_ns, "to_ns": to_ns}


def since_ns(since: str | None) -> int:
    """The first moment that is looked at; 0 = from the beginning."""
    return parse_utc_ns(since) if since else 0


def own_state_dir(settings: Settings) -> None:
    """Make the state folder and send the compiled kernels there, before the first kernel is imported."""
    own_folder(settings.app.state_dir)
