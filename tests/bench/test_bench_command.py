"""`bnml bench`: what a line says, and what is refused; figures themselves are no business of tests."""

import json

import msgspec
import pytest

from bnml.bench import case, command
from bnml.bench.command import bench
from bnml.core.errors import Misconfigured


def test_a_figure_is_one_object_a_line(capsys):
    assert bench(["features"], quick=True, strict=False, json=True) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert set(line) == {
            "name", "bnml", "yardstick", "ratio", "goal", "met", "unit", "against", "machine",
        }  # fmt: skip
        assert line["bnml"] > 0


@pytest.mark.parametrize(("met", "strict", "code"), [
    (False, False, 0), (False, True, 1), (True, True, 0), (None, True, 0),
])  # fmt: skip
def test_a_missed_goal_is_a_failure_only_for_who_asks(monkeypatch, capsys, met, strict, code):
    figure = case.at_most(8, name="slow", bnml=8, yardstick=None, unit="us", against="x")
    monkeypatch.setitem(command.CASES, "one", lambda _: [msgspec.structs.replace(figure, met=met)])
    assert bench(["one"], quick=True, strict=strict, json=True) == code
    assert ("goals missed: slow" in capsys.readouterr().err) is (code == 1)


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(Misconfigured, match=r"no benchmark fastest; write one of .*features"):
        bench(["fastest"], quick=True, strict=False, json=True)


def test_goals_are_judged_by_ratio_or_by_figure():
    shared = {"name": "n", "unit": "us", "against": "x"}
    assert case.ratio_at_most(2, bnml=3, yardstick=2, **shared).met
    assert not case.ratio_at_most(2, bnml=5, yardstick=2, **shared).met
    assert case.ratio_at_least(10, bnml=1, yardstick=10, **shared).met
    assert not case.ratio_at_least(10, bnml=1, yardstick=9, **shared).met
    assert case.at_most(8, bnml=8, yardstick=None, **shared).met
    assert not case.at_least(100, bnml=99, yardstick=None, **shared).met
    assert case.ratio_at_most(2, bnml=3, yardstick=None, **shared).met is None


def test_processor_time_is_that_of_one_call():
    calls = []
    effort = case.Effort(quick=True)
    assert case.cpu_s(effort, lambda: calls.append(1), lambda: sum(range(200_000)))[0] < 0.001
    assert len(calls) > 100
