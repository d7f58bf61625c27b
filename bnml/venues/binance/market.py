"""Market streams that come back: subscribe, read, notice silence, hand over before the end, else reconnect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Generic, Protocol, TypeVar

import msgspec

from bnml.core.clock import NS_PER_MS, NS_PER_S, Clock
from bnml.core.errors import Retryable
from bnml.venues.binance.codec import Answered, Shutdown, SubscriptionRefused
from bnml.venues.binance.endpoints import Endpoints
from bnml.venues.binance.errors import leaves
from bnml.venues.binance.oddities import UNREADABLE, Oddities
from bnml.venues.binance.overlap import Heard, market_key
from bnml.venues.binance.socket import SocketClosed, VenueSocket
from bnml.venues.binance.succession import NEVER_S, LinkSink, Succession

STREAMS_PER_SOCKET = 1000  # the venue allows 1024
STREAMS_PER_MESSAGE = 200
MESSAGE_PAUSE_S = 0.3  # the venue drops a client that sends more than five messages a second
RECEIVE_BYTES = 160 * 1024  # asked of the kernel: one read of a full default buffer held the loop for 10 ms
BREATH_NS = 2 * NS_PER_MS  # buffered frames are read for so long before others get the loop
ANSWER_S = 2.0  # a socket that does not answer a subscription by then is replaced
MOST_HELD = 50_000  # items of a successor; then it reads no further until the one before it is over

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Codec(Protocol[Item_co]):
    """Knows what a frame says, and its place in a stepped session (else 0)."""

    def decode(self, frame: str | bytes, /) -> tuple[int, Item_co | Answered | None]: ...


class MarketStream(Generic[Item]):
    """One connection after the other with up to 1000 streams; `on_item` gets each frame with its place in a stepped session.

    A full inbox makes `on_item` wait, the socket's buffer fills, and at worst the venue drops us: then the
    stream connects again and the missing candles are read by REST. Nothing is dropped in silence.
    With `rotate_after_s` a connection is replaced by another one before it ends, without a gap or a repetition.
    With `oddities` frames that nobody understands are counted and passed over, else they break the connection.
    `on_frame` is called after each frame that the codec has understood, `on_refused` as `VenueSocket` does.
    """

    def __init__(
        self,
        url: str,
        codec: Codec[Item],
        streams: Sequence[str],
        clock: Clock,
        *,
        on_item: Callable[[int, Item | None], Awaitable[None]],
        on_link: LinkSink,
        stale_s: float,
        rotate_after_s: Callable[[], float] | None = None,
        admit: Callable[[], Awaitable[None]] | None = None,
        oddities: Oddities | None = None,
        time_scale: float = 1.0,
        on_frame: Callable[[], None] | None = None,
        more_urls: Sequence[str] = (),
        on_refused: Callable[[int, float | None], None] = lambda _status, _seconds: None,
    ) -> None:
        self._addresses = Endpoints((url, *more_urls))
        self.codec = codec
        self.wanted = list(streams)
        self.clock = clock
        self.on_item = on_item
        self.stale_s = stale_s
        self.rotates = rotate_after_s is not None
        self.oddities = oddities
        self.on_frame = on_frame
        self.on_refused = on_refused
        self._legs: list[MarketLeg[Item]] = []
        self.succession: Succession[MarketLeg[Item]] = Succession(
            self._leg,
            clock,
            on_link=on_link,
            time_scale=time_scale,
            rotate_after_s=rotate_after_s or (lambda: NEVER_S),
            admit=admit,
            addresses=self._addresses,
        )

    @property
    def url(self) -> str:
        """The address of the next connection."""
        return self._addresses.current

    @property
    def room(self) -> int:
        """How many more streams this socket takes."""
        return STREAMS_PER_SOCKET - len(self.wanted)

    async def subscribe(self, streams: Sequence[str]) -> None:
        """Read these, too; returns when the venue has agreed, or at once when the socket is down: it comes back with them."""
        self.wanted += streams
        await self._ask("SUBSCRIBE", streams)

    async def unsubscribe(self, streams: Sequence[str]) -> None:
        """Read those of these that we read no longer."""
        mine = [name for name in streams if name in self.wanted]
        self.wanted = [name for name in self.wanted if name not in mine]
        await self._ask("UNSUBSCRIBE", mine)

    async def renew(self, streams: Sequence[str]) -> None:
        """Subscribe anew to some of ours that the venue seems to have forgotten."""
        mine = [name for name in streams if name in self.wanted]
        await self._ask("UNSUBSCRIBE", mine)
        await self._ask("SUBSCRIBE", mine)

    def replace(self) -> None:
        """Connect anew, the old connection going on until the new one stands."""
        for leg in self._legs:
            leg.must_go.set()

    async def run(self) -> None:
        """Read until cancelled."""
        await self.succession.run()

    def _leg(self) -> MarketLeg[Item]:
        return MarketLeg(self, self._legs)

    async def _ask(self, method: str, streams: Sequence[str]) -> None:
        """Send to each connection that stands now, a message at a time, each answered or the socket gone."""
        for leg in tuple(self._legs):
            await leg.ask(method, streams)


class MarketLeg(Generic[Item]):
    """One connection of a market stream."""

    def __init__(self, owner: MarketStream[Item], standing: list[MarketLeg[Item]]) -> None:
        self._owner = owner
        self._standing = standing
        self.stands = asyncio.Event()
        self.ready = asyncio.Event()
        self.must_go = asyncio.Event()
        self._opened = asyncio.Event()
        self._held: deque[tuple[int, Item | None]] = deque()
        self._heard: Heard[Item] = Heard(market_key)
        self._is_watched = False
        self._socket: VenueSocket | None = None
        self._unanswered: dict[int | str, asyncio.Event] = {}
        self._requests = 0
        self._last_frame_ns = 0

    async def run(self) -> str:
        """Connect, subscribe and read until the connection breaks; returns why."""
        detail = "closed"
        try:
            async with VenueSocket(self._owner.url, on_refused=self._owner.on_refused) as socket:
                raw = socket.transport.get_extra_info("socket")
                raw.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES)
                self._socket = socket
                await self._serve(socket)
        except* (OSError, TimeoutError, Retryable) as group:
            detail = "; ".join(f"{type(error).__name__}: {error}" for error in leaves(group))
        finally:
            self._hang_up()
        return detail

    def open_up(self) -> None:
        self._opened.set()

    def watched_by(self, successor: MarketLeg[Item]) -> None:  # noqa: ARG002 - whoever it is hears the same
        self._is_watched = True
        self._heard.clear()

    async def take_over(self, other: MarketLeg[Item]) -> None:
        """What came on both is told once; of books only the newest of each symbol."""
        for number, item in other._heard.news(self._held):
            await self._owner.on_item(number, item)
        self._opened.set()

    async def finish(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def ask(self, method: str, streams: Sequence[str]) -> None:
        """A message at a time, each answered; a connection that does not answer is replaced."""
        for start in range(0, len(streams), STREAMS_PER_MESSAGE):
            if (socket := self._socket) is None:
                return
            try:
                answered = await self._send(socket, method, streams[start : start + STREAMS_PER_MESSAGE])
                async with asyncio.timeout(ANSWER_S if self._owner.rotates else None):
                    await answered.wait()
            except SocketClosed:
                return  # it connects again, with what is wanted by then
            except TimeoutError:
                self.must_go.set()
                return
            await asyncio.sleep(MESSAGE_PAUSE_S)

    async def _subscribe(self, socket: VenueSocket) -> None:
        asked: dict[str, None] = {}
        answers: list[asyncio.Event] = []
        while part := [name for name in self._owner.wanted if name not in asked][:STREAMS_PER_MESSAGE]:
            if asked:
                await asyncio.sleep(MESSAGE_PAUSE_S)
            asked.update(dict.fromkeys(part))
            answers.append(await self._send(socket, "SUBSCRIBE", part))
        self._standing.append(self)
        self.stands.set()
        for answered in answers:
            await answered.wait()
        self.ready.set()

    async def _send(self, socket: VenueSocket, method: str, streams: Sequence[str]) -> asyncio.Event:
        self._requests += 1
        answered = self._unanswered[self._requests] = asyncio.Event()
        request = {"method": method, "params": list(streams), "id": self._requests}
        await socket.send((msgspec.json.encode(request),))
        return answered

    def _hang_up(self) -> None:
        self._socket = None
        if self in self._standing:
            self._standing.remove(self)
        for answered in self._unanswered.values():
            answered.set()
        self._unanswered.clear()

    async def _serve(self, socket: VenueSocket) -> None:
        self._last_frame_ns = self._owner.clock.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(self._subscribe(socket)), group.create_task(self._watch())]
            await self._read(socket)
            for helper in helpers:
                helper.cancel()
        raise Retryable("the venue closed the market stream")

    async def _read(self, socket: VenueSocket) -> None:
        clock = self._owner.clock
        breathed_ns = clock.monotonic_ns()
        while True:
            text = await socket.receive()
            self._last_frame_ns = clock.monotonic_ns()
            if self._last_frame_ns - breathed_ns > BREATH_NS:
                await asyncio.sleep(0)  # reading what is buffered never waits by itself
                breathed_ns = clock.monotonic_ns()
            found = self._decoded(text)
            if found is None:
                continue
            number, item = found
            if isinstance(item, Answered):
                if (answered := self._unanswered.pop(item.id, None)) is not None:
                    answered.set()
                await self._pass_on(number, None)
                continue
            await self._pass_on(number, item)
            if isinstance(item, Shutdown):
                if not self._owner.rotates:
                    return
                self.must_go.set()

    def _decoded(self, text: str | bytes) -> tuple[int, Item | Answered | None] | None:
        owner = self._owner
        try:
            found = owner.codec.decode(text)
        except UNREADABLE as error:
            if owner.oddities is None or isinstance(error, SubscriptionRefused):
                raise
            owner.oddities.take("market", text, error)
            return None
        if owner.on_frame is not None:
            owner.on_frame()
        return found

    async def _pass_on(self, number: int, item: Item | None) -> None:
        if not self._opened.is_set():
            if len(self._held) >= MOST_HELD:
                await self._opened.wait()
            else:
                self._held.append((number, item))
                return
        if self._is_watched and item is not None:
            self._heard.add(item)
        await self._owner.on_item(number, item)

    async def _watch(self) -> None:
        """Raise when the stream is open but silent."""
        stale_s = self._owner.stale_s
        while True:
            await asyncio.sleep(stale_s / 4)
            silent_s = (self._owner.clock.monotonic_ns() - self._last_frame_ns) / NS_PER_S
            if silent_s > stale_s:
                raise Retryable(f"the market stream has been silent for {silent_s:.0f} s")


def shards(streams: Sequence[str]) -> list[Sequence[str]]:
    """Streams by socket."""
    return [
        streams[start : start + STREAMS_PER_SOCKET] for start in range(0, len(streams), STREAMS_PER_SOCKET)
    ]
