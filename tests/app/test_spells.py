"""Why entries are off reaches a person once for each spell: at once, or when it has lasted, and with its end."""

import pytest
from structlog.testing import capture_logs

from bnml.app.spells import LASTING_S, OVER_S, SOON_S, Spells
from bnml.core.clock import NS_PER_S, ManualClock

DISK = "disk REDUCING: 800 MiB free"
STALE = "stale:BTCUSDT REDUCING: btcusdt@bookTicker is silent"
USER = "channel:user REDUCING: down"


class Case:
    def __init__(self):
        self.clock = ManualClock(1_800_000_000 * NS_PER_S)
        self.spells = Spells(self.clock)

    def pass_s(self, seconds, *reasons):
        """Look once a second; returns what was told."""
        with capture_logs() as lines:
            for _ in range(int(seconds)):
                self.spells.look(reasons)
                self.clock.advance(NS_PER_S)
        return lines


@pytest.fixture
def case():
    return Case()


def names(lines):
    return [line["event"] for line in lines]


def test_what_does_not_go_away_by_itself_is_told_within_seconds_and_once(case):
    lines = case.pass_s(SOON_S + 2, DISK)
    assert [(line["event"], line["log_level"]) for line in lines] == [("entries_off", "warning")]
    assert DISK in lines[0]["text"]
    assert case.pass_s(3600, DISK) == []


def test_a_halt_is_critical_and_told_once_more_when_it_grows_out_of_less(case):
    case.pass_s(SOON_S + 2, DISK)
    lines = case.pass_s(2, "disk HALTED: 90 MiB free")
    assert [(line["event"], line["log_level"]) for line in lines] == [("entries_off", "critical")]
    assert case.pass_s(60, DISK) == []


@pytest.mark.parametrize("between", [(), (DISK,)])
def test_a_halt_after_the_operators_resume_is_told_although_its_spell_goes_on(case, between):
    halt = "disk HALTED: 90 MiB free"
    case.pass_s(SOON_S + 2, halt)
    assert case.pass_s(60, *between) == []
    assert [line["log_level"] for line in case.pass_s(60, halt)] == ["critical"]


def test_a_whole_exchange_that_comes_back_is_one_line(case):
    many = [f"status:S{number}USDT REDUCING: is HALT at the venue" for number in range(400)]
    assert names(case.pass_s(LASTING_S + 2, *many)) == ["entries_off"]
    lines = case.pass_s(OVER_S + 2)
    assert names(lines) == ["entries_off_over"]
    assert "status:S0USDT, from" in lines[0]["text"]
    assert lines[0]["text"].endswith("and 390 more")


@pytest.mark.parametrize(
    "reason", [STALE, USER, "clock REDUCING: 2500 ms", "loop REDUCING: lags", "journal REDUCING: 3 s"]
)
def test_what_comes_and_goes_is_told_when_it_has_lasted(case, reason):
    assert case.pass_s(LASTING_S - 1, reason) == []
    assert names(case.pass_s(3, reason)) == ["entries_off"]


def test_a_halt_is_never_waited_for(case):
    assert names(case.pass_s(SOON_S + 2, "journal HALTED: no commit for 10 s")) == ["entries_off"]


def test_the_end_is_told_with_what_still_stands(case):
    case.pass_s(LASTING_S + 2, DISK, USER)
    assert case.pass_s(OVER_S - 1, USER) == []
    lines = case.pass_s(2, USER)
    assert names(lines) == ["entries_off_over"]
    assert "disk" in lines[0]["text"]
    assert "channel:user" in lines[0]["still"]
    lines = case.pass_s(OVER_S + 2)
    assert (names(lines), lines[0]["still"]) == (["entries_off_over"], [])


def test_a_short_break_of_a_reason_that_is_not_told_leaves_no_word(case):
    assert case.pass_s(30, USER) == []
    assert case.pass_s(OVER_S + 2) == []


def test_what_flaps_is_one_spell_and_one_alert(case):
    told = []
    for _ in range(20):
        told += names(case.pass_s(10, STALE))
        told += names(case.pass_s(20))
    assert told == ["entries_off"], "when it has stood for a minute in all"


def test_a_loop_that_is_stuck_between_looks_is_told_too(case):
    told = []
    for _ in range(15):
        told += names(case.pass_s(1, "loop REDUCING: lags by 7000 ms"))
        case.clock.advance(6 * NS_PER_S)
    assert told == ["entries_off"]


def test_a_machine_that_slept_does_not_know_that_a_reason_stood_all_the_while(case):
    assert case.pass_s(2, STALE) == []
    case.clock.advance(600 * NS_PER_S)
    assert case.pass_s(LASTING_S // 2, STALE) == []
    assert names(case.pass_s(LASTING_S // 2, STALE)) == ["entries_off"]


def test_streams_of_many_symbols_are_one_alert_and_a_second_delisting_is_another(case):
    many = [f"stale:S{number}USDT REDUCING: silent" for number in range(40)]
    lines = case.pass_s(LASTING_S + 2, *many)
    assert names(lines) == ["entries_off"]
    assert "and 30 more" in lines[0]["text"]
    assert case.pass_s(LASTING_S + 2, *many, STALE) == []
    first, second = (f"delist:{name} REDUCING: is delisted soon" for name in ("AAAUSDT", "BBBUSDT"))
    assert names(case.pass_s(SOON_S + 2, *many, first)) == ["entries_off"]
    assert names(case.pass_s(SOON_S + 2, *many, first, second)) == ["entries_off"]


def test_what_the_strategy_or_the_operator_means_to_do_is_no_alarm(case):
    for reason in (
        "volatility REDUCING: x3",
        "market_sell REDUCING: 70",
        "planned REDUCING: from",
        "operator REDUCING: `bnml reduce`",
    ):
        assert case.pass_s(120, reason) == []
    assert names(case.pass_s(SOON_S + 2, "operator HALTED: books contradict")) == ["entries_off"]
