import msgspec
import pytest

from bnml.core.events import Bar
from bnml.trading.crosscheck import CrossCheck, TradeCandles

MINUTE = 60_000_000_000


def trades(*minutes, first_id=1):
    """(ts, ticks, lots, id) of trades given as lists of (ticks, lots) for each minute, a second apart."""
    made = []
    for number, minute in enumerate(minutes):
        for second, (ticks, lots) in enumerate(minute):
            made.append((number * MINUTE + second * 10**9, ticks, lots, first_id + len(made)))
    return made


STREAM = trades([(10, 1)], [(11, 2), (15, 1), (9, 4), (12, 3)], [(12, 5)], [(13, 6), (12, 1)], [(14, 1)])
SECOND = Bar("X", MINUTE, 2 * MINUTE, 11, 15, 9, 12, 10, 4)
THIRD = Bar("X", 2 * MINUTE, 3 * MINUTE, 12, 12, 12, 12, 5, 1)
FOURTH = Bar("X", 3 * MINUTE, 4 * MINUTE, 13, 13, 12, 12, 7, 2)


def candles(stream):
    builder = TradeCandles(MINUTE)
    return [made for one in stream if (made := builder.add("X", *one)) is not None]


def test_candles_hold_all_trades_of_their_minute_but_the_first_minute_is_unknown():
    assert candles(STREAM) == [SECOND, THIRD, FOURTH]


def test_a_trade_that_comes_again_counts_once():
    assert candles([*STREAM[:4], STREAM[2], STREAM[3], *STREAM[4:]]) == [SECOND, THIRD, FOURTH]


def test_a_lost_trade_within_a_minute_spoils_that_minute():
    assert candles([one for one in STREAM if one[3] != 3]) == [THIRD, FOURTH]


def test_a_hole_between_minutes_spoils_both_sides():
    assert candles([one for one in STREAM if one[3] != 5]) == [FOURTH]
    assert candles([one for one in STREAM if one[3] not in {5, 6}]) == []


@pytest.mark.parametrize("candle_first", [True, False])
def test_stated_candles_are_compared_whichever_comes_first(candle_first):
    check = CrossCheck(MINUTE)
    for one in STREAM:
        stated = [bar for bar in (SECOND, THIRD, FOURTH) if bar.ts_close_ns == one[0]]
        found = [check.on_bar(bar) for bar in stated] if candle_first else []
        found.append(check.on_trade("X", *one))
        found += [] if candle_first else [check.on_bar(bar) for bar in stated]
        assert set(found) == {None}
    assert (check.checked, check.differing) == (3, 0)


def test_a_differing_volume_or_price_is_returned_with_both_candles():
    for field in ("open", "high", "low", "close", "volume_lots"):
        stated = msgspec.structs.replace(SECOND, **{field: getattr(SECOND, field) + 1})
        check = CrossCheck(MINUTE)
        assert check.on_bar(stated) is None
        found = [one for one in (check.on_trade("X", *trade) for trade in STREAM) if one is not None]
        assert [(one.stated, one.seen) for one in found] == [(stated, SECOND)]
        assert (check.checked, check.differing) == (1, 1)


def test_candles_without_counterpart_do_not_pile_up():
    check = CrossCheck(MINUTE)
    for number in range(100):
        check.on_bar(msgspec.structs.replace(SECOND, ts_open_ns=number * MINUTE))
        check.on_trade("X", number * MINUTE, 1, 1, number + 1)
    assert len(check._stated["X"]) <= 4
    assert len(check._seen.get("X", {})) <= 4
