"""How long something held had no resting stop, from the exchange's own ledger; deaths of the daemon apart."""

from bisect import bisect_right
from collections import Counter
from typing import NamedTuple

from bnml.core.orders import OrderType, Side
from bnml.drill.cover import PROMISE_S, Window, judge
from bnml.venues.sim.inprocess import ACCOUNT

STOPS = {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT}
FINAL = {"FILLED", "CANCELED", "EXPIRED", "REJECTED", "EXPIRED_IN_MATCH"}
LONG_S = PROMISE_S
_AT = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0))


class Spell(NamedTuple):
    """Something of `symbol` lay bare from one moment of the exchange's time to another; open ones end with the ledger."""

    symbol: str
    since_ns: int
    until_ns: int

    def seconds(self, speed):
        """Of wall time."""
        return (self.until_ns - self.since_ns) / 1e9 / speed


def spells(exchange, end_ns):
    """Every time that more was held than stops rested for, and the rest was worth an order."""
    found = []
    for symbol, instrument in exchange.instruments.items():
        price = max(1, exchange.market[symbol].state.last_ticks)
        least = instrument.min_notional_e8 * 4 // max(1, instrument.notional_e8(price, 1))
        bare, since_ns = 0, 0
        for ts_ns, lots in sorted(_moves(exchange.read, symbol, instrument).items()):
            bare += lots
            if bare > least and not since_ns:
                since_ns = ts_ns
            elif bare <= least and since_ns:
                found.append(Spell(symbol, since_ns, ts_ns))
                since_ns = 0
        if since_ns:
            found.append(Spell(symbol, since_ns, end_ns))
    return found


def _moves(read, symbol, instrument):
    """By moment, how many lots lost their stop (or were bought without one); negative where they got one or were sold."""
    moves = Counter()
    for trade in read.trades(ACCOUNT, symbol, limit=100_000):
        lots = trade.quantity_lots if trade.is_buyer else -trade.quantity_lots
        if trade.commission_asset == instrument.base:
            lots -= -(-trade.commission_e8 // instrument.lot_e8)
        moves[trade.ts_ns] += lots
    orders = read.all_orders(ACCOUNT, symbol, limit=100_000)
    entries = {order.list_id: order for order in orders if order.side is Side.BUY and order.list_id >= 0}
    for order in orders:
        entry = entries.get(order.list_id)
        sleeps = entry is not None and not entry.executed_lots
        if order.side is Side.SELL and order.type in STOPS and order.status != "REJECTED" and not sleeps:
            moves[order.created_ns if entry is None else entry.updated_ns] -= order.quantity_lots
            if order.status in FINAL:
                moves[order.updated_ns] += order.quantity_lots
    return moves


def table(found, deaths_ns, speed):
    """Shares of the spells in which the daemon lived, and of those in which it died."""
    rows = [(one, sum(one.since_ns < at <= one.until_ns for at in deaths_ns)) for one in found]
    return {
        "alive": _shares([one.seconds(speed) for one, deaths in rows if not deaths]),
        "killed in it": _shares([one.seconds(speed) for one, deaths in rows if deaths]),
    }


def dead_times(deaths_ns, words_ns):
    """As the drills excuse them: from each death to the next word that any daemon says of itself."""
    words_ns = sorted(words_ns)
    for death_ns in deaths_ns:
        place = bisect_right(words_ns, death_ns)
        if place < len(words_ns):
            yield Window(death_ns, words_ns[place], "the daemon was dead")


def long_ones(found, windows, speed):
    """The spells that were longer than is promised: what of each nobody could help, and the longest part of the rest."""
    return [
        {
            "symbol": one.spell.symbol,
            "seconds": round(one.spell.seconds(speed), 3),
            "unexcused": round(one.seconds, 3),
            "because": list(one.reasons),
        }
        for one in (judge(each, windows, speed) for each in found)
        if one.spell.seconds(speed) > LONG_S
    ]


def _shares(seconds):
    ordered = sorted(seconds)
    named = {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * at))], 3) for name, at in _AT if ordered
    }
    return {"times": len(ordered), **named}
