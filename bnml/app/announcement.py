"""What `bnml exchange` says when it serves: addresses, keys and programs to try for people, one line of JSON for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from bnml.app.logs import logger
from bnml.venues.sim.server import HOST
from bnml.venues.sim.snippets import PROGRAMS, program

if TYPE_CHECKING:
    from pathlib import Path

    from bnml.venues.sim.venue import Venue


class Endpoint(msgspec.Struct, frozen=True):
    """What `endpoint.json` tells clients of this user; nobody else may read it."""

    pid: int
    port: int
    api_key: str
    secret: str
    token: str  # for /sim/
    speed: float
    mode: str  # timed, stepped
    accounts: dict[str, dict[str, str]] = {}  # of the other accounts: api_key and secret


def announce(endpoint: Endpoint, venue: Venue, file: Path, *, json: bool) -> None:
    """Say on standard output where the exchange is, and log that it is there; `file` holds the keys."""
    address = f"{HOST}:{endpoint.port}"
    sys.stdout.write(
        (_line(endpoint, venue, address) if json else _text(endpoint, venue, address, file)) + "\n"
    )
    sys.stdout.flush()
    logger().info(
        "exchange_listening",
        address=address,
        mode=endpoint.mode,
        speed=endpoint.speed,
        symbols=len(venue.instruments),
        steps_done=venue.exchange.ordinal,
    )


def _line(endpoint: Endpoint, venue: Venue, address: str) -> str:
    shown = {
        "rest_url": f"http://{address}",
        "stream_url": f"ws://{address}/stream/ws",
        "api_url": f"ws://{address}/ws-api/v3",
        "pid": endpoint.pid,
        "mode": endpoint.mode,
        "speed": endpoint.speed,
        "symbols": list(venue.instruments),
    }
    return msgspec.json.encode(shown).decode()


def _text(endpoint: Endpoint, venue: Venue, address: str, file: Path) -> str:
    rows = {
        "page": f"http://{address}/",
        "REST": f"http://{address}/api/v3",
        "streams": f"ws://{address}/ws, ws://{address}/stream (ccxt.pro: ws://{address}/stream/ws)",
        "WebSocket API": f"ws://{address}/ws-api/v3",
        "controls": f"http://{address}/sim/ with the header X-SIM-TOKEN: {endpoint.token}",
        "API key": endpoint.api_key,
        "secret (HMAC)": endpoint.secret,
        "all of it": f"{file}",
        "market": f"{len(venue.instruments)} symbols, {endpoint.mode}, {endpoint.speed:g} market seconds a second",
    }
    lines = [f"{name:<14} {value}" for name, value in rows.items()]
    instrument = venue.instruments.get("BTCUSDT") or next(iter(venue.instruments.values()))
    for package, template in PROGRAMS.items():
        shown = program(template, address, instrument, repr(endpoint.api_key), repr(endpoint.secret))
        lines += ["", f"# ---- {package} (pip install {package}) ----", shown.rstrip()]
    return "\n".join([*lines, "", "# ---- Ctrl-C stops the exchange ----"])
