"""A bare exchange for tests: one symbol at 100.00, one account, costs that are easy to compute by hand."""

from bnml.core.instrument import E8, Instrument
from bnml.core.orders import ListKind, OrderType, Side, TimeInForce
from bnml.kernels.records import COSTS, FillTier, record
from bnml.venues.sim.exchange import Exchange
from bnml.venues.sim.market import Market
from bnml.venues.sim.messages import ExecutionReport, ListRequest, ListStatus, OrderRequest
from bnml.venues.sim.pricing import Pricing

HOUR_NS = 3600 * 10**9
T0 = 1_700_000_000 * 10**9 // HOUR_NS * HOUR_NS
SYMBOL = "BTCUSDT"
TICK, LOT = E8 // 100, E8 // 1000  # 0.01 and 0.001
INSTRUMENT = Instrument(SYMBOL, "BTC", "USDT", tick_e8=TICK, lot_e8=LOT)
ME = "main"


def costs(tier=FillTier.F0, slippage_ppm=0, spread_ppm=0, fee_ppm=1000):
    made = record(COSTS)
    made[0]["tier"] = int(tier)
    made[0]["maker_ppm"] = made[0]["taker_ppm"] = fee_ppm
    made[0]["slippage_ppm"] = slippage_ppm
    made[0]["spread_floor_ppm"] = made[0]["spread_cap_ppm"] = spread_ppm
    made[0]["volume_share_ppm"] = 100_000
    made[0]["touch_ppm"] = 500_000
    made[0]["seed"] = 7
    return made


def bench(ledger=None, instrument=INSTRUMENT, quote=100_000, base=0, price=10_000, **kind):
    """An exchange whose last price is `price` ticks."""
    exchange = Exchange(Market({SYMBOL: instrument}, HOUR_NS, Pricing(costs(**kind))), ledger=ledger)
    if exchange.open_account(ME, {"USDT": quote * E8, "BTC": base * E8}):
        exchange.print_trade(SYMBOL, price, 1, T0, jump=True)
    exchange.drain()
    return exchange


def order(type_, side=Side.BUY, lots=1000, price=0, stop=0, tif=None, client_id=""):
    if tif is None and type_ in {OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}:
        tif = TimeInForce.GTC
    return OrderRequest(
        symbol=SYMBOL,
        side=side,
        type=type_,
        quantity_e8=lots * LOT,
        price_e8=price * TICK,
        stop_price_e8=stop * TICK,
        time_in_force=tif,
        client_order_id=client_id,
    )


def limit(side, lots, price, tif=TimeInForce.GTC, client_id=""):
    return order(OrderType.LIMIT, side, lots, price, tif=tif, client_id=client_id)


def market(side, lots, client_id=""):
    return order(OrderType.MARKET, side, lots, client_id=client_id)


def target(lots, price=10_200, client_id="t"):
    return order(OrderType.LIMIT_MAKER, Side.SELL, lots, price, client_id=client_id)


def stop(lots, level=9_800, client_id="s"):
    return order(OrderType.STOP_LOSS, Side.SELL, lots, stop=level, client_id=client_id)


def order_list(kind, pending, working=None, client_id="l"):
    return ListRequest(
        symbol=SYMBOL,
        kind=ListKind(kind),
        working=working,
        pending=tuple(pending),
        list_client_order_id=client_id,
    )


def fill_or_kill(lots=1000, cap=10_050, client_id="w"):
    return limit(Side.BUY, lots, cap, TimeInForce.FOK, client_id)


def move(exchange, *prices, jump=False):
    """Print prices one after the other, a second apart; returns the events."""
    for price in prices:
        exchange.print_trade(SYMBOL, price, 1, exchange.now_ns + 10**9, jump=jump)
    return exchange.drain()


def told(events):
    """Events in short: reports as (execution, client id, status), lists and positions by name."""
    short = []
    for event in events:
        if isinstance(event, ExecutionReport):
            short.append((str(event.execution), event.order.client_order_id, str(event.order.status)))
        elif isinstance(event, ListStatus):
            short.append(("LIST", event.order_list.list_client_order_id, event.order_list.list_status))
        else:
            short.append((type(event).__name__,))
    return short
