"""Which evidence explains a time without a stop, and that without evidence it stays unexplained."""

import pytest

from tests.e2e.matrix.causes import (
    AGED,
    ALONE,
    BANNED,
    BESIDE,
    BY_HAND,
    BY_REST,
    CLOSED,
    FAILED,
    FEW,
    FILTERED,
    GREW,
    GROWN,
    HALTED,
    HALVED,
    KEYLESS,
    LAGGED,
    LATE_READ,
    LISTLESS,
    PARTED,
    PASSED,
    PREVENTED,
    SINGLE,
    SPENT,
    STARTING,
    TAKEN,
    TOGETHER,
    TOOK,
    TWICE,
    UNEXPLAINED,
    UNLINKED,
    UNPROVEN,
    UNREAD,
    UNTOLD,
    cause_of,
)
from tests.e2e.matrix.market import Span

STOP = "side=SELL type=STOP_LOSS newClientOrderId=one-0s"
AGAIN = "side=SELL type=STOP_LOSS newClientOrderId=two-0s"


def cause(notes, *, until=3.0, lived=True, shuts=()):
    span = Span("AUSDT", 0.0, until, lived, notes=[(at, "AUSDT", text) for at, text in notes])
    span.shuts = [(since, end, "", why) for since, end, why in shuts]
    return cause_of(span)


def lost(at, words=STOP):
    return [(at, f"sent order.place {words}")]


def done(at, words=STOP, told="ok"):
    return [
        *lost(at, words),
        (at + 0.02, f"executed {words}: {told}"),
        (at + 0.04, f"answered 200 ok: {words}"),
    ]


def refused(at, words=STOP):
    """By a fault that answers in the exchange's place."""
    return [*lost(at, words), (at + 0.04, f"answered 400 -2010 no: {words}")]


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        pytest.param([], UNEXPLAINED, id="nothing was asked for"),
        pytest.param(lost(0.1), UNEXPLAINED, id="one loss is no excuse"),
        pytest.param(lost(0.1) + lost(1.6), TWICE, id="lost twice"),
        pytest.param(lost(0.1) + lost(0.15, AGAIN), UNEXPLAINED, id="two that left together failed once"),
        pytest.param(refused(0.1) + refused(0.5), TWICE, id="wrong answers"),
        pytest.param(done(0.1) + done(1.0, AGAIN), UNEXPLAINED, id="answered in order"),
        pytest.param(lost(0.1) + done(2.9), UNEXPLAINED, id="the one that ends it has not failed"),
        pytest.param(
            [(0.1, "sent side=SELL fault lost"), (1.6, "sent side=SELL fault error_before")],
            TWICE,
            id="as the simulated network notes it",
        ),
        pytest.param(
            [(0.1, "sent listClientOrderId=a fault lost"), (0.1, "sent listClientOrderId=b fault lost")],
            UNEXPLAINED,
            id="a chain that is lost whole",
        ),
        pytest.param(
            [(0.1, "struck: drop before of executionReport one, report lost")] * 3, UNEXPLAINED, id="reports"
        ),
        pytest.param(lost(-2.5) + lost(-1.5), UNEXPLAINED, id="long before"),
    ],
)
def test_a_process_that_lived_is_excused_by_two_failures(notes, found):
    assert cause(notes) == found


SALE = "side=SELL type=MARKET newClientOrderId=one-0x"
ANOTHER = "side=SELL type=MARKET newClientOrderId=two-0x"


@pytest.mark.parametrize(
    ("notes", "until", "found"),
    [
        pytest.param(lost(0.1, SALE) + lost(0.15, ANOTHER), 4.6, TOGETHER, id="both"),
        pytest.param(refused(0.1, SALE) + refused(0.1, ANOTHER), 4.6, TOGETHER, id="both by a wrong answer"),
        pytest.param(lost(0.1, SALE) + done(0.15, ANOTHER), 4.6, UNEXPLAINED, id="one of them"),
        pytest.param(lost(0.1, SALE), 4.6, UNEXPLAINED, id="one alone"),
        pytest.param(lost(0.1, SALE) + lost(0.15, ANOTHER), 6.4, UNEXPLAINED, id="longer than reads may lag"),
    ],
)
def test_two_sales_that_fail_together_wait_for_reads(notes, until, found):
    assert cause(notes, until=until) == found


@pytest.mark.parametrize(
    ("at_s", "until", "found"),
    [
        pytest.param(0.5, 9.0, LAGGED, id="seen by the next comparison"),
        pytest.param(-3.0, 9.0, UNEXPLAINED, id="long before"),
        pytest.param(0.5, 12.0, UNEXPLAINED, id="longer than that"),
    ],
)
def test_reads_that_lag_behind_excuse_the_time_until_the_next_comparison(at_s, until, found):
    assert cause([(at_s, LATE_READ)], until=until) == found


WANTING = (1.0, f"executed {STOP}: (-2010, 'Account has insufficient balance for requested action.')")


@pytest.mark.parametrize("lived", [True, False])
@pytest.mark.parametrize(
    ("notes", "until", "found"),
    [
        pytest.param([(-2.0, TOOK), WANTING], 12.0, TAKEN, id="until it is known"),
        pytest.param([WANTING], 12.0, UNEXPLAINED, id="nobody took any"),
        pytest.param([(-2.0, TOOK)], 12.0, UNEXPLAINED, id="nothing was refused"),
        pytest.param([(-2.0, TOOK), WANTING], 17.0, UNEXPLAINED, id="longer than that"),
    ],
)
def test_coins_that_their_owner_takes_are_missed_until_reads_cannot_lag_any_more(lived, notes, until, found):
    turns = [(-9.0, "born")] if lived else [(0.5, "died any moment"), (0.6, "born")]
    assert cause([*notes, *turns], until=until, lived=lived) == found


def test_of_a_process_that_was_born_too_long_ago_for_the_notes_as_well():
    assert cause([(-2.0, TOOK), WANTING], until=12.0) == TAKEN


@pytest.mark.parametrize(
    ("why", "until", "shut", "found"),
    [
        pytest.param(BANNED, 5.0, (0.5, 4.5), BANNED, id="banned"),
        pytest.param(CLOSED, 5.0, (-1.0, 3.5), CLOSED, id="closed"),
        pytest.param(BANNED, 5.0, (0.5, 2.5), UNEXPLAINED, id="too long after it"),
        pytest.param(HALTED, 5.0, (0.5, 4.5), UNEXPLAINED, id="nothing was refused"),
        pytest.param(FILTERED, 5.0, (0.5, 4.5), UNEXPLAINED, id="nothing was refused for it"),
    ],
)
def test_a_venue_that_takes_no_orders_excuses_the_time_in_which_it_takes_none(why, until, shut, found):
    assert cause([], until=until, shuts=[(*shut, why)]) == found


TOO_OLD = (-0.3, "answered 400 -1021 Timestamp for this request is outside of the recvWindow.: one-0s")
CANCELLED = [
    (0.0, "sent DELETE/api/v3/orderList listClientOrderId=one-0l"),
    (0.02, "executed listClientOrderId=one-0l: ok"),
    (0.04, "answered 200 DELETE/api/v3/orderList listClientOrderId=one-0l"),
]
BY_OTHERS = (0.0, "struck: cancel_orders before of time, orders cancelled by hand")
UNHEARD = (0.0, "struck: drop before of executionReport one-0s, report lost")


@pytest.mark.parametrize(
    ("notes", "until", "found"),
    [
        pytest.param([BY_OTHERS, UNHEARD], 5.2, UNTOLD, id="not told"),
        pytest.param([BY_OTHERS], 5.2, UNEXPLAINED, id="told"),
        pytest.param([UNHEARD], 5.2, UNEXPLAINED, id="not by others"),
        pytest.param([BY_OTHERS, UNHEARD], 8.0, UNEXPLAINED, id="longer than until the next look"),
    ],
)
def test_what_others_do_and_the_venue_does_not_tell(notes, until, found):
    assert cause(notes, until=until) == found


def test_a_ban_keeps_the_next_look_from_what_was_not_told():
    assert cause([BY_OTHERS, UNHEARD], until=8.6, shuts=[(2.5, 6.5, BANNED)]) == UNTOLD


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        pytest.param(
            [*lost(0.1), (1.1, "struck: no_answer before of GET /api/v3/order one-0s, reads lost")],
            UNREAD,
            id="both",
        ),
        pytest.param(
            [(1.1, "struck: no_answer before of GET /api/v3/order one-0s, reads lost")],
            UNEXPLAINED,
            id="reads alone",
        ),
    ],
)
def test_reads_that_fail_after_a_request_that_failed(notes, found):
    assert cause(notes, until=5.0) == found


@pytest.mark.parametrize("why", [HALTED, FILTERED])
def test_a_refusal_is_the_evidence(why):
    assert cause(refused(1.0), until=5.0, shuts=[(0.5, 4.5, why)]) == why


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        pytest.param([(0.6, "answered 401 -2015 Invalid API-key")], KEYLESS, id="noticed"),
        pytest.param(refused(0.6), UNEXPLAINED, id="something else was refused"),
    ],
)
def test_a_key_that_was_not_accepted_is_not_used_until_a_person_has_acted(notes, found):
    assert cause(notes, until=9.0, shuts=[(0.5, 8.9, KEYLESS)]) == found


@pytest.mark.parametrize(
    ("notes", "until", "found"),
    [
        pytest.param([TOO_OLD, *lost(0.1)], 2.6, AGED, id="and the next one failed"),
        pytest.param([TOO_OLD, *done(0.1)], 2.6, UNEXPLAINED, id="and no other failed"),
        pytest.param(lost(0.1), 2.6, UNEXPLAINED, id="not too old"),
        pytest.param([TOO_OLD, *lost(0.1)], 3.2, UNEXPLAINED, id="longer than it may live"),
    ],
)
def test_a_request_that_lives_longer_as_the_one_before_was_too_old(notes, until, found):
    assert cause(notes, until=until) == found


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        pytest.param([(0.2, "died any moment")], UNEXPLAINED, id="nothing else"),
        pytest.param([*CANCELLED, (0.2, "died any moment")], PARTED, id="between a cancel and what follows"),
        pytest.param(
            [(0.1, f"DELETE{BY_REST}"), (0.2, "died any moment")],
            PARTED,
            id="the same in the simulated network",
        ),
        pytest.param(
            [(0.1, f"DELETE{BY_REST}"), (0.1, f"POST{BY_REST}"), (0.2, "died any moment")],
            UNEXPLAINED,
            id="what follows had left, too",
        ),
        pytest.param(
            [(0.0, f"DELETE{BY_REST}")] * 2 + [(0.1, f"POST{BY_REST}"), (0.1, "died any moment")],
            PARTED,
            id="what follows the other cancel had left",
        ),
        pytest.param([*CANCELLED, *done(0.1), (0.2, "died any moment")], UNEXPLAINED, id="it had followed"),
        pytest.param([*CANCELLED, (2.0, "died any moment")], UNEXPLAINED, id="long after a cancel"),
        pytest.param([*lost(0.1), (0.2, "died any moment")], FAILED, id="a loss"),
        pytest.param([(0.2, "died any moment"), *lost(4.0)], UNEXPLAINED, id="a loss in the next life"),
        pytest.param(
            [*done(0.1, told="(-2010, 'Stop price would trigger immediately.')"), (0.2, "died any moment")],
            PASSED,
            id="the price was there",
        ),
        pytest.param([(0.0, GROWN)], GREW, id="a rest that rose"),
        pytest.param(
            [(-0.5, "struck: cancel_orders before of time, orders cancelled by hand")], BY_HAND, id="by hand"
        ),
    ],
)
def test_a_process_that_died_in_between(notes, found):
    assert cause(notes, until=9.0, lived=False) == found


HALF = (0.0, "one-0t half filled")
THIN = (0.0, "one-0s found few on the other side: 3 of 5")
SALE = "side=SELL type=MARKET newClientOrderId=two-0x"
DIED = (0.3, "died any moment")
PREVENTION = (0.0, "struck: prevention of a trade of the account with itself")
CLOSED_NOW = (0.0, f"executed {SALE}: (-2010, 'Market is closed.')")
BOUGHT = (-0.1, "sent side=BUY type=LIMIT newClientOrderId=one-0w")
LATE = [(0.2, "died any moment"), (1.0, "born"), (7.0, "died any moment")]


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        pytest.param([HALF, DIED], HALVED, id="a target"),
        pytest.param([THIN, DIED], FEW, id="a sale"),
        pytest.param([HALF, (1.2, "died any moment")], UNEXPLAINED, id="it had time to see it"),
        pytest.param([(-1.0, "died any moment"), HALF, (4.0, "born")], HALVED, id="it was dead before"),
        pytest.param([HALF, *LATE], UNEXPLAINED, id="the next one had time to see it"),
        pytest.param(
            [(-1.0, "died any moment"), HALF, (2.0, "born"), (2.0, "died before_send"), (8.5, "born")],
            HALVED,
            id="the next one died as it was born",
        ),
        pytest.param([(-1.0, "died any moment"), PREVENTION, (4.0, "born")], PREVENTED, id="by its owner"),
        pytest.param([BOUGHT, (0.0, ALONE), DIED], LISTLESS, id="bought without a list"),
        pytest.param([BOUGHT, DIED], UNEXPLAINED, id="alone in the account"),
        pytest.param(
            [(0.0, "sent origClientOrderId=one"), (0.0, SINGLE), DIED], UNLINKED, id="a cancel alone"
        ),
        pytest.param([(0.0, SINGLE), DIED], UNEXPLAINED, id="nothing was cancelled"),
    ],
)
def test_what_the_market_took_a_part_of_before_a_death(notes, found):
    assert cause(notes, until=9.0, lived=False) == found


@pytest.mark.parametrize(
    ("notes", "until", "found"),
    [
        pytest.param([HALF, (0.1, f"sent {STOP} fault late")], 2.2, SPENT, id="one failure after it"),
        pytest.param([HALF], 2.2, UNEXPLAINED, id="none"),
        pytest.param([HALF, (0.1, f"sent {STOP} fault late")], 2.7, UNEXPLAINED, id="too long"),
        pytest.param([(0.0, BESIDE), (0.1, f"sent {SALE} fault lost")], 4.2, UNPROVEN, id="a sale"),
        pytest.param(
            [(0.0, BESIDE), (0.6, f"sent {SALE} fault lost")],
            5.0,
            UNPROVEN,
            id="a sale that was asked for late",
        ),
        pytest.param(
            [(0.0, BESIDE), (0.6, f"sent {SALE} fault lost")],
            5.2,
            UNEXPLAINED,
            id="it took longer than a proof",
        ),
        pytest.param(
            [(0.0, BESIDE), (1.1, f"sent {SALE} fault lost")],
            5.0,
            UNEXPLAINED,
            id="it was asked for too late",
        ),
        pytest.param([(0.1, f"sent {SALE} fault lost")], 4.2, UNEXPLAINED, id="with no coins of others"),
        pytest.param([(0.0, BESIDE), (0.1, f"sent {STOP} fault lost")], 4.2, UNEXPLAINED, id="a stop"),
    ],
)
def test_one_failure_while_nothing_else_rests(notes, until, found):
    assert cause(notes, until=until) == found


@pytest.mark.parametrize(
    ("until", "found"),
    [pytest.param(3.9, STARTING, id="in time"), pytest.param(4.1, UNEXPLAINED, id="too late")],
)
def test_what_happens_while_a_start_reads_the_account(until, found):
    assert cause([(-1.0, "born"), HALF], until=until) == found


@pytest.mark.parametrize(
    ("notes", "shuts", "found"),
    [
        pytest.param([CLOSED_NOW, DIED], [(-1.0, 8.0, HALTED)], HALTED, id="it said so"),
        pytest.param([DIED], [(-1.0, 8.0, HALTED)], UNEXPLAINED, id="it said nothing"),
        pytest.param([CLOSED_NOW, DIED], [], UNEXPLAINED, id="it was not"),
        pytest.param([CLOSED_NOW, *LATE], [(-1.0, 7.5, HALTED)], HALTED, id="for all of the next life"),
        pytest.param([CLOSED_NOW, *LATE], [(-1.0, 1.5, HALTED)], UNEXPLAINED, id="not for most of it"),
    ],
)
def test_a_venue_that_was_closed_when_the_process_died(notes, shuts, found):
    assert cause(notes, until=9.0, lived=False, shuts=shuts) == found
