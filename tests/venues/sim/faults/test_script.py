"""Scripts as people write them: the template, the page about them, and nonsense, which is told in sentences."""

import re
from pathlib import Path

import pytest

from bnml.core.errors import Misconfigured
from bnml.venues.sim.faults.actions import Answer, Cut, Delay
from bnml.venues.sim.faults.answers import PRESETS
from bnml.venues.sim.faults.names import check_names
from bnml.venues.sim.faults.script import ACTIONS, load_script, parse_script
from bnml.venues.sim.faults.template import EXAMPLES, faults_template
from tests.venues.sim.served import served

PAGE = Path(__file__).parents[4] / "docs" / "faults.md"


def test_the_template_is_a_valid_script_with_every_action():
    script, _ = parse_script(faults_template())
    done = {str(action.__struct_config__.tag) for rule in script.rules for action in rule.do}
    assert done == set(ACTIONS) == set(EXAMPLES)


async def test_the_template_means_this_exchange():
    script, words = parse_script(faults_template())
    async with served() as client:
        check_names(script, words, client.venue)


def test_every_example_of_the_page_is_valid_and_every_action_and_answer_is_on_it():
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    done = set()
    for block in blocks:
        script, _ = parse_script(
            block if block.lstrip().startswith(("rules", "seed")) else "rules:\n" + block
        )
        done |= {str(action.__struct_config__.tag) for rule in script.rules for action in rule.do}
    assert done == set(ACTIONS)
    assert [name for name in PRESETS if f"`{name}`" not in text] == []


def test_yaml_json_and_short_forms_say_the_same():
    yaml_script, _ = parse_script("seed: 3\nrules:\n  - match: {connect: any}\n    do: cut\n")
    json_script, _ = parse_script(
        '{"seed": 3, "rules": [{"match": {"connect": "any"}, "do": [{"action": "cut"}]}]}'
    )
    assert yaml_script == json_script
    assert yaml_script.rules[0].do == (Cut(),)
    assert parse_script("")[0].rules == ()


def test_several_actions_keep_their_order():
    script, _ = parse_script(
        "rules: [{match: {request: order.place}, do: [{action: delay, seconds: 1}, {action: answer, like: timeout}]}]"
    )
    assert script.rules[0].do == (Delay(seconds=1), Answer(like="timeout"))


REQUEST = "match: {request: order.place}"
NONSENSE = {
    "rules: [{name: a, do: dorp}]": ["line 1, rules[0].do", "no action 'dorp'", "drop"],
    "sed: 1": ["line 1, sed", "no key sed", "seed"],
    "rules:\n- match: {strem: x}\n  do: drop": [
        "line 2, rules[0].match.strem",
        "nearest valid key is stream",
    ],
    "rules:\n- wen: {}\n  do: cut": ["line 2, rules[0].wen", "when"],
    "rules: 5": ["rules is 5", "list of rules"],
    "rules: [5]": ["rules[0] is 5", "write keys there"],
    "[1]": ["must hold the keys `seed` and `rules`"],
    "a: b: c": ["line 1", "neither JSON nor valid YAML"],
    "{": ["neither JSON nor valid YAML"],
    "rules: [{}]": ["rules[0]: do is missing"],
    "rules: [{do: []}]": ["rules[0].do is empty"],
    "rules: [{do: [{}]}]": ["no action empty"],
    "rules: [{do: 7}]": ["no action 7"],
    "seed: -1": ["seed is -1", "whole numbers from 0"],
    "seed: 1.5": ["seed is 1.5", "whole numbers"],
    "seed: 1\nseed: 2": ["line 2", "stands twice", "line 1"],
    "rules:\n- &a {do: cut}\n- *a": ["aliases"],
    f"rules: [{{{REQUEST}, do: delay}}]": ["seconds is missing"],
    f"rules: [{{{REQUEST}, do: {{action: delay, seconds: -1}}}}]": ["seconds is -1", "from 0"],
    f"rules: [{{{REQUEST}, do: {{action: delay, seconds: .nan}}}}]": ["seconds is nan", "numbers from 0"],
    f"rules: [{{{REQUEST}, do: {{action: delay, seconds: soon}}}}]": ["seconds is 'soon'", "numbers"],
    f"rules: [{{{REQUEST}, do: {{action: delay, second: 1}}}}]": ["no key second", "seconds"],
    f"rules: [{{{REQUEST}, at: during, do: no_answer}}]": ["at is 'during'", "before | after"],
    f"rules: [{{{REQUEST}, when: {{probability: 2}}, do: no_answer}}]": ["probability is 2", "from 0 to 1"],
    f"rules: [{{{REQUEST}, when: {{every: 0}}, do: no_answer}}]": ["every is 0", "from 1"],
    f"rules: [{{{REQUEST}, when: {{from_market: noon}}, do: no_answer}}]": [
        "from_market",
        "noon",
        "2023-07-01",
    ],
    f"rules: [{{{REQUEST}, when: {{from_wall: -3}}, do: no_answer}}]": ["from_wall", "-3"],
    f"rules: [{{{REQUEST}, when: {{every_wall_s: 3}}, do: no_answer}}]": ["for rules of time", "`every`"],
    f"rules: [{{{REQUEST}, do: drop}}]": ["drop cannot be done", "request", "stream or user_event"],
    f"rules: [{{{REQUEST}, do: {{action: answer}}}}]": ["neither like nor status", "overloaded"],
    f"rules: [{{{REQUEST}, do: {{action: answer, like: overlode}}}}]": ["no answer 'overlode'", "overloaded"],
    f"rules: [{{{REQUEST}, do: {{action: answer, status: 99}}}}]": ["99", "200 to 599"],
    f"rules: [{{{REQUEST}, do: {{action: answer, status: 500, body: x, code: -1}}}}]": ["body replaces code"],
    "rules: [{match: {request: a, stream: b}, do: cut}]": ["request and stream", "a rule for each"],
    "rules: [{match: {stream: a, execution: NEW}, do: cut}]": ["execution", "user_event"],
    "rules: [{match: {symbol: BTCUSDT}, do: {action: cut, sockets: all}}]": [
        "symbol",
        "request, stream, user_event",
    ],
    "rules: [{match: {closed: maybe, stream: a}, do: cut}]": ["closed is 'maybe'", "true | false"],
    "rules: [{match: {connect: rest}, do: cut}]": ["connect is 'rest'", "api | stream | any"],
    "rules: [{match: {stream: a}, at: after, do: cut}]": ["only a request"],
    "rules: [{do: cut}]": ["no sockets of its own", "all, api or stream"],
    "rules: [{when: {after: 3}, do: {action: cut, sockets: all}}]": ["after and every count matching events"],
    "rules: [{when: {from_wall: 1, every_market_s: 2}, do: {action: cut, sockets: all}}]": ["one clock"],
    "rules: [{name: a, do: {action: cut, sockets: all}}, {name: a, do: {action: cut, sockets: all}}]": [
        "rename one"
    ],
    "rules: [{do: {action: filters, symbol: BTCUSDT}}]": ["changes nothing", "min_notional"],
    "rules: [{do: {action: clock_skew, ms: 5, lasts_s: 1, lasts_market_s: 1}}]": ["leave one out"],
    "rules: [{do: {action: symbol_status, symbol: A, status: CLOSED}}]": [
        "status is 'CLOSED'",
        "HALT | BREAK",
    ],
    "rules: [{do: {action: transfer, asset: usdt, amount: '5'}}]": ["asset is 'usdt'", "A-Z"],
    "rules: [{do: {action: transfer, asset: USDT, amount: 5}}]": ["amount is 5", "in quotes"],
    "rules: [{do: {action: ban, seconds: 0}}]": ["seconds is 0", "above 0"],
    "rules: [{do: {action: price_gap, symbol: A, percent: -100}}]": ["percent is -100", "above -100"],
}


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_told_where_it_stands_and_what_to_write(text):
    with pytest.raises(Misconfigured) as caught:
        parse_script(text, "bad.yaml")
    said = str(caught.value)
    assert said.startswith("bad.yaml")
    assert [part for part in NONSENSE[text] if part not in said] == []


NOBODY = {
    "{match: {request: order.plaec}, do: no_answer}": ["no request here is 'order.plaec'", "order.place"],
    "{match: {request: POST /api/v3/orders}, do: no_answer}": ["POST /api/v3/order"],
    "{match: {stream: 'btcusdt@kline_7m'}, do: drop}": ["no stream", "btcusdt@kline_"],
    "{match: {stream: 'dogeusdt@trade'}, do: drop}": ["no stream"],
    "{match: {user_event: orderReport}, do: drop}": ["executionReport"],
    "{match: {user_event: '*', execution: FILLED}, do: drop}": ["no execution"],
    "{match: {request: '*', symbol: BTCUSD}, do: no_answer}": ["no symbol", "BTCUSDT"],
    "{match: {request: '*', account: mian}, do: no_answer}": ["no account", "main"],
    "{match: {request: GET /api/v3/depth}, do: {action: silent}}": ["comes on no socket"],
    "{match: {request: order.place}, do: {action: slow_body, seconds: 1}}": ["only REST answers"],
    "{match: {request: order.place}, do: half_replace}": ["order.cancelReplace"],
    "{do: {action: delist, symbol: XUSDT}}": ["no symbol", "'XUSDT'"],
    "{do: {action: transfer, asset: EUR, amount: '1'}}": ["no asset", "EUR"],
    "{do: {action: filters, symbol: BTCUSDT, tick: '0.001'}}": ["multiple of 0.01"],
    "{do: {action: filters, symbol: BTCUSDT, step: much}}": ["no number"],
}


@pytest.mark.parametrize("text", NOBODY)
async def test_names_that_nobody_has_are_told_with_the_nearest(text):
    script, words = parse_script(f"rules:\n- {text}")
    async with served() as client:
        with pytest.raises(Misconfigured) as caught:
            check_names(script, words, client.venue)
    said = str(caught.value)
    assert "line 2, rules[0]." in said
    assert [part for part in NOBODY[text] if part not in said] == []


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(Misconfigured, match=r"none\.yaml cannot be read.*--faults-template"):
        load_script(tmp_path / "none.yaml")
