"""The extremes a position saw, by listing every print: a twin of `bnml.kernels.excursions`."""


def extremes(bars, frame_ns, entry_ns, exit_ns, exit_ticks):
    prints = []
    for bar in bars:
        ts = int(bar["ts_open_ns"])
        times = (ts, ts + frame_ns // 4, ts + frame_ns // 2, ts + frame_ns - 1_000_000)
        prints += zip(times, (bar["open"], bar["low"], bar["high"], bar["close"]), strict=True)
    seen = [int(price) for at, price in prints if entry_ns <= at < exit_ns or at == entry_ns]
    return max([*seen, exit_ticks]), min([*seen, exit_ticks])
