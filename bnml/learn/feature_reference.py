"""The page docs/features.md, made from the layout and the words for its columns."""

from __future__ import annotations

from bnml.kernels.features import FeatureLayout, frame_name
from bnml.learn import feature_meanings as meanings
from bnml.learn.feature_successors import all_successors

_HOUR_NS = 3_600_000_000_000
DEFAULT_LAYOUT = FeatureLayout(_HOUR_NS // 4, (_HOUR_NS, 4 * _HOUR_NS, 24 * _HOUR_NS))

_HEAD = """# Features

This page is generated; do not edit it. Write it anew with

    python -c "import pathlib, bnml.learn.feature_reference as r; pathlib.Path('docs/features.md').write_text(r.feature_reference())"

One row of {count} columns per closed bar of the base frame. Every column is a ratio, a distance or an oscillator:
none is a price level, none depends on how much history was fetched, and none changes when later bars arrive.
Values are NaN until a column has warmed up and are never infinite; where a formula would divide zero by zero the
column has the value stated under "idle". Missing bars are not filled: a window of 20 is 20 existing bars.

A column of a higher frame shows the newest *closed* candle of that frame, put together from base bars. A candle is
closed by the base bar that ends it or, if that bar is missing, by the first later bar; the candle in which the
history begins is left out unless it is whole. Warm-up is counted in bars of the base frame ({base}), for the worst
place that the history can begin at; {warmup} bars ({days} days) warm up everything.

Running state begins at the first bar given, the anchor. Equal anchors give equal bytes; different anchors agree to
1e-9 after warm-up, because averages that never forget wholly (EMA, Wilder) count as warm only when their first
value weighs less than 1e-11.
"""


def feature_reference(layout: FeatureLayout = DEFAULT_LAYOUT) -> str:
    """The whole page; the default layout is that of the default configuration."""
    warmups = dict(zip(layout.names, layout.warmups, strict=True))
    base = frame_name(layout.base_frame_ns)
    days = -(-layout.warmup_bars * layout.base_frame_ns // (24 * _HOUR_NS))
    parts = [_HEAD.format(count=layout.count, base=base, warmup=layout.warmup_bars, days=days)]
    parts += [f"## Base frame ({base})\n", _columns(meanings.BASE, "", warmups)]
    for frame_ns in layout.higher_frames_ns:
        name = frame_name(frame_ns)
        parts += [f"## Frame {name}\n", _columns(meanings.HIGHER, f"mtf_{name}_", warmups)]
    parts += ["## Agreement of the frames\n", _columns(meanings.CONFLUENCE, "", warmups)]
    parts += [_successors()]
    return "\n".join(parts)


def _columns(words: dict[str, meanings.Meaning], prefix: str, warmups: dict[str, int]) -> str:
    lines = ["| column | meaning | unit | idle | warm-up, bars |", "| --- | --- | --- | --- | ---: |"]
    for name, meaning in words.items():
        full = prefix + name
        lines.append(f"| `{full}` | {meaning.text} | {meaning.unit} | {meaning.idle} | {warmups[full]} |")
    return "\n".join(lines) + "\n"


def _successors() -> str:
    known = all_successors()
    lines = [
        f"## What became of BN-ML's {len(known)} columns\n",
        "BN-ML merged higher frames on the *open* time of their candles, so that training saw up to a day of the future;",
        "here they are joined when they close. It filled the beginning of each frame backwards; here it stays NaN.\n",
        "| BN-ML | here | what changed |",
        "| --- | --- | --- |",
    ]
    for name, after in known.items():
        columns = ", ".join(f"`{column}`" for column in after.columns)
        lines.append(f"| `{name}` | {columns} | {after.change} |")
    return "\n".join(lines) + "\n"
