"""What we send is never refused for precision, step, tick or notional, whatever the filters are."""

import random
from decimal import Decimal

import msgspec
import pytest

from bnml.core.commands import Submit
from bnml.core.instrument import E8, Instrument
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side, TimeInForce
from bnml.trading.entries import EntryPlan, fit, submit_entry
from bnml.trading.orders import OrderBook
from bnml.trading.outbox import Outbox
from bnml.trading.risk.sizing import Capital, size_entry, split
from bnml.venues.binance.codec import instrument_of
from bnml.venues.binance.requests import request_of
from bnml.venues.binance.wire import SymbolInfo
from bnml.venues.sim.filters import check_amounts, check_parameters
from bnml.venues.sim.messages import VenueReject
from bnml.venues.sim.params import Params
from bnml.venues.sim.params_orders import read_order
from bnml.venues.sim.payloads_filters import symbol_filters
from bnml.venues.sim.rules import SymbolRules
from tests.trading.kit import config

CONFIG = config()
RULES = SymbolRules(band_by_side=None)
KINDS = (
    (OrderType.LIMIT, TimeInForce.FOK),
    (OrderType.LIMIT_MAKER, None),
    (OrderType.MARKET, None),
    (OrderType.STOP_LOSS, None),
    (OrderType.STOP_LOSS_LIMIT, TimeInForce.GTC),
)


def drawn_filters(draw):
    """Filters as odd as a venue may make them: also ticks and steps that are no powers of ten."""
    tick = draw.choice([1, 2, 5, 25]) * 10 ** draw.randrange(8)
    lot = draw.choice([1, 2, 5]) * 10 ** draw.randrange(9)
    least = draw.randrange(1, 1000)
    return Instrument(
        "ABUSDT",
        "AB",
        "USDT",
        tick_e8=tick,
        lot_e8=lot,
        min_lots=least,
        max_lots=least + 10 ** draw.randrange(1, 9),
        market_max_lots=least + 10 ** draw.randrange(1, 9),
        min_ticks=draw.randrange(1, 100),
        max_ticks=10 ** draw.randrange(3, 9),
        min_notional_e8=draw.choice([1, 5, 10, 100]) * E8,
        max_notional_e8=10 ** draw.randrange(10, 18),
    )


def read_back(true):
    """The filters as we read them from exchangeInfo."""
    rows = [{key: str(value) for key, value in row.items()} for row in symbol_filters(true, RULES)]
    return instrument_of(
        SymbolInfo("ABUSDT", "TRADING", "AB", "USDT", filters=rows, order_types=["STOP_LOSS"])
    )


def wanted(draw, ours):
    """A ticket for any price and quantity, cut to what we know of the symbol; None where the engine would not send."""
    kind, tif = draw.choice(KINDS)
    price = Decimal(str(10 ** draw.uniform(-6, 6))).quantize(Decimal("1e-12"))
    quantity = Decimal(str(10 ** draw.uniform(-6, 6))).quantize(Decimal("1e-12"))
    ticks = min(ours.price_ticks(price, draw.choice(["down", "up"])), ours.max_ticks)
    most = min(ours.max_lots, ours.market_max_lots)
    lots = min(ours.quantity_lots(quantity, "down"), most)
    value = ours.notional_e8(ticks, lots)
    if (
        lots < ours.min_lots
        or ticks < ours.min_ticks
        or not ours.min_notional_e8 <= value <= ours.max_notional_e8
    ):
        return None, ticks
    is_stop = kind in {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
    has_price = kind in {OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.STOP_LOSS_LIMIT}
    limit, trigger = ticks if has_price else 0, ticks if is_stop else 0
    side = Side.SELL if is_stop else draw.choice(list(Side))
    return OrderTicket("ABUSDT", "id", side, kind, lots, limit, trigger, tif), ticks


def refusals(seed, count):
    """(sent, what the exchange's own filters said) of so many random triples."""
    draw, sent, said = random.Random(seed), 0, []
    for number in range(count):
        if number % 20 == 0:
            true = drawn_filters(draw)
            ours = read_back(true)
        ticket, ticks = wanted(draw, ours)
        if ticket is None:
            continue
        params = request_of(Submit(ApprovedOrder(ticket, "")), {"ABUSDT": ours}).params
        values = {key: value for key, value in params.items() if key != "symbol"}
        sent += 1
        try:
            asked = read_order(Params(values), "ABUSDT")
            check_parameters(asked)
            check_amounts(asked, true, RULES, {0: ticks})
        except VenueReject as refusal:
            said.append((refusal.code, refusal.text, params))
    return sent, said


@pytest.mark.parametrize("count", [5_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_f26_no_random_price_quantity_and_filter_is_refused_for_its_form(count):
    sent, said = refusals(7, count)
    assert said == []
    assert sent > count // 20


def test_a_price_off_the_tick_would_be_refused(monkeypatch):
    monkeypatch.setattr(
        Instrument, "price_text", lambda self, ticks: f"{ticks * self.tick_e8 / 1e8 * 1.0001:.9f}"
    )
    assert {code for code, _, _ in refusals(7, 2_000)[1]} <= {-1013, -1111, -1100}
    assert refusals(7, 2_000)[1]


def test_the_filters_we_read_are_those_that_hold():
    draw = random.Random(3)
    for _ in range(200):
        true = drawn_filters(draw)
        ours = read_back(true)
        names = ("tick_e8", "lot_e8", "min_lots", "max_lots", "min_ticks", "max_ticks", "min_notional_e8")
        assert [getattr(ours, name) for name in names] == [getattr(true, name) for name in names]


def test_what_is_read_is_json():
    assert msgspec.json.encode(symbol_filters(drawn_filters(random.Random(1)), RULES))


def entries(seed, count):
    """(sent, refusals) of whole entries, sized by the engine for random prices, money and filters, with all their legs."""
    draw, sent, said = random.Random(seed), 0, []
    for number in range(count):
        if number % 10 == 0:
            true = msgspec.structs.replace(drawn_filters(draw), stop_loss_allowed=draw.random() < 0.5)
            ours = msgspec.structs.replace(read_back(true), stop_loss_allowed=true.stop_loss_allowed)
            kind = {"oto_allowed": draw.random() < 0.7, "opo_allowed": draw.random() < 0.5}
            ours = msgspec.structs.replace(ours, **kind)
        close = round(10 ** draw.uniform(2, 7))
        if not 2 * ours.min_ticks < close < ours.max_ticks // 2:
            continue
        money = round(10 ** draw.uniform(0, 6) * E8)
        capital = Capital(money * 10, money * 10, money * 10, 0, 0)
        sized = size_entry(close, draw.uniform(0.002, 0.05), ours, capital, CONFIG)
        if sized.lots < sized.minimum_lots:
            continue
        tranches = fit(split(sized, ours, CONFIG), ours, OrderBook())
        plan = EntryPlan(
            "ABUSDT",
            sized.cap_ticks,
            sized.stop_ticks,
            3,
            tranches,
            int(CONFIG.costs[0]["taker_ppm"]),
            is_alone=True,
        )
        out = Outbox(CONFIG.ids, number)
        submit_entry(plan, ours, OrderBook(), out)
        for ticket in (one for command in out.commands for one in legs(command.order.ticket)):
            sent += 1
            params = request_of(Submit(ApprovedOrder(ticket, "")), {"ABUSDT": ours}).params
            try:
                asked = read_order(Params({k: v for k, v in params.items() if k != "symbol"}), "ABUSDT")
                check_parameters(asked)
                check_amounts(asked, true, RULES, {0: close})
            except VenueReject as refusal:
                said.append((refusal.code, refusal.text, params))
    return sent, said


def legs(ticket):
    """Each order of a request; the legs of a list that the venue sizes get what is sure to be paid out."""
    if isinstance(ticket, OrderTicket):
        return [ticket]
    lots = ticket.working.quantity_lots
    net = lots - -(-lots * int(CONFIG.costs[0]["taker_ppm"]) // 1_000_000)
    sized = [
        msgspec.structs.replace(one, quantity_lots=min(one.quantity_lots, net)) for one in ticket.pending
    ]
    return [ticket.working, *sized]


@pytest.mark.parametrize("count", [1_000, pytest.param(60_000, marks=pytest.mark.long)])
def test_f26_no_entry_that_the_engine_sizes_is_refused_for_its_form(count):
    sent, said = entries(11, count)
    assert said == []
    assert sent > count // 2
