"""A fault script to begin with: every key explained, and an example of each action."""

from __future__ import annotations

from typing import Final

_HEAD: Final = """\
# Faults for `bnml exchange --faults FILE` (or venue.sim.faults, or POST /sim/faults). Delete what you do not want.
# The same seed, the same rules and the same requests meet the same faults. A rule's dice depend on its name.
#
# when:   after: 2            the first two matching events pass
#         every: 3            then each third one is struck
#         times: 1            at most so often; 0 = no limit
#         probability: 0.1    dice, from the seed
#         from_market, until_market, from_wall, until_wall: seconds since the script was loaded, or "2023-07-01T12:00Z"
#         for_market_s, for_wall_s: it is over so long after it first struck
#         every_market_s, every_wall_s: repeats a rule of time
# match:  one of  request (order.place, "POST /api/v3/order"), connect (api, stream, any), stream ("*@kline_*"),
#         user_event (executionReport); none of them: a rule of time. With * and ?, or a list of such patterns.
#         and     symbol, client_order_id, account; closed (candles); execution, status (executionReport)
# at:     before (default) or after the request was carried out
# do:     one action or a list; `do: drop` is short for `do: {action: drop}`
seed: 7
rules:
"""

EXAMPLES: Final[dict[str, str]] = {
    "delay": """\
  - name: slow orders
    when: {probability: 0.2}
    match: {request: order.place}
    do: {action: delay, seconds: 0.5, jitter_s: 0.5}
""",
    "no_answer": """\
  - name: an order without answer that was carried out
    when: {after: 4, every: 50}
    match: {request: ["POST /api/v3/order", order.place]}
    at: after
    do: no_answer
""",
    "reset": """\
  - name: the line breaks before an order arrives
    when: {after: 9, every: 40}
    match: {request: ["POST /api/v3/order", order.place]}
    do: reset
""",
    "answer": """\
  - name: timeout of the matching engine, carried out all the same
    when: {after: 2, times: 3}
    match: {request: ["POST /api/v3/order", order.place], client_order_id: "*"}
    at: after
    do: {action: answer, like: timeout}
""",
    "truncate": """\
  - name: half an account
    when: {after: 1, times: 2}
    match: {request: GET /api/v3/account}
    do: {action: truncate, keep: 0.5, breaks_off: true}
""",
    "slow_body": """\
  - name: candles trickle in
    when: {times: 1}
    match: {request: GET /api/v3/klines}
    do: {action: slow_body, seconds: 3}
""",
    "half_replace": """\
  - name: canceled, but not replaced
    when: {times: 1}
    match: {request: ["POST /api/v3/order/cancelReplace", order.cancelReplace]}
    do: {action: half_replace, refused: new}
""",
    "drop": """\
  - name: closed candles that nobody hears
    when: {every: 20}
    match: {stream: "*@kline_*", closed: true}
    do: drop
""",
    "duplicate": """\
  - name: fills told twice
    when: {every: 5}
    match: {user_event: executionReport, execution: TRADE}
    do: {action: duplicate, copies: 1}
""",
    "reorder": """\
  - name: fills told late
    when: {every: 7}
    match: {user_event: executionReport}
    do: {action: reorder, behind: 1}
""",
    "inject": """\
  - name: an event of a kind nobody knows
    when: {times: 2}
    match: {user_event: "*"}
    do: {action: inject, text: '{"e":"fromTheFuture","E":1}'}
""",
    "cut": """\
  - name: 24 hours are over
    when: {from_wall: 86400, every_wall_s: 86400}
    do: {action: cut, sockets: all}
""",
    "silent": """\
  - name: a stream that is open but says nothing
    when: {after: 500, times: 1}
    match: {stream: "*@kline_*"}
    do: {action: silent, lasts_s: 60}
""",
    "no_pings": """\
  - name: no pings
    when: {times: 1}
    match: {connect: stream}
    do: no_pings
""",
    "server_shutdown": """\
  - name: the server is replaced
    when: {from_market: 36000}
    do: {action: server_shutdown, notice_s: 10}
""",
    "refuse_connections": """\
  - name: no route
    when: {from_wall: 120}
    do: {action: refuse_connections, seconds: 20, cut: true}
""",
    "ban": """\
  - name: banned
    when: {from_wall: 240}
    do: {action: ban, seconds: 30, status: 418}
""",
    "use_weight": """\
  - name: most of a minute's weight is gone
    when: {from_market: 3600}
    do: {action: use_weight, weight: 5000}
""",
    "clock_skew": """\
  - name: the exchange's clock goes wrong
    when: {from_wall: 60}
    do: {action: clock_skew, ms: -3000, lasts_s: 10}
""",
    "revoke_key": """\
  - name: the key is revoked for a while
    when: {from_wall: 300}
    do: {action: revoke_key, lasts_s: 20}
""",
    "symbol_status": """\
  - name: trading halts for an hour
    when: {from_market: 50000}
    do: {action: symbol_status, symbol: "*", status: HALT, lasts_market_s: 3600}
""",
    "filters": """\
  - name: coarser filters over night
    when: {from_market: 86400}
    do: {action: filters, symbol: "*", min_notional: "20"}
""",
    "delist": """\
  - name: a symbol goes
    when: {from_market: 172800}
    do: {action: delist, symbol: "*", gone_after_s: 3600}
""",
    "fees": """\
  - name: the discount is over
    when: {from_market: 20000}
    do: {action: fees, maker_bps: 10, taker_bps: 12}
""",
    "transfer": """\
  - name: all BNB is gone
    when: {from_market: 30000}
    do: {action: transfer, asset: BNB, amount: all}
""",
    "price_gap": """\
  - name: a crash that stays
    when: {from_market: 70000}
    do: {action: price_gap, symbol: "*", percent: -20}
""",
    "price_spike": """\
  - name: one bad tick
    when: {from_market: 60000}
    do: {action: price_spike, symbol: "*", percent: 40}
""",
    "manual_order": """\
  - name: the owner buys by hand
    when: {from_market: 40000}
    do: {action: manual_order, symbol: "*", side: BUY, quantity: "0.01"}
""",
    "cancel_orders": """\
  - name: the owner cancels by hand
    when: {from_market: 45000}
    do: {action: cancel_orders, symbol: "*"}
""",
}
"""One rule for each action, by its name."""


def faults_template() -> str:
    """A script with an example of each action."""
    return _HEAD + "\n".join(EXAMPLES.values())
