"""One symbol through time in plain Python: whole numbers without limits, one object per order, no kernel called."""

import bisect
import math
import statistics
from dataclasses import dataclass, field

DAY_NS = 86_400_000_000_000
MASK = (1 << 64) - 1


def floor_ppm(amount, ppm):
    return amount * ppm // 1_000_000


def ceil_ppm(amount, ppm):
    return -(-amount * ppm // 1_000_000)


def splitmix(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def draw(seed, key, ts_ns, ordinal):
    state = 0
    for number in (seed, key, ts_ns, ordinal):
        state = splitmix(((state ^ number) + 0x9E3779B97F4A7C15) & MASK)
    return (state >> 11) % 1_000_000


def percent(ppm):
    return ppm / 10_000


@dataclass
class Market:
    """Numbers of one symbol and what its fills cost; `costs` and `instrument` are plain dicts."""

    costs: dict
    instrument: dict

    def notional(self, ticks, lots):
        return ticks * lots * self.instrument["notional_num"] // self.instrument["notional_den"]

    def lots_for(self, amount, ticks):
        if amount <= 0:
            return 0
        return amount * self.instrument["notional_den"] // (ticks * self.instrument["notional_num"])

    def half_spread(self, bar):
        range_ppm = (bar["high"] - bar["low"]) * 1_000_000 // bar["close"]
        wide = self.costs["spread_floor_ppm"] + range_ppm * self.costs["spread_range_ppm"] // 1_000_000
        return min(wide, self.costs["spread_cap_ppm"])

    def market_price(self, ticks, lots, bar, *, buy):
        slip = self.costs["slippage_ppm"]
        if self.costs["tier"] == 1:
            cap = bar["volume_lots"] * self.costs["volume_share_ppm"] // 1_000_000
            if lots > cap:
                slip = 20 * slip if cap == 0 else min(20 * slip, slip * lots // cap)
        return self.moved(ticks, self.half_spread(bar) + slip, buy=buy)

    def moved(self, ticks, ppm, *, buy):
        if buy:
            return -(-ticks * (1_000_000 + ppm) // 1_000_000)
        return max(1, ticks * (1_000_000 - ppm) // 1_000_000)

    def fill_or_kill(self, ticks, lots, limit, bar):
        """Price of a buy, or None."""
        price = self.moved(ticks, self.half_spread(bar) + self.costs["slippage_ppm"], buy=True)
        cap = bar["volume_lots"] * self.costs["volume_share_ppm"] // 1_000_000
        if price > limit or (self.costs["tier"] == 1 and lots > cap):
            return None
        return price

    def book(self, ticks, bar):
        """(spread ppm, depth)."""
        half = self.half_spread(bar)
        bid = max(1, ticks * (1_000_000 - half) // 1_000_000)
        ask = max(bid + 1, -(-ticks * (1_000_000 + half) // 1_000_000))
        side = self.notional(bar["close"], bar["volume_lots"]) * 100_000 // 1_000_000 // 2
        depth = sum(self.notional(at, max(1, self.lots_for(side, at))) for at in (bid, ask))
        return (ask - bid) * 2_000_000 // (ask + bid), depth

    def after_commission(self, lots):
        base = lots * self.instrument["lot_e8"]
        commission = base * self.costs["taker_ppm"] // 1_000_000
        return (base - commission) // self.instrument["lot_e8"], commission


@dataclass
class Tranche:
    number: int
    lots: int
    cost: int
    target: int


@dataclass
class Position:
    decided_ns: int
    stop: int
    stop_kind: int
    activation: int
    atr: int
    tranches: list = field(default_factory=list)
    bought: int = 0
    result: int = 0

    @property
    def lots(self):
        return sum(t.lots for t in self.tranches)


@dataclass
class Memory:
    day: int | None = None
    week: int | None = None
    day_start: int = 0
    week_start: int = 0
    peak: int = 0
    paused_until: int = 0
    tripped_ppm: int = 0
    losses: int = 0
    loss_until: int = 0


def confidence_of(policy, score):
    q = policy["score_quantiles"]
    if score < q[0]:
        return 0.0
    if score >= q[-1]:
        return 100.0
    low = max(i for i in range(101) if q[i] <= score)
    return low + (score - q[low]) / (q[low + 1] - q[low])


def edge_of(policy, score):
    index = max((k for k in range(1, 20) if score >= policy["bucket_edges"][k]), default=0)
    return policy["bucket_edge_ppm"][index]


def absolute_of(policy, p):
    first, second = sorted(p, reverse=True)[:2]
    if first - second < policy["min_margin"]:
        return 1
    for action, this, other in ((2, p[2], p[0]), (0, p[0], p[2])):
        if this >= policy["min_buy" if action else "min_sell"] and this >= other + policy["hold_bias"]:
            return action
    return 1


def opinion_of(policy, p):
    """(action, edge)."""
    score = p[2] - p[0]
    edge = edge_of(policy, score)
    if policy["rule"] == 1:
        return absolute_of(policy, p), edge
    if score > policy["cut"] and edge > 0:
        return 2, edge
    mirrored = 100 - confidence_of(policy, policy["cut"])
    return (0 if score < 0 and confidence_of(policy, score) < mirrored else 1), edge


def clip(value):
    return min(100.0, max(0.0, value))


def technical_of(rsi, macd, b):
    score = 50 + (20 if rsi < 30 else -20 if rsi > 70 else 0) + (10 if macd > 0 else -10)
    return clip(score + (10 if b < 0.2 else -10 if b > 0.8 else 0))


def regime_of(closes, atr_ratios):
    """(volatility ratio, KS distance, p-value, ratio of deviations) at the last element."""
    window = atr_ratios[-96:]
    complete = len(window) == 96 and not any(math.isnan(v) for v in window)
    volatility = window[-1] / statistics.median(window) if complete else 1.0
    if len(closes) < 305:
        return volatility, 0.0, 1.0, 1.0
    returns = [math.log(b / a) for a, b in zip(closes[-305:-1], closes[-304:], strict=True)]
    before, now = returns[:240], returns[240:]
    now_up, before_up = sorted(now), sorted(before)
    distance = max(
        abs(bisect.bisect_right(now_up, x) / 64 - bisect.bisect_right(before_up, x) / 240) for x in returns
    )
    root = math.sqrt(64 * 240 / 304)
    scaled = (root + 0.12 + 0.11 / root) * distance
    p_value = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * scaled * scaled) for k in range(1, 101))
    p_value = 1.0 if scaled < 0.2 else min(1.0, max(0.0, p_value))
    return volatility, distance, p_value, statistics.pstdev(now) / statistics.pstdev(before)


class Twin:
    """The whole time line; results in `trades`, `decisions` and `equity` as plain tuples."""

    def __init__(self, market, rules, limits, policy, weights, frame_ns, cash):
        self.m, self.rules, self.limits, self.policy = market, rules, limits, policy
        self.weights, self.frame_ns, self.cash = weights, frame_ns, cash
        self.position, self.memory = None, Memory()
        self.trades, self.decisions, self.equity = [], [], []

    def run(self, bars, columns, probabilities, first):
        for k in range(first, len(bars)):
            opened = bars[k]["ts_open_ns"]
            if self.position:
                self.on_print(bars[k]["open"], opened, bars[k - 2], jump=True)
            if k > first:
                self.scan(bars[: k + 1], columns, probabilities)
            quarter = self.frame_ns // 4
            for name, late in (
                ("low", quarter),
                ("high", self.frame_ns // 2),
                ("close", self.frame_ns - 1_000_000),
            ):
                if self.position:
                    self.on_print(bars[k][name], opened + late, bars[k - 1], jump=False)
        held = self.position.lots if self.position else 0
        return self.cash + self.m.notional(bars[-1]["close"], held)

    # -- fills ---------------------------------------------------------------------------------------------

    def sell(self, tranches, number, price, ppm, reason, ts_ns):
        lots, cost = sum(t.lots for t in tranches), sum(t.cost for t in tranches)
        proceeds = self.m.notional(price, lots)
        commission = floor_ppm(proceeds, ppm)
        pnl = proceeds - commission - cost
        self.cash += proceeds - commission
        self.position.result += pnl
        self.position.tranches = [t for t in self.position.tranches if t not in tranches]
        self.trades.append((ts_ns, 0, number, lots, price, commission, reason, pnl))

    def stop_out(self, tranche, at, ts_ns, bar):
        price = self.m.market_price(at, tranche.lots, bar, buy=False)
        level = self.m.market_price(self.position.stop, tranche.lots, bar, buy=False)
        reason = 9 if price < level else self.position.stop_kind
        self.sell([tranche], tranche.number, price, self.m.costs["taker_ppm"], reason, ts_ns)

    def settle(self, ts_ns):
        if self.position and not self.position.tranches:
            if self.position.result < 0:
                self.memory.losses += 1
                self.memory.loss_until = ts_ns + self.limits["loss_pause_ns"]
            else:
                self.memory.losses = 0
            self.position = None

    def on_print(self, price, ts_ns, bar, *, jump):
        position = self.position
        if price <= position.stop:
            for tranche in list(position.tranches):
                self.stop_out(tranche, price if jump else position.stop, ts_ns, bar)
            self.settle(ts_ns)
            return
        for tranche in sorted(position.tranches, key=lambda t: t.target):
            if tranche.target and self.is_reached(tranche.target, price, ts_ns):
                maker = self.m.costs["maker_ppm"]
                self.sell([tranche], tranche.number, tranche.target, maker, tranche.number, ts_ns)
        self.settle(ts_ns)
        if self.position and price >= position.activation:
            raised = min(price - floor_ppm(position.atr, self.rules["trail_atr_ppm"]), price - 1)
            step = ceil_ppm(position.stop, self.rules["trail_step_ppm"])
            if raised > position.stop and raised >= position.stop + step:
                position.stop, position.stop_kind = raised, 5

    def is_reached(self, target, price, ts_ns):
        if price != target or self.m.costs["tier"] == 0:
            return price >= target
        key = self.m.instrument["symbol_key"]
        return draw(self.m.costs["seed"], key, ts_ns, target) < self.m.costs["touch_ppm"]

    # -- scans ---------------------------------------------------------------------------------------------

    def roll(self, now, equity):
        memory, limits, day = self.memory, self.limits, now // DAY_NS
        if memory.day != day:
            memory.day, memory.day_start = day, equity
        week = (day - 4) // 7  # day 4 of the epoch, 1970-01-05, was a Monday
        if memory.week != week:
            memory.week, memory.week_start = week, equity
        if memory.paused_until:
            if now >= memory.paused_until:
                memory.paused_until, memory.peak = 0, equity
        else:
            memory.peak = max(memory.peak, equity)
            loss = memory.peak - equity
            if loss > 0 and loss >= floor_ppm(memory.peak, limits["max_drawdown_ppm"]):
                memory.paused_until = now + limits["drawdown_pause_ns"]
                memory.tripped_ppm = loss // max(1, memory.peak // 1_000_000)
        if memory.losses >= limits["max_losses_in_row"] and now >= memory.loss_until:
            memory.losses = 0

    def scan(self, bars, columns, probabilities):
        t, bar, after = len(bars) - 2, bars[-2], bars[-1]
        now = bar["ts_open_ns"] + self.frame_ns
        held = self.position.lots if self.position else 0
        value = self.m.notional(bar["close"], held)
        equity = self.cash + value
        self.equity.append((now, equity, self.cash, int(held > 0)))
        self.roll(now, equity)
        action, reason, measured, limit, score, confident, edge = self.opine(columns, probabilities, t)
        plan = None
        if action == 2:
            plan = self.plan(bars[:-1], columns, t, equity, value)
            reason, measured, limit = self.refusal(plan, after, score, confident, edge, equity, value, now)
        exit_reason = self.exit_reason(now, value, equity, action)
        approved = action == 2 and reason == 0 and not exit_reason
        self.decisions.append(
            (t, action, reason, measured, limit, plan["lots"] if approved else 0, score, confident)
        )
        if exit_reason:
            price = self.m.market_price(after["open"], held, bar, buy=False)
            everything = list(self.position.tranches)
            self.sell(everything, 0, price, self.m.costs["taker_ppm"], exit_reason, after["ts_open_ns"])
            self.settle(after["ts_open_ns"])
        elif approved:
            self.enter(plan, bar, after, now)

    def opine(self, columns, probabilities, t):
        row = [columns[name][t] for name in columns]
        p = probabilities[t]
        if any(math.isnan(v) for v in [*row, *p]):
            return 1, 3, 0.0, 0.0, 0.0, 0.0, 0.0
        action, edge = opinion_of(self.policy, p)
        confident = confidence_of(self.policy, p[2] - p[0])
        momentum = clip(
            50
            + 1.2 * columns["roc_4"][t]
            + 0.6 * columns["roc_16"][t]
            + 8 * (columns["volume_ratio_20"][t] - 1)
        )
        technical = technical_of(
            columns["rsi_14"][t], columns["macd_histogram"][t], columns["bollinger_b"][t]
        )
        parts = zip(self.weights, (confident, technical, momentum), strict=True)
        score = sum(weight * part for weight, part in parts)
        if action == 2:
            return action, 0, 0.0, 0.0, score, confident, edge
        return action, 1, *self.missed(p), score, confident, edge

    def missed(self, p):
        if self.policy["rule"] == 1:
            if p[2] < self.policy["min_buy"]:
                return p[2], self.policy["min_buy"]
            return p[2] - max(p[0], p[1]), self.policy["min_margin"]
        score = p[2] - p[0]
        return (
            (score, self.policy["cut"]) if score <= self.policy["cut"] else (edge_of(self.policy, score), 0.0)
        )

    def active(self, equity):
        active = floor_ppm(max(0, equity), self.limits["active_ppm"])
        return min(active, self.limits["max_quote_e8"] or active)

    def plan(self, bars, columns, t, equity, value):
        close, rules, limits, m = bars[t]["close"], self.rules, self.limits, self.m
        atr = math.floor(columns["atr_ratio_14"][t] * close)
        by_atr = close - floor_ppm(atr, rules["stop_atr_ppm"])
        hard = -(-close * (1_000_000 - rules["hard_stop_ppm"]) // 1_000_000)
        stop = max(1, min(close - 1, max(by_atr, hard)))
        cap = close * (1_000_000 + rules["price_cap_ppm"]) // 1_000_000
        active = self.active(equity)
        money = min(
            floor_ppm(active, limits["max_position_ppm"]),
            floor_ppm(active, limits["max_exposure_ppm"]) - value,
        )
        risk = floor_ppm(max(0, equity), limits["risk_per_trade_ppm"])
        wanted = min(m.lots_for(risk, close - stop), m.lots_for(money, cap), m.instrument["max_lots"])
        lots = min(wanted, m.lots_for(self.cash, cap))
        least = 1 + bisect.bisect_left(range(1, 10**13), True, key=lambda n: self.is_sellable(n, stop))
        regime = regime_of([b["close"] for b in bars[-305:]], columns["atr_ratio_14"][: t + 1])
        return {
            "bar": bars[t],
            "close": close,
            "atr": atr,
            "stop": stop,
            "kind": 4 if hard > by_atr else 3,
            "cap": cap,
            "wanted": m.notional(cap, wanted),
            "size": m.notional(cap, lots),
            "lots": lots,
            "least": m.notional(cap, least),
            "risk": m.notional(close - stop, lots),
            "active": active,
            "regime": regime,
        }

    def is_sellable(self, lots, stop):
        kept, _ = self.m.after_commission(lots)
        enough = self.m.notional(stop, kept) >= self.m.instrument["min_notional_e8"]
        return kept >= max(1, self.m.instrument["min_lots"]) and enough

    def refusal(self, plan, after, score, confident, edge, equity, value, now):
        memory, lim = self.memory, self.limits
        spread, depth = self.m.book(after["open"], plan["bar"])
        volatility, distance, p_value, deviation = plan["regime"]
        day_loss = memory.day_start - equity
        day_used = max(0, day_loss) + plan["risk"]
        week_used = max(0, memory.week_start - equity) + plan["risk"]
        needed = value + plan["least"]
        ks_drift = distance >= lim["drift_ks"] and p_value <= lim["drift_p"]
        drift = (distance, lim["drift_ks"]) if ks_drift else (deviation, lim["drift_volatility_ratio"])
        day_limit, budget = lim["max_daily_loss_ppm"], lim["daily_budget_ppm"]
        rules = [
            (10, bool(self.position), 1.0, 0.0),
            (12, score < lim["min_global_score"], score, lim["min_global_score"]),
            (14, confident < lim["min_confidence"], confident, lim["min_confidence"]),
            (15, spread > lim["max_spread_ppm"], percent(spread), percent(lim["max_spread_ppm"])),
            (16, depth < lim["min_depth_e8"], depth / 1e8, lim["min_depth_e8"] / 1e8),
            (17, edge <= lim["min_expected_edge_ppm"], percent(edge), percent(lim["min_expected_edge_ppm"])),
            (18, bool(self.position) >= lim["max_positions"], 0.0, float(lim["max_positions"])),
            (
                19,
                day_loss > 0 and day_loss >= floor_ppm(memory.day_start, day_limit),
                100 * day_loss / memory.day_start,
                percent(day_limit),
            ),
            (20, now < memory.paused_until, percent(memory.tripped_ppm), percent(lim["max_drawdown_ppm"])),
            (
                21,
                memory.losses >= lim["max_losses_in_row"] and now < memory.loss_until,
                float(memory.losses),
                float(lim["max_losses_in_row"]),
            ),
            (22, volatility > lim["max_volatility_ratio"], volatility, lim["max_volatility_ratio"]),
            (23, ks_drift or deviation >= lim["drift_volatility_ratio"], *drift),
            (
                25,
                day_used > floor_ppm(memory.day_start, budget),
                100 * day_used / memory.day_start,
                percent(budget),
            ),
            (
                26,
                week_used > floor_ppm(memory.week_start, lim["weekly_budget_ppm"]),
                100 * week_used / memory.week_start,
                percent(lim["weekly_budget_ppm"]),
            ),
            (
                27,
                needed > floor_ppm(plan["active"], lim["max_exposure_ppm"]),
                100 * needed / plan["active"] if plan["active"] else 0.0,
                percent(lim["max_exposure_ppm"]),
            ),
            (28, plan["wanted"] < plan["least"], plan["wanted"] / 1e8, plan["least"] / 1e8),
            (29, plan["size"] < plan["least"], plan["size"] / 1e8, plan["least"] / 1e8),
        ]
        return next(((code, a, b) for code, refused, a, b in rules if refused), (0, 0.0, 0.0))

    def exit_reason(self, now, value, equity, action):
        if not self.position:
            return 0
        cost = sum(t.cost for t in self.position.tranches)
        band = floor_ppm(cost, self.rules["time_stop_band_ppm"])
        if now - self.position.decided_ns >= self.rules["time_stop_ns"] and abs(value - cost) < band:
            return 6
        if action == 0 and self.rules["exit_on_sell"]:
            return 7
        reduced = len(self.position.tranches) < self.position.bought
        return 8 if reduced and value < floor_ppm(self.active(equity), self.rules["dust_ppm"]) else 0

    def enter(self, plan, bar, after, now):
        lots, rules, close = plan["lots"], self.rules, plan["close"]
        parts = [floor_ppm(lots, rules["share1_ppm"]), floor_ppm(lots, rules["share2_ppm"])]
        parts.append(lots - sum(parts))
        if any(part and not self.is_sellable(part, plan["stop"]) for part in parts):
            parts = [lots, 0, 0]
        targets = [
            max(close + ceil_ppm(close, rules[n]), plan["cap"] + 1) for n in ("target1_ppm", "target2_ppm")
        ]
        activation = close + ceil_ppm(close, rules["trail_start_ppm"])
        position = Position(now, plan["stop"], plan["kind"], activation, plan["atr"])
        price_now, ts_ns = after["open"], after["ts_open_ns"]
        for number, (part, target) in enumerate(zip(parts, [*targets, 0], strict=True), 1):
            price = self.m.fill_or_kill(price_now, part, plan["cap"], bar) if part else None
            if price is None:
                continue
            self.position = position
            kept, commission = self.m.after_commission(part)
            cost = self.m.notional(price, part)
            self.cash -= cost
            tranche = Tranche(number, kept, cost, target)
            position.tranches.append(tranche)
            position.bought += 1
            self.trades.append((ts_ns, 1, number, part, price, commission, 0, 0))
            if price_now <= plan["stop"]:
                self.stop_out(tranche, price_now, ts_ns, bar)
        self.settle(ts_ns)
