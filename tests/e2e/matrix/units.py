"""What the exchange counts in, what it shows, and what a session counts in that began when it showed others."""

import msgspec

COARSEST = 100  # of the steps that it shows, in what it counts in


def shown(instrument):
    """The filters as the venue shows them, to whoever counts in what it shows."""
    price_step, lot_step = instrument.price_step, instrument.lot_step
    return msgspec.structs.replace(
        instrument,
        tick_e8=instrument.tick_e8 * price_step,
        lot_e8=instrument.lot_e8 * lot_step,
        min_lots=-(-instrument.min_lots // lot_step),
        max_lots=instrument.max_lots // lot_step,
        market_max_lots=instrument.market_max_lots // lot_step,
        min_ticks=-(-instrument.min_ticks // price_step),
        max_ticks=instrument.max_ticks // price_step,
        price_step=1,
        lot_step=1,
    )


def whole(lots, instrument):
    """Lots that an order or a fill may have."""
    return lots - lots % instrument.lot_step


def below(ticks, instrument):
    """The next price on the grid that is not above."""
    return ticks - ticks % instrument.price_step


def above(ticks, instrument):
    """The next price on the grid that is not below."""
    return ticks + -ticks % instrument.price_step


class Units:
    """What the exchange counts, in the units of a session that began when it showed others."""

    def __init__(self, theirs, ours):
        self._theirs = theirs
        self._ours = ours

    def ticks(self, symbol, ticks):
        """The nearest, as the daemon reads prices."""
        theirs, ours = self._theirs[symbol].tick_e8, self._ours[symbol].tick_e8
        return ticks if theirs == ours else (ticks * theirs + ours // 2) // ours

    def lots(self, symbol, lots):
        """Whole ones."""
        theirs, ours = self._theirs[symbol].lot_e8, self._ours[symbol].lot_e8
        return lots if theirs == ours else lots * theirs // ours

    def printed(self, one):
        """A print."""
        return msgspec.structs.replace(
            one, ticks=self.ticks(one.symbol, one.ticks), lots=self.lots(one.symbol, one.lots)
        )

    def bar(self, bar):
        """A candle."""
        symbol = bar.symbol
        prices = {name: self.ticks(symbol, getattr(bar, name)) for name in ("open", "high", "low", "close")}
        return msgspec.structs.replace(bar, volume_lots=self.lots(symbol, bar.volume_lots), **prices)

    def book(self, book):
        """The best prices; what is deep is money."""
        bid, ask = (self.ticks(book.symbol, one) for one in (book.bid, book.ask))
        return msgspec.structs.replace(book, bid=bid, ask=ask)


def in_units_of(instruments, reader):
    """The fills of a journal as the exchange counts them, each with its number."""
    for session in reader.sessions():
        ours = {}
        for one in reader.instruments(session.id):
            ours.setdefault(one.symbol, one)  # a session keeps its units
        units = Units(ours, instruments)
        for number, fill in reader.trades(session.id):
            symbol = fill.symbol
            lots, ticks = units.lots(symbol, fill.quantity_lots), units.ticks(symbol, fill.price_ticks)
            yield number, msgspec.structs.replace(fill, quantity_lots=lots, price_ticks=ticks)


def are_alike(there, here):
    """Whether two counts of fills say the same of an order, as far as coarser units can."""
    ticks = sum(lots * price * count for (lots, price, *_), count in there.items()) - sum(
        lots * price * count for (lots, price, *_), count in here.items()
    )
    lots = sum(one[0] * count for one, count in there.items())
    counted = sum(one[0] * count for one, count in here.items())
    return (
        _commissions(there) == _commissions(here)
        and 0 <= lots - counted < COARSEST
        and (abs(ticks) <= COARSEST * lots + COARSEST * max((one[1] for one in there), default=0))
    )


def _commissions(fills):
    paid = {}
    for (_, _, amount_e8, asset), count in fills.items():
        if amount_e8:
            paid[asset] = paid.get(asset, 0) + amount_e8 * count
    return paid
