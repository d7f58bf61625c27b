"""The exchange's own controls under `/sim/`: who may use them, state, pace, steppers and steps."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from aiohttp import web

from bnml.venues.sim.control_accounts import account_routes
from bnml.venues.sim.control_faults import fault_routes
from bnml.venues.sim.control_venue import venue_routes
from bnml.venues.sim.driver import Pacing, Stepping
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.payloads_account import reject

if TYPE_CHECKING:
    from bnml.venues.sim.driver import Driver
    from bnml.venues.sim.venue import Venue

_encode = msgspec.json.Encoder().encode


class StepRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/step`: of a stepper that has confirmed all it got, or `count` steps where there is no stepper."""

    stepper: str = ""
    confirmed: int = 0
    count: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1


class SpeedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /sim/speed`: market seconds per second."""

    speed: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]


Route = Callable[[bytes], dict[str, Any]]
_BY_API_KEY: Final = frozenset({"/sim/state", "/sim/steppers", "/sim/step"})
"""What a client that trades needs too: its API key opens it."""


class Control:
    """Answers control requests; each needs the token of the endpoint file."""

    def __init__(self, venue: Venue, driver: Driver, token: str) -> None:
        self._venue = venue
        self._driver = driver
        self._token = token
        self._routes: dict[tuple[str, str], Route] = {
            ("GET", "/sim/state"): self._state,
            ("POST", "/sim/speed"): self._speed,
            ("POST", "/sim/steppers"): self._register,
            ("POST", "/sim/step"): self._step,
            **account_routes(venue),
            **venue_routes(venue),
            **fault_routes(venue),
        }

    @property
    def routes(self) -> list[str]:
        """What there is, as `GET /sim/state`."""
        return [" ".join(route) for route in self._routes]

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Answer one control request; control answers are never numbered."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            return web.Response(status=404, text=f"{request.method} {request.path} does not exist")
        if not self._is_allowed(request):
            text = "X-SIM-TOKEN must be the token of the exchange's endpoint file"
            return _failure(401, VenueReject(-1002, text))
        try:
            answer = route(await request.read())
            self._venue.flush()
            return _response(200, answer)
        except VenueReject as error:
            return _failure(400, error)
        except msgspec.DecodeError as error:
            return _failure(400, VenueReject(-1130, f"{request.path}: {error}"))

    def _is_allowed(self, request: web.BaseRequest) -> bool:
        token = request.headers.get("X-SIM-TOKEN", "")
        if hmac.compare_digest(token.encode(), self._token.encode()):
            return True
        if request.path not in _BY_API_KEY:
            return False
        return self._venue.keys.knows(request.headers.get("X-MBX-APIKEY", ""))

    def _state(self, _body: bytes) -> dict[str, Any]:
        return {
            "mode": self._venue.mode,
            "fillTier": self._venue.market.pricing.tier,
            "speed": self._driver.speed,
            "marketTsNs": self._venue.now_ns,
            "ordinal": self._venue.exchange.ordinal,
            "symbols": list(self._venue.instruments),
            "steppers": len(self._venue.steppers),
            "done": self._driver.is_done,
            "stale": self._venue.is_stale,
        }

    def _speed(self, body: bytes) -> dict[str, Any]:
        if not isinstance(self._driver, Pacing):
            raise VenueReject(-1130, "a market that is stepped, or followed live, has no speed of its own")
        self._driver.set_speed(msgspec.json.decode(body, type=SpeedRequest).speed)
        return self._state(body)

    def _register(self, _body: bytes) -> dict[str, Any]:
        if not isinstance(self._driver, Stepping):
            raise VenueReject(-1130, "only a stepped market has steppers; start the exchange with --stepped")
        return {"stepper": self._venue.steppers.register().stepper_id}

    def _step(self, body: bytes) -> dict[str, Any]:
        asked = msgspec.json.decode(body, type=StepRequest)
        if not isinstance(self._driver, Stepping):
            raise VenueReject(-1130, "only a stepped market can be stepped")
        if not asked.stepper:
            return self._step_alone(asked.count)
        stepper = self._venue.steppers.find(asked.stepper)
        if stepper is None:
            raise VenueReject(-1130, "only a stepped market can be stepped")
        confirmation = self._venue.steppers.confirm(stepper, asked.confirmed)
        advanced = confirmation.ready and self._driver.step()
        return {
            "advanced": advanced,
            "sent": stepper.sent,
            "tsNs": self._venue.now_ns,
            "done": self._driver.is_done,
        }

    def _step_alone(self, count: int) -> dict[str, Any]:
        """Steps of a market that nobody confirms."""
        if len(self._venue.steppers):
            raise VenueReject(-1130, "this market has steppers; each step needs their confirmation")
        done = 0
        while done < count and isinstance(self._driver, Stepping) and self._driver.step():
            done += 1
        return {"advanced": done, "tsNs": self._venue.now_ns, "done": self._driver.is_done}


def _failure(status: int, error: VenueReject) -> web.Response:
    return _response(status, reject(error))


def _response(status: int, result: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=_encode(result), content_type="application/json")
