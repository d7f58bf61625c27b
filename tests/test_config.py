import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bnml import config_report
from bnml.app.compose import _header
from bnml.config import REDACTED_URL, Settings, load, load_credentials
from bnml.config_report import template
from bnml.core.clock import NS_PER_MS
from bnml.core.errors import Misconfigured
from bnml.explain import fields_of
from bnml.options import RunOptions
from bnml.trading.settings import FeatureSettings
from bnml.venues.sim.feed import BEAT_NS

ROOT = Path(__file__).resolve().parents[1]
VALUES = [(keys, field) for keys, field in fields_of(Settings) if field.default_factory is None]


def write(folder, text):
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def refusal(file, environment=None, options=None):
    with pytest.raises(Misconfigured) as caught:
        load(file, environment or {}, options)
    return str(caught.value)


def test_the_file_at_the_root_is_the_template_and_equals_the_defaults():
    file = ROOT / "config.yaml"
    assert file.read_text("utf-8") == template(), "write it anew: bnml config template > config.yaml"
    assert load(file, {}) == Settings()


def test_the_template_holds_every_key():
    def keys(tree, prefix=()):
        for name, value in tree.items():
            yield (*prefix, name)
            if isinstance(value, dict):
                yield from keys(value, (*prefix, name))

    assert set(keys(yaml.safe_load(template()))) == {path for path, _ in fields_of(Settings)}


def test_the_longest_grace_ends_before_the_exchange_tells_the_time():
    """A scan that waits longer would be decided after the market's next print."""
    longest_ms = BEAT_NS // NS_PER_MS - 100
    load(None, {"BNML_SCANNER__GRACE_MS": str(longest_ms)})
    assert f"0 to {longest_ms}" in refusal(None, {"BNML_SCANNER__GRACE_MS": str(longest_ms + 1)})


def test_every_key_has_a_meaning():
    assert [keys for keys, field in fields_of(Settings) if not field.description] == []


def test_every_key_is_read_somewhere():
    """A key that no code reads is a promise that nothing keeps."""
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "bnml").rglob("*.py"))
    unread = [".".join(keys) for keys, _ in VALUES if not re.search(rf"\.{keys[-1]}\b|\"{keys[-1]}\"", code)]
    assert unread == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("risk:\n  max_postions: 3\n", "line 2: there is no key risk.max_postions; the nearest valid key is risk.max_positions"),
        ("rsik: {}\n", "line 1: there is no key rsik; the nearest valid key is risk"),
        ("max_spread_pct: 1\n", "the nearest valid key is risk.max_spread_pct"),
        ("risk:\n  max_positions: 0\n", "line 2: risk.max_positions is 0 (positions); allowed: whole numbers 1 to 500"),
        ("risk:\n  max_positions: many\n", 'risk.max_positions is "many" (positions); allowed: whole numbers 1 to 500'),
        ("risk:\n  max_positions: 2.5\n", "risk.max_positions is 2.5"),
        ("capital: {active_pct: .nan}\n", "capital.active_pct is nan (% of equity); allowed: above 0 to 100"),
        ("capital: {active_pct: }\n", "capital.active_pct is empty"),
        ("venue: {kind: lvie}\n", 'venue.kind is "lvie"; allowed: sim | paper | testnet | live'),
        ("venue: {sim: 3}\n", "venue.sim is 3, but it is a section"),
        ("venue: {live: {rest_url: 'http://api.binance.com'}}\n", "must begin with https://"),
        ("features: {base_frame: 1h, higher_frames: [4h, 4h]}\n", "each higher frame may stand in the list once"),
        ("features: {base_frame: 8h, higher_frames: [12h]}\n", "higher frame 12h is no multiple of the base frame 8h"),
        ("universe: {symbols: [BTCUSDT, BTCUSDT]}\n", "each symbol may stand in the list once"),
        ("universe: {symbols: ['*/USDT', BTCUSDT]}\n", 'exactly one "*/QUOTE"'),
        ("scanner: {weight_ml: 0.9}\n", "the three weights add up to 1.4"),
        ("exits: {target2_pct: 1}\n", "target2_pct must lie above target1_pct"),
        ("exits: {target1_share_pct: 80}\n", "add up to more than 100 %"),
        ("risk: {weekly_budget_pct: 1}\n", "weekly_budget_pct lies below daily_budget_pct"),
        ("risk: {time_zone: Mars}\n", '"Mars" is no time zone'),
        ("risk:\n  max_positions: 1\n  max_positions: 2\n", "line 3: risk.max_positions stands twice, the first time in config.yaml line 2"),
        ("risk: [\n", "is not valid YAML"),
        ("- risk\n", "must hold sections"),
        ("risk: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_place_and_remedy(text, sentence, tmp_path):
    assert sentence in refusal(write(tmp_path, text))


def test_all_faults_are_reported_at_once(tmp_path):
    said = refusal(write(tmp_path, "risk: {max_positions: 0, nothing: 1}\nvenue: {kind: x}\n"))
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    "text", ["venue: {api_key: abc}\n", "app: {secret: s}\n", "venue: {note: " + "aB3" * 21 + "x}\n"]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(text, tmp_path):
    said = refusal(write(tmp_path, text))
    assert "looks like a secret" in said
    assert "BINANCE_API_KEY" in said
    assert "abc" not in said
    assert "aB3" not in said


def test_where_alerts_go_is_told_to_nobody(tmp_path, capsys):
    """Whoever knows a webhook's address can post to it, and the journal of a daemon is sent along with questions."""
    address = "https://hooks.example/T0K3N"
    file = write(tmp_path, f"alerts: {{webhook_url: {address}}}\n")
    settings = load(file, {})
    identity = SimpleNamespace(instance="ab12", epoch=1)
    header = _header(settings, RunOptions(), (), identity, None)
    assert "T0K3N" not in header.config
    assert Settings.model_validate_json(header.config).alerts.webhook_url == REDACTED_URL
    assert header.config_hash == settings.content_hash()
    config_report.check(file, json=False)
    said = capsys.readouterr().out
    assert "alerts.webhook_url" in said
    assert "T0K3N" not in said
    assert "T0K3N" not in refusal(write(tmp_path, "alerts: {webhook_url: 'http://hooks.example/T0K3N'}\n"))


def test_later_sources_win(tmp_path):
    file = write(tmp_path, "venue: {sim: {speed: 2, seed: 1}}\nrisk:\n")
    environment = {
        "BNML_VENUE__SIM__SPEED": "3",
        "BNML_UNIVERSE__SYMBOLS": "[BTCUSDT]",
        "BNML_DATA": "ignored",
    }
    settings = load(file, environment, {"venue.sim.speed": (4.0, "--speed")})
    assert (settings.venue.sim.speed, settings.venue.sim.seed) == (4.0, 1)
    assert settings.universe.symbols == ("BTCUSDT",)


def test_a_fault_names_the_source_it_came_from(tmp_path):
    file = write(tmp_path, "")
    assert "variable BNML_VENUE__SIM__SPEDE: there is no key venue.sim.spede" in refusal(
        file, {"BNML_VENUE__SIM__SPEDE": "3"}
    )
    assert "option --speed: venue.sim.speed is -1" in refusal(file, {}, {"venue.sim.speed": (-1, "--speed")})


def test_star_means_discovery(tmp_path):
    universe = load(write(tmp_path, "universe: {symbols: ['*/USDC']}\n"), {}).universe
    assert (universe.dynamic, universe.quote, universe.symbols) == (True, "USDC", ())


def test_one_address_can_be_replaced_alone(tmp_path):
    venue = load(write(tmp_path, "venue: {testnet: {rest_url: 'http://127.0.0.1:9'}}\n"), {}).venue
    assert venue.testnet.rest_url == "http://127.0.0.1:9"
    assert venue.testnet.stream_url == Settings().venue.testnet.stream_url


def test_on_and_off_are_read_as_in_the_manual(tmp_path):
    assert load(write(tmp_path, "learning: {gate: off}\n"), {}).learning.gate is False


@pytest.mark.parametrize("word", ["off", '"off"', "defensive"])
def test_a_profile_may_be_off(word, tmp_path):
    settings = load(write(tmp_path, f"risk: {{market_mood: {word}}}\n"), {})
    assert settings.risk.market_mood == word.strip('"')


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings().risk.max_positions = 9


def test_the_hash_names_the_values_not_their_source(tmp_path):
    same = load(write(tmp_path, "risk: {max_positions: 5}\n"), {})
    other = load(write(tmp_path, "risk: {max_positions: 6}\n"), {})
    assert same.content_hash() == Settings().content_hash() != other.content_hash()


@given(st.sampled_from(["1m", "5m", "15m", "1h", "4h", "1d"]))
def test_frames_at_or_below_the_base_are_left_out(base):
    features = FeatureSettings(base_frame=base)
    spans = {"1h": 3_600_000, "4h": 14_400_000, "1d": 86_400_000}
    assert features.frames_above_base == tuple(f for f in spans if spans[f] > features.base_frame_ms)


def test_credentials_come_from_systemd_first_then_from_the_environment(tmp_path):
    (tmp_path / "binance_api_key").write_text("from-file\n")
    (tmp_path / "binance_api_secret").write_text("secret-file\n")
    environment = {"BINANCE_API_KEY": "k", "BINANCE_API_SECRET": "s"}
    assert load_credentials(environment).api_key.get_secret_value() == "k"
    credentials = load_credentials({**environment, "CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert credentials.api_secret.get_secret_value() == "secret-file"
    assert credentials.present
    assert "secret-file" not in repr(credentials)
    assert not load_credentials({}).present


def test_half_a_key_is_refused():
    with pytest.raises(Misconfigured, match="only one of BINANCE_API_KEY"):
        load_credentials({"BINANCE_API_KEY": "k"})


def test_keys_of_an_earlier_version_are_read_on_with_a_note(tmp_path, monkeypatch, capsys):
    """An upgrade must not keep the daemon of what is held from starting."""
    names = {"risk.most_positions": "risk.max_positions", "risk.old": "", "exits.day": "exits.time_stop_h"}
    monkeypatch.setattr("bnml.config.RENAMED", names)
    file = tmp_path / "config.yaml"
    file.write_text("risk:\n  most_positions: 3\n  old: 7\nexits:\n  day: 1\n  time_stop_h: 9\n")
    settings = load(file, {})
    assert (settings.risk.max_positions, settings.exits.time_stop_h) == (3, 9)
    assert capsys.readouterr().err.splitlines() == [
        "note: config.yaml line 2: risk.most_positions is now called risk.max_positions; write that",
        "note: config.yaml line 3: risk.old is gone and does nothing; remove it",
        "note: config.yaml line 5: exits.day is now called exits.time_stop_h; write that",
    ]
    variables = {"BNML_RISK__MOST_POSITIONS": "4", "BNML_RISK__OLD": "8"}
    assert load(file, variables).risk.max_positions == 4
    told = capsys.readouterr().err
    assert "note: variable BNML_RISK__MOST_POSITIONS: risk.most_positions is now called" in told
    assert "note: variable BNML_RISK__OLD: risk.old is gone" in told
