"""The steps of a rehearsal: the life of each kind of order that the daemon sends, and the refusals that it knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from bnml.core.commands import CancelList, CancelOrder, QueryOrder, ReplaceOrder
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.rehearsal.desk import PREFIX, REST, SOCKET, Desk
from bnml.rehearsal.ending import lots_of_ours

if TYPE_CHECKING:
    from bnml.core.orders import ListTicket, OrderTicket

Play = Callable[[Desk], Awaitable[None]]
AWAY_PERCENT: Final = 7  # of prices that must not be met, and well inside the price bands
COVER_PERCENT: Final = 140  # of the least notional, so that legs below the market have it, too


class Step(msgspec.Struct, frozen=True):
    """`needs` says whether the symbol offers what is played."""

    name: str
    play: Play
    needs: Callable[[Desk], bool] = lambda _desk: True


def least_lots(desk: Desk, price: int) -> int:
    """The smallest size that every leg of a rehearsal may have."""
    one = desk.instrument
    wanted_e8 = one.min_notional_e8 * COVER_PERCENT // 100
    by_notional = -(-wanted_e8 // max(1, one.notional_e8(price, 1)))
    return max(by_notional, one.min_lots * 2)


def with_commission(lots: int) -> int:
    """What to buy so that so much is left of it when the commission is taken in base."""
    return lots + lots // 100 + 1


def off(price: int, percent: int) -> int:
    """A price so many per cent away."""
    return price * (100 + percent) // 100


# ---- what is read


async def clock(desk: Desk) -> None:
    """What the venue's clock says."""
    await desk.ask("GET", "/api/v3/time", {}, signed=False)


async def rules(desk: Desk) -> None:
    """Filters and permissions of the symbol."""
    await desk.ask("GET", "/api/v3/exchangeInfo", {"symbol": desk.symbol}, signed=False)


async def market_data(desk: Desk) -> None:
    """What a start reads of the market."""
    for path, params in (
        ("/api/v3/klines", {"interval": "1m", "limit": "3"}),
        ("/api/v3/depth", {"limit": "20"}),
        ("/api/v3/ticker/24hr", {}),
        ("/api/v3/ticker/bookTicker", {}),
    ):
        await desk.ask("GET", path, {"symbol": desk.symbol, **params}, signed=False)


async def account(desk: Desk) -> None:
    """Balances, and how many orders the account has used."""
    await desk.ask("GET", "/api/v3/account", {"omitZeroBalances": "true"})
    await desk.ask("GET", "/api/v3/rateLimit/order", {})


async def subscribe(desk: Desk) -> None:
    """User events come on this connection from here on."""
    await desk.call("userDataStream.subscribe.signature", {}, order=False)


async def no_symbol(desk: Desk) -> None:
    """-1121, unsigned."""
    await desk.ask("GET", "/api/v3/klines", {"symbol": "NOSUCHUSDT", "interval": "1m"}, signed=False)


# ---- orders that rest


async def _resting(desk: Desk, more: int = 0) -> OrderTicket:
    """A maker's order below the market."""
    bid, _ = await desk.best()
    price = off(bid, -AWAY_PERCENT)
    ticket = desk.order(Side.BUY, OrderType.LIMIT_MAKER, least_lots(desk, price) + more, price=price)
    await desk.submit(ticket)
    return ticket


async def rest_and_cancel(desk: Desk) -> None:
    """The life of an order that nobody meets."""
    ticket = await _resting(desk)
    await desk.send(QueryOrder(desk.symbol, ticket.client_order_id))
    await desk.ask("GET", "/api/v3/openOrders", {"symbol": desk.symbol})
    await desk.send(CancelOrder(desk.symbol, ticket.client_order_id, PREFIX))
    await desk.ask("GET", "/api/v3/openOrders", {"symbol": desk.symbol})


async def amend(desk: Desk) -> None:
    """Fewer of it, at the same place in the queue."""
    ticket, name = await _resting(desk, more=1), desk.name()
    params = {
        "symbol": desk.symbol,
        "origClientOrderId": ticket.client_order_id,
        "newQty": desk.instrument.quantity_text(ticket.quantity_lots - 1),
        "newClientOrderId": name,  # else the venue makes one, which nobody would know for ours
    }
    if desk.transport == SOCKET:
        await desk.call("order.amend.keepPriority", params)
    else:
        await desk.ask("PUT", "/api/v3/order/amend/keepPriority", params)
    await desk.send(CancelOrder(desk.symbol, name, PREFIX))


async def replace(desk: Desk) -> None:
    """One request, one order for another."""
    old = await _resting(desk)
    new = msgspec.structs.replace(old, client_order_id=desk.name(), price_ticks=old.price_ticks - 1)
    await desk.send(ReplaceOrder(old.client_order_id, new, PREFIX))
    await desk.send(CancelOrder(desk.symbol, new.client_order_id, PREFIX))


async def replace_half(desk: Desk) -> None:
    """The old order goes, its successor is refused by the book."""
    old = await _resting(desk)
    _, ask = await desk.best()
    taker = msgspec.structs.replace(old, client_order_id=desk.name(), price_ticks=off(ask, 1))
    await desk.send(ReplaceOrder(old.client_order_id, taker, PREFIX))


async def replace_filtered(desk: Desk) -> None:
    """Filters are looked at before anything is cancelled: the old order stays."""
    old = await _resting(desk)
    tiny = msgspec.structs.replace(old, client_order_id=desk.name(), quantity_lots=desk.instrument.min_lots)
    await desk.send(ReplaceOrder(old.client_order_id, tiny, PREFIX))
    await desk.send(CancelOrder(desk.symbol, old.client_order_id, PREFIX))


async def replace_nothing(desk: Desk) -> None:
    """There is no old order, so that no new one comes."""
    bid, _ = await desk.best()
    price = off(bid, -AWAY_PERCENT)
    new = desk.order(Side.BUY, OrderType.LIMIT_MAKER, least_lots(desk, price), price=price)
    await desk.send(ReplaceOrder(desk.name(), new, PREFIX))


async def duplicate(desk: Desk) -> None:
    """-2010: an id that rests already."""
    ticket = await _resting(desk)
    await desk.submit(ticket)
    await desk.send(CancelOrder(desk.symbol, ticket.client_order_id, PREFIX))


async def _expiring(desk: Desk, force: TimeInForce) -> None:
    bid, _ = await desk.best()
    price = off(bid, -AWAY_PERCENT)
    await desk.submit(
        desk.order(Side.BUY, OrderType.LIMIT, least_lots(desk, price), price=price, force=force)
    )


async def ioc(desk: Desk) -> None:
    """Immediate or cancel."""
    await _expiring(desk, TimeInForce.IOC)


async def fok(desk: Desk) -> None:
    """Fill or kill."""
    await _expiring(desk, TimeInForce.FOK)


# ---- what is bought, protected and sold


async def market_buy(desk: Desk) -> None:
    """What it cost, in three pictures."""
    bid, _ = await desk.best()
    lots = with_commission(least_lots(desk, off(bid, -AWAY_PERCENT)))
    ticket = desk.order(Side.BUY, OrderType.MARKET, lots)
    await desk.submit(ticket)
    await desk.send(QueryOrder(desk.symbol, ticket.client_order_id))
    await desk.ask("GET", "/api/v3/myTrades", {"symbol": desk.symbol, "limit": "5"})


async def market_sell(desk: Desk) -> None:
    """Everything that this rehearsal has bought, to the last lot."""
    lots = await lots_of_ours(desk)
    await desk.submit(desk.order(Side.SELL, OrderType.MARKET, lots))


def _stop(desk: Desk, lots: int, bid: int) -> OrderTicket:
    """As the daemon protects: a market stop where the symbol has it."""
    level = off(bid, -AWAY_PERCENT)
    if desk.instrument.stop_loss_allowed:
        return desk.order(Side.SELL, OrderType.STOP_LOSS, lots, stop=level)
    return _stop_limit(desk, lots, bid)


def _stop_limit(desk: Desk, lots: int, bid: int) -> OrderTicket:
    level = off(bid, -AWAY_PERCENT)
    return desk.order(
        Side.SELL,
        OrderType.STOP_LOSS_LIMIT,
        lots,
        price=off(level, -3),
        stop=level,
        force=TimeInForce.GTC,
    )


def _target(desk: Desk, lots: int, ask: int) -> OrderTicket:
    return desk.order(Side.SELL, OrderType.LIMIT_MAKER, lots, price=off(ask, AWAY_PERCENT))


async def stop(desk: Desk) -> None:
    """Rests, is moved as the daemon moves a runner's stop, and goes."""
    bid, _ = await desk.best()
    lots = least_lots(desk, off(bid, -AWAY_PERCENT - 3))
    old = _stop(desk, lots, bid)
    await desk.submit(old)
    new = msgspec.structs.replace(old, client_order_id=desk.name(), stop_price_ticks=old.stop_price_ticks + 1)
    await desk.send(ReplaceOrder(old.client_order_id, new, PREFIX))
    await desk.send(CancelOrder(desk.symbol, new.client_order_id, PREFIX))


async def stop_limit(desk: Desk) -> None:
    """The stop of symbols without market stops."""
    bid, _ = await desk.best()
    ticket = _stop_limit(desk, least_lots(desk, off(bid, -AWAY_PERCENT - 3)), bid)
    await desk.submit(ticket)
    await desk.send(CancelOrder(desk.symbol, ticket.client_order_id, PREFIX))


async def _resting_pair(desk: Desk) -> ListTicket:
    """Target and stop of what is held, both resting."""
    bid, ask = await desk.best()
    lots = least_lots(desk, off(bid, -AWAY_PERCENT))
    pair = desk.order_list(ListKind.OCO, None, _target(desk, lots, ask), _stop(desk, lots, bid))
    await desk.submit(pair)
    return pair


async def oco(desk: Desk) -> None:
    """Target and stop of what is held."""
    pair = await _resting_pair(desk)
    await desk.ask("GET", "/api/v3/orderList", {"origClientOrderId": pair.list_client_order_id})
    await desk.ask("GET", "/api/v3/openOrderList", {})
    await desk.send(CancelList(desk.symbol, pair.list_client_order_id, PREFIX))


async def oco_leg(desk: Desk) -> None:
    """A leg that is cancelled takes its list with it."""
    pair = await _resting_pair(desk)
    await desk.send(CancelOrder(desk.symbol, pair.pending[1].client_order_id, PREFIX))


async def _entry(desk: Desk, kind: ListKind, *, is_met: bool) -> None:
    """Entry and protection in one request, as the daemon enters."""
    bid, ask = await desk.best()
    lots = least_lots(desk, off(bid, -AWAY_PERCENT))
    cap = off(ask, 1) if is_met else off(bid, -AWAY_PERCENT)
    bought = with_commission(lots)
    working = desk.order(Side.BUY, OrderType.LIMIT, bought, price=cap, force=TimeInForce.FOK)
    above, below = _target(desk, lots, ask), _stop(desk, lots, off(bid, 0 if is_met else -AWAY_PERCENT))
    legs = (above, below) if kind in {ListKind.OTOCO, ListKind.OPOCO} else (below,)
    entry = desk.order_list(kind, working, *legs)
    await desk.submit(entry)
    if is_met:
        await desk.ask("GET", "/api/v3/orderList", {"origClientOrderId": entry.list_client_order_id})
        await desk.send(QueryOrder(desk.symbol, below.client_order_id))
        await desk.send(CancelList(desk.symbol, entry.list_client_order_id, PREFIX))


async def otoco(desk: Desk) -> None:
    """A tranche with target and stop."""
    await _entry(desk, ListKind.OTOCO, is_met=True)


async def otoco_missed(desk: Desk) -> None:
    """An entry that was too late: nothing remains of its legs."""
    await _entry(desk, ListKind.OTOCO, is_met=False)


async def oto(desk: Desk) -> None:
    """A runner with its stop."""
    await _entry(desk, ListKind.OTO, is_met=True)


async def opoco(desk: Desk) -> None:
    """A tranche whose legs the venue sizes."""
    await _entry(desk, ListKind.OPOCO, is_met=True)


async def opo(desk: Desk) -> None:
    """A runner whose stop the venue sizes."""
    await _entry(desk, ListKind.OPO, is_met=True)


def _replaces(desk: Desk) -> bool:
    return desk.instrument.cancel_replace_allowed


def _has_pairs(desk: Desk) -> bool:
    return desk.instrument.oto_allowed and desk.instrument.oco_allowed


READS: Final = (
    Step("time", clock),
    Step("rules of the symbol", rules),
    Step("market data", market_data),
    Step("account and limits", account),
    Step("subscription to user events", subscribe),
    Step("refused: unknown symbol", no_symbol),
)
LIFE: Final = (
    Step("maker order rests, is read, cancelled", rest_and_cancel),
    Step("id used twice", duplicate),
    Step("amended, keeps its place", amend, lambda desk: desk.amends),
    Step("replaced", replace, _replaces),
    Step("replaced by half: the new one is refused", replace_half, _replaces),
    Step("replaced not at all: a filter", replace_filtered, _replaces),
    Step("replacement of nothing", replace_nothing, _replaces),
    Step("IOC that meets nobody", ioc),
    Step("FOK that meets nobody", fok),
    Step("market purchase, its trades", market_buy),
    Step(
        "stop rests, is moved, cancelled",
        stop,
        lambda desk: desk.instrument.stop_loss_allowed and desk.instrument.cancel_replace_allowed,
    ),
    Step("stop-limit rests, cancelled", stop_limit),
    Step("OCO rests, is read, cancelled", oco, lambda desk: desk.instrument.oco_allowed),
    Step("OCO cancelled by a leg", oco_leg, lambda desk: desk.instrument.oco_allowed),
    Step("OTOCO bought by FOK, protected", otoco, _has_pairs),
    Step("OTOCO whose FOK meets nobody", otoco_missed, _has_pairs),
    Step("OTO bought by FOK, protected", oto, lambda desk: desk.instrument.oto_allowed),
    Step(
        "OPOCO bought by FOK, protected",
        opoco,
        lambda desk: desk.instrument.opo_allowed and desk.instrument.oco_allowed,
    ),
    Step("OPO bought by FOK, protected", opo, lambda desk: desk.instrument.opo_allowed),
)
SALE: Final = Step("market sale of what was bought", market_sell)


ROUNDS: Final = (SOCKET, REST)
