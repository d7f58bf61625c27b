"""The whole catalogue of faults that a venue can commit, each with the rules that make it and the test that saw it."""

import inspect

import pytest

from bnml.venues.sim.faults.script import parse_script
from tests.venues.sim.faults import test_frames, test_requests, test_world

ORDER = "{request: ['POST /api/v3/order', order.place]}"
CATALOGUE = {
    "429": ("match: {request: '*'}, do: {action: answer, like: too_many_requests}", "each_wrong_answer"),
    "418": ("match: {request: '*'}, do: {action: answer, like: banned}", "ban_says_until_when"),
    "-1008 with 503": (f"match: {ORDER}, do: {{action: answer, like: overloaded}}", "each_wrong_answer"),
    "-1007, executed": (f"match: {ORDER}, at: after, do: {{action: answer, like: timeout}}", "each_wrong_answer"),
    "-1007, not executed": (f"match: {ORDER}, do: {{action: answer, like: timeout}}", "each_wrong_answer"),
    "reset before execution": (f"match: {ORDER}, do: reset", "rest_connection_breaks_off"),
    "reset after execution": (f"match: {ORDER}, at: after, do: reset", "socket_breaks_off_before"),
    "502 with HTML": ("match: {request: '*'}, do: {action: answer, like: bad_gateway}", "each_wrong_answer"),
    "5 s latency": ("match: {request: '*'}, do: {action: delay, seconds: 5}", "requests_and_answers_are_late"),
    "-1021 by clock skew": ("do: {action: clock_skew, ms: -5000}", "clock_goes_wrong"),
    "-2015 in mid-session": ("do: revoke_key", "key_is_revoked"),
    "duplicate user events": ("match: {user_event: '*'}, do: duplicate", "user_events_are_missing"),
    "out-of-order user events": ("match: {user_event: '*'}, do: reorder", "user_events_are_missing"),
    "missing user event": ("match: {user_event: '*'}, do: drop", "user_events_are_missing"),
    "depth gap": ("match: {stream: '*@depth'}, do: drop", "gap_in_the_depth_stream"),
    "stale stream": ("match: {stream: '*'}, do: silent", "a_silent_socket"),
    "no pings": ("match: {connect: any}, do: no_pings", "no_pings"),
    "serverShutdown": ("do: server_shutdown", "server_says_that_it_goes"),
    "24 h cut": ("do: {action: cut, sockets: all}", "twenty_four_hours"),
    "HALT": ("do: {action: symbol_status, symbol: BTCUSDT, status: HALT}", "does_not_trade"),
    "BREAK": ("do: {action: symbol_status, symbol: BTCUSDT, status: BREAK}", "does_not_trade"),
    "CANCEL_ONLY": ("do: {action: symbol_status, symbol: BTCUSDT, status: CANCEL_ONLY}", "does_not_trade"),
    "filter change": ("do: {action: filters, symbol: BTCUSDT, tick: '0.10'}", "filters_become_coarser"),
    "F01 timeout after acceptance": (f"match: {ORDER}, at: after, do: no_answer", "no_answer_at_all"),
    "F02 reset before send": (f"match: {ORDER}, do: reset", "rest_connection_breaks_off"),
    "F03 5xx, -1006, -1007": (f"match: {ORDER}, do: {{action: answer, like: unexpected_response}}", "each_wrong_answer"),
    "F04 filled at once, then timed out": (
        f"match: {ORDER}, at: after, do: {{action: answer, like: timeout}}", "filled_at_once_and_timed_out"),
    "F05 429 with Retry-After": ("do: {action: ban, seconds: 5, status: 429}", "a_ban_holds"),
    "F06 418 until T": ("do: {action: ban, seconds: 120}", "a_ban_holds"),
    "F07 weight nearly used up": ("do: {action: use_weight, weight: 5000}", "most_of_the_weight"),
    "F08 -1015": (f"match: {ORDER}, do: {{action: answer, like: too_many_orders}}", "each_wrong_answer"),
    "F09 no route": ("do: {action: refuse_connections, seconds: 600, cut: true}", "new_connections_find_no_port"),
    "F10 403 of the firewall": ("match: {request: '*'}, do: {action: answer, like: firewall}", "each_wrong_answer"),
    "F10 firewall at the handshake": ("match: {connect: any}, do: {action: answer, like: firewall}", "sockets_are_refused"),
    "F11 body stalls": ("match: {request: GET /api/v3/account}, do: {action: slow_body, seconds: 60}", "trickles_in"),
    "F12 truncated body": ("match: {request: '*'}, do: truncate", "half_a_body"),
    "F12 not JSON": ("match: {request: '*'}, do: {action: answer, status: 200, body: '<html>'}", "of_the_scripts_own"),
    "F13 host fails": ("do: {action: refuse_connections, seconds: 30}", "new_connections_find_no_port"),
    "F14 answer twice": ("match: {request: '*'}, do: duplicate", "an_answer_comes_twice"),
    "F14 answer after the timeout": ("match: {request: '*'}, at: after, do: {action: delay, seconds: 11}", "requests_and_answers_are_late"),
    "F15 -1013": (f"match: {ORDER}, do: {{action: answer, like: lot_size}}", "each_wrong_answer"),
    "F16 remainder below the minimum": ("do: {action: filters, symbol: '*', min_notional: '100'}", "filters_become_coarser"),
    "F17 -1021": ("do: {action: clock_skew, ms: 2500, lasts_s: 5}", "clock_goes_wrong"),
    "F18 -2010 on entry": ("do: {action: transfer, asset: USDT, amount: all}", "money_comes_and_goes"),
    "F19 -2010 on exit": (f"match: {ORDER}, do: {{action: answer, like: insufficient_balance}}", "each_wrong_answer"),
    "F20 would match, would trigger": (f"match: {ORDER}, do: {{action: answer, like: would_trigger}}", "each_wrong_answer"),
    "F21 -2011 on cancel": ("match: {request: order.cancel}, do: {action: answer, like: unknown_order}", "each_wrong_answer"),
    "F22 -2013 on query": ("match: {request: order.status}, do: {action: answer, like: no_such_order}", "finds_nothing_for_a_while"),
    "F23 key refused": ("do: {action: revoke_key, account: main}", "key_is_revoked"),
    "F24 503 of every kind": ("match: {request: '*'}, do: {action: answer, like: unavailable}", "each_wrong_answer"),
    "F25 -1121": ("match: {request: '*'}, do: {action: answer, like: bad_symbol}", "each_wrong_answer"),
    "F27 account restricted": (f"match: {ORDER}, do: {{action: answer, like: account_frozen}}", "each_wrong_answer"),
    "F27 maintenance": ("match: {request: '*'}, do: {action: answer, like: maintenance}", "each_wrong_answer"),
    "F28 24 h": ("when: {every_wall_s: 86400}, do: {action: cut, sockets: all}", "twenty_four_hours"),
    "F29 serverShutdown": ("do: {action: server_shutdown, notice_s: 600}", "server_says_that_it_goes"),
    "F30 half-open": ("match: {connect: stream}, do: silent", "a_silent_socket"),
    "F30 dead": ("match: {connect: stream}, do: {action: silent, pings: false}", "a_dead_socket"),
    "F32 duplicate events": ("match: {user_event: executionReport}, do: {action: duplicate, copies: 2}", "user_events_are_missing"),
    "F33 FILLED before NEW": ("match: {user_event: executionReport, execution: NEW}, do: reorder", "user_events_are_missing"),
    "F34 fill missed": ("match: {user_event: executionReport, execution: TRADE}, do: drop", "user_events_are_missing"),
    "F35 final candle missed": ("match: {stream: '*@kline_*', closed: true}, do: drop", "a_closed_candle_is_missed"),
    "F36 gap in candles": (
        "do: {action: symbol_status, symbol: '*', status: HALT, lasts_market_s: 7200}", "candles_of_a_halted_hour"),
    "F37 one symbol dropped": ("match: {stream: '*', symbol: BTCUSDT}, do: drop", "one_stream_is_dropped"),
    "F39 user stream down": ("match: {user_event: '*'}, do: {action: cut}", "a_socket_breaks_off"),
    "F40 burst": ("match: {stream: '*'}, do: {action: duplicate, copies: 49}", "fifty_times"),
    "F41 unknown event": ("match: {user_event: '*'}, do: {action: inject, text: '{}'}", "unknown_kind"),
    "F41 malformed frame": ("match: {stream: '*'}, do: truncate", "cut_or_nonsense"),
    "F65 partial fill, dust": ("do: {action: filters, symbol: '*', min_notional: '50'}", "filters_become_coarser"),
    "F67 BNB runs out": ("do: {action: transfer, asset: BNB, amount: all}", "money_comes_and_goes"),
    "F67 fees change": ("do: {action: fees, maker_bps: 10, taker_bps: 10}", "commission_rates"),
    "F68 manual trade": ("do: {action: manual_order, symbol: BTCUSDT, side: BUY, quantity: '0.1'}", "by_hand"),
    "F68 manual cancel": ("do: {action: cancel_orders, symbol: '*'}", "by_hand"),
    "F68 deposit, withdrawal": ("do: {action: transfer, asset: USDT, amount: '-50'}", "money_comes_and_goes"),
    "F69 bad tick": ("do: {action: price_spike, symbol: BTCUSDT, percent: 90}", "one_bad_tick"),
    "F70 gap through a stop-limit": ("do: {action: price_gap, symbol: BTCUSDT, percent: -20}", "a_crash_that_stays"),
    "F71 tick changes": ("do: {action: filters, symbol: '*', tick: '0.50'}", "filters_become_coarser"),
    "F72 symbol gone": ("do: {action: delist, symbol: BTCUSDT}", "a_symbol_is_delisted"),
    "F73 crash of everything": (
        f"match: {ORDER}, do: [{{action: price_gap, symbol: '*', percent: -20}}, {{action: answer, like: timeout}}]",
        "a_crash_that_stays",
    ),
    "F74 half a cancelReplace": ("match: {request: '*cancelReplace'}, do: half_replace", "half_a_cancel_replace"),
}  # fmt: skip
"""Fault: (a rule that commits it, part of the name of the test in which a raw client sees it)."""
NOT_THE_VENUES = {"F26", "F31", "F38", "F66", "F75"}
"""What no script can do to a client: its own precision, its loop, its limits and its arithmetic."""
TESTS = [name for module in (test_frames, test_requests, test_world) for name, _ in inspect.getmembers(module, inspect.iscoroutinefunction)]  # fmt: skip


@pytest.mark.parametrize("fault", CATALOGUE)
def test_each_fault_of_the_catalogue_can_be_written_and_was_seen(fault):
    text, seen = CATALOGUE[fault]
    script, _ = parse_script(f"rules: [{{{text}}}]")
    assert len(script.rules) == 1
    assert [name for name in TESTS if name.startswith("test_") and seen in name]


def test_no_fault_of_the_venue_is_left_out():
    numbers = {f"F{number:02}" for number in (*range(1, 42), *range(65, 76))}
    assert numbers - {fault.partition(" ")[0] for fault in CATALOGUE} == NOT_THE_VENUES
