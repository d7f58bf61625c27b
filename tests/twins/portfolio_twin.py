"""Given opinions on several symbols traded on one capital, in plain Python: every print of every bar is walked."""

from dataclasses import dataclass, field

from tests.twins.backtest_twin import Market, ceil_ppm, draw, floor_ppm

BEAT_NS = 3_000_000_000
MS = 1_000_000


@dataclass
class Order:
    """An entry or a market exit on its way; it meets the open of bar `due_bar`, not before `due_ns`."""

    due_bar: int
    due_ns: int
    reason: int = 0
    parts: list = field(default_factory=list)
    cap: int = 0
    reference: int = 0
    reserved: int = 0


@dataclass
class Place:
    """One symbol: its bars, and whatever is held or under way."""

    name: str
    market: Market
    bars: list
    fast: list
    opinions: dict
    first: int
    index: int = -1
    tranches: dict = field(default_factory=dict)  # number: [lots, cost, target]
    is_open: bool = False
    was_sold: bool = False
    order: Order | None = None
    stop: int = 0
    kind: int = 3
    activation: int = 0
    atr: int = 0
    decided: int = 0

    @property
    def held(self):
        return sum(lots for lots, _, _ in self.tranches.values())

    def value(self, price):
        return self.market.notional(price, self.held)


class Portfolio:
    """All symbols through time; results in `trades`, `answers` (by symbol and bar) and `equity`."""

    def __init__(self, places, rules, limits, frame, fast_frame, latency_bars, latency_ns, cash):
        self.places = sorted(places, key=lambda place: place.name)
        self.rules, self.limits = rules, limits
        self.frame, self.fast_frame = frame, fast_frame
        self.latency_bars, self.latency_ns, self.cash = latency_bars, latency_ns, cash
        self.trades, self.answers, self.equity, self.fallbacks = [], {}, [], 0
        self.scanned = 0
        self.queue = []

    def run(self):
        opens = {bar["ts_open_ns"] for place in self.places for bar in place.bars[place.first :]}
        for now in sorted(opens):
            self.boundary(now)
        return self.cash + sum(place.value(place.bars[-1]["close"]) for place in self.places)

    def boundary(self, now):
        opened, waiting = [], {}
        for place in self.places:
            nxt = max(place.index + 1, place.first)
            if nxt < len(place.bars) and place.bars[nxt]["ts_open_ns"] == now:
                place.index = nxt
                opened.append(place)
                if place.held:
                    self.on_print(place, place.bars[nxt]["open"], now, place.bars[nxt - 2], jump=True)
                closed = place.bars[nxt - 1]["ts_open_ns"] + self.frame
                if nxt > place.first and closed > self.scanned:
                    waiting.setdefault(closed, []).append(place)
        for closed in sorted(waiting):
            whole = len(waiting[closed]) == len(self.places)
            self.scan(waiting[closed], closed, now if whole else now + BEAT_NS)
        entering = [place for place in self.queue if place.order and place.order.parts]
        leaving = [place for place in self.places if place.order and not place.order.parts]
        for place in entering + leaving:
            order, k = place.order, place.index
            is_late = self.latency_ns > 0 and order.due_ns > now
            if place in opened and k >= order.due_bar and not is_late:
                ts_ns = now if self.latency_bars or self.latency_ns else order.due_ns
                self.meet(place, place.bars[k]["open"], ts_ns)
        for place in opened:
            self.walk(place)

    def path(self, place):
        """(time, price, jump) of the prints of a bar after its open."""
        bar = place.bars[place.index]
        now = bar["ts_open_ns"]
        inside = [one for one in place.fast if now <= one["ts_open_ns"] < now + self.frame]
        if inside:
            whole = (
                inside[0]["open"],
                max(one["high"] for one in inside),
                min(one["low"] for one in inside),
                inside[-1]["close"],
            )
            if whole != (bar["open"], bar["high"], bar["low"], bar["close"]):
                inside = []
        if self.fast_frame and not inside:
            self.fallbacks += 1
        prints = []
        for number, one in enumerate(inside or [bar]):
            length, start = (self.fast_frame if inside else self.frame), one["ts_open_ns"]
            if number:
                prints.append((start, one["open"], True))
            prints.append((start + length // 4, one["low"], False))
            prints.append((start + length // 2, one["high"], False))
            prints.append((start + length - MS, one["close"], False))
        return prints

    def walk(self, place):
        published = place.bars[place.index - 1]
        for ts_ns, price, jump in self.path(place):
            if place.held:
                self.on_print(place, price, ts_ns, published, jump=jump)
            if jump and self.latency_ns and place.order and place.order.due_ns <= ts_ns:
                self.meet(place, price, ts_ns)

    # -- fills -----------------------------------------------------------------------------------------------

    def sell(self, place, numbers, number, price, ppm, reason, ts_ns):
        lots = sum(place.tranches[n][0] for n in numbers)
        cost = sum(place.tranches[n][1] for n in numbers)
        proceeds = place.market.notional(price, lots)
        commission = floor_ppm(proceeds, ppm)
        self.cash += proceeds - commission
        for n in numbers:
            del place.tranches[n]
        place.was_sold = True
        pnl = proceeds - commission - cost
        self.trades.append((ts_ns, place.name, 0, number, lots, price, commission, reason, pnl))
        if not place.tranches:
            place.is_open, place.order = False, None

    def stop_out(self, place, number, at, ts_ns, bar):
        lots = place.tranches[number][0]
        price = place.market.market_price(at, lots, bar, buy=False)
        level = place.market.market_price(place.stop, lots, bar, buy=False)
        reason = 9 if price < level else place.kind
        self.sell(place, [number], number, price, place.market.costs["taker_ppm"], reason, ts_ns)

    def on_print(self, place, price, ts_ns, bar, *, jump):
        if price <= place.stop:
            for number in sorted(place.tranches):
                self.stop_out(place, number, price if jump else place.stop, ts_ns, bar)
            return
        for number in sorted(place.tranches):
            target = place.tranches[number][2]
            if target and self.is_reached(place, target, price, ts_ns):
                maker = place.market.costs["maker_ppm"]
                self.sell(place, [number], number, target, maker, number, ts_ns)
        if place.tranches and price >= place.activation:
            self.trail(place, price)

    def trail(self, place, price):
        rules = self.rules
        if rules["trail_ppm"]:
            distance = floor_ppm(price, rules["trail_ppm"])
        elif rules["trail_atr_ppm"]:
            distance = floor_ppm(place.atr, rules["trail_atr_ppm"])
        else:
            return
        raised = min(price - distance, price - 1)
        if raised > place.stop and raised >= place.stop + ceil_ppm(place.stop, rules["trail_step_ppm"]):
            place.stop, place.kind = raised, 5

    def is_reached(self, place, target, price, ts_ns):
        costs = place.market.costs
        if price != target or costs["tier"] == 0:
            return price >= target
        key = place.market.instrument["symbol_key"]
        return draw(costs["seed"], key, ts_ns, target) < costs["touch_ppm"]

    def meet(self, place, price, ts_ns):
        published, order = place.bars[place.index - 1], place.order
        place.order = None
        if not order.parts:
            lots = place.held
            got = place.market.market_price(price, lots, published, buy=False)
            ppm = place.market.costs["taker_ppm"]
            self.sell(place, sorted(place.tranches), 0, got, ppm, order.reason, ts_ns)
            return
        self.queue.remove(place)
        m, rules = place.market, self.rules
        asked = m.moved(price, m.half_spread(published) + m.costs["slippage_ppm"], buy=True)
        self.levels(place, asked if rules["from_fill"] else order.reference)
        cap_of_volume = floor_ppm(published["volume_lots"], m.costs["volume_share_ppm"])
        for number, part in enumerate(order.parts, 1):
            lots = part
            if m.costs["tier"] == 1 and lots > cap_of_volume:
                lots = cap_of_volume if rules["entry_taking"] == 2 else 0
            kept, commission = m.after_commission(lots)
            if asked > order.cap or kept == 0:
                continue
            cost = m.notional(asked, lots)
            self.cash -= cost
            place.tranches[number] = [kept, cost, self.targets[number - 1]]
            self.trades.append((ts_ns, place.name, 1, number, lots, asked, commission, 0, 0))
            if price <= place.stop:
                self.stop_out(place, number, price, ts_ns, published)
        place.is_open = bool(place.tranches)

    def levels(self, place, reference):
        rules = self.rules
        stops = []
        if rules["stop_atr_ppm"]:
            stops.append((reference - floor_ppm(place.atr, rules["stop_atr_ppm"]), 3))
        if rules["hard_stop_ppm"]:
            stops.append((-(-reference * (1_000_000 - rules["hard_stop_ppm"]) // 1_000_000), 4))
        place.stop, place.kind = max(stops, key=lambda one: (one[0], -one[1]), default=(0, 3))
        if stops:
            place.stop = max(1, min(place.stop, reference - 1))
        place.activation = reference + ceil_ppm(reference, rules["trail_start_ppm"])
        cap = reference * (1_000_000 + rules["price_cap_ppm"]) // 1_000_000
        floor = (reference if rules["from_fill"] else cap) + 1
        self.targets = []
        for number in "12":
            multiple, share = rules[f"target{number}_r_ppm"], rules[f"target{number}_ppm"]
            gain = ceil_ppm(reference, share)
            if multiple and place.stop:
                gain = ceil_ppm(reference - place.stop, multiple)
            self.targets.append(max(reference + gain, floor) if share or (multiple and place.stop) else 0)
        self.targets.append(0)

    # -- scans -----------------------------------------------------------------------------------------------

    def active(self, equity):
        active = floor_ppm(max(0, equity), self.limits["active_ppm"])
        return min(active, self.limits["max_quote_e8"] or active)

    def reserved(self):
        return sum(place.order.reserved for place in self.queue)

    def scan(self, places, closed, ts_ns):
        self.scanned = closed
        value = sum(place.value(place.bars[place.index - 1]["close"]) for place in self.places)
        equity = self.cash + value
        positions = sum(place.is_open for place in self.places)
        self.equity.append((closed, equity, self.cash - self.reserved(), positions))
        buys = []
        for place in places:
            opinion = place.opinions.get(place.index - 1)
            if opinion and opinion["action"] == 2:
                buys.append((-opinion["score"], place.name, place, opinion))
            if place.held and place.order is None:
                reason = self.exit_reason(place, closed, equity, opinion)
                if reason:
                    place.order = Order(place.index + self.latency_bars, ts_ns + self.latency_ns, reason)
        for _, _, place, opinion in sorted(buys, key=lambda one: one[:2]):
            order = self.ask(place, opinion, equity, value, closed)
            if order:
                order.due_bar, order.due_ns = place.index + self.latency_bars, ts_ns + self.latency_ns
                place.order, place.is_open, place.was_sold = order, True, False
                place.decided = closed
                self.queue.append(place)

    def exit_reason(self, place, closed, equity, opinion):
        value = place.value(place.bars[place.index - 1]["close"])
        cost = sum(cost for _, cost, _ in place.tranches.values())
        rules = self.rules
        is_old = rules["time_stop_ns"] and closed - place.decided >= rules["time_stop_ns"]
        if is_old and abs(value - cost) < floor_ppm(cost, rules["time_stop_band_ppm"]):
            return 6
        if opinion and opinion["action"] == 0 and rules["exit_on_sell"]:
            return 7
        if place.was_sold and value < floor_ppm(self.active(equity), rules["dust_ppm"]):
            return 8
        return 0

    def ask(self, place, opinion, equity, value, closed):
        """An order, or None with the refusal in `answers`."""
        m, rules, limits = place.market, self.rules, self.limits
        close = place.bars[place.index - 1]["close"]
        atr = int(opinion["atr_ratio"] * close)
        was = place.atr
        place.atr = atr
        kept = place.stop, place.kind, place.activation
        self.levels(place, close)
        stop = place.stop
        place.stop, place.kind, place.activation = kept
        cap = close * (1_000_000 + rules["price_cap_ppm"]) // 1_000_000
        active, exposure = self.active(equity), value + self.reserved()
        room = floor_ppm(active, limits["max_exposure_ppm"])
        money = min(floor_ppm(active, limits["max_position_ppm"]), room - exposure)
        if limits["max_cost_e8"]:
            paid = sum(cost for one in self.places for _, cost, _ in one.tranches.values())
            money = min(money, limits["max_cost_e8"] - paid - self.reserved())
        wanted = min(m.lots_for(money, cap), m.instrument["max_lots"])
        if limits["risk_per_trade_ppm"]:
            risk = floor_ppm(max(0, equity), limits["risk_per_trade_ppm"])
            wanted = min(wanted, m.lots_for(risk, close - stop))
        lots = min(wanted, m.lots_for(self.cash - self.reserved(), cap))
        if opinion["size_ppm"]:
            most = m.lots_for(floor_ppm(max(0, equity), opinion["size_ppm"]), cap)
            wanted, lots = min(wanted, most), min(lots, most)
        at = stop or close
        least = 1
        while not self.is_sellable(m, least, at):
            least += max(1, (m.lots_for(m.instrument["min_notional_e8"], at) - least) // 2)
        while least > 1 and self.is_sellable(m, least - 1, at):
            least -= 1
        refused = [
            (10, place.is_open),
            (18, sum(one.is_open for one in self.places) >= limits["max_positions"]),
            (27, exposure + m.notional(cap, least) > room),
            (28, m.notional(cap, wanted) < m.notional(cap, least)),
            (29, m.notional(cap, lots) < m.notional(cap, least)),
        ]
        reason = next((code for code, is_refused in refused if is_refused), 0)
        self.answers[place.name, place.index - 1] = (reason, 0 if reason else lots)
        if reason:
            place.atr = was
            return None
        parts = [floor_ppm(lots, rules["share1_ppm"]), floor_ppm(lots, rules["share2_ppm"])]
        parts.append(lots - sum(parts))
        if any(part and not self.is_sellable(m, part, at) for part in parts):
            parts = [lots, 0, 0]
        reserved = sum(m.notional(cap, part) for part in parts)
        return Order(0, 0, 0, parts, cap, close, reserved)

    @staticmethod
    def is_sellable(market, lots, at):
        kept, _ = market.after_commission(lots)
        enough = market.notional(at, kept) >= market.instrument["min_notional_e8"]
        return kept >= max(1, market.instrument["min_lots"]) and enough
