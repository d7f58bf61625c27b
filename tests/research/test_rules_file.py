"""The rules file: its template is its documentation, and a wrong key or value gets one sentence."""

import msgspec
import pytest
import yaml

from bnml.core.errors import Misconfigured
from bnml.research.rules import Rules
from bnml.research.rules_file import changed, load_rules, parse_rules, rules_template


def test_the_template_is_valid_and_equals_the_defaults():
    text = rules_template()
    assert parse_rules(text) == Rules()
    assert list(yaml.safe_load(text)) == list(Rules.__struct_fields__)
    assert parse_rules("") == Rules()


def test_every_key_of_the_template_is_explained_above_it():
    lines = rules_template().splitlines()
    keys = [k for k, line in enumerate(lines) if line and not line.startswith("#")]
    assert len(keys) == len(Rules.__struct_fields__)
    for k in keys:
        assert lines[k - 1].startswith("# "), lines[k]
        assert lines[k - 1].endswith("]"), lines[k]


def test_values_arrive_with_the_type_of_their_key():
    rules = parse_rules(
        "stop_pct: 2\ntarget_r: 1.5\nmax_hold_bars: 240\nentry: fok\nfrom_fill: false\ntier: F0\n"
    )
    assert rules == Rules(
        stop_pct=2.0, target_r=1.5, max_hold_bars=240, entry="fok", from_fill=False, tier="F0"
    )
    assert isinstance(rules.stop_pct, float)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stop_pc: 2", "rules line 1: there is no key stop_pc; the nearest valid key is stop_pct"),
        (
            "tier: F0\nTarget_pct: 2",
            "rules line 2: there is no key Target_pct; the nearest valid key is target_pct",
        ),
        ("1: 2", "there is no key 1"),
        ("stop_pct: 120", "stop_pct is 120 .*allowed: 0 to 99"),
        ("stop_pct: .nan", "stop_pct is nan .*allowed"),
        ("stop_pct: .inf", "stop_pct is inf .*allowed"),
        ("stop_pct: yes", "stop_pct is true .*allowed"),
        ("stop_pct:", "stop_pct is None .*allowed"),
        ("stop_pct: 0.00001", "less than can be counted; write 0 or at least 0.0001"),
        ("max_positions: 2.5", "max_positions is 2.5 .*whole numbers 1 to 10000"),
        ("entry: market", r"entry is market; allowed: fok \| ioc"),
        ("exit_on_signal: 1", r"exit_on_signal is 1; allowed: true \| false"),
        ("tick: 0.3", "write a power of ten from 0.00000001 on"),
        ("frame: 7x", "write a number and s, m, h, d or w"),
        ("stop_pct: 1\nstop_pct: 2", "line 2: stop_pct stands twice, first in rules line 1"),
        ("target_pct: {a: 1}", "target_pct is .*allowed"),
        ("- 1", "must hold keys such as"),
        ("a", "must hold keys such as"),
        ("stop_pct: [", "is not valid YAML"),
        ("target_r: 2", "write stop_pct or stop_atr"),
        ("risk_pct: 1", "write stop_pct or stop_atr"),
        ("target_pct: 1\ntarget_r: 1\nstop_pct: 1", "target_pct and target_r are both given"),
        ("trail_pct: 1\ntrail_atr: 1", "trail_pct and trail_atr are both given"),
        ("time_stop_h: 1\nmax_hold_bars: 1", "time_stop_h and max_hold_bars are both given"),
        ("latency_ms: 1\nlatency_bars: 1", "latency_bars and latency_ms are both given"),
        ("trail_start_pct: 1", "nothing to start"),
        ("target2_pct: 1\ntarget_share_pct: 70\ntarget2_share_pct: 30", "no first"),
        ("target_pct: 1\ntarget2_pct: 2", "needs target2_share_pct"),
        ("target_pct: 1\ntarget2_pct: 2\ntarget2_share_pct: 30", "add up to more than 100"),
        ("spread_floor_bps: 20", "spread_cap_bps lies below spread_floor_bps"),
    ],
)
def test_a_fault_is_one_sentence_with_the_way_out(text, words):
    with pytest.raises(Misconfigured, match=words) as fault:
        parse_rules(text)
    assert "\n" not in str(fault.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(Misconfigured) as fault:
        parse_rules("stop_pc: 2\nentry: market\nstop_pct: 3")
    assert len(str(fault.value).splitlines()) == 2


def test_a_file_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(Misconfigured, match="--rules-template"):
        load_rules(tmp_path / "rules.yaml")


def test_changed_rules_are_checked_as_those_of_a_file_are():
    assert changed(Rules(), stop_pct=2) == Rules(stop_pct=2.0)
    with pytest.raises(Misconfigured, match="nearest valid key is stop_pct"):
        changed(Rules(), stop_pt=2)
    with pytest.raises(Misconfigured, match="both given"):
        changed(Rules(trail_pct=1.0), trail_atr=1.0)
    with pytest.raises(AttributeError):
        Rules().stop_pct = 1  # frozen
    assert msgspec.structs.asdict(Rules())["tier"] == "F1"
