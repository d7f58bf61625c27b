"""Naive figures of a run: the definitions over plain lists and dictionaries, nothing shared with the kernels."""

import math
import statistics

DAY_NS = 86_400 * 10**9
INFINITE = math.inf


def daily_returns(points, initial, final):
    """points: (ts_ns, equity, free); the final mark is the last of the last day."""
    if not points:
        return []
    last = {}
    for ts_ns, equity, _ in points:
        last[ts_ns // DAY_NS] = equity
    last[max(last)] = final
    returns, before = [], initial
    for day in range(min(last), max(last) + 1):
        now = last.get(day, before)
        returns.append(now / before - 1)
        before = now
    return returns


def drawdowns(path):
    """The largest loss from an earlier peak as a share of it, and in money."""
    pairs = [(high, low) for k, high in enumerate(path) for low in path[k:]]
    return max((high - low) / high for high, low in pairs), max(high - low for high, low in pairs)


def spells_under_water(points, initial, final):
    """Lengths of the stretches from a peak followed by less to the point that regains it, or the end."""
    times = [points[0][0], *(ts for ts, _, _ in points), points[-1][0]]
    path = [initial, *(equity for _, equity, _ in points), final]
    spells, k = [], 0
    while k < len(path):
        top = max(path[: k + 1])
        if path[k] == top and k + 1 < len(path) and path[k + 1] < top:
            regained = next((j for j in range(k + 1, len(path)) if path[j] >= top), len(path) - 1)
            spells.append(times[regained] - times[k])
            k = regained
        else:
            k += 1
    return spells


def exposure(points):
    return math.fsum((equity - free) / equity for _, equity, free in points) / len(points)


def moments(returns):
    """mean, sample deviation, downside deviation, skew, kurtosis."""
    n = len(returns)
    mean = math.fsum(returns) / n
    downside = math.sqrt(math.fsum(min(x, 0) ** 2 for x in returns) / n)
    deviation = statistics.stdev(returns) if n > 1 else 0.0
    if deviation <= 1e-15:
        return mean, 0.0, downside, 0.0, 3.0
    second, third, fourth = (math.fsum((x - mean) ** k for x in returns) / n for k in (2, 3, 4))
    return mean, deviation, downside, third / second**1.5, fourth / second**2


def sharpe(returns):
    mean, deviation, *_ = moments(returns)
    return mean / deviation * math.sqrt(365) if deviation else 0.0


def sortino(returns):
    mean, _, downside, *_ = moments(returns)
    if downside <= 1e-15:
        return INFINITE if mean > 0 else 0.0
    return mean / downside * math.sqrt(365)


def cagr(initial, final, elapsed_ns):
    if elapsed_ns < DAY_NS:
        return 0.0
    return -1.0 if final <= 0 else (final / initial) ** (365 * DAY_NS / elapsed_ns) - 1


def calmar(growth, drawdown):
    return growth / drawdown if drawdown > 0 else INFINITE if growth > 0 else 0.0


def cvar(returns):
    worst = sorted(returns)[: -(-len(returns) // 20)]
    return math.fsum(worst) / len(worst) if worst else 0.0


def positions(results, initial):
    """All figures of closed positions by name."""
    wins, losses = [x for x in results if x > 0], [x for x in results if x <= 0]
    p = len(wins) / len(results) if results else 0.0
    win = sum(wins) / len(wins) if wins else 0.0
    loss = sum(losses) / len(losses) if losses else 0.0
    ratio = win / -loss if loss else INFINITE if win else 0.0
    gross = -sum(losses)
    return {
        "win_rate": p,
        "average_win": win,
        "average_loss": loss,
        "payoff": ratio,
        "profit_factor": sum(wins) / gross if gross else INFINITE if wins else 0.0,
        "expectancy": sum(results) / len(results) if results else 0.0,
        "risk_of_ruin": ruin(p, ratio, initial / -loss if loss else INFINITE),
    }


def ruin(p, ratio, units):
    """(q / (p * ratio)) ^ units: no loss ever is safe, no edge is ruin."""
    if INFINITE in {units, ratio} or p == 1:
        return 0.0
    if p * ratio <= 1 - p:
        return 1.0
    return ((1 - p) / (p * ratio)) ** units


def probabilistic_sharpe(returns, benchmark=0.0):
    mean, deviation, _, skew, kurtosis = moments(returns)
    if len(returns) < 2 or not deviation:
        return 0.0
    ratio = mean / deviation
    spread = 1 - skew * ratio + (kurtosis - 1) / 4 * ratio**2
    score = (ratio - benchmark) * math.sqrt(len(returns) - 1) / math.sqrt(max(spread, 1e-15))
    return statistics.NormalDist().cdf(score)


def expected_maximum(trials):
    if trials < 2:
        return 0.0
    z, g = statistics.NormalDist().inv_cdf, 0.5772156649015329
    return (1 - g) * z(1 - 1 / trials) + g * z(1 - 1 / (trials * math.e))


def deflated_sharpe(returns, trials, variance):
    return probabilistic_sharpe(returns, math.sqrt(variance) * expected_maximum(trials))


WORD = (1 << 64) - 1


def mix(value):
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & WORD
    return value ^ (value >> 31)


def chosen_days(days, block, seed, paths):
    """Which day each path takes on each of its days: two paths side by side share a draw of 64 bits."""
    golden = 0x9E3779B97F4A7C15
    state, made = mix((seed + golden) & WORD), []
    for _ in range(paths // 2):
        pair = ([], [])
        for day in range(days):
            state = (state + golden) & WORD
            bits = mix(state)
            for path, half in zip(pair, (bits & 0xFFFFFFFF, bits >> 32), strict=True):
                drawn = half * (days * block if day else days) >> 32
                path.append(drawn if drawn < days else (path[-1] + 1) % days)
        made += pair
    return made


def quantile(values, share):
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def bootstrap(returns, block, seed=1, paths=512):
    """95 % quantile of the maximum drawdown and 5 % quantile of the profit of compounded resampled paths."""
    if not returns:
        return 0.0, 0.0
    falls, gains = [], []
    for path in chosen_days(len(returns), block, seed, paths):
        value, peak, fall = 1.0, 1.0, 0.0
        for day in path:
            value *= max(1 + returns[day], 1e-12)
            peak = max(peak, value)
            fall = max(fall, 1 - value / peak)
        falls.append(math.log1p(-fall) if fall < 1 else -INFINITE)
        gains.append(math.log(value) if value > 0 else -INFINITE)
    return 1 - math.exp(quantile(falls, 0.05)), math.exp(quantile(gains, 0.05)) - 1


def edge_floor(returns, market, exposures, trials, seed=1, paths=2048):
    """market: a list of each day's returns by symbol. Floor, excess and deflation per year."""
    days = len(returns)
    excess = [
        mine - math.fsum(x * y for x, y in zip(theirs, exposures, strict=True))
        for mine, theirs in zip(returns, market, strict=True)
    ]
    block = math.ceil(round(days ** (1 / 3), 9))
    means = [
        365 * math.fsum(excess[day] for day in path) / days for path in chosen_days(days, block, seed, paths)
    ]
    error = statistics.pstdev(means)
    shift = error * expected_maximum(trials)
    floor = quantile(means, 0.05) - shift
    if days < 20 or error <= 1e-12:
        floor = min(floor, 0.0)
    return floor, 365 * math.fsum(excess) / days, shift
