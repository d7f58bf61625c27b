"""The configuration is read again while trading: an invalid one changes nothing and its fault names the key."""

from types import SimpleNamespace

import pytest

from bnml.app.desk import Desk
from bnml.app.logs import logger
from bnml.app.spool import Word
from bnml.config import load
from bnml.trading.engine import Engine
from tests.app.logged import logged
from tests.trading.kit import config


class Life:
    used = None

    def use(self, settings):
        self.used = settings


def desk(file):
    life = Life()
    parts = SimpleNamespace(settings=load(file), options=SimpleNamespace(config=file))
    return Desk(parts, life), life


async def test_f60_an_invalid_configuration_leaves_the_old_one_live_and_names_the_key(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("guards:\n  least_free_mib: 2000\n")
    one, life = desk(file)
    file.write_text("guards:\n  least_free_mib: many\n")
    answer = await one.act(Word("reload"))
    assert answer.exit_code == 2
    assert "guards.least_free_mib" in answer.text
    assert life.used is None
    file.write_text("guards: [")
    assert (await one.act(Word("reload"))).exit_code == 2
    file.unlink()
    assert (await one.act(Word("reload"))).exit_code == 2
    assert life.used is None


async def test_what_may_change_is_used_and_what_needs_a_restart_is_named(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("guards:\n  least_free_mib: 2000\n")
    one, life = desk(file)
    file.write_text("guards:\n  least_free_mib: 3000\nrisk:\n  max_positions: 2\n")
    answer = await one.act(Word("reload"))
    assert answer.exit_code == 0
    assert life.used.guards.least_free_mib == 3000
    assert answer.text.endswith(
        "only a restart brings: risk.max_positions; open positions keep the exit rules that they were opened with "
        "even then"
    )


async def test_the_level_of_the_log_changes_at_once_and_needs_no_restart(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("app:\n  log_level: warning\n")
    with logged("warning", "json", tmp_path / "daemon.log"):
        one, _ = desk(file)
        logger().info("quiet")
        file.write_text("app:\n  log_level: info\nvenue:\n  stale_s: 7\n")
        answer = await one.act(Word("reload"))
        logger().info("loud")
    assert answer.text.endswith("only a restart brings: venue.stale_s")
    said = (tmp_path / "daemon.log").read_text("utf-8")
    assert ("quiet" in said, "loud" in said) == (False, True)


@pytest.mark.parametrize("word", ["flatten", "panic"])
async def test_a_misspelt_symbol_is_not_taken_for_one_that_was_sold(tmp_path, word):
    """`panic --symbol BTC/USDT` once said: done, no position is open of BTC/USDT."""
    file = tmp_path / "config.yaml"
    file.write_text("{}")
    one, _ = desk(file)
    one._parts.engine = Engine(config(), None)
    one._parts.engine.state.symbols["BTCUSDT"] = None
    assert await one.act(Word(word, "BTCUSDT")) is None
    assert await one.act(Word(word)) is None
    answer = await one.act(Word(word, "BTC/USDT"))
    assert answer.exit_code == 2
    assert "BTC/USDT is no symbol" in answer.text
