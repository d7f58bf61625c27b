import pytest

from bnml.config import Settings
from bnml.core.errors import Misconfigured
from bnml.explain import fields_of
from bnml.research.grid_axes import check_names, columns, count, parse_axes, point, shape
from bnml.research.grid_names import rule_axes, rules_refused, setting_axes, settings_refused
from bnml.research.rules import Rules


def test_axes_are_ranges_lists_or_a_file(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text("hold: [12, 6]\nrisk: 0.1:0.5:0.1\none: 7\n")
    axes = parse_axes(["exits.stop_atr=1:3:0.5", "stop = 2, 0.5,1"], file)
    assert axes == {
        "hold": (6.0, 12.0),
        "risk": (0.1, 0.2, 0.3, 0.4, 0.5),
        "one": (7.0,),
        "exits.stop_atr": (1.0, 1.5, 2.0, 2.5, 3.0),
        "stop": (0.5, 1.0, 2.0),
    }
    assert count(axes) == 2 * 5 * 1 * 5 * 3


def test_combinations_are_numbered_in_row_major_order():
    axes = parse_axes(["a=1,2,3", "b=10,20"])
    points = [point(axes, k) for k in range(count(axes))]
    assert points[:3] == [{"a": 1.0, "b": 10.0}, {"a": 1.0, "b": 20.0}, {"a": 2.0, "b": 10.0}]
    table = columns(axes, 2, 6)
    assert [{"a": a, "b": b} for a, b in zip(table["a"], table["b"], strict=True)] == points[2:]
    assert shape(axes) == (3, 2)


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], "at least one axis"),
        (["stop"], "names no values"),
        (["=1"], "names no values"),
        (["stop=1:2"], "write from:to:step"),
        (["stop=1:2:0"], "step above 0"),
        (["stop=2:1:1"], "write from:to:step"),
        (["stop=0:1e9:1"], "wider step"),
        (["stop=1,,2"], "nothing is no number"),
        (["stop=1,x"], "x is no number"),
        (["stop=nan"], "nan is no number"),
        (["stop=1,1.0"], "holds a value twice"),
        (["stop=1", "stop=2"], "already an axis"),
        ([f"a{k}=0:999:1" for k in range(5)], "take fewer values"),
    ],
)
def test_what_is_no_axis_is_refused_in_a_sentence(texts, sentence):
    with pytest.raises(Misconfigured, match=sentence):
        parse_axes(texts)


def test_a_file_that_is_no_grid_is_refused(tmp_path):
    with pytest.raises(Misconfigured, match="cannot be read"):
        parse_axes([], tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(Misconfigured, match="must hold lines"):
        parse_axes([], tmp_path / "list.yaml")
    (tmp_path / "flag.yaml").write_text("stop: true\n")
    with pytest.raises(Misconfigured, match="no number"):
        parse_axes([], tmp_path / "flag.yaml")


def test_an_unknown_axis_is_told_the_nearest():
    known = ("exits.stop_atr", "exits.hard_stop_pct", "risk.max_positions")
    check_names(["risk.max_positions"], known, "setting")
    with pytest.raises(Misconfigured, match=r"no such setting; the nearest is risk\.max_positions"):
        check_names(["risk.max_position"], known, "setting")
    with pytest.raises(Misconfigured, match=r"the nearest is exits\.stop_atr"):
        check_names(["stop_atr"], known, "setting")


def test_what_cannot_be_an_axis_says_why():
    refused = {"learning.folds": "decides what is trained"}
    with pytest.raises(Misconfigured, match=r"learning\.folds is no axis: it decides what is trained"):
        check_names(["learning.folds"], ("exits.stop_atr",), "setting", refused)


def test_every_setting_is_an_axis_or_says_why_not():
    axes, refused = setting_axes(), settings_refused()
    assert {"decision.min_buy", "scanner.weight_ml", "costs.taker_bps", "exits.exit_on_sell"} <= set(axes)
    assert "capital.max_quote" in axes
    assert "train" in refused["learning.rf.trees"]
    assert "train" in refused["decision.cut_quantile"]
    assert refused["costs.tier"] == "is no number"
    names = [".".join(keys) for keys, _ in fields_of(Settings) if len(keys) > 1]
    assert sorted([*axes, *refused]) == sorted(names)


def test_every_rule_is_an_axis_or_says_why_not():
    axes, refused = rule_axes(), rules_refused()
    assert {"stop_pct", "max_hold_bars", "latency_bars", "exit_on_signal", "seed"} <= set(axes)
    assert refused["entry"] == "is no number"
    assert sorted([*axes, *refused]) == sorted(Rules.__struct_fields__)
