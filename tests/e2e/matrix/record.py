"""What happened on the way to the served exchange, noted for the causes of bare times: faults, requests, answers."""

from math import inf

import msgspec

from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.operations import Security, perform
from tests.e2e.matrix.causes import KEYLESS, SHUTS, WAITED
from tests.e2e.matrix.network import words


class _Error(msgspec.Struct):
    code: int = 0
    msg: str = ""


class _Answer(msgspec.Struct):
    id: int | str | None = None
    status: int = 200
    error: _Error | None = None


class Record:
    """Notes in the world's cover, each with the symbol that it is about ("" for all)."""

    def __init__(self, cover):
        self._cover = cover

    def note(self, symbol, text):
        self._cover.note(symbol, text)

    def fault(self, told):
        """One fault of a script that strikes, as the exchange's log has it."""
        action, symbol = told["action"], told["symbol"].replace("*", "")
        about = told["about"]
        self.note(symbol, f"struck: {action} {told['at']} of {about}, {told['rule']}")
        self._cover.look_soon()
        if told.get("retry_after_s"):
            self._cover.shut("", WAITED, told["retry_after_s"])  # said of the address, whatever was asked for
        if action in SHUTS:
            lasts_s = told.get("lasts_s") or told.get("seconds", 0.0)
            # A key that works again is used again when the operator says so: at the end of the hour.
            self._cover.shut(symbol, SHUTS[action], inf if SHUTS[action] is KEYLESS else lasts_s)

    def perform(self, venue, operation, params, caller):
        """The exchange's `perform`; what became of an order is noted."""
        if operation.security is not Security.TRADE:
            return perform(venue, operation, params, caller)
        asked, told = dict(params._values), "ok"
        try:
            return perform(venue, operation, params, caller)
        except VenueReject as error:
            told = (error.reject_code, error.text)
            raise
        finally:
            self.note(asked.get("symbol", ""), f"executed {words(asked)}: {told}")


class Asked:
    """Orders of one connection that wait for an answer."""

    def __init__(self, record):
        self._record = record
        self._waiting = {}

    def sent(self, frame):
        asked = msgspec.json.decode(frame)
        params = asked["params"]
        self._waiting[asked["id"]] = params.get("symbol", ""), words(params)
        self._record.note(params.get("symbol", ""), f"sent {asked['method']} {words(params)}")

    def lost(self, frame):
        """The connection ended before it arrived."""
        asked = msgspec.json.decode(frame)
        if (order := self._waiting.pop(asked["id"], None)) is not None:
            self._record.note(order[0], f"lost, the connection is gone: {order[1]}")

    def answered(self, frame):
        """Whatever arrives; an answer that is cut short says nothing."""
        if not self._waiting or not isinstance(frame, bytes) or not frame.startswith(b'{"id":'):
            return
        try:
            answer = msgspec.json.decode(frame, type=_Answer)
        except msgspec.DecodeError:
            return
        if answer.id in self._waiting:
            symbol, asked = self._waiting.pop(answer.id)
            told = "ok" if answer.error is None else f"{answer.error.code} {answer.error.msg}"
            self._record.note(symbol, f"answered {answer.status} {told}: {asked}")
