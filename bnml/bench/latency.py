"""How soon an order leaves: a bar or a print in, the signed request out, over loopback sockets to another process."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import msgspec
import numpy as np

from bnml.app.hardening import childs_environment
from bnml.app.warm_kernels import warm_kernels
from bnml.bench.case import Effort, Figure, at_most, ratio_at_most
from bnml.bench.eager import EAGER_RISK
from bnml.bench.latency_daemon import FRAME_NS, logging_to, trading
from bnml.bench.latency_venue import HOST, QUIET_S, SYMBOL, Asked, Noted, on_fast_loop
from bnml.bench.market import LOT, TICK, walk
from bnml.bench.replays import HISTORY, SETTINGS, trained
from bnml.config import Settings
from bnml.core.clock import NS_PER_MS, NS_PER_S, NS_PER_US
from bnml.kernels.records import QUANTILES
from bnml.venues.binance.codec import CLOCK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from numpy.typing import NDArray

    from bnml.journal.file_work import Durability
    from bnml.learn.predictors import BundlePredictor
    from bnml.trading.engine import Engine

AGAINST = "a bare aiohttp echo between the same processes"
STOP_MS = 50
STEP = 0.003  # by which each print is above the one before: more than a resting stop moves by at least


class Way(NamedTuple):
    """One way to journal, and how many times the echo's the order may take."""

    name: str
    durability: Durability
    waits: bool
    limit: float


WAYS = (
    Way("no barrier", "process", waits=False, limit=3.5),
    Way("durability process", "process", waits=True, limit=12),
    Way("durability power", "power", waits=True, limit=25),
)


def orders(effort: Effort) -> list[Figure]:
    """A closed bar in to its order out, by each way to journal; a print in to the stop moved."""
    figures: list[Figure] = on_fast_loop(lambda: figures_of(effort.size(300, 30), effort.size(30, 10)))
    return figures


async def figures_of(samples: int, warm_up: int) -> list[Figure]:
    """Each figure of so many samples, after some that do not count."""
    predictor = _always_buying(trained())
    bars = walk(HISTORY + warm_up + samples, seed=300, frame_ns=FRAME_NS, sigma=0.003).bars
    figures = []
    with tempfile.TemporaryDirectory(prefix="bnml-bench-") as name, logging_to(Path(name) / "log"):
        folder = Path(name)
        warm_kernels(settings_in(folder))
        async with _venue() as venue:
            for way in WAYS:
                noted = counted(await _entries(way, venue, predictor, bars, folder), warm_up)
                figures.append(_order_figure(way, noted))
            prints = warm_up + samples
            noted = counted(await _stops(venue, predictor, bars[: HISTORY + 1], prints, folder), warm_up)
            figures.append(_stop_figure(noted))
    return figures


def _order_figure(way: Way, noted: Noted) -> Figure:
    return ratio_at_most(
        way.limit,
        name=f"bar in, order out, {way.name}",
        bnml=median(noted.order_ns) / NS_PER_US,
        yardstick=median(noted.echo_ns) / NS_PER_US,
        unit="us",
        against=AGAINST,
    )


def _stop_figure(noted: Noted) -> Figure:
    return at_most(
        STOP_MS,
        name="print in, stop moved, 99 of 100",
        bnml=float(np.percentile(noted.order_ns, 99)) / NS_PER_MS,
        yardstick=float(np.percentile(noted.echo_ns, 99)) / NS_PER_MS,
        unit="ms",
        against=AGAINST,
    )


async def _entries(
    way: Way, venue: _Venue, predictor: BundlePredictor, bars: NDArray[Any], folder: Path
) -> Noted:
    """Each closed bar is bought and refused for want of money, so that the next one can be."""
    place, rest = _emptied(folder, way.name), bars[HISTORY:]
    async with trading(
        settings_in(place),
        venue.port,
        predictor,
        bars[:HISTORY],
        place,
        durability=way.durability,
        waits=way.waits,
    ):
        return await venue.ask(Asked([kline(bar) for bar in rest], [[depth(bar), beat(bar)] for bar in rest]))


async def _stops(
    venue: _Venue, predictor: BundlePredictor, bars: NDArray[Any], count: int, folder: Path
) -> Noted:
    """One entry is filled up to its last tranche; prints that rise move its stop."""
    place, bar = _emptied(folder, "stop"), bars[-1]
    async with trading(
        settings_in(place), venue.port, predictor, bars[:-1], place, durability="power"
    ) as engine:
        await venue.ask(Asked([kline(bar)], [[depth(bar)]], accepts=True, settle_s=0.5))
        _must_hold(engine)
        closed_ns, price = int(bar["ts_open_ns"]) + FRAME_NS, int(bar["close"]) * 1.02
        prints = [
            trade(round(price * (1 + STEP) ** number), closed_ns + number * NS_PER_S, number + 1)
            for number in range(count)
        ]
        return await venue.ask(Asked(prints, [[depth(bar)]] * count, accepts=True))


def _must_hold(engine: Engine) -> None:
    position = engine.portfolio.positions.get(SYMBOL)
    held = [] if position is None else [one for one in position.tranches if one.legs]
    if len(held) != 1:
        raise AssertionError(f"{len(held)} tranches are held, of which one was to rest")


def counted(noted: Noted, warm_up: int) -> Noted:
    """Without the first; raises where an order did not come."""
    if min(noted.order_ns) < 0 or min(noted.echo_ns) < 0:
        raise AssertionError(f"the order after frame {len(noted.order_ns)} did not come")
    return Noted(noted.echo_ns[warm_up:], noted.order_ns[warm_up:])


class _Venue(NamedTuple):
    """The venue's process: where it listens, and how it is asked to send and measure."""

    port: int
    session: aiohttp.ClientSession

    async def ask(self, asked: Asked) -> Noted:
        url = f"http://{HOST}:{self.port}/measure"
        async with self.session.post(url, data=msgspec.json.encode(asked)) as answer:
            answer.raise_for_status()
            return msgspec.json.decode(await answer.read(), type=Noted)


@asynccontextmanager
async def _venue() -> AsyncIterator[_Venue]:
    """The venue's process, and a client of it that echoes."""
    command, pipe = (sys.executable, "-m", "bnml.bench.latency_venue"), asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, env=childs_environment()
    )
    if process.stdout is None or process.stdin is None:
        raise AssertionError("a process with pipes has them")
    port = int(await process.stdout.readline())
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
            session.ws_connect(f"ws://{HOST}:{port}/echo") as socket,
        ):
            echoing = asyncio.create_task(_echo(socket))
            yield _Venue(port, session)
            echoing.cancel()
    finally:
        process.stdin.close()
        await process.wait()


async def _echo(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for message in socket:
        await socket.send_str(message.data)


def settings_in(folder: Path) -> Settings:
    """The defaults, but that every BUY is approved, whatever happened before."""
    chosen = {
        "universe": {"symbols": [SYMBOL]},
        "scanner": {"min_global_score": 0},
        "exits": {"target1_pct": 0.2, "target2_pct": 0.4, "trail_start_pct": 0.5},
        "risk": {
            "benchmark": SYMBOL,
            **EAGER_RISK,
            "daily_budget_pct": 100,
            "weekly_budget_pct": 100,
            "max_rejects_in_row": 1000,
            "rejects_pause_min": 1,  # over at the next bar
        },
        # A first order may wait for a kernel to be compiled, which is no doubt about what became of it.
        "venue": {"kind": "testnet", "budget_dir": str(folder), "doubt_after_s": 30, "probe_s": 10},
    }
    tree = SETTINGS.model_dump()
    for section, values in chosen.items():
        tree[section].update(values)
    return Settings.model_validate(tree)


def _always_buying(predictor: BundlePredictor) -> BundlePredictor:
    """Both models are evaluated as ever; what they say is above the cut, and earned money out of fold."""
    policy = predictor.policy
    policy["cut"] = -2.0
    policy["bucket_edge_ppm"] = policy["bucket_lower_ppm"] = 5_000.0
    policy["score_quantiles"] = np.linspace(-1, 1, QUANTILES)
    return predictor


def _emptied(folder: Path, name: str) -> Path:
    place = folder / name.replace(" ", "-")
    place.mkdir()
    return place


def kline(bar: np.void) -> str:
    """The last frame of a candle, as Binance sends it."""
    opened_ms, volume = int(bar["ts_open_ns"]) // NS_PER_MS, int(bar["volume_lots"]) * LOT
    closed_ms = opened_ms + FRAME_NS // NS_PER_MS
    quote = f"{volume * int(bar['close']) * TICK:.8f}"
    candle = {
        "t": opened_ms, "T": closed_ms - 1, "s": SYMBOL, "i": "15m", "f": 1, "L": 100,
        "o": _price(bar["open"]), "c": _price(bar["close"]), "h": _price(bar["high"]), "l": _price(bar["low"]),
        "v": f"{volume:.8f}", "n": 100, "x": True, "q": quote, "V": f"{volume / 2:.8f}", "Q": quote, "B": "0",
    }  # fmt: skip
    return _frame("kline_15m", {"e": "kline", "E": closed_ms + 20, "s": SYMBOL, "k": candle})


def depth(bar: np.void) -> str:
    """Twenty levels on each side of the close."""
    close = int(bar["close"])
    bids = [(_price(close - 1 - level), "2.50000000") for level in range(20)]
    asks = [(_price(close + 1 + level), "2.50000000") for level in range(20)]
    return _frame("depth20", {"lastUpdateId": 1, "bids": bids, "asks": asks})


def beat(bar: np.void) -> str:
    """The venue's clock just before the bar closes; it is told each second."""
    now_ms = (int(bar["ts_open_ns"]) + FRAME_NS) // NS_PER_MS - round(QUIET_S * 1000)
    told = {"e": "24hrMiniTicker", "E": now_ms, "s": SYMBOL}
    return msgspec.json.encode({"stream": CLOCK, "data": [told]}).decode()


def trade(ticks: int, ts_ns: int, number: int) -> str:
    """One public trade."""
    ts_ms = ts_ns // NS_PER_MS
    told = {"e": "trade", "E": ts_ms, "s": SYMBOL, "t": number, "p": _price(ticks), "q": "0.05000000"}
    return _frame("trade", {**told, "T": ts_ms, "m": False, "M": True})


def _frame(kind: str, data: dict[str, Any]) -> str:
    return msgspec.json.encode({"stream": f"{SYMBOL.lower()}@{kind}", "data": data}).decode()


def _price(ticks: int) -> str:
    return f"{int(ticks) * TICK:.8f}"
