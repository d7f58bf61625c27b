"""The book in plain Python: one list of orders, searched from the beginning for everything."""

import dataclasses


@dataclasses.dataclass
class TwinOrder:
    number: int
    owner: str
    is_buy: bool
    price: int  # 0: at any price
    lots: int
    prevention: str
    iceberg: int
    shown: int = 0
    place: int = 0
    expired: int = 0  # lots taken out by prevention

    def is_before(self, other):
        better = self.price > other.price if self.is_buy else self.price < other.price
        return better or (self.price == other.price and self.place < other.place)


class BookTwin:
    def __init__(self):
        self.orders = []
        self.trades = []  # taker, maker, price, lots
        self.places = 0

    def matches(self, order):
        """The order that would be met first."""
        best = None
        for other in self.orders:
            crosses = (
                order.price == 0
                or (order.is_buy and other.price <= order.price)
                or (not order.is_buy and other.price >= order.price)
            )
            if other.is_buy != order.is_buy and crosses and (best is None or other.is_before(best)):
                best = other
        return best

    def enough(self, order):
        found = 0
        for other in self.orders:
            if other.is_buy == order.is_buy:
                continue
            if other.price > order.price if order.is_buy else other.price < order.price:
                continue
            if other.owner != order.owner or order.prevention == "NONE":
                found += other.lots
        return found >= order.lots

    def arrive(self, order, kind):
        """`kind`: GTC, IOC, FOK, MAKER or MARKET; returns whether the order was accepted."""
        if kind == "MAKER" and self.matches(order) is not None:
            return False
        if kind == "FOK" and not self.enough(order):
            return True
        while order.lots and kind != "MAKER":
            other = self.matches(order)
            if other is None:
                break
            lots = min(order.lots, min(other.shown, other.lots) if other.iceberg else other.lots)
            if other.owner == order.owner and order.prevention != "NONE":
                self.prevent(order, other, lots)
                continue
            self.trades.append((order.number, other.number, other.price, lots))
            order.lots -= lots
            other.lots -= lots
            other.shown -= lots
            if not other.lots:
                self.orders.remove(other)
            elif other.iceberg and not other.shown:
                other.shown = min(other.iceberg, other.lots)
                self.seat(other)
        if order.lots and kind in {"GTC", "MAKER"}:
            order.shown = min(order.iceberg, order.lots)
            self.orders.append(order)
            self.seat(order)
        return True

    def prevent(self, order, other, lots):
        mode = order.prevention
        for one, hit in ((order, mode != "EXPIRE_MAKER"), (other, mode != "EXPIRE_TAKER")):
            if not hit:
                continue
            gone = lots if mode == "DECREMENT" else one.lots
            one.lots -= gone
            one.shown = max(0, one.shown - gone)
            one.expired += gone
        if not other.lots:
            self.orders.remove(other)
        elif other.iceberg and not other.shown:
            other.shown = min(other.iceberg, other.lots)
            self.seat(other)

    def seat(self, order):
        self.places += 1
        order.place = self.places

    def cancel(self, number):
        self.orders = [one for one in self.orders if one.number != number]

    def amend(self, number, lots_less):
        for one in self.orders:
            if one.number == number:
                one.lots -= lots_less
                one.shown = min(one.shown, one.lots)

    def levels(self):
        """Lots by side and price, as the public book shows them."""
        shown = {}
        for one in self.orders:
            key = one.is_buy, one.price
            shown[key] = shown.get(key, 0) + (min(one.shown, one.lots) if one.iceberg else one.lots)
        return shown
