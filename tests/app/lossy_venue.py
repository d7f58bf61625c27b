"""A venue in virtual time that loses, delays and garbles requests, answers and reads; what it did is on its books."""

import asyncio
import random

from bnml.core.commands import CancelOrder, QueryOrder, ReplaceOrder, Submit
from bnml.core.errors import Rejected, Retryable, UnknownOutcome
from bnml.core.events import OrderReport
from bnml.core.orders import ListTicket, OrderState, OrderType, Side
from bnml.venues.binance.departures import leaves_now
from bnml.venues.binance.errors import ErrorBody, error_of
from bnml.venues.binance.venue import Executed

WINDOW_S = 1.0
ALIVE = {OrderState.OPEN, OrderState.SLEEPING}


class LossyVenue:
    """Ids are unique among open orders only; a request older than its window is refused, whatever its way was."""

    def __init__(self, seed, *, read_failures=0.0, lag_s=0.0, lags_all=False, outage_s=0.0, loss=0.6):
        self.random = random.Random(seed)
        self.read_failures = read_failures
        self.lag_s = lag_s  # of order queries, up to
        self.lags_all = lags_all  # of lists of orders and trades, too
        self.outage_s = outage_s  # from the first loss on, nothing can be read
        self.loss = loss
        self.orders = []  # [name, state, side, shown from]
        self.ended = {}  # of a replaced order, since when lists show it as such: with what took its place
        self.requests = 0
        self.dark_until = 0.0
        self.in_doubt = 0

    def window_ms(self, _command, _attempt=1):
        return int(WINDOW_S * 1000)

    async def resynchronise(self):
        return None

    async def fitted(self, _symbol, _command):
        return None

    async def list_members(self, _list_id):
        return []

    async def execute(self, command, *, attempt=1):
        self.requests += 1
        loop = asyncio.get_running_loop()
        leaves_now()
        sent_s = loop.time()
        if self.random.random() >= self.loss:
            await asyncio.sleep(self.random.uniform(0.001, 0.2))
            return self._carry_out(command, sent_s)
        self.in_doubt += 1
        if self.outage_s and not self.dark_until:
            self.dark_until = sent_s + self.outage_s
        return await getattr(self, self.random.choice(["_lost", "_reset", "_late", "_error", "_silent"]))(
            command
        )

    async def _lost(self, _command):
        await asyncio.sleep(10)
        raise UnknownOutcome("no answer")

    async def _reset(self, command):
        if self.random.random() < 0.5:
            self._carry_out(command, asyncio.get_running_loop().time())
        raise UnknownOutcome("the connection broke")

    async def _late(self, command):
        """Arrives late, maybe too late; the answer comes long after."""
        sent_s, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
        answer = loop.create_future()

        def arrive():
            try:
                done = self._carry_out(command, sent_s)
            except (Rejected, Retryable) as error:
                done = error
            if not answer.done():
                loop.call_later(self.random.uniform(0, 5), lambda: answer.done() or answer.set_result(done))

        loop.call_later(self.random.uniform(0, 2 * WINDOW_S), arrive)
        found = await asyncio.wait_for(answer, 10)
        if isinstance(found, Exception):
            raise found
        return found

    async def _silent(self, command):
        self._carry_out(command, asyncio.get_running_loop().time())
        await asyncio.sleep(10)
        raise UnknownOutcome("no answer")

    async def _error(self, command):
        if self.random.random() < 0.5:
            self._carry_out(command, asyncio.get_running_loop().time())
        status, code = self.random.choice([(504, -1007), (503, 0), (500, -1006), (502, 0), (503, -1008)])
        raise error_of(status, ErrorBody(code, "<html>"), "order.place")

    def _carry_out(self, command, sent_s):
        now_s = asyncio.get_running_loop().time()
        if now_s - sent_s > WINDOW_S:
            raise error_of(400, ErrorBody(-1021, "outside of the recvWindow"), "order.place")
        if isinstance(command, CancelOrder | ReplaceOrder):
            name = (
                command.client_order_id
                if isinstance(command, CancelOrder)
                else command.cancel_client_order_id
            )
            row = next((row for row in self.orders if row[0] == name and row[1] in ALIVE), None)
            if row is None:
                raise Rejected("Unknown order sent.", code=-2011)
            row[1] = OrderState.CANCELED
        for ticket in tickets(command):
            if any(row[0] == ticket.client_order_id and row[1] in ALIVE for row in self.orders):
                raise error_of(400, ErrorBody(-2010, "Duplicate order sent."), "order.place")
        lag_s = self.random.uniform(0, self.lag_s)
        if isinstance(command, ReplaceOrder):
            self.ended[name] = now_s + lag_s
        for ticket in tickets(command):
            fills = ticket.type is OrderType.MARKET
            state = OrderState.FILLED if fills else OrderState.OPEN
            self.orders.append([ticket.client_order_id, state, ticket.side, now_s + lag_s])
        return Executed()

    def _readable(self):
        if asyncio.get_running_loop().time() < self.dark_until or self.random.random() < self.read_failures:
            raise Retryable("no route")

    async def order_reports(self, symbol, name):
        await asyncio.sleep(0.02)
        self._readable()
        now_s = asyncio.get_running_loop().time()
        rows = [row for row in self.orders if row[0] == name and row[3] <= now_s]
        return [OrderReport(symbol, name, 1, rows[-1][1], rows[-1][2])] if rows else []

    async def shows_none_of(self, _symbol, names, ended=""):
        await asyncio.sleep(0.05)
        self._readable()
        now_s = asyncio.get_running_loop().time()
        if self.lags_all and self.ended.get(ended, 0.0) > now_s:
            return False
        return not any(row[0] in names and (row[3] <= now_s or not self.lags_all) for row in self.orders)


def tickets(command):
    if isinstance(command, QueryOrder | CancelOrder):
        return []
    if isinstance(command, ReplaceOrder):
        return [command.ticket]
    assert isinstance(command, Submit)
    asked = command.order.ticket
    if isinstance(asked, ListTicket):
        return [*([asked.working] if asked.working else []), *asked.pending]
    return [asked]


SELL = Side.SELL
