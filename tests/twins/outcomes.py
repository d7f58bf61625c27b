"""One entry followed print by print in plain Python, with floats where only the size of a return matters."""

import math

from bnml.kernels import fills

PPM = 1_000_000


def floor_ppm(amount, ppm):
    return amount * ppm // PPM


def ceil_ppm(amount, ppm):
    return -(-amount * ppm // PPM)


def half_spread(bar, costs):
    spread = (int(bar["high"]) - int(bar["low"])) * PPM // int(bar["close"])
    return min(
        costs["spread_cap_ppm"], costs["spread_floor_ppm"] + floor_ppm(spread, costs["spread_range_ppm"])
    )


def prints(bars, row, frame_ns):
    for index in range(row + 1, len(bars)):
        opened = int(bars[index]["ts_open_ns"])
        for slot, (name, late) in enumerate(
            (("open", 0), ("low", frame_ns // 4), ("high", frame_ns // 2), ("close", frame_ns - 1_000_000))
        ):
            yield index, slot, int(bars[index][name]), opened + late


def touched(level, price, key, ts_ns, costs):
    if price > level:
        return True
    if price < level:
        return False
    chance = fills.draw_ppm(costs["seed"], key, ts_ns, level) if costs["tier"] == 1 else 0
    return costs["tier"] != 1 or chance < costs["touch_ppm"]


def entry(bars, row, atr_ratio, frame_ns, instrument, rules, costs):
    """(net ppm, bars held) or None; `rules`, `costs`, `instrument` are dicts of Python integers."""
    if row + 1 >= len(bars) or not atr_ratio > 0:
        return None
    reference = int(bars[row]["close"])
    atr = int(atr_ratio * reference)
    first = int(bars[row + 1]["open"])
    bought = first + ceil_ppm(first, half_spread(bars[row], costs) + costs["slippage_ppm"])
    cap = reference + floor_ppm(reference, rules["price_cap_ppm"])
    if bought > cap:
        return None
    by_atr = reference - floor_ppm(atr, rules["stop_atr_ppm"])
    hard = reference - floor_ppm(reference, rules["hard_stop_ppm"])
    stop = max(1, min(max(by_atr, hard), reference - 1))
    activation = reference + ceil_ppm(reference, rules["trail_start_ppm"])
    tranches = [
        [rules["share1_ppm"], max(reference + ceil_ppm(reference, rules["target1_ppm"]), cap + 1)],
        [rules["share2_ppm"], max(reference + ceil_ppm(reference, rules["target2_ppm"]), cap + 1)],
        [PPM - rules["share1_ppm"] - rules["share2_ppm"], math.inf],
    ]
    net, leaving = 0.0, False

    def sell(share, price, fee):
        kept = (1 - costs["taker_ppm"] / PPM) * (1 - fee / PPM)
        return share * (price * kept / bought - 1)

    def sell_rest(at, pricing):
        price = max(1, at - ceil_ppm(at, half_spread(pricing, costs) + costs["slippage_ppm"]))
        return sum(sell(share, price, costs["taker_ppm"]) for share, _ in tranches)

    for index, slot, price, ts_ns in prints(bars, row, frame_ns):
        if slot == 0 and index > row + 1:
            held = bars[index - 1]
            age = int(held["ts_open_ns"]) - int(bars[row]["ts_open_ns"])
            change = abs(int(held["close"]) / bought - 1)
            leaving = age >= rules["time_stop_ns"] and change < rules["time_stop_band_ppm"] / PPM
        published = bars[index - 2] if slot == 0 and index > row + 1 else bars[index - 1]
        if price <= stop:
            return net + sell_rest(price if slot == 0 else stop, published), index - row
        for tranche in list(tranches):
            if (index, slot) != (row + 1, 0) and touched(
                tranche[1], price, instrument["symbol_key"], ts_ns, costs
            ):
                net += sell(tranche[0], tranche[1], costs["maker_ppm"])
                tranches.remove(tranche)
        if not tranches:
            return net, index - row
        if leaving and slot == 0:
            return net + sell_rest(price, bars[index - 1]), index - row
        if price >= activation:
            candidate = min(price - floor_ppm(atr, rules["trail_atr_ppm"]), price - 1)
            if candidate >= stop + ceil_ppm(stop, rules["trail_step_ppm"]):
                stop = candidate
    return net + sell_rest(int(bars[-1]["close"]), bars[-1]), len(bars) - 1 - row
