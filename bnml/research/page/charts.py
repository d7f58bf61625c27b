"""Charts as stretched SVG with labels in HTML: lines keep their width and letters their size at any width."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bnml.research.page.axes import HEIGHT, WIDTH, Scale, Tick, thinned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


DOT_GRAIN = 4


class Plot(msgspec.Struct):
    """A frame with axes into which curves, dots and bars are drawn; `attributes` are read by the script."""

    x: Scale
    y: Scale
    label: str  # what a screen reader says of it
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    zero: float | None = None  # a value of y (or None) whose line is drawn stronger
    kind: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    shapes: list[str] = msgspec.field(default_factory=list)

    def line(self, name: str, x: Floats, y: Floats) -> None:
        """A curve of class `name`, thinned to what can be seen."""
        if len(x):
            self.shapes.append(
                f'<path class="line {name}" d="{_path(*self._places(*thinned(self.x.shares(x), y)))}"/>'
            )

    def area(self, name: str, x: Floats, low: Floats, high: Floats) -> None:
        """The room between two curves."""
        shares = self.x.shares(x)
        upper, lower = self._places(*thinned(shares, high)), self._places(*thinned(shares, low))
        outline = np.concatenate((upper[0], lower[0][::-1])), np.concatenate((upper[1], lower[1][::-1]))
        self.shapes.append(f'<path class="area {name}" d="{_path(*outline)}Z"/>')

    def dots(self, name: str, x: Floats, y: Floats) -> None:
        """Round dots of one size, drawn as strokes without length so that stretching leaves them round.

        Dots less than `DOT_GRAIN` apart are one dot: they would cover each other.
        """
        across, down = self._places(self.x.shares(x), y)
        places = sorted(set(zip(*((one // DOT_GRAIN).tolist() for one in (across, down)), strict=True)))
        if places:
            d = "".join(f"M{DOT_GRAIN * px} {DOT_GRAIN * py}h0" for px, py in places)
            self.shapes.append(f'<path class="dots {name}" d="{d}"/>')

    def segments(self, name: str, x: Floats, y: Floats) -> None:
        """Straight lines between pairs: both arrays have shape (count, 2)."""
        if not len(x):
            return
        px, py = self._places(self.x.shares(x.ravel()), y.ravel())
        pairs = zip(px[::2], py[::2], px[1::2] - px[::2], py[1::2] - py[::2], strict=True)
        d = "".join(f"M{a} {b}l{c} {e}" for a, b, c, e in pairs)
        self.shapes.append(f'<path class="line {name}" d="{d}"/>')

    def bar(self, name: str, left: float, right: float, value: float, title: str) -> None:
        """A bar from zero to `value` between two places of x."""
        x0, x1 = (round(self.x.share(side) * WIDTH) for side in (left, right))
        y0, y1 = sorted(round((1 - self.y.share(level)) * HEIGHT) for level in (max(0.0, self.y.low), value))
        self.shapes.append(
            f'<rect class="bar {name}" x="{x0 + 2}" y="{y0}" width="{max(1, x1 - x0 - 4)}" height="{y1 - y0}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def _places(self, shares: Floats, y: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        across = np.rint(shares * WIDTH).astype(np.int64)
        down = np.rint((1.0 - self.y.shares(np.asarray(y, dtype=np.float64))) * HEIGHT).astype(np.int64)
        return across, down

    def html(self) -> str:
        """The whole plot: grid, shapes, labels."""
        extra = "".join(f' data-{name}="{escape(value)}"' for name, value in self.attributes.items())
        return (
            f'<div class="plot {self.kind}"{extra}>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{escape(self.label)}">'
            f"{self._grid()}{''.join(self.shapes)}</svg>{''.join(self._labels())}</div>"
        )

    def _grid(self) -> str:
        across = "".join(f"M0 {round((1 - self.y.share(t.at)) * HEIGHT)}H{WIDTH}" for t in self.y_ticks)
        upright = "".join(f"M{round(self.x.share(t.at) * WIDTH)} 0V{HEIGHT}" for t in self.x_ticks)
        strong = ""
        if self.zero is not None and self.y.low <= self.zero <= self.y.high:
            strong = f'<path class="zero" d="M0 {round((1 - self.y.share(self.zero)) * HEIGHT)}H{WIDTH}"/>'
        return f'<path class="grid" d="{across}{upright}"/>{strong}'

    def _labels(self) -> Iterable[str]:
        for tick in self.y_ticks:
            yield f'<span class="y" style="top:{100 * (1 - self.y.share(tick.at)):.2f}%">{escape(tick.label)}</span>'
        for tick in self.x_ticks:
            share = self.x.share(tick.at)
            edge = " last" if share > 0.97 else ""
            name = ("x" if tick.major else "x minor") + edge
            yield f'<span class="{name}" style="left:{100 * share:.2f}%">{escape(tick.label)}</span>'


def _path(x: NDArray[np.int64], y: NDArray[np.int64]) -> str:
    """Points as one path with relative steps; steps of nothing are left out."""
    steps = [f"M{x[0]} {y[0]}l"]
    dx, dy = np.diff(x), np.diff(y)
    moving = (dx != 0) | (dy != 0)
    moves = zip(dx[moving].tolist(), dy[moving].tolist(), strict=True)
    steps.append(" ".join(f"{a}{b}" if b < 0 else f"{a} {b}" for a, b in moves) or "0 0")
    return "".join(steps)


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """What each class of curve means."""
    items = "".join(f'<li><i class="key {name}"></i>{escape(text)}</li>' for name, text in entries)
    return f'<ul class="legend">{items}</ul>'
