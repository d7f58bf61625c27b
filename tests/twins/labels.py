"""Naive edge labels: the formula of the docstring over plain lists."""

import math
import statistics


def edge_labels(close, atr_ratio, rule):
    floor = max(
        rule["min_move"],
        rule["side_cost"] * rule["round_trip_cost_multiplier"] * rule["cost_safety_multiplier"],
    )
    labels, edges = [], []
    for i in range(len(close)):
        start = max(1, i - rule["volatility_window"] + 1)
        returns = [close[k] / close[k - 1] - 1 for k in range(start, i + 1)]
        enough = len(returns) >= max(5, rule["volatility_window"] // 4)
        noise = statistics.stdev(returns) if enough else 0.0
        atr = 0.0 if math.isnan(atr_ratio[i]) else atr_ratio[i]
        edge = floor + rule["volatility_multiplier"] * noise + rule["atr_multiplier"] * atr
        edges.append(min(max(edge, floor), rule["max_move"]))
        if i + rule["horizon_bars"] >= len(close):
            labels.append(-1)
            continue
        move = close[i + rule["horizon_bars"]] / close[i] - 1
        labels.append(2 if move > edges[i] else 0 if move < -edges[i] else 1)
    return labels, edges
