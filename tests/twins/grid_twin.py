"""One symbol traded by given opinions and rules, in plain Python: every bar, every print, one list of what happened."""

from tests.twins.backtest_twin import ceil_ppm, draw, floor_ppm

NEVER = 10**30
QUARTERS = {"open": 0, "low": 1, "high": 2, "close": 4}


class GridTwin:
    """`run` gives the marks of all scans; positions closed are in `closed` as (entered, left, result)."""

    def __init__(self, market, rules, limits, frame_ns, cash):
        self.m, self.rules, self.limits, self.frame_ns, self.cash = market, rules, limits, frame_ns, cash
        self.held = None
        self.closed, self.fees = [], 0

    def run(self, bars, opinions, first):
        """[(closing time, equity)] of each scan, and the equity at the end."""
        said = {o["bar"]: o for o in opinions}
        marks = []
        for k in range(first, len(bars)):
            bar = bars[k]
            self.meet(bar, "open", bars[k - 2])
            if k > first:
                marks.append((bars[k - 1]["ts_open_ns"] + self.frame_ns, self.worth(bars[k - 1])))
                self.decide(bars[k - 1], bar, said.get(k - 1))
            for name in ("low", "high", "close"):
                self.meet(bar, name, bars[k - 1])
        return marks, self.worth(bars[-1])

    def worth(self, bar):
        return self.cash + (self.m.notional(bar["close"], self.lots()) if self.held else 0)

    def lots(self):
        return sum(piece["lots"] for piece in self.held["pieces"])

    def print_ns(self, bar, name):
        late = self.frame_ns * QUARTERS[name] // 4
        return bar["ts_open_ns"] + (late - 1_000_000 if name == "close" else late)

    def meet(self, bar, name, pricing):
        held, price = self.held, bar[name]
        if held is None:
            return
        ts_ns = self.print_ns(bar, name)
        if price <= held["stop"]:
            at = price if name == "open" else held["stop"]
            for piece in list(held["pieces"]):
                self.sell_at_market([piece], at, pricing, ts_ns)
            return
        for piece in list(held["pieces"]):
            if self.reaches(price, piece["target"], ts_ns):
                self.sell([piece], piece["target"], self.m.costs["maker_ppm"], ts_ns)
        if self.held and price >= held["activation"]:
            held["stop"] = max(held["stop"], self.trailed(price, held["atr"]))

    def trailed(self, price, atr):
        if self.rules["trail_ppm"]:
            return price - max(1, floor_ppm(price, self.rules["trail_ppm"]))
        if self.rules["trail_atr_ppm"]:
            return price - max(1, floor_ppm(atr, self.rules["trail_atr_ppm"]))
        return 0

    def reaches(self, price, target, ts_ns):
        if target == 0 or price < target:
            return False
        if price > target or self.m.costs["tier"] == 0:
            return True
        key = self.m.instrument["symbol_key"]
        return draw(self.m.costs["seed"], key, ts_ns, target) < self.m.costs["touch_ppm"]

    def sell_at_market(self, pieces, at, pricing, ts_ns):
        price = self.m.market_price(at, sum(p["lots"] for p in pieces), pricing, buy=False)
        self.sell(pieces, price, self.m.costs["taker_ppm"], ts_ns)

    def sell(self, pieces, price, ppm, ts_ns):
        proceeds = self.m.notional(price, sum(p["lots"] for p in pieces))
        fee = floor_ppm(proceeds, ppm)
        self.cash += proceeds - fee
        self.fees += fee
        self.held["result"] += proceeds - fee - sum(p["cost"] for p in pieces)
        self.held["pieces"] = [p for p in self.held["pieces"] if p not in pieces]
        if not self.held["pieces"]:
            self.closed.append((self.held["entered_ns"], ts_ns, self.held["result"]))
            self.held = None

    def decide(self, bar, after, opinion):
        action = opinion["action"] if opinion else 1
        if self.held:
            age = bar["ts_open_ns"] - self.held["decided"]["ts_open_ns"]
            is_old = 0 < self.rules["time_stop_ns"] <= age
            if is_old or (action == 0 and self.rules["exit_on_sell"]):
                self.sell_at_market(list(self.held["pieces"]), after["open"], bar, after["ts_open_ns"])
        elif action == 2:
            self.enter(bar, after, opinion)

    def stop_of(self, reference, atr):
        share, by_atr = self.rules["hard_stop_ppm"], self.rules["stop_atr_ppm"]
        levels = [reference - floor_ppm(reference, share)] if share else []
        levels += [reference - floor_ppm(atr, by_atr)] if by_atr else []
        return max(1, min(reference - 1, max(levels))) if levels else 0

    def target_of(self, number, reference, stop, cap):
        share, multiple = self.rules[f"target{number}_ppm"], self.rules[f"target{number}_r_ppm"]
        if multiple and stop:
            gain = ceil_ppm(reference - stop, multiple)
        elif share:
            gain = ceil_ppm(reference, share)
        else:
            return 0
        floor = reference if self.rules["from_fill"] else cap
        return max(reference + gain, floor + 1)

    def sized(self, close, stop, cap, size_ppm):
        """Lots approved, 0 for none; and a function that says whether a part can be sold at the stop."""
        limits, m, equity, least_price = self.limits, self.m, self.cash, stop or close
        money = min(
            floor_ppm(equity, limits["max_position_ppm"]), floor_ppm(equity, limits["max_exposure_ppm"])
        )
        lots = min(m.lots_for(money, cap), m.lots_for(equity, cap), m.instrument["max_lots"])
        if limits["risk_per_trade_ppm"]:
            lots = min(lots, m.lots_for(floor_ppm(equity, limits["risk_per_trade_ppm"]), close - stop))
        if size_ppm:
            lots = min(lots, m.lots_for(floor_ppm(equity, size_ppm), cap))

        def is_sellable(part):
            kept, _ = m.after_commission(part)
            enough = m.notional(least_price, kept) >= m.instrument["min_notional_e8"]
            return kept >= max(1, m.instrument["min_lots"]) and enough

        low, high = 0, 10**13
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if is_sellable(middle) else (middle, high)
        least = m.notional(cap, high)
        is_refused = m.notional(cap, lots) < least or least > floor_ppm(equity, limits["max_exposure_ppm"])
        return 0 if is_refused else lots, is_sellable

    def enter(self, bar, after, opinion):
        close, rules, m = bar["close"], self.rules, self.m
        atr = int(opinion["atr_ratio"] * close)
        cap = close + floor_ppm(close, rules["price_cap_ppm"])
        lots, is_sellable = self.sized(close, self.stop_of(close, atr), cap, opinion["size_ppm"])
        price = m.moved(after["open"], m.half_spread(bar) + m.costs["slippage_ppm"], buy=True)
        if lots == 0 or price > cap:
            return
        parts = [floor_ppm(lots, rules["share1_ppm"]), floor_ppm(lots, rules["share2_ppm"])]
        parts.append(lots - sum(parts))
        if any(part and not is_sellable(part) for part in parts):
            parts = [lots, 0, 0]
        reference = price if rules["from_fill"] else close
        stop = self.stop_of(reference, atr)
        pieces = []
        for number, part in enumerate(parts, 1):
            most = bar["volume_lots"] * m.costs["volume_share_ppm"] // 1_000_000
            filled = (
                part if m.costs["tier"] == 0 or part <= most else most if rules["entry_taking"] == 2 else 0
            )
            kept, _ = m.after_commission(filled)
            if kept == 0:
                continue
            cost = m.notional(price, filled)
            self.cash -= cost
            self.fees += floor_ppm(cost, m.costs["taker_ppm"])
            target = self.target_of(number, reference, stop, cap) if number < 3 else 0
            pieces.append({"lots": kept, "cost": cost, "target": target, "number": number})
        if not pieces:
            return
        self.held = {
            "pieces": pieces,
            "stop": stop,
            "atr": atr,
            "activation": reference + ceil_ppm(reference, rules["trail_start_ppm"]),
            "decided": bar,
            "entered_ns": after["ts_open_ns"],
            "result": 0,
        }
        if after["open"] <= stop:
            for piece in pieces:
                self.sell_at_market([piece], after["open"], bar, after["ts_open_ns"])
