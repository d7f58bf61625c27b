"""Lost, late and garbled answers against a venue with books of its own: each intent is one order, or none and told."""

import asyncio

import msgspec
import pytest

from bnml.app.executor import Executor
from bnml.app.inbox import LiveInbox
from bnml.app.resolving import Fate, Resolved
from bnml.core.commands import CancelOrder, ReplaceOrder, Submit
from bnml.core.errors import Rejected, UnknownOutcome
from bnml.core.events import CancelFailed, OrderReport
from bnml.core.orders import ApprovedOrder, OrderState, OrderTicket, OrderType, Side
from bnml.venues.binance.departures import leaves_now
from bnml.venues.binance.errors import ErrorBody, error_of
from bnml.venues.binance.venue import Executed
from tests.app.lossy_venue import LossyVenue
from tests.virtual_time import in_virtual_time


class Journal:
    async def barrier(self):
        await asyncio.sleep(0)


def exit_(name):
    return Submit(ApprovedOrder(OrderTicket("BTCUSDT", name, Side.SELL, OrderType.MARKET, 100), "exit"))


def stop_ticket(name):
    return OrderTicket("BTCUSDT", name, Side.SELL, OrderType.STOP_LOSS, 100, 0, 40)


def stop(name):
    return Submit(ApprovedOrder(stop_ticket(name), "stop"))


def entry(name):
    return Submit(ApprovedOrder(OrderTicket("BTCUSDT", name, Side.BUY, OrderType.LIMIT, 100, 50), "entry"))


class Resending(Executor):
    """A planted defect: no answer is taken for no order."""

    async def _doubt(self, command, request, departure, attempt):
        return Resolved(Fate.ABSENT)


async def carried(venue, *commands, kind=Executor, patience_s=1.0, fills_once=lambda _: False):
    """What the engine heard of these commands, all sent at once."""
    inbox = LiveInbox()
    executor = kind(
        venue,
        Journal(),
        inbox,
        now_ns=lambda: 7,
        request_training=lambda *_: None,
        sequential=False,
        patience_s=patience_s,
        fills_once=fills_once,
    )
    task = asyncio.create_task(executor.run())
    executor.submit(1, list(commands))
    async with asyncio.timeout(100_000):
        while not executor.idle:  # noqa: ASYNC110 - the executor has no event for tests
            await asyncio.sleep(0.25)
    task.cancel()
    await asyncio.wait({task})
    return inbox.ready()


def trial(seed, kind=Executor, **options):
    """(books of the venue, what was told, doubts) of twelve intents."""

    @in_virtual_time
    async def run():
        venue = LossyVenue(seed, **options)
        commands = [
            make(f"{kind_}{n}") for kind_, make in (("x", exit_), ("s", stop), ("e", entry)) for n in range(4)
        ]
        events = await carried(venue, *commands, kind=kind)
        await asyncio.sleep(20)  # what is still on its way
        return venue, events

    return run()


def wrong(venue, events):
    """Orders too many, orders missing, and orders of which the engine believes what is not so."""
    names = [row[0] for row in venue.orders]
    last = {one.client_order_id: one.state for one in events if isinstance(one, OrderReport)}
    found = [name for name in set(names) if names.count(name) > 1]
    for kind in "xse":
        for n in range(4):
            name = f"{kind}{n}"
            gone = last.get(name) is OrderState.REJECTED
            if gone is (name in names):  # after four losses in a row the engine has to ask anew
                found.append(name)
    return found


SEEDS = 120


@pytest.mark.parametrize("seeds", [range(SEEDS), pytest.param(range(1000), marks=pytest.mark.long)])
def test_f01_as_many_orders_at_the_venue_as_intents(seeds):
    doubts = 0
    for seed in seeds:
        venue, events = trial(seed)
        assert wrong(venue, events) == [], seed
        unknown = {one.client_order_id for one in events if getattr(one, "state", None) is OrderState.UNKNOWN}
        assert len(unknown) >= min(1, venue.in_doubt)
        doubts += venue.in_doubt
    assert doubts > 3 * len(seeds)


def test_f01_a_purchase_at_market_is_one_order_or_none_and_told():
    for seed in range(40):

        @in_virtual_time
        async def run(seed=seed):
            venue = LossyVenue(seed, loss=0.8)
            ticket = OrderTicket("BNBUSDT", "bnab121-1-0f", Side.BUY, OrderType.MARKET, 100)
            events = await carried(venue, Submit(ApprovedOrder(ticket, "fee reserve")))
            await asyncio.sleep(20)
            return len(venue.orders), [one.state for one in events if isinstance(one, OrderReport)]

        orders, told = run()
        assert orders == (0 if told and told[-1] is OrderState.REJECTED else 1), seed


def test_a_request_sent_again_without_a_look_is_caught():
    assert any(wrong(*trial(seed, Resending)) for seed in range(20))


class Cut(LossyVenue):
    """Its connection breaks with the first request."""

    times = ()

    async def execute(self, command, *, attempt=1):
        self.times = (*self.times, asyncio.get_running_loop().time())
        if len(self.times) == 1:
            leaves_now()
            raise UnknownOutcome("the connection broke")
        return await super().execute(command, attempt=attempt)


class Disagreeing(Cut):
    """Its lists do not agree at first: a trade of another order is shown before the order."""

    disagreements = 2

    async def shows_none_of(self, symbol, names, ended=""):
        self.disagreements -= 1
        return await super().shows_none_of(symbol, names, ended) and self.disagreements < 0


async def repeated(command, *rows, kind=Cut, fills_once=lambda _: False):
    """What is on the books of a venue whose connection breaks, and seconds between the two requests."""
    venue = kind(1, loss=0)
    venue.orders += rows
    await carried(venue, command, fills_once=fills_once)
    first_s, second_s = venue.times
    return [row[0] for row in venue.orders], second_s - first_s


@in_virtual_time
async def test_f02_a_request_that_never_left_is_sent_once_more_with_its_id_after_the_settle_window():
    names, pause_s = await repeated(stop("s"))
    assert names == ["s"]
    assert 1.4 <= pause_s < 1.7


@in_virtual_time
async def test_f03_an_error_inside_the_venue_is_read_up_whether_it_executed_or_not():
    for status, code in ((500, 0), (502, 0), (503, -1008), (504, -1007), (400, -1006), (400, -1000)):
        for executed in (True, False):

            class Failing(LossyVenue):
                done = False

                async def execute(self, command, *, attempt=1, failure=(status, code), executed=executed):
                    if self.done:
                        return await super().execute(command, attempt=attempt)
                    self.done = True
                    if executed:
                        await super().execute(command, attempt=attempt)
                    raise error_of(failure[0], ErrorBody(failure[1], ""), "order.place")

            venue = Failing(1, loss=0)
            events = await carried(venue, exit_("x"))
            assert [row[0] for row in venue.orders] == ["x"], (status, code, executed)
            assert venue.requests == 1
            assert events[0].state is OrderState.UNKNOWN


@in_virtual_time
async def test_f04_an_order_that_filled_at_once_without_an_answer_is_never_placed_again():
    for seed in range(50):

        class Filling(LossyVenue):
            async def execute(self, command, *, attempt=1):
                await super().execute(command, attempt=attempt)
                raise UnknownOutcome("no answer")

        replacement = ReplaceOrder(
            "old", exit_("x").order.ticket, ""
        )  # a query shows its cancel before its sale
        for command, old in ((exit_("x"), []), (replacement, ["old"])):
            venue = Filling(seed, loss=0, lag_s=3.9, lags_all=True, read_failures=0.3)
            venue.orders += [[name, OrderState.OPEN, Side.SELL, 0.0] for name in old]
            events = await carried(venue, command)
            assert [row[0] for row in venue.orders] == [*old, "x"], seed
            assert events[-1].state is OrderState.FILLED


@in_virtual_time
async def test_a_sale_that_never_arrived_is_sent_again_once_it_would_be_shown_if_it_had():
    """Beside coins of others a second one would be filled, too; a stop is refused while the first one rests."""
    names, pause_s = await repeated(exit_("x"))
    assert names == ["x"]
    assert 4.0 <= pause_s < 4.3


@in_virtual_time
async def test_what_disagrees_when_a_doubt_is_settled_is_looked_at_again_soon():
    for command, settled_s in ((exit_("x"), 4.0), (stop("s"), 1.4)):
        _, pause_s = await repeated(command, kind=Disagreeing)
        assert settled_s + 0.2 <= pause_s < settled_s + 1.0


@in_virtual_time
async def test_a_sale_that_can_be_filled_once_only_is_sent_again_as_soon_as_a_stop():
    """For want of other coins; or a replacement, of which the cancel is shown when the sale would be."""
    replacement = ReplaceOrder("old", exit_("x").order.ticket, "")
    gone = ["old", OrderState.CANCELED, Side.SELL, 0.0]
    for command, rows, left in ((exit_("x"), (), ["x"]), (replacement, (gone,), ["old", "x"])):
        names, pause_s = await repeated(command, *rows, fills_once=lambda _: True)
        assert names == left
        assert 1.4 <= pause_s < 1.7


@in_virtual_time
async def test_whether_a_sale_can_be_filled_once_only_is_asked_when_that_counts():
    """Found in the kill matrix: what was under way beside it when it left has ended since; or coins have come."""
    for changes_s, is_once, least_s in ((0.9, True, 1.4), (2.5, True, 2.5), (0.9, False, 4.0)):
        began_s = asyncio.get_running_loop().time()

        def fills_once(_, after_s=began_s + changes_s, then=is_once):
            return (asyncio.get_running_loop().time() >= after_s) is then

        names, pause_s = await repeated(exit_("x"), fills_once=fills_once)
        assert names == ["x"]
        assert least_s <= pause_s < least_s + 0.3


@in_virtual_time
async def test_a_sale_beside_which_a_stop_was_asked_for_is_not_sent_again():
    """At most one of them is taken: what the stop left to do is seen at once."""
    venue, began_s = Cut(1, loss=0), asyncio.get_running_loop().time()
    events = await carried(venue, exit_("x"), Submit(stop("s").order, beside=("x",)))
    assert [row[0] for row in venue.orders] == ["s"]
    assert events[-1].state is OrderState.REJECTED
    assert asyncio.get_running_loop().time() - began_s < 2.0


@in_virtual_time
async def test_ten_minutes_without_network_prove_nothing():
    for seed in range(20):
        venue = LossyVenue(seed, loss=1.0, outage_s=600)
        events = await carried(venue, entry("e"))
        last = [one for one in events if isinstance(one, OrderReport)][-1]
        assert (last.state is OrderState.REJECTED) is (not venue.orders)
        if last.state is OrderState.REJECTED and last.code == -2013:
            assert asyncio.get_running_loop().time() > 600


class HeldUp(LossyVenue):
    """The first request could not be connected, and leaves as the network comes back: during the last look."""

    def __init__(self):
        super().__init__(1)
        self.looked = asyncio.Event()

    async def execute(self, command, *, attempt=1):
        self.requests += 1
        leaves_now()
        if self.requests == 1:
            await self.looked.wait()
            leaves_now()
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, self._carry_out, command, loop.time())
        await asyncio.sleep(0.3)
        return Executed()

    async def shows_none_of(self, symbol, names, ended=""):
        found = await super().shows_none_of(symbol, names, ended)
        self.looked.set()
        await asyncio.sleep(0.05)
        return found


@in_virtual_time
async def test_a_request_that_leaves_while_its_absence_is_read_is_not_sent_again():
    venue = HeldUp()
    await carried(venue, exit_("x"))
    assert [row[0] for row in venue.orders] == ["x"]
    assert venue.requests == 1


@in_virtual_time
async def test_f14_an_answer_after_its_time_is_matched_and_accepted_once():
    filled = OrderReport("BTCUSDT", "x", 1, OrderState.FILLED, Side.SELL)

    class Slow(LossyVenue):
        async def execute(self, command, *, attempt=1):
            await super().execute(command, attempt=attempt)
            await asyncio.sleep(0.6)
            return Executed((filled,))

    venue = Slow(3, loss=0, lag_s=4.0)
    venue.random.uniform = lambda _low, high: high  # the order is shown late
    events = await carried(venue, exit_("x"), patience_s=0.3)
    assert [one.state for one in events] == [OrderState.UNKNOWN, OrderState.FILLED]
    assert events[1] is filled  # by its answer, not by a read
    assert venue.requests == 1


@in_virtual_time
async def test_f17_a_request_refused_for_the_clock_is_sent_once_more_after_a_look_at_it():
    class Skewed(LossyVenue):
        looks = 0
        sent = ()

        async def resynchronise(self):
            self.looks += 1

        async def execute(self, command, *, attempt=1):
            self.sent = (*self.sent, command)
            if not self.looks:
                raise error_of(400, ErrorBody(-1021, "Timestamp outside of the recvWindow."), "order.place")
            return await super().execute(command, attempt=attempt)

    for command in (entry("e"), stop("s")):
        venue = Skewed(1, loss=0)
        events = await carried(venue, command)
        assert venue.sent == (command, command)
        assert (venue.looks, len(venue.orders), events) == (1, 1, [])


class Refusing(LossyVenue):
    """Refuses everything with one code; its filters can be read anew."""

    def __init__(self, code, text, fit=None):
        super().__init__(1, loss=0)
        self.code, self.text, self.fit = code, text, fit
        self.sent, self.refits = [], 0

    async def fitted(self, _symbol, _command):
        self.refits += 1
        return self.fit

    async def execute(self, command, *, attempt=1):
        self.sent.append(command)
        if command == self.fit:
            return await super().execute(command, attempt=attempt)
        raise error_of(400, ErrorBody(self.code, self.text), "order.place")


@in_virtual_time
async def test_f15_a_filter_failure_reads_the_filters_once_and_tries_a_fitted_request_once():
    fitted = exit_("fitted")
    venue = Refusing(-1013, "Filter failure: LOT_SIZE", fitted)
    assert await carried(venue, exit_("x")) == []
    assert venue.sent == [exit_("x"), fitted]
    stubborn = Refusing(-1013, "Filter failure: LOT_SIZE", exit_("other"))
    stubborn.execute = Refusing(-1013, "Filter failure: LOT_SIZE").execute
    events = await carried(stubborn, exit_("x"))
    assert (stubborn.refits, events[-1].state, events[-1].code) == (1, OrderState.REJECTED, -1013)
    unchanged = Refusing(-1013, "Filter failure: LOT_SIZE")
    await carried(unchanged, exit_("x"))
    assert (unchanged.refits, len(unchanged.sent)) == (1, 1)


@in_virtual_time
async def test_f18_an_entry_without_money_is_one_attempt_and_the_account_is_read():
    steps = []

    class Listening(Executor):
        def __init__(self, *arguments, **options):
            super().__init__(
                *arguments, **options, on_step=lambda step, symbol, _: steps.append((step, symbol))
            )

    venue = Refusing(-2010, "Account has insufficient balance for requested action.")
    events = await carried(venue, entry("e"), kind=Listening)
    assert len(venue.sent) == 1
    assert steps == [("balances", "BTCUSDT")]
    assert [(one.state, one.code) for one in events] == [(OrderState.REJECTED, -2010)]


@in_virtual_time
async def test_f20_an_order_beyond_the_price_is_not_tried_again():
    venue = Refusing(-2010, "Stop price would trigger immediately.")
    events = await carried(venue, stop("s"))
    assert len(venue.sent) == 1
    assert (events[0].state, events[0].code) == (OrderState.REJECTED, -2010)
    assert "trigger immediately" in events[0].text


@in_virtual_time
async def test_f21_a_cancel_that_came_too_late_is_told_as_such_and_sent_once():
    venue = Refusing(-2011, "Unknown order sent.")
    events = await carried(venue, CancelOrder("BTCUSDT", "s", ""))
    assert len(venue.sent) == 1
    assert [(type(one), one.code) for one in events] == [(CancelFailed, -2011)]


@in_virtual_time
async def test_f22_an_order_that_is_shown_late_is_not_taken_for_absent():
    for seed in range(40):
        for command in (stop("s"), entry("e")):
            venue = LossyVenue(seed, loss=1.0, lag_s=4.0, read_failures=0.2)
            events = await carried(venue, command)
            name = "s" if command == stop("s") else "e"
            assert [row[0] for row in venue.orders].count(name) <= 1
            last = [one for one in events if isinstance(one, OrderReport)][-1]
            if venue.orders:
                assert last.state is not OrderState.REJECTED, seed


@pytest.mark.parametrize("seed", range(60))
def test_a_replacement_in_doubt_ends_with_one_stop(seed):
    @in_virtual_time
    async def run():
        venue = LossyVenue(seed, loss=0)
        await carried(venue, stop("old"))
        venue.loss = 1.0 if seed % 3 else 0.5
        events = await carried(venue, ReplaceOrder("old", stop_ticket("new"), ""))
        await asyncio.sleep(20)
        alive = [row[0] for row in venue.orders if row[1] is OrderState.OPEN]
        assert len(alive) == 1
        told_failed = any(isinstance(one, CancelFailed) for one in events)
        assert told_failed is (alive == ["old"])

    run()


@in_virtual_time
async def test_f74_each_half_of_a_replacement_is_told_by_itself():
    replace = ReplaceOrder("old", stop_ticket("new"), "")

    async def told(cancel, new, codes=(-2011, -2010)):
        body = (
            f'{{"cancelResult":"{cancel}","newOrderResult":"{new}","cancelResponse":{{"code":{codes[0]},"msg":"c"}},'
            f'"newOrderResponse":{{"code":{codes[1]},"msg":"n"}}}}'
        ).encode()

        class Half(LossyVenue):
            async def fitted(self, _symbol, command):
                return msgspec.structs.replace(command, ticket=stop_ticket("fitted"))

            async def execute(self, command, *, attempt=1):
                if isinstance(command, Submit):
                    return await super().execute(command, attempt=attempt)
                if cancel == "SUCCESS":
                    self.orders[0][1] = OrderState.CANCELED
                raise error_of(409, ErrorBody(-2021, "", body), "order.cancelReplace")

        venue = Half(1, loss=0)
        venue.orders.append(["old", OrderState.OPEN, Side.SELL, 0.0])
        return venue, [type(one).__name__ for one in await carried(venue, replace)]

    assert (await told("SUCCESS", "FAILURE"))[1] == ["OrderReport"]
    half, _ = await told("SUCCESS", "FAILURE", (-2011, -1013))  # by a filter that has changed
    assert [row[:2] for row in half.orders] == [["old", OrderState.CANCELED], ["fitted", OrderState.OPEN]]
    assert half.requests == 1
    assert (await told("FAILURE", "NOT_ATTEMPTED"))[1] == ["CancelFailed", "OrderReport"]
    assert (await told("FAILURE", "SUCCESS"))[1] == [
        "CancelFailed"
    ]  # the new one lives: nothing says it was refused
    venue, _ = await told("SUCCESS", "FAILURE", (-2011, -1007))  # unclear: read, and placed with its own id
    assert [(row[0], row[1]) for row in venue.orders] == [
        ("old", OrderState.CANCELED),
        ("new", OrderState.OPEN),
    ]


def test_a_rejection_is_told_in_words():
    assert "-1013" in str(error_of(400, ErrorBody(-1013, "Filter failure: LOT_SIZE"), "order.place"))
    assert isinstance(error_of(400, ErrorBody(-1013, ""), ""), Rejected)


@in_virtual_time
async def test_a_replacement_of_which_the_account_has_told_is_not_half_done():
    """Reads of the sale lag behind those of what it cancelled: sent again it would sell coins of the owner."""

    class Told(Cut):
        async def execute(self, command, *, attempt=1):
            self._carry_out(command, asyncio.get_running_loop().time())
            self.orders[-1][3] += 60.0  # shown late
            return await super().execute(command, attempt=attempt)

    class Hearing(Executor):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options, heard=lambda name: name == "x")

    venue = Told(1, loss=0, lags_all=True)
    venue.orders.append(["old", OrderState.OPEN, Side.SELL, 0.0])
    await carried(venue, ReplaceOrder("old", exit_("x").order.ticket, ""), kind=Hearing)
    assert [row[0] for row in venue.orders] == ["old", "x"]
