"""Brings the venue's truth to the engine: orders of ours by id, missed fills as ordinary reports, balances."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bnml.app.abreast import abreast
from bnml.app.accounting import compare_balances
from bnml.app.logs import logger
from bnml.app.patience import patiently
from bnml.app.recovering import hold_for_vanished
from bnml.core.errors import RecoveryNeeded, Retryable
from bnml.core.events import Balances, OrderReport, Timer
from bnml.core.instrument import DELISTED
from bnml.core.orders import FINAL_STATES, OrderState, Side
from bnml.trading.engine import RECONCILE
from bnml.trading.orders import Order, OrderBook, Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bnml.core.events import Adoption, Event
    from bnml.trading.engine import Engine
    from bnml.venues.binance.venue import BinanceVenue
    from bnml.venues.binance.wire import OrderAnswer

SECOND_LOOK_S = 1.0
BETWEEN_READS_S = 0.1
MOST_READS = 20  # of orders and balances, until two say the same: what is held waits for its protection
LAG_PAUSES_S = (0.5, 1.0, 2.5)  # what is read may lag behind by up to 4 s


class Truth(msgspec.Struct):
    """What the start found at the venue; `absent` are orders that it did not know then (see `prove_absence`)."""

    balances: Balances
    missed_reports: int
    absent: list[Order]
    difference_e8: dict[str, int]


async def bring_truth(
    venue: BinanceVenue,
    engine: Engine,
    feed: Callable[[Event], None],
    now_ns: int,
    find_adoptions: Callable[[], Awaitable[list[Adoption]]],
    *,
    is_compared_again: bool = False,
    is_same_account: bool = False,
) -> Truth:
    """Feed what the venue knows of our orders and balances, then let protection look at everything that is held.

    Balances are read from a place that lags behind what is true, and orders from others. So what an account has less
    than the ledger of an earlier session is left to the accountant where it `is_compared_again`, which takes as long
    as the places may lag; what is held does not wait for that. Coins that it has more count at once: beside those of
    others less is done.

    An order that the venue had confirmed and does not show any more is over where it `is_same_account`: the venue
    shows others that the journal knows. Entries then wait for the operator. Else the start is refused, by RecoveryNeeded.
    """
    count, seen = 0, None
    before = set(engine.book.orders)  # what the looks themselves lead to is no request of the last process
    ledger = engine.state.ledger
    is_left = is_compared_again and bool(ledger.totals)
    for _ in range(MOST_READS):
        missed = await missed_reports(venue, engine.book, is_same_account=is_same_account)
        missed.absent = [order for order in missed.absent if order.client_order_id in before]
        count += len(missed.reports)
        for event in _in_order(missed.reports, await find_adoptions()):
            feed(event)
        hold_for_vanished(feed, now_ns, missed.vanished)  # first: who dies in between has not forgotten it
        for order in missed.vanished:
            feed(_gone(order, now_ns))
        balances = msgspec.structs.replace(await patiently(venue.balances), ts_ns=now_ns)
        difference_e8 = compare_balances(dict(ledger.totals), balances)
        # A fill between the two reads is in the balances only; the next pair of reads has it in both. An account
        # in which others trade all the time never stands still: the accountant settles what is left then.
        if not difference_e8 or difference_e8 == seen:
            break
        seen = difference_e8
        await asyncio.sleep(BETWEEN_READS_S)
    most_e8 = {asset: engine.portfolio.most_e8(asset) for asset in {*ledger.totals, *ledger.strange}}
    feed(_with_more(most_e8, ledger.quote, balances) if is_left else balances)
    for order in missed.absent:
        if order.side is Side.SELL and not left_with_purchase(order, engine.book):
            feed(_in_doubt(order, now_ns))
    if engine.portfolio.positions:
        feed(Timer(RECONCILE, now_ns))  # protection looks at all that is held, whatever happened meanwhile
    return Truth(balances, count, missed.absent, difference_e8)


def _with_more(totals_e8: Mapping[str, int], quote: str, balances: Balances) -> Balances:
    """The ledger's balances, what it was told of beyond them included, with what the account has more of any coins."""
    shown_e8 = {asset: sum(both) for asset, both in balances.assets.items() if asset != quote}
    most_e8 = {
        asset: max(totals_e8.get(asset, 0), shown_e8.get(asset, 0)) for asset in {**totals_e8, **shown_e8}
    }
    return msgspec.structs.replace(balances, assets={asset: (most_e8[asset], 0) for asset in sorted(most_e8)})


def _in_doubt(order: Order, now_ns: int) -> OrderReport:
    """Of an order that may still be on its way from the process before: others for its coins need not wait for that."""
    return OrderReport(
        order.symbol, order.client_order_id, now_ns, OrderState.UNKNOWN, order.side, text="not shown"
    )


def _gone(order: Order, now_ns: int) -> OrderReport:
    """Of an order that the venue has lost: its coins are protected anew, by what the account has."""
    return OrderReport(
        order.symbol, order.client_order_id, now_ns, OrderState.EXPIRED, order.side, text="not known any more"
    )


def _in_order(reports: Sequence[OrderReport], adoptions: Sequence[Adoption]) -> list[Event]:
    """Reports by time; those of a symbol with strangers belong to their adoption."""
    symbols = {adoption.symbol for adoption in adoptions}
    known = {name: tuple(one for one in reports if one.symbol == name) for name in symbols}
    return [
        *(msgspec.structs.replace(adoption, known=known[adoption.symbol]) for adoption in adoptions),
        *(report for report in reports if report.symbol not in symbols),
    ]


class Missed(msgspec.Struct):
    """What the venue says of orders that are not settled for us: `reports` of those that it knows, and the others.

    Of these `absent` may never have arrived, and `vanished` had.
    """

    reports: list[OrderReport]
    absent: list[Order]
    vanished: list[Order]


def asked_for(venue: BinanceVenue, book: OrderBook) -> list[Order]:
    """Orders of which more is to be told; nobody answers for those of a delisted symbol, which are parked with their position."""
    return [order for order in book.unsettled() if venue.instruments[order.symbol].status != DELISTED]


async def missed_reports(venue: BinanceVenue, book: OrderBook, *, is_same_account: bool = False) -> Missed:
    """Read every order that is not settled, side by side.

    What is bare waits for this: one after the other, a few dozen took longer than a start may. RecoveryNeeded where
    the venue knows nothing that it had confirmed: another account, another exchange, or one that was begun anew.
    """
    missed = Missed([], [], [])
    asked = [(order, _was_confirmed(order, book)) for order in asked_for(venue, book)]
    told = await abreast(*(_reports_of(venue, order, LAG_PAUSES_S if sure else ()) for order, sure in asked))
    for (order, is_confirmed), reports in zip(asked, told, strict=True):
        if reports:
            missed.reports += reports
        elif is_confirmed:
            missed.vanished.append(order)
        else:
            missed.absent.append(order)
    if missed.vanished:
        await _prove_vanished(venue, missed.vanished, is_same_account=is_same_account or bool(missed.reports))
    missed.reports.sort(key=lambda report: (report.ts_ns, report.trade_id))
    return missed


async def _prove_vanished(venue: BinanceVenue, orders: Sequence[Order], *, is_same_account: bool) -> None:
    """The venue has lost these, and other reads bear that out; else what the start is to be refused with."""
    first = orders[0]
    if not is_same_account:
        raise RecoveryNeeded(
            f"the venue does not know order {first.client_order_id} of {first.symbol}, which it had confirmed, nor any "
            "other of ours; the account is another one, or the exchange's ledger was replaced"
        )
    for order in orders:
        if not await patiently(partial(venue.shows_none_of, order.symbol, {order.client_order_id})):
            raise Retryable(
                f"the venue does not know order {order.client_order_id} of {order.symbol} when it is asked for it, and "
                "other lists show it, or a trade whose order they lack; it is not ready, start again, or where "
                "that lasts let `bnml recover --rebuild` set the journal aside: the books then come from the venue"
            )


async def _reports_of(venue: BinanceVenue, order: Order, pauses_s: Sequence[float]) -> list[OrderReport]:
    """What the venue says of an order; one that must be there is looked for again after each pause."""
    reports = await patiently(partial(venue.order_reports, order.symbol, order.client_order_id))
    for pause_s in pauses_s:
        if reports:
            break
        await asyncio.sleep(pause_s)
        reports = await patiently(partial(venue.order_reports, order.symbol, order.client_order_id))
    return reports


async def prove_absence(
    venue: BinanceVenue, orders: Sequence[Order], now_ns: Callable[[], int]
) -> list[Event]:
    """The truth of orders that the venue did not know at the start, read when no request can be under way any more.

    The caller waits until the receive window has passed since this process began: what the process before
    had sent has arrived by then, or is refused. Read side by side: some of what is held may wait for it.
    """
    asked = [order for order in orders if not order.is_final]
    told = await abreast(*(_shown(venue, one) for one in asked))
    found: list[Event] = []
    for order, reports in zip(asked, told, strict=True):
        if not order.is_final:
            found += reports or [never_arrived(order, now_ns())]
    return found


async def _shown(venue: BinanceVenue, order: Order) -> list[OrderReport]:
    """What the venue shows of an order; nothing only once open orders, all orders and trades agree, as far as they ever do."""
    symbol, name = order.symbol, order.client_order_id
    reports: list[OrderReport] = []
    for pause_s in (0.0, *LAG_PAUSES_S):
        await asyncio.sleep(pause_s)
        reports = await patiently(partial(venue.order_reports, symbol, name))
        if reports:
            break
        is_agreed = await patiently(partial(venue.shows_none_of, symbol, {name}))
        if is_agreed:
            break
    return reports


def left_with_purchase(order: Order, book: OrderBook) -> bool:
    """Whether it is a purchase or a leg of one: they left in one request, which can arrive for as long as a purchase can."""
    request = book.of_list(order.list_id) if order.list_id else (order,)
    return any(one.side is Side.BUY for one in request)


def _was_confirmed(order: Order, book: OrderBook) -> bool:
    """Legs of a list sleep from the start for us; that they exist is known with the order that wakes them."""
    if order.state in {OrderState.PENDING, OrderState.UNKNOWN}:
        return False
    workings = (
        [one for one in book.of_list(order.list_id) if one.role is Role.WORKING] if order.list_id else []
    )
    if order.state is not OrderState.SLEEPING or not workings:
        return True
    return workings[0].state not in {OrderState.PENDING, OrderState.UNKNOWN, OrderState.REJECTED}


async def recheck(
    venue: BinanceVenue, engine: Engine, see: Callable[[list[OrderAnswer]], None] | None = None
) -> list[Event]:
    """The periodic comparison with the venue; returns the reports that never reached us.

    `see` is shown what is open in the account, whoever placed it.
    What differs at first sight is usually only on its way, so it is looked at again after a pause.
    """
    log = logger()
    standing = await venue.open_orders()
    if see is not None:
        see(standing)
    shown = {order.client_order_id for order in standing}
    suspects = [order for order in asked_for(venue, engine.book) if order.client_order_id not in shown]
    if suspects:
        await asyncio.sleep(SECOND_LOOK_S)
    returned = [engine.book.get(name) for name in shown]
    presumed = [one for one in returned if one is not None and one.is_presumed]  # counted as never there
    suspects = [one for one in suspects if not one.is_settled]
    asked = [*presumed, *suspects]
    told = await abreast(*(venue.order_reports(one.symbol, one.client_order_id) for one in asked))
    events: list[Event] = [one for reports in told[: len(presumed)] for one in reports]
    for order, reports in zip(suspects, told[len(presumed) :], strict=True):
        if reports and reports[-1].state in FINAL_STATES and not order.is_settled:
            log.warning(
                "report_missed",
                client_order_id=order.client_order_id,
                state=reports[-1].state,
                note="it is counted now",
            )
            events += reports
    return events


def never_arrived(order: Order, now_ns: int) -> OrderReport:
    """An order that the venue certainly never got."""
    return OrderReport(
        order.symbol,
        order.client_order_id,
        now_ns,
        OrderState.REJECTED,
        order.side,
        text="never arrived at the venue",
    )
