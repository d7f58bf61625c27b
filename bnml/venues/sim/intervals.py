"""The candle intervals of Binance: where each candle begins and ends, in UTC or another zone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from bnml.core.clock import NS_PER_DAY, NS_PER_HOUR, frame_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES: Final = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "1w", "1M"),
)
MONTH: Final = "1M"
STREAM_ZONE: Final = "@+08:00"
"""The one other zone that kline streams know."""
STREAM_ZONE_NS: Final = 8 * NS_PER_HOUR
_WEEK_NS: Final = 7 * NS_PER_DAY
_MONDAY_NS: Final = 3 * NS_PER_DAY  # 1970-01-01 was a Thursday


class Interval(msgspec.Struct, frozen=True):
    """`length_ns` is 0 for months, which differ; candles begin at whole intervals of the zone `offset_ns` east of UTC."""

    length_ns: int
    offset_ns: int = 0

    @property
    def longest_ns(self) -> int:
        """The most that one candle can last."""
        return self.length_ns or 31 * NS_PER_DAY

    def is_made_of(self, base_ns: int) -> bool:
        """Whether each candle is a number of whole base candles."""
        unit_ns = self.length_ns or NS_PER_DAY
        return unit_ns >= base_ns and unit_ns % base_ns == 0 and self.offset_ns % min(unit_ns, base_ns) == 0

    def start(self, ts_ns: int) -> int:
        """Open time of the candle that holds `ts_ns`; weeks begin on Monday."""
        if self.length_ns:
            shift_ns = self.offset_ns + (_MONDAY_NS if self.length_ns == _WEEK_NS else 0)
            return (ts_ns + shift_ns) // self.length_ns * self.length_ns - shift_ns
        return int(self.starts(np.array([ts_ns]))[0])

    def end(self, start_ns: int) -> int:
        """Where the candle that opens at `start_ns` ends, exclusive."""
        if self.length_ns:
            return start_ns + self.length_ns
        return self.start(start_ns + 31 * NS_PER_DAY)

    def starts(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """`start` of many times."""
        if self.length_ns:
            shift_ns = self.offset_ns + (_MONDAY_NS if self.length_ns == _WEEK_NS else 0)
            begun: NDArray[np.int64] = (times + shift_ns) // self.length_ns * self.length_ns - shift_ns
            return begun
        months = (times + self.offset_ns).astype("datetime64[ns]").astype("datetime64[M]")
        first: NDArray[np.int64] = months.astype("datetime64[ns]").astype(np.int64) - self.offset_ns
        return first


def interval_of(name: str, offset_ns: int = 0) -> Interval | None:
    """The interval of that name; None when there is none."""
    if name not in NAMES:
        return None
    return Interval(0 if name == MONTH else frame_ns(name), offset_ns)
