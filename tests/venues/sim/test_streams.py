"""Subscriptions: names, replies, and who hears what."""

import json

import pytest

from bnml.core.clock import NS_PER_MS
from bnml.venues.sim.hub import Hub, Listener, canonical
from bnml.venues.sim.streams import MessageBudget, answer, path_streams


class Sink:
    """Takes the place of a connection."""

    def __init__(self, stepper=None, unit_ns=NS_PER_MS):
        self.stepper = stepper
        self.unit_ns = unit_ns
        self.frames = []

    def send(self, frame):
        self.frames.append(json.loads(frame))


@pytest.fixture
def hub():
    return Hub()


def ask(hub, listener, method, params=(), request_id=1):
    return json.loads(
        answer(hub, listener, json.dumps({"method": method, "params": list(params), "id": request_id}))
    )


def test_subscribe_echoes_the_id_and_delivers(hub):
    sink = Sink()
    listener = Listener(sink, combined=False)
    assert ask(hub, listener, "SUBSCRIBE", ["btcusdt@trade"], "abc") == {"result": None, "id": "abc"}
    hub.publish("btcusdt@trade", b'{"e":"trade"}')
    hub.publish("ethusdt@trade", b'{"e":"trade"}')
    assert sink.frames == [{"e": "trade"}]


def test_the_combined_wrapper_carries_the_name_as_asked_for(hub):
    sink = Sink()
    ask(hub, Listener(sink, combined=True), "SUBSCRIBE", ["btcusdt@depth@100ms"])
    hub.publish("btcusdt@depth", b'{"u":0}')
    hub.publish("btcusdt@depth@100ms", b'{"u":1}')
    assert sink.frames == [{"stream": "btcusdt@depth@100ms", "data": {"u": 1}}]


def test_unsubscribed_streams_are_not_wanted(hub):
    listener = Listener(Sink(), combined=False)
    ask(hub, listener, "SUBSCRIBE", ["a@trade", "a@trade", "b@trade"])
    assert ask(hub, listener, "LIST_SUBSCRIPTIONS")["result"] == ["a@trade", "b@trade"]
    ask(hub, listener, "UNSUBSCRIBE", ["a@trade", "never@trade"])
    assert not hub.wanted("a@trade")
    hub.drop(listener)
    assert not hub.wanted("b@trade")


def test_properties(hub):
    listener = Listener(Sink(), combined=False)
    assert ask(hub, listener, "GET_PROPERTY", ["combined"])["result"] is False
    assert ask(hub, listener, "SET_PROPERTY", ["combined", True])["result"] is None
    assert listener.combined
    assert ask(hub, listener, "SET_PROPERTY", ["combined", "yes"])["error"]["code"] == 1
    assert ask(hub, listener, "SET_PROPERTY", ["speed", True])["error"]["code"] == 0


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", 3),
        ('{"method": 1, "id": 1}', 2),
        ('{"method": "SHOUT", "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": [], "id": 1}', 2),
        ('{"method": "SUBSCRIBE", "params": ["a"], "id": "%s"}' % ("x" * 37), 2),
    ],
)
def test_bad_requests_have_small_codes(hub, text, code):
    assert json.loads(answer(hub, Listener(Sink(), combined=False), text))["error"]["code"] == code


def test_a_thousand_and_twenty_four_streams_at_most(hub):
    listener = Listener(Sink(), combined=False)
    ask(hub, listener, "SUBSCRIBE", [f"s{number}@trade" for number in range(1_024)])
    assert "error" in ask(hub, listener, "SUBSCRIBE", ["one@trade"])


@pytest.mark.parametrize(
    ("path", "query", "names"),
    [
        ("/btcusdt@trade/a@depth", "", ["btcusdt@trade", "a@depth"]),
        ("/7", "", []),
        ("", "", []),
        ("", "a@trade/b@trade", ["a@trade", "b@trade"]),
    ],
)
def test_names_in_paths(path, query, names):
    assert path_streams(path, query) == names


def test_spellings_of_one_stream():
    assert canonical("!miniTicker@arr@1000ms") == "!miniTicker@arr"
    assert canonical("btcusdt@depth5@1000ms") == "btcusdt@depth5"
    assert canonical("btcusdt@depth5@100ms") == "btcusdt@depth5@100ms"
    assert canonical("btcusdt@kline_1d@ 08:00") == "btcusdt@kline_1d@+08:00"
    assert canonical("btcusdt@kline_1m") == "btcusdt@kline_1m"


def test_arrays_reach_a_stepper_inside_an_object(hub):
    sink = Sink(stepper=object())
    ask(hub, Listener(sink, combined=False), "SUBSCRIBE", ["!miniTicker@arr"])
    hub.publish("!miniTicker@arr", b"[]")
    assert sink.frames == [{"stream": "!miniTicker@arr", "data": []}]


def test_the_sixth_message_within_a_second_is_too_many():
    budget = MessageBudget()
    assert [budget.allows(0.1 * number) for number in range(6)] == [True] * 5 + [False]
    assert budget.allows(1.05)
