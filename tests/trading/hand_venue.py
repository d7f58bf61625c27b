"""The embedded exchange in process with an engine before it: prints, reports, refusals and time by hand."""

from types import SimpleNamespace

import msgspec

from bnml.core.clock import NS_PER_S
from bnml.core.commands import Alert, CancelList, CancelOrder, Halt, QueryOrder, ReplaceOrder, Submit
from bnml.core.events import CancelFailed, FreeCoins, InstrumentUpdate, OrderReport, Slice, Timer
from bnml.core.instrument import Instrument
from bnml.core.orders import ListTicket, OrderState, OrderType, Side
from bnml.core.outcomes import Bareness, Trade
from bnml.kernels.records import COSTS, record
from bnml.trading.engine import Engine
from bnml.trading.entries import EntryPlan, submit_entry
from bnml.trading.freeing import is_alone
from bnml.trading.outbox import Outbox
from bnml.trading.positions import Position
from bnml.trading.watching import WATCH
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.inprocess import ACCOUNT, SimVenue
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import OrderKey, VenueReject
from bnml.venues.sim.pricing import Pricing
from tests.trading.kit import HOUR_NS, START_NS, config, instrument

SYMBOL = "BTCUSDT"
REFERENCE = 3_000_000
STOP = 2_940_000
TARGETS = ((1, 5000, 3_060_000), (2, 3000, 3_120_000), (3, 2000, 0))
WORDS = {
    "balance": (-2010, "Account has insufficient balance for requested action."),
    "trigger": (-2010, "Stop price would trigger immediately."),
    "notional": (-1013, "Filter failure: NOTIONAL"),
    "algo": (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS"),
    "busy": (-1015, "Too many new orders."),
    "closed": (-2010, "Market is closed."),
    "shut": (-1013, "Market is closed."),
    "lost": (-2013, "it never arrived"),
}


def pricing(fee_ppm=1000):
    made = record(COSTS)
    made[0]["maker_ppm"] = made[0]["taker_ppm"] = fee_ppm
    made[0]["volume_share_ppm"] = 100_000
    made[0]["touch_ppm"] = 1_000_000
    made[0]["seed"] = 7
    return Pricing(made)


class HandVenue(SimVenue):
    """An exchange that prints what it is told to."""

    def __init__(self, instruments, balances, fee_ppm=1000):
        self._feed = SimpleNamespace(instruments=instruments, frame_ns=HOUR_NS)
        self.exchange = Exchange(Market(instruments, HOUR_NS, pricing(fee_ppm)))
        self.exchange.open_account(ACCOUNT, balances)
        self._followed, self._behind = None, set()

    def print(self, symbol, ticks, ts_ns, *, jump=False):
        """One trade of the market; returns the reports that it caused."""
        self.exchange.print_trade(symbol, ticks, 10**9, ts_ns, jump=jump)
        return self._drain()

    def drain(self):
        return self._drain()


def ticket_of(command):
    """The first selling order, or the only one, that a command would make."""
    if isinstance(command, ReplaceOrder):
        return command.ticket
    if not isinstance(command, Submit):
        return None
    ticket = command.order.ticket
    return ticket.pending[-1] if isinstance(ticket, ListTicket) else ticket


class World:
    """An engine, an exchange, and what is on its way between them; `refusals` are of orders to come, by type."""

    def __init__(self, instruments=None, fee_ppm=1000, balances=None, *, settings=None, spares=True):
        self.instruments = instruments or {SYMBOL: instrument()}
        self.venue = HandVenue(self.instruments, balances or {"USDT": 10**13}, fee_ppm)
        self.config = config(settings)
        self.engine = Engine(self.config, None)
        self.now_ns = START_NS
        self.sequence = 0
        self.queue, self.reports, self.sent = [], [], []
        self.trades, self.bareness, self.alerts, self.halts = [], [], [], []
        self.refusals = {}  # order type -> list of names in WORDS
        self.is_down = False  # the venue answers nothing but errors
        self.has_spares = spares  # else none leaves, as over REST
        self.is_read = True  # the account, where the engine asks for it
        for symbol, one in self.instruments.items():
            self.feed(InstrumentUpdate(one, self.now_ns))
            self.venue.print(symbol, REFERENCE, self.now_ns, jump=True)
        self.feed(self.venue.balances())

    # -- the engine ----------------------------------------------------------------------------------
    def feed(self, event):
        self.sequence += 1
        for command in self.engine.process(event, self.sequence):
            if isinstance(command, Alert):
                self.alerts.append(command)
            elif isinstance(command, Halt):
                self.halts.append(command)
            else:
                self._ask(command)
        for outcome in self.engine.drain():
            {Trade: self.trades, Bareness: self.bareness}.get(type(outcome), []).append(outcome)

    def enter(self, symbol=SYMBOL, targets=TARGETS, stop=STOP, reference=REFERENCE):
        """An entry as a scan would send it."""
        self.sequence += 1
        out = Outbox(self.config.ids, self.sequence)
        one, engine = self.instruments[symbol], self.engine
        alone = is_alone(one, engine.book, engine.portfolio)
        plan = EntryPlan(symbol, reference + 15_000, stop, 3, targets, 1000, alone)
        self.engine._protection.stir(symbol)
        tranches = submit_entry(plan, self.instruments[symbol], self.engine.book, out)
        self.engine.portfolio.positions[symbol] = Position(
            symbol, self.now_ns, reference, 20_000, 3_060_000, self.config.rules.tobytes(), tranches
        )
        for command in out.commands:
            self._ask(command)
        return tranches

    def _ask(self, command):
        if self.has_spares or not getattr(command, "is_spare", False):
            self.queue.append(command)
        else:
            self.feed(self._rejected(command.order.ticket, *WORDS["lost"]))

    def restart(self):
        """The journal has every event; what was on its way to the venue arrives."""
        self.engine = Engine.restore(self.config, None, self.engine.snapshot())

    # -- the way between -----------------------------------------------------------------------------
    def execute(self):
        """Carry out the oldest command; what comes of it waits for delivery."""
        command = self.queue.pop(0)
        self.sent.append(command)
        refused = self._refusal(command)
        if refused is not None:
            self.reports += self._answers(command, *refused)
            return
        answers = self.venue.execute(command)
        if isinstance(command, QueryOrder) and not answers:
            answers = [self._absent(command)]
        self.reports += answers

    def deliver(self):
        """Tell the engine all that waits to be told."""
        while self.reports:
            self.feed(self.reports.pop(0))

    def settle(self):
        """Execute and deliver until nothing is on its way."""
        for _ in range(500):
            if self.queue:
                self.execute()
            elif self.reports:
                self.feed(self.reports.pop(0))
            else:
                return
        raise AssertionError("commands and reports chase each other for ever")

    def move(self, ticks, symbol=SYMBOL, *, seconds=1, jump=False, settle=True):
        """The next print of a symbol, seconds later."""
        self.now_ns += round(seconds * NS_PER_S)
        self.reports += self.venue.print(symbol, ticks, self.now_ns, jump=jump)
        while self.reports:
            self.feed(self.reports.pop(0))
        self.feed(Slice(symbol, self.now_ns, ticks, ticks, ticks, 1))
        if settle:
            self.settle()

    def feed_slice(self, ticks, symbol=SYMBOL):
        """A print of the stream that the venue knows nothing of."""
        self.now_ns += NS_PER_S
        self.feed(Slice(symbol, self.now_ns, ticks, ticks, ticks, 1))

    def pass_seconds(self, count=1, step_s=1.0):
        """Time alone, as the runtime's timer tells it."""
        for _ in range(count):
            self.now_ns += round(step_s * NS_PER_S)
            self.venue.exchange.set_time(self.now_ns)
            if self.engine.needs_seconds:
                self.feed(Timer(WATCH, self.now_ns))
            self.settle()
            for asset in self.engine.shortage.assets if self.is_read else ():
                self.feed(FreeCoins(asset, self.free_e8(asset), self.now_ns))
            self.settle()

    def refuse(self, kind, *names):
        """Refuse the next orders of a type, one after the other."""
        self.refusals.setdefault(kind, []).extend(names)

    # -- what the venue says -------------------------------------------------------------------------
    def open_orders(self, symbol=SYMBOL):
        return list(self.venue.exchange.read.open_orders(ACCOUNT, symbol))

    def free_e8(self, asset):
        return self.venue.exchange.read.account(ACCOUNT).balances.get(asset, (0, 0))[0]

    def balance(self, asset):
        return sum(self.venue.exchange.read.account(ACCOUNT).balances.get(asset, (0, 0)))

    def stops(self, symbol=SYMBOL):
        """Live stops at the venue: (level, lots still to sell)."""
        kinds = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
        found = [one for one in self.open_orders(symbol) if one.type in kinds and one.status != "PENDING_NEW"]
        return sorted((one.stop_price_ticks, one.quantity_lots - one.executed_lots) for one in found)

    def position(self, symbol=SYMBOL):
        return self.engine.portfolio.positions.get(symbol)

    def ledger_differences(self):
        """Assets in which our books and the venue's differ."""
        ours = self.engine.state.ledger.totals
        theirs = {a: sum(b) for a, b in self.venue.exchange.read.account(ACCOUNT).balances.items()}
        names = {*ours, *theirs}
        return {n: (ours.get(n, 0), theirs.get(n, 0)) for n in names if ours.get(n, 0) != theirs.get(n, 0)}

    def longest_bare_s(self):
        return max((one.ts_ns - one.since_ns for one in self.bareness), default=0) / NS_PER_S

    def _refusal(self, command):
        if self.is_down and not isinstance(command, QueryOrder):
            return WORDS["busy"]
        ticket = ticket_of(command)
        names = self.refusals.get(ticket.type) if ticket is not None else None
        return WORDS[names.pop(0)] if names else None

    def _answers(self, command, code, text):
        if isinstance(command, CancelOrder):
            return [CancelFailed(command.symbol, command.client_order_id, self.now_ns, code, text)]
        if isinstance(command, CancelList):
            return [CancelFailed(command.symbol, command.list_client_order_id, self.now_ns, code, text)]
        if isinstance(command, ReplaceOrder):
            # -2021: the old order is gone, the new one was refused
            key = OrderKey(symbol=command.ticket.symbol, client_order_id=command.cancel_client_order_id)
            try:
                self.venue.exchange.cancel(ACCOUNT, key, only="NEW")
            except VenueReject:  # both halves fail
                return self.venue.execute(command)
            return [*self.venue.drain(), self._rejected(command.ticket, code, text)]
        ticket = command.order.ticket
        legs = (
            [ticket]
            if not isinstance(ticket, ListTicket)
            else [*([ticket.working] if ticket.working else []), *ticket.pending]
        )
        return [self._rejected(leg, code, text) for leg in legs]

    def _rejected(self, ticket, code, text):
        return OrderReport(
            ticket.symbol,
            ticket.client_order_id,
            self.now_ns,
            OrderState.REJECTED,
            ticket.side,
            quantity_lots=ticket.quantity_lots,
            code=code,
            text=text,
        )

    def _absent(self, query):
        return OrderReport(
            query.symbol, query.client_order_id, self.now_ns, OrderState.REJECTED, Side.SELL, code=-2013
        )


def changed(**fields):
    """The usual instrument with other filters."""
    return {SYMBOL: msgspec.structs.replace(instrument(), **fields)}


def with_fees_in_bnb(instruments, ticks=60_000, **coins_e8):
    """A world whose commissions are paid in BNB: a little more is bought than a list without OPO is made for."""
    bnb = Instrument("BNBUSDT", "BNB", "USDT", 10**6, 10**5)
    world = World({**instruments, "BNBUSDT": bnb}, balances={"USDT": 10**13, **coins_e8})
    world.venue.exchange._desk.accounts[ACCOUNT].pays_in_bnb = True
    world.venue.print("BNBUSDT", ticks, world.now_ns, jump=True)
    return world
