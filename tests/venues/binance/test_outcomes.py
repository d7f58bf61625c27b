"""The outcome table, row by row: what each code and status means for an order, and what follows."""

import msgspec
import pytest

from bnml.venues.binance.outcomes import ROWS, Outcome, Step, verdict_of

R, N, U, D = Outcome.REFUSED, Outcome.NOT_EXECUTED, Outcome.UNKNOWN, Outcome.DONE
INTERNAL = "Internal error; unable to process your request. Please try again."
CASES = [
    # codes of limits
    (429, -1003, "Too much request weight used; current limit is 6000", N, Step.WAIT),
    (429, -1015, "Too many new orders; current limit is 50 orders per 10 SECOND.", N, Step.PAUSE_ORDERS),
    (429, 0, "", N, Step.WAIT),
    (429, -1034, "Too many connections are already open.", N, Step.WAIT),
    (418, -1003, "Way too much request weight used; IP banned until 1", N, Step.BAN),
    (418, 0, "<html>", N, Step.BAN),
    # errors inside the venue
    (500, -1000, "An unknown error occurred while processing the request.", U, Step.QUERY),
    (400, -1001, INTERNAL, U, Step.QUERY),
    (400, -1006, "Execution status unknown.", U, Step.QUERY),
    (408, -1007, "Timeout waiting for response from backend server.", U, Step.QUERY),
    (504, -1007, "Timeout waiting for response from backend server.", U, Step.QUERY),
    (503, -1008, "Server is currently overloaded with other requests.", U, Step.QUERY),
    (503, -1016, "This service is no longer available.", U, Step.QUERY),
    (400, -1016, "This service is no longer available.", N, Step.WAIT),
    (
        500,
        -1013,
        "Filter failure: LOT_SIZE",
        U,
        Step.QUERY,
    ),  # said by an error of the venue, not by its filter
    (503, -1003, "Too much request weight used", N, Step.WAIT),
    # no JSON
    (500, 0, "", U, Step.QUERY),
    (502, 0, "<html>Bad Gateway</html>", U, Step.QUERY),
    (503, 0, "Service Unavailable", U, Step.QUERY),
    (504, 0, "<html>Gateway Timeout</html>", U, Step.QUERY),
    (408, 0, "", U, Step.QUERY),
    (409, 0, "", U, Step.QUERY),
    (302, 0, "", U, Step.QUERY),
    (404, 0, "<html>", U, Step.QUERY),
    (0, 0, "", U, Step.QUERY),  # no answer at all
    (403, 0, "<html>Forbidden</html>", N, Step.FIREWALL),
    (401, 0, "", R, Step.ACCESS),
    (200, 0, "", D, Step.NONE),
    # the clock and the key
    (400, -1021, "Timestamp for this request is outside of the recvWindow.", N, Step.RESYNC),
    (400, -1022, "Signature for this request is not valid.", R, Step.ACCESS),
    (401, -2014, "API-key format invalid.", R, Step.ACCESS),
    (401, -2015, "Invalid API-key, IP, or permissions for action.", R, Step.ACCESS),
    (401, -1002, "You are not authorized to execute this request.", R, Step.ACCESS),
    # filters and symbols
    (400, -1013, "Filter failure: LOT_SIZE", R, Step.REFILTER),
    (400, -1013, "Filter failure: PRICE_FILTER", R, Step.REFILTER),
    (400, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE", R, Step.REFILTER),
    (400, -1111, "Precision is over the maximum defined for this asset.", R, Step.REFILTER),
    (400, -1013, "Filter failure: NOTIONAL", R, Step.DROP),
    (400, -1013, "Filter failure: MAX_NUM_ALGO_ORDERS", R, Step.DROP),
    (400, -1121, "Invalid symbol.", R, Step.QUARANTINE),
    *(
        (400, code, "", R, Step.DROP)
        for code in (*range(-1106, -1099), -1116, -1117, -1120, -1127, -1128, -1130)
    ),
    *((400, code, "", R, Step.DROP) for code in (-1108, -1131, -1134, -1135, -1145, -1151, -2016)),
    *(
        (400, code, "", R, Step.DROP)
        for code in (-1122, -1165, -1168, -1210, -1220, -2035, -2036, -2038, -2039, -2043)
    ),
    # refused by the matching engine
    (400, -2010, "Account has insufficient balance for requested action.", R, Step.BALANCES),
    (400, -2010, "Order would immediately match and take.", R, Step.EXIT_NOW),
    (400, -2010, "Stop price would trigger immediately.", R, Step.EXIT_NOW),
    (400, -2010, "Duplicate order sent.", U, Step.QUERY),
    (400, -2010, "Market is closed.", R, Step.PAUSE_SYMBOL),
    (400, -1013, "Market is closed.", R, Step.PAUSE_SYMBOL),
    (400, -2010, "The relationship of the prices for the orders is not correct.", R, Step.DROP),
    (400, -2010, "This account may not place or cancel orders.", R, Step.DROP),
    (400, -2011, "Unknown order sent.", R, Step.QUERY),
    (400, -2013, "Order does not exist.", R, Step.QUERY),
    (409, -2021, "Order cancel-replace partially failed.", R, Step.HALVES),
    (400, -2022, "Order cancel-replace failed.", R, Step.HALVES),
    (400, -2026, "Order was canceled or expired with no executed qty over 90 days ago", R, Step.NONE),
]


@pytest.mark.parametrize(("status", "code", "text", "outcome", "step"), CASES)
def test_f24_every_answer_enters_one_table(status, code, text, outcome, step):
    verdict = verdict_of(status, code, text)
    assert (verdict.outcome, verdict.step) == (outcome, step)


def test_each_row_of_the_table_is_tested():
    tested = set()
    for status, code, text, outcome, step in CASES:
        if 0 < status < 500:
            found = next(
                (i for i, row in enumerate(ROWS) if code in row.codes and row.text in text.lower()), None
            )
            tested.add(found)
            assert (
                found is None or (ROWS[found].outcome, ROWS[found].step) == (outcome, step) or status == 418
            )
    assert tested >= set(range(len(ROWS)))


def test_every_documented_code_has_a_meaning(data_dir):
    rows = msgspec.json.decode((data_dir / "fixtures/binance_docs/error_codes.json").read_bytes())
    found = {row["code"]: verdict_of(400, row["code"], "") for row in rows}
    assert {code for code, one in found.items() if one.outcome is U} == {-1000, -1001, -1006, -1007, -1008}
    assert {code for code, one in found.items() if one.step is Step.ACCESS} == {-1002, -1022, -2014, -2015}
    assert not [code for code, one in found.items() if one.outcome is D]


def test_whatever_an_error_inside_the_venue_says_the_outcome_is_unknown():
    for status in range(500, 600):
        for code in (0, -1000, -1013, -1121, -2010, -2011, -9999):
            assert verdict_of(status, code, "anything").outcome is U
