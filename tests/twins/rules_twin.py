"""Given signals on one symbol in plain Python: whole numbers without limits, straight from the words of the rules file."""

import bisect
from dataclasses import dataclass
from decimal import Decimal

from tests.twins.backtest_twin import Market, ceil_ppm, draw, floor_ppm

TARGET1, TARGET2, STOP, HARD_STOP, TRAILING, TIME, SIGNAL, GAP = 1, 2, 3, 4, 5, 6, 7, 9


def ppm(value, unit):
    """A number of the rules file in millionths: of percent, bps or times."""
    return round(Decimal(str(value)) * {"pct": 10_000, "bps": 100, "times": 1_000_000}[unit])


def costs_of(r):
    return {
        "tier": int(r["tier"] == "F1"),
        "seed": r["seed"],
        "maker_ppm": ppm(r["maker_bps"], "bps"),
        "taker_ppm": ppm(r["taker_bps"], "bps"),
        "slippage_ppm": ppm(r["slippage_bps"], "bps"),
        "spread_floor_ppm": ppm(r["spread_floor_bps"], "bps"),
        "spread_range_ppm": ppm(r["spread_range_bps_per_pct"], "pct"),
        "spread_cap_ppm": ppm(r["spread_cap_bps"], "bps"),
        "volume_share_ppm": ppm(r["volume_share_pct"], "pct"),
        "touch_ppm": ppm(r["touch_chance_pct"], "pct"),
    }


@dataclass
class Piece:
    number: int
    lots: int
    cost: int
    target: int


class Held:
    """An open position: its pieces share stop and trailing."""

    def __init__(self, decided_ns, atr, reference, r):
        self.decided_ns, self.atr, self.pieces = decided_ns, atr, []
        self.stop, self.kind = stop_below(reference, atr, r)
        self.follows_from = reference + ceil_ppm(reference, ppm(r["trail_start_pct"], "pct"))
        self.targets = [
            target_above(reference, self.stop, r["target_pct"], r["target_r"], r),
            target_above(reference, self.stop, r["target2_pct"], r["target2_r"], r),
            0,
        ]

    @property
    def lots(self):
        return sum(piece.lots for piece in self.pieces)

    @property
    def cost(self):
        return sum(piece.cost for piece in self.pieces)


def stop_below(reference, atr, r):
    levels = []
    if r["stop_atr"]:
        levels.append((reference - floor_ppm(atr, ppm(r["stop_atr"], "times")), STOP))
    if r["stop_pct"]:
        levels.append((reference - floor_ppm(reference, ppm(r["stop_pct"], "pct")), HARD_STOP))
    if not levels:
        return 0, STOP
    level, kind = max(levels, key=lambda one: (one[0], one[1] == STOP))
    return max(1, min(level, reference - 1)), kind


def cap_above(close, r):
    return close + floor_ppm(close, ppm(r["price_cap_bps"], "bps"))


def target_above(reference, stop, percent, risks, r):
    if risks:
        level = reference + ceil_ppm(reference - stop, ppm(risks, "times"))
    elif percent:
        level = reference + ceil_ppm(reference, ppm(percent, "pct"))
    else:
        return 0
    return max(level, 1 + (reference if r["from_fill"] else cap_above(reference, r)))


@dataclass
class Order:
    """What a decision sent: an entry of so many lots at most at this price, or a market exit for a reason."""

    bar: int  # index of the bar whose open it meets at the earliest
    ts_ns: int  # and the time from which it does
    reason: int = 0
    lots: int = 0
    cap: int = 0
    reference: int = 0
    atr: int = 0
    decided_ns: int = 0


class RulesTwin:
    """`r` are the values of a rules file by key; signals are (action, size or None) by index of the bar."""

    def __init__(self, r, instrument, frame_ns):
        self.r, self.frame_ns = r, frame_ns
        self.m = Market(costs_of(r), instrument)
        self.cash = round(Decimal(str(r["initial_quote"])) * 10**8)
        self.held, self.order, self.trades = None, None, []

    def run(self, bars, signals, atr_ticks, fast=None, fast_frame_ns=0):
        """Trade the bars; equity at the end, an open position at the last close."""
        late_ns = self.r["latency_ms"] * 1_000_000
        for k, bar in enumerate(bars):
            opened, book = bar["ts_open_ns"], bars[k - 1]
            if self.held:
                self.meet(bar["open"], opened, bars[k - 2], jump=True)
            if k:
                self.decide(k, book, signals.get(k - 1), atr_ticks[k - 1], opened + late_ns)
            if self.order and self.order.bar <= k and (late_ns == 0 or self.order.ts_ns <= opened):
                self.execute(bar["open"], opened, book)
            inside = stretch(bar, self.frame_ns, fast or [])
            for number, part in enumerate(inside or [bar]):
                ts_ns = part["ts_open_ns"]
                if number and self.held:
                    self.meet(part["open"], ts_ns, book, jump=True)
                if number and late_ns and self.order and self.order.ts_ns <= ts_ns:
                    self.execute(part["open"], ts_ns, book)
                self.walk(part, fast_frame_ns if inside else self.frame_ns, book)
        return self.cash + (self.m.notional(bars[-1]["close"], self.held.lots) if self.held else 0)

    def walk(self, bar, frame_ns, book):
        for name, after_ns in (
            ("low", frame_ns // 4),
            ("high", frame_ns // 2),
            ("close", frame_ns - 1_000_000),
        ):
            if self.held:
                self.meet(bar[name], bar["ts_open_ns"] + after_ns, book, jump=False)

    # -- prints --------------------------------------------------------------------------------------------

    def meet(self, price, ts_ns, book, *, jump):
        held = self.held
        if price <= held.stop:
            for piece in list(held.pieces):
                self.stop_out(piece, price if jump else held.stop, ts_ns, book)
            self.held = self.order = None
            return
        for piece in list(held.pieces):
            if piece.target and self.fills(piece.target, price, ts_ns):
                self.sell([piece], piece.number, piece.target, self.m.costs["maker_ppm"], piece.number, ts_ns)
        if not held.pieces:
            self.held = self.order = None
        elif price >= held.follows_from:
            self.follow(price)

    def follow(self, price):
        held, r = self.held, self.r
        if r["trail_pct"]:
            distance = floor_ppm(price, ppm(r["trail_pct"], "pct"))
        elif r["trail_atr"]:
            distance = floor_ppm(held.atr, ppm(r["trail_atr"], "times"))
        else:
            return
        raised = price - max(1, distance)
        if raised > held.stop and raised >= held.stop + ceil_ppm(held.stop, ppm(r["trail_step_bps"], "bps")):
            held.stop, held.kind = raised, TRAILING

    def fills(self, target, price, ts_ns):
        if price == target and self.m.costs["tier"] == 1:
            return self.by_chance(target, ts_ns)
        return price >= target

    def by_chance(self, target, ts_ns):
        drawn = draw(self.m.costs["seed"], self.m.instrument["symbol_key"], ts_ns, target)
        return drawn < self.m.costs["touch_ppm"]

    def stop_out(self, piece, at, ts_ns, book):
        price = self.m.market_price(at, piece.lots, book, buy=False)
        at_level = self.m.market_price(self.held.stop, piece.lots, book, buy=False)
        reason = GAP if price < at_level else self.held.kind
        self.sell([piece], piece.number, price, self.m.costs["taker_ppm"], reason, ts_ns)

    def sell(self, pieces, number, price, fee_ppm, reason, ts_ns):
        lots, cost = sum(p.lots for p in pieces), sum(p.cost for p in pieces)
        proceeds = self.m.notional(price, lots)
        fee = floor_ppm(proceeds, fee_ppm)
        self.cash += proceeds - fee
        self.held.pieces = [p for p in self.held.pieces if p not in pieces]
        self.trades.append((ts_ns, 0, number, lots, price, fee, reason, proceeds - fee - cost))

    # -- decisions -----------------------------------------------------------------------------------------

    def decide(self, k, bar, signal, atr, due_ns):
        """The close of `bar`, the one before bar `k`, is known; an order is under way until it is met."""
        now, action = bar["ts_open_ns"] + self.frame_ns, signal and signal[0]
        if self.order:
            return
        due = {"bar": k + self.r["latency_bars"], "ts_ns": due_ns, "decided_ns": now}
        if self.held:
            reason = self.reason_to_leave(bar, now, action)
            self.order = Order(reason=reason, **due) if reason else None
        elif action == "buy" and not (atr is None and (self.r["stop_atr"] or self.r["trail_atr"])):
            atr, close = atr or 0, bar["close"]
            lots = self.size(close, atr, signal[1])
            if lots:
                self.order = Order(lots=lots, cap=cap_above(close, self.r), reference=close, atr=atr, **due)

    def execute(self, price_now, ts_ns, book):
        order, self.order = self.order, None
        if order.lots:
            self.enter(order, price_now, ts_ns, book)
            return
        price = self.m.market_price(price_now, self.held.lots, book, buy=False)
        fee = self.m.costs["taker_ppm"]
        self.sell(list(self.held.pieces), 0, price, fee, order.reason, ts_ns)
        self.held = None

    def reason_to_leave(self, bar, now, action):
        r, held = self.r, self.held
        longest = round(Decimal(str(r["time_stop_h"])) * 3600 * 10**9) or r["max_hold_bars"] * self.frame_ns
        if longest and now - held.decided_ns >= longest:
            result = self.m.notional(bar["close"], held.lots) - held.cost
            band = ppm(r["time_stop_band_pct"], "pct")
            if not band or abs(result) < floor_ppm(held.cost, band):
                return TIME
        return SIGNAL if action == "exit" and r["exit_on_signal"] else 0

    def size(self, close, atr, share):
        """Lots to buy, 0 where a rule refuses; nothing is held, so all money is free."""
        r, m, equity = self.r, self.m, self.cash
        stop, _ = stop_below(close, atr, r)
        cap = cap_above(close, r)
        share_ppm = ppm(r["share_pct"], "pct") if share is None else round(Decimal(str(share)) * 10**6)
        money = floor_ppm(max(0, equity), share_ppm)
        most = max(0, equity)
        if r["fixed_quote"]:
            fixed = min(most, round(Decimal(str(r["fixed_quote"])) * 10**8))
            money, most = min(money, fixed), fixed * r["max_positions"]
        limit = floor_ppm(most, ppm(r["max_exposure_pct"], "pct"))
        wanted = m.lots_for(min(money, limit), cap)
        if r["risk_pct"]:
            risk = floor_ppm(max(0, equity), ppm(r["risk_pct"], "pct"))
            wanted = min(wanted, m.lots_for(risk, close - stop))
        lots = min(wanted, m.lots_for(self.cash, cap))
        if not self.is_sellable(lots, stop or close):
            return 0
        return lots

    def is_sellable(self, lots, at):
        kept, _ = self.m.after_commission(lots)
        return kept >= 1 and self.m.notional(at, kept) >= self.m.instrument["min_notional_e8"]

    def enter(self, order, price_now, ts_ns, book):
        r, m = self.r, self.m
        price = m.moved(price_now, m.half_spread(book) + m.costs["slippage_ppm"], buy=True)
        least, _ = stop_below(order.reference, order.atr, r)
        self.held = held = Held(order.decided_ns, order.atr, price if r["from_fill"] else order.reference, r)
        shares = [
            floor_ppm(order.lots, ppm(r[key], "pct")) for key in ("target_share_pct", "target2_share_pct")
        ]
        parts = [*shares, order.lots - sum(shares)]
        if any(part and not self.is_sellable(part, least or order.reference) for part in parts):
            parts = [order.lots, 0, 0]
        volume_cap = floor_ppm(book["volume_lots"], m.costs["volume_share_ppm"])
        for number, (part, target) in enumerate(zip(parts, held.targets, strict=True), 1):
            bought = min(part, volume_cap) if m.costs["tier"] == 1 and r["entry"] == "ioc" else part
            too_much = m.costs["tier"] == 1 and bought > volume_cap
            kept, fee = m.after_commission(bought)
            if kept == 0 or price > order.cap or too_much:
                continue
            cost = m.notional(price, bought)
            self.cash -= cost
            self.trades.append((ts_ns, 1, number, bought, price, fee, 0, 0))
            piece = Piece(number, kept, cost, target)
            held.pieces.append(piece)
            if price_now <= held.stop:
                self.stop_out(piece, price_now, ts_ns, book)
        if not held.pieces:
            self.held = None


def stretch(bar, frame_ns, fast):
    """The fast bars inside, if together they have the open, high, low and close of the bar; else none."""
    opened = bar["ts_open_ns"]
    first, end = (
        bisect.bisect_left(fast, ts_ns, key=lambda one: one["ts_open_ns"])
        for ts_ns in (opened, opened + frame_ns)
    )
    inside = fast[first:end]
    if not inside:
        return []
    whole = {
        "open": inside[0]["open"],
        "high": max(one["high"] for one in inside),
        "low": min(one["low"] for one in inside),
        "close": inside[-1]["close"],
    }
    return inside if all(bar[name] == price for name, price in whole.items()) else []


def atr_ticks(bars, tick_e8):
    """ATR 14 of each bar in ticks as a position takes it along; None where it is not known yet."""
    ranges, found = [], []
    for k, bar in enumerate(bars):
        high, low, close = (bar[name] * float(tick_e8) / 1e8 for name in ("high", "low", "close"))
        before = bars[k - 1]["close"] * float(tick_e8) / 1e8 if k else close
        ranges.append(max(high, before) - min(low, before))
        if k < 14:
            found.append(None)
            continue
        total = 0.0
        for one in ranges[-14:]:
            total += one
        found.append(int(total / 14.0 / close * bar["close"]))
    return found
