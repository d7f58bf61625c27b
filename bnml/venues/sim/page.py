"""The exchange's own page at `/`: what it serves, where the keys are, programs to try; without any secret."""

from __future__ import annotations

from html import escape
from inspect import cleandoc
from typing import TYPE_CHECKING, Final

from bnml.venues.sim.operations import Security
from bnml.venues.sim.rest import ROUTES
from bnml.venues.sim.snippets import PROGRAMS, program
from bnml.venues.sim.wsapi import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bnml.venues.sim.operations import Operation
    from bnml.venues.sim.venue import Venue

_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.15rem .8rem .15rem 0;"
    "border-bottom:1px solid #ddd;vertical-align:top}code,pre{font:13px/1.45 ui-monospace,monospace}"
    "pre{background:#f5f5f5;padding:.8rem;overflow-x:auto}h2{margin-top:2rem}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}pre{background:#22252b}"
    "td,th{border-color:#333}a{color:#8ab4f8}}"
)
_STREAMS: Final = (
    ("SYMBOL@trade, SYMBOL@aggTrade", "each trade at once, ids without a gap"),
    ("SYMBOL@kline_INTERVAL, SYMBOL@kline_INTERVAL@+08:00", "the running candle; x is true once, and last"),
    ("SYMBOL@depth, SYMBOL@depth@100ms", "changes of the book, U = previous u + 1"),
    ("SYMBOL@depth5, @depth10, @depth20, each also @100ms", "the best levels"),
    ("SYMBOL@bookTicker", "best bid and ask at once"),
    ("SYMBOL@miniTicker, SYMBOL@ticker, !miniTicker@arr", "statistics of 24 hours"),
    ("SYMBOL@ticker_1h, _4h, _1d, !ticker_1h@arr, _4h, _1d", "statistics of rolling windows"),
    ("SYMBOL@avgPrice", "the average price of five minutes"),
)
_CONTROLS: Final = {
    "GET /sim/state": "mode, speed, market time, step, symbols",
    "POST /sim/speed": '{"speed": 60}: market seconds per second',
    "POST /sim/deposit": '{"asset": "USDT", "amount": "100"}: pays in, or out when negative',
    "GET /sim/accounts": "accounts with their keys",
    "POST /sim/accounts": '{"account": "bob", "balances": {"USDT": "500"}}: a new account',
    "POST /sim/keys": "a new key, or other permissions of one",
    "DELETE /sim/keys": "makes a key invalid",
    "GET /sim/ledger": "what every account has, has open and has paid",
    "POST /sim/reset": "cancels all orders of an account and sets its balances",
    "POST /sim/status": "halts a symbol, or lets it trade again",
    "POST /sim/delist": "schedules a delisting",
    "POST /sim/maintenance": '{"on": true}: trading requests are refused for a while',
    "POST /sim/ban": '{"seconds": 120}: this machine gets 418',
    "POST /sim/shutdown": "serverShutdown to every socket, and their end",
    "POST /sim/steppers": "a name for a client that steps the market",
    "POST /sim/step": "a stepped market moves only by this",
}
"""A word on each; which there are, the controls say themselves."""


def page(venue: Venue, address: str, controls: Iterable[str]) -> str:
    """HTML that needs nothing else; `address` is host:port as the browser asked for it."""
    instrument = venue.instruments.get("BTCUSDT") or next(iter(venue.instruments.values()))
    programs = "".join(
        f"<h3>{package}</h3><pre>{escape(program(template, address, instrument, 'API_KEY', 'SECRET'))}</pre>"
        for package, template in PROGRAMS.items()
    )
    sockets = f"ws://{address}"
    addresses = {
        "REST": f"http://{address}/api/v3",
        "market streams": f"{sockets}/ws, {sockets}/ws/NAMES, {sockets}/stream?streams=NAMES",
        "market streams for ccxt.pro": f"{sockets}/stream/ws",
        "WebSocket API, user data": f"{sockets}/ws-api/v3",
        "controls": f"http://{address}/sim/",
    }
    symbols = ", ".join(sorted(venue.instruments)[:60]) + (" ..." if len(venue.instruments) > 60 else "")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>bnml exchange</title>'
        f"<style>{_STYLE}</style></head><body><h1>bnml exchange</h1>"
        "<p>A simulated exchange in the protocol of Binance Spot, on this machine only. "
        f"{len(venue.instruments)} symbols ({escape(symbols)}), market {escape(venue.mode)}.</p>"
        f"<h2>Addresses</h2>{_table(addresses.items())}"
        "<h2>Keys</h2><p>API key, secret and control token are in <code>exchange/endpoint.json</code> of the "
        "state folder, readable by its owner only, and on the terminal of <code>bnml exchange</code>. "
        "Requests are signed as at Binance (HMAC-SHA256); controls want the token in the header "
        "<code>X-SIM-TOKEN</code>.</p>"
        f"<h2>Programs to try</h2><p>Put the key and the secret in.</p>{programs}"
        f"<h2>REST</h2>{_operations((' '.join(route), one) for route, one in ROUTES.items())}"
        f"<h2>Streams</h2>{_table(_STREAMS)}"
        f"<h2>WebSocket API</h2>{_operations(METHODS.items())}"
        f"<h2>Controls</h2>{_table((name, _CONTROLS.get(name, '')) for name in controls)}"
        "</body></html>"
    )


def _operations(rows: Iterable[tuple[str, Operation]]) -> str:
    def about(operation: Operation) -> str:
        weight = operation.weight if isinstance(operation.weight, int) else "by parameters"
        free = ", 0 when done" if operation.free_when_done else ""
        who = "" if operation.security is Security.OPEN else f", for {operation.security.value}"
        return f"{cleandoc(operation.handler.__doc__ or '')} Weight {weight}{free}{who}."

    return _table((name, about(operation)) for name, operation in rows)


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = (f"<tr><td><code>{escape(name)}</code></td><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<table>{''.join(cells)}</table>"
