"""Helpers of the fault tests: a served exchange with a script, and clients that see what comes over the wire."""

import asyncio
import contextlib
import json

from tests.venues.sim.served import Api, served

BTC = {"symbol": "BTCUSDT"}
MARKET = {**BTC, "side": "BUY", "type": "MARKET", "quantity": "0.1"}
FAR = {**BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "90.00", "quantity": "0.1"}
INFO = "/api/v3/exchangeInfo"


def rule(do, match=None, when=None, **more):
    """One rule; `do` may be the name of an action."""
    return {"do": do, **({"match": match} if match else {}), **({"when": when} if when else {}), **more}


def act(name, **parameters):
    """One action."""
    return {"action": name, **parameters}


@contextlib.asynccontextmanager
async def faulty(*rules, seed=1, steps=3, **options):
    """A stepped exchange with some market behind it and this script at work."""
    async with served(**options) as client:
        if options.get("stepped", True):
            client.steps(steps)
        await load(client, *rules, seed=seed)
        yield client


async def load(client, *rules, seed=1):
    """Put a script in."""
    status, body = await client.control("POST", "/sim/faults", {"seed": seed, "rules": list(rules)})
    assert status == 200, body
    return body


async def fired(client):
    """(rule or action, about) of everything that fired."""
    _, body = await client.control("GET", "/sim/faults")
    return [(one["action"], one["about"]) for one in body["fired"]]


async def failures(client):
    """What the exchange itself refused to do."""
    _, body = await client.control("GET", "/sim/faults")
    return [one["failed"] for one in body["fired"] if "failed" in one]


async def orders(client):
    """Client order ids and status of all orders of BTCUSDT."""
    _, body, _ = await client.signed("GET", "/api/v3/allOrders", **BTC)
    return [(one["clientOrderId"], one["status"]) for one in body]


async def streams(client, path):
    """A market stream."""
    return await client.session.ws_connect(client.sockets + path)


async def heard(socket, seconds=0.15):
    """Everything that comes in until nothing comes for a while."""
    frames = []
    with contextlib.suppress(TimeoutError):
        while True:
            message = await asyncio.wait_for(socket.receive(), seconds)
            if not isinstance(message.data, str):
                frames.append(message.type.name)
                break
            try:
                frames.append(json.loads(message.data))
            except ValueError:
                frames.append(message.data)
    return frames


async def user(client):
    """A WebSocket API connection that hears the account."""
    api: Api = await client.api()
    frame, _ = await api.ask("userDataStream.subscribe.signature", is_signed=True)
    assert frame["status"] == 200
    return api


def kinds(frames):
    """Kinds of user events, with the execution of reports."""
    events = [frame["event"] for frame in frames if isinstance(frame, dict) and "event" in frame]
    return [event["e"] + (f" {event['x']}" if "x" in event else "") for event in events]
