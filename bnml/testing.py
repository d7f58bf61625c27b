"""The embedded exchange for tests of other programs: `async with bnml.testing.exchange() as url:`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bnml.core.errors import BnmlError, Misconfigured, Retryable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

START_TIMEOUT_S: Final = 90.0
STOP_TIMEOUT_S: Final = 10.0


class ExchangeUrl(str):
    """`http://127.0.0.1:PORT`, the root of `/api/v3` and `/sim/`, with the other addresses and the keys beside it."""

    __slots__ = ("api_key", "secret", "token")

    api_key: str
    secret: str
    token: str
    """Opens `/sim/`, in the header `X-SIM-TOKEN`."""

    @property
    def sockets(self) -> str:
        """The root of `/ws`, `/stream` and `/ws-api/v3`."""
        return "ws" + self.removeprefix("http")

    @property
    def streams(self) -> str:
        """Market streams, also for ccxt.pro."""
        return self.sockets + "/stream/ws"

    @property
    def socket_api(self) -> str:
        """WebSocket API and user data."""
        return self.sockets + "/ws-api/v3"


@asynccontextmanager
async def exchange(
    symbols: Sequence[str] = (),
    *,
    frame: str = "15m",
    speed: float = 900.0,
    seed: int | None = None,
    stepped: bool = False,
    replay: Path | None = None,
    options: Sequence[str] = (),
    state_dir: Path | None = None,
) -> AsyncIterator[ExchangeUrl]:
    """Serve an exchange of its own, in a process of its own, as long as the block runs.

    `symbols` empty means all of the generated market; `frame` is the length of its bars. `speed` is market
    seconds per second; with `stepped` the market moves only by `/sim/step`. `seed` chooses another market,
    `replay` recorded data. `options` are further options of `bnml exchange`, as on its command line. The
    account starts anew unless `state_dir` names a folder to go on from. Being a process, it also serves
    clients that block. Raises BnmlError with the exchange's own sentence when it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="bnml-exchange-") as folder:
        home = state_dir or Path(folder)
        arguments = ["--state-dir", str(home), "--base-frame", frame, *options]
        arguments += ["--stepped"] if stepped else ["--speed", f"{speed:g}"]
        arguments += ["--symbols", ",".join(symbols)] if symbols else []
        arguments += ["--seed", str(seed)] if seed is not None else []
        arguments += ["--replay", str(replay)] if replay is not None else []
        process = await _start(arguments)
        try:
            await _listening(process)
            yield _address(home)
        finally:
            await _stop(process)


async def _start(arguments: list[str]) -> asyncio.subprocess.Process:
    # Compiled once on this machine, not once for each folder.
    kernels = Path(tempfile.gettempdir()) / f"bnml-kernels-{os.getuid()}"
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bnml",
        "exchange",
        "--json",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"BNML_NUMBA_CACHE": str(kernels), **os.environ},
    )


async def _listening(process: asyncio.subprocess.Process) -> None:
    """Wait for the line that says where the exchange is; without one its last words become the error."""
    if process.stdout is None or process.stderr is None:
        raise BnmlError("the exchange was started without pipes; this is a defect of bnml.testing")
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
    except TimeoutError:
        raise Retryable(f"the exchange did not answer within {START_TIMEOUT_S:.0f} s; try again") from None
    if not line:
        words = (await process.stderr.read()).decode().strip().splitlines()
        raise Misconfigured(f"the exchange did not start: {words[-1] if words else 'it said nothing'}")


def _address(home: Path) -> ExchangeUrl:
    content: dict[str, Any] = json.loads((home / "exchange" / "endpoint.json").read_text("utf-8"))
    url = ExchangeUrl(f"http://127.0.0.1:{content['port']}")
    url.api_key, url.secret, url.token = content["api_key"], content["secret"], content["token"]
    return url


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the exchange gracefully; its pipes are read so that it never waits for us."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
