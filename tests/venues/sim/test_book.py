"""The book against a plain twin: the same orders make the same trades, in the same order, and leave the same levels."""

import hypothesis.strategies as st
from hypothesis import given, settings

from bnml.core.orders import OrderType, Side, TimeInForce
from bnml.venues.sim.messages import OrderKey, VenueReject
from tests.twins.book_twin import BookTwin, TwinOrder
from tests.venues.sim.bench import LOT, SYMBOL, order
from tests.venues.sim.traders import NAMES, asked, exchange_of

MODES = ("NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH", "DECREMENT")
PLACE = st.tuples(
    st.sampled_from(("GTC", "GTC", "GTC", "IOC", "FOK", "MAKER", "MARKET")),
    st.sampled_from(NAMES[:2]),
    st.booleans(),
    st.integers(9_999, 10_001),
    st.integers(100, 400),
    st.sampled_from(MODES),
    st.sampled_from((0, 0, 60, 150)),
)
CANCEL = st.tuples(st.just("CANCEL"), st.integers(0, 30))
AMEND = st.tuples(st.just("AMEND"), st.integers(0, 30), st.integers(1, 99))


def request_of(kind, is_buy, price, lots, mode, iceberg):
    side = Side.BUY if is_buy else Side.SELL
    if kind == "MARKET":
        made = order(OrderType.MARKET, side, lots)
    elif kind == "MAKER":
        made = order(OrderType.LIMIT_MAKER, side, lots, price)
    else:
        made = order(OrderType.LIMIT, side, lots, price, tif=TimeInForce(kind))
    if kind in {"GTC", "MAKER"} and iceberg < lots:
        made = asked(made, iceberg_e8=iceberg * LOT)
    return asked(made, prevention=mode)


class Both:
    def __init__(self):
        self.exchange = exchange_of("F2")
        self.twin = BookTwin()
        self.owner = {}

    def place(self, kind, owner, is_buy, price, lots, mode, iceberg):
        request = request_of(kind, is_buy, price, lots, mode, iceberg)
        twin = TwinOrder(
            0, owner, is_buy, 0 if kind == "MARKET" else price, lots, mode, request.iceberg_e8 // LOT
        )
        try:
            number = self.exchange.place(owner, request).order.order_id
        except VenueReject:
            assert kind == "MAKER"
            assert not self.twin.arrive(twin, kind)
            return
        twin.number = number
        self.owner[number] = owner
        assert self.twin.arrive(twin, kind)

    def resting(self, index):
        if not self.twin.orders:
            return None
        return self.twin.orders[index % len(self.twin.orders)]

    def cancel(self, index):
        chosen = self.resting(index)
        if chosen is not None:
            self.twin.cancel(chosen.number)
            key = OrderKey(symbol=SYMBOL, order_id=chosen.number)
            self.exchange.cancel(chosen.owner, key)

    def amend(self, index, percent):
        chosen = self.resting(index)
        if chosen is None:
            return
        less = max(1, chosen.lots * percent // 100)
        key = OrderKey(symbol=SYMBOL, order_id=chosen.number)
        before = self.exchange.read.order(chosen.owner, key)
        try:
            self.exchange.amend(chosen.owner, key, (before.quantity_lots - less) * LOT)
        except VenueReject:
            return  # too small, or amended too often
        self.twin.amend(chosen.number, less)
        self.twin.orders = [one for one in self.twin.orders if one.lots]

    def compare(self):
        records = {}
        for owner in NAMES:
            for one in self.exchange.read.trades(owner, SYMBOL, limit=1000):
                records.setdefault(one.trade_id, {})[one.is_maker] = one
        made = [
            (pair[False].order_id, pair[True].order_id, pair[True].price_ticks, pair[True].quantity_lots)
            for _, pair in sorted(records.items())
        ]
        assert made == self.twin.trades
        bids, asks = self.exchange.market.overlay.displayed(SYMBOL)
        shown = {(True, price): lots for price, lots in bids.items()}
        shown |= {(False, price): lots for price, lots in asks.items()}
        assert shown == self.twin.levels()
        for one in self.twin.orders:
            view = self.exchange.read.order(one.owner, OrderKey(symbol=SYMBOL, order_id=one.number))
            assert view.quantity_lots - view.executed_lots - view.prevented_lots == one.lots


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(PLACE, PLACE, PLACE, CANCEL, AMEND), min_size=20, max_size=50))
def test_book_equals_its_twin(operations):
    both = Both()
    for kind, *arguments in operations:
        if kind == "CANCEL":
            both.cancel(*arguments)
        elif kind == "AMEND":
            both.amend(*arguments)
        else:
            both.place(kind, *arguments)
    both.compare()
