"""Naive higher frames: candles by bucket, joined by the moment at which they are known, and the votes."""

from tests.twins.technical import base_columns, deviation, higher_columns, mean

NAN = float("nan")


def candles(bars, frame_ns):
    """[(end_ns, o, h, l, c, v)] of the buckets; the first is left out unless a bar opens it."""
    buckets = {}
    for bar in bars:
        buckets.setdefault(bar[0] // frame_ns, []).append(bar)
    numbers = sorted(buckets)
    if bars[0][0] % frame_ns:
        numbers = numbers[1:]
    return [
        (
            (number + 1) * frame_ns,
            buckets[number][0][1],
            max(bar[2] for bar in buckets[number]),
            min(bar[3] for bar in buckets[number]),
            buckets[number][-1][4],
            sum(bar[5] for bar in buckets[number]),
        )
        for number in numbers
    ]


def joined(bars, base_ns, frame_ns):
    """Higher columns per base bar: those of the newest candle that ended by the bar's close."""
    closed = candles(bars, frame_ns)
    columns = higher_columns(*([candle[field] for candle in closed] for field in range(1, 6)))
    known = []
    newest = -1
    for bar in bars:
        while newest + 1 < len(closed) and closed[newest + 1][0] <= bar[0] + base_ns:
            newest += 1
        known.append(newest)
    return {name: [values[i] if i >= 0 else NAN for i in known] for name, values in columns.items()}


def feature_columns(bars, base_ns, frames):
    """All columns by name; bars are (ts_open_ns, o, h, l, c, v), frames [(prefix, frame_ns)]."""
    out = base_columns(*([bar[field] for bar in bars] for field in range(1, 6)))
    spreads, histograms, strengths = [out["ema_spread_9_21"]], [out["macd_histogram"]], [out["rsi_14"]]
    for prefix, frame_ns in frames:
        columns = joined(bars, base_ns, frame_ns)
        out.update({prefix + name: values for name, values in columns.items()})
        spreads.append(
            [
                (1 + slow) / (1 + fast) - 1
                for fast, slow in zip(columns["sma_distance_9"], columns["sma_distance_21"], strict=True)
            ]
        )
        histograms.append(columns["sma_macd_histogram"])
        strengths.append(columns["rsi_simple_14"])
    rows = [
        votes([s[i] for s in spreads], [m[i] for m in histograms], [r[i] for r in strengths])
        for i in range(len(bars))
    ]
    out.update({name: [row[name] for row in rows] for name in rows[0]})
    return out


def sign(value):
    return (value > 0) - (value < 0)


def votes(spreads, histograms, strengths):
    trends = [100 * spread for spread in spreads]
    biases = [(strength - 50) / 50 for strength in strengths]
    trend = mean([sign(x) for x in spreads])
    macd = mean([sign(x) for x in histograms])
    rsi = mean(biases)
    return {
        "mtf_trend_strength_mean": mean(trends),
        "mtf_trend_strength_std": deviation(trends),
        "mtf_trend_consensus": trend,
        "mtf_trend_conflict": 1 - abs(trend),
        "mtf_macd_consensus": macd,
        "mtf_rsi_bias_mean": rsi,
        "mtf_rsi_bias_std": deviation(biases),
        "mtf_confluence_score": (trend + macd + rsi) / 3,
    }
