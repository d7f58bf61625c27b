"""Recovery: a market traded in memory through a journal, cut at a random place, must come back the same."""

import asyncio
import sqlite3
from contextlib import closing

import msgspec
import pytest

from bnml.app.warm_kernels import SYMBOL, _NoModels, warm_market
from bnml.config import load
from bnml.core.commands import Alert, Submit
from bnml.core.errors import RecoveryNeeded
from bnml.core.events import Book, Timer, UniverseUpdate
from bnml.core.ids import IdSource
from bnml.journal import recover as module
from bnml.journal.reader import JournalReader
from bnml.journal.recover import recover, snapshot_version
from bnml.journal.writer import JournalWriter
from bnml.trading.bars import BarGate
from bnml.trading.compile import compile_engine
from bnml.trading.engine import Engine
from tests.journal.kit import header


async def trade(path, steps, *, photograph_at=0, epoch=1, config_hash="settings"):
    """Trade through a journal as the daemon does; returns the engine and its configuration."""
    settings, venue = warm_market(load(None, {}))
    config = compile_engine(settings, IdSource("test", epoch))
    engine = Engine(config, _NoModels())
    gate = BarGate((SYMBOL,), 0, engine.at_stake)
    journal = await JournalWriter.open(path, "process")
    await journal.begin_session(header(epoch, config_hash), 1)
    pending = []

    def feed(events):
        for event in events:
            seq = journal.append_event(event)
            commands = engine.process(event, seq)
            journal.append_commands(seq, commands)
            journal.append_outcomes(seq, engine.drain(), {})
            for command in commands:
                pending.extend(venue.execute(command))
            if seq == photograph_at:
                journal.append_snapshot(snapshot_version(config_hash), engine.snapshot())

    feed([*venue.start(), UniverseUpdate((SYMBOL,), 0), *venue.history(SYMBOL)])
    for _ in range(steps):
        advance = venue.advance()
        step = advance.step
        feed(advance.reports)
        for one in step.prints:
            feed(gate.on_print(one.symbol, one.price_ticks, one.quantity_lots, one.ts_ns))
        for levels in step.books:
            feed(
                gate.on_book(Book(SYMBOL, levels.bids[0][0], levels.asks[0][0], levels.depth_e8), step.ts_ns)
            )
        for bar in step.closed_bars:
            feed(gate.on_bar(bar, step.ts_ns))
        while pending:
            feed([pending.pop(0)])
    await journal.close()
    return engine, config


def state_of(engine):
    """Everything the engine remembers, without what is only a cache of the current scan."""
    return engine.snapshot()


@pytest.mark.parametrize("photograph_at", [0, 300, 900])
def test_an_engine_comes_back_bit_for_bit(tmp_path, photograph_at):
    engine, config = asyncio.run(trade(tmp_path / "j.db", 500, photograph_at=photograph_at))
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
        assert len(list(journal.trades())) > 5
        last = list(journal.events())[-1][0]
    assert found.differences == ()
    assert found.same_arithmetic
    assert found.last_seq == last
    assert found.replayed == found.compared == last - photograph_at
    assert state_of(found.engine) == state_of(engine)


def test_what_an_earlier_session_asked_for_comes_out_under_its_names_and_what_follows_under_new_ones(
    tmp_path,
):
    asyncio.run(trade(tmp_path / "j.db", 500))
    settings, _ = warm_market(load(None, {}))
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, compile_engine(settings, IdSource("test", 2)), _NoModels(), "settings")
        assert any(isinstance(one, Submit) for _, one in journal.commands())
    assert found.differences == ()
    assert found.engine._out._ids == IdSource("test", 2)


@pytest.mark.parametrize("is_photographed", [True, False])
def test_a_session_with_other_settings_counts_until_the_engine_was_photographed_after_it(
    tmp_path, is_photographed
):
    engine, config = asyncio.run(trade(tmp_path / "j.db", 20, config_hash="old"))

    async def go_on():
        journal = await JournalWriter.open(tmp_path / "j.db", "process")
        if is_photographed:
            journal.append_snapshot(snapshot_version("settings"), engine.snapshot())
        await journal.begin_session(header(1), 1)
        journal.append_event(Timer("x", 1))
        await journal.close()

    asyncio.run(go_on())
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
    assert (found.same_arithmetic, found.compared) == (is_photographed, 1)
    assert (found.replayed == 1) is is_photographed


@pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "killed"])
def test_with_other_kernels_nothing_is_compared_and_running_values_are_not_trusted(
    tmp_path, monkeypatch, is_stopped
):
    """After an orderly stop nothing is replayed: only the photograph says by which kernels it was made."""
    engine, config = asyncio.run(trade(tmp_path / "j.db", 50))

    async def stop():
        journal = await JournalWriter.open(tmp_path / "j.db", "process")
        journal.append_snapshot(snapshot_version("settings"), engine.snapshot())
        await journal.close()

    if is_stopped:
        asyncio.run(stop())
    monkeypatch.setattr(module, "KERNEL_HASH", "other kernels")
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
    assert (found.same_arithmetic, found.compared) == (False, 0)
    assert (found.replayed == 0) is is_stopped


def test_other_settings_are_not_compared(tmp_path):
    _, config = asyncio.run(trade(tmp_path / "j.db", 50))
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "other settings")
    assert found.compared == 0
    assert not found.same_arithmetic


def test_commands_that_come_out_otherwise_are_reported(tmp_path):
    _, config = asyncio.run(trade(tmp_path / "j.db", 500))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        seq = database.execute("SELECT min(seq) FROM command").fetchone()[0]
        database.execute(
            "UPDATE command SET payload = ? WHERE seq = ?",
            (msgspec.msgpack.encode(Alert("info", "x", "")), seq),
        )
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
    assert found.differences == (f"event {seq} (Scan)",)


def test_a_photograph_of_another_schema_is_passed_over(tmp_path):
    engine, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE snapshot SET engine = ?", (b"another schema",))
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
    assert found.differences == ()
    assert state_of(found.engine) == state_of(engine)


def test_no_start_replays_for_minutes_what_no_photograph_can_be_used_for(tmp_path, monkeypatch):
    """It makes its books from the venue, which takes seconds: nothing looks after what is held meanwhile."""
    _, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    monkeypatch.setattr(module, "MOST_REPLAYED", 400)
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
        assert 0 < found.replayed <= 400
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE snapshot SET engine = ?", (b"another schema",))
    with (
        JournalReader(tmp_path / "j.db") as journal,
        pytest.raises(RecoveryNeeded, match="too many to replay"),
    ):
        recover(journal, config, _NoModels(), "settings")


def test_a_sound_journal_is_replayed_however_long_that_takes(tmp_path, monkeypatch):
    """A start feeds six thousand bars of each of its symbols before it is photographed, and may be killed meanwhile."""
    engine, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    monkeypatch.setattr(module, "MOST_REPLAYED", 10)
    for change in ("SELECT 1", "DELETE FROM snapshot"):
        with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
            database.execute(change)
        with JournalReader(tmp_path / "j.db") as journal:
            found = recover(journal, config, _NoModels(), "settings")
        assert found.replayed > 10
        assert state_of(found.engine) == state_of(engine)


def test_a_text_that_is_none_is_damage_and_no_reason_to_try_for_ever(tmp_path):
    _, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("UPDATE snapshot SET version = CAST(x'ff41' AS TEXT)")
    with JournalReader(tmp_path / "j.db") as journal, pytest.raises(RecoveryNeeded, match="UTF-8"):
        recover(journal, config, _NoModels(), "settings")


def test_a_journal_whose_oldest_prices_are_deleted_is_not_replayed_from_its_beginning(tmp_path):
    _, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("INSERT INTO meta VALUES ('slices_from', '501')")
    with JournalReader(tmp_path / "j.db") as journal:
        assert recover(journal, config, _NoModels(), "settings").differences == ()
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute("DELETE FROM snapshot")
    with JournalReader(tmp_path / "j.db") as journal, pytest.raises(RecoveryNeeded, match="were deleted"):
        recover(journal, config, _NoModels(), "settings")


def test_of_photographs_the_newest_that_can_be_read_is_taken(tmp_path):
    """One that was damaged had the events of a whole year replayed, while nothing looked after what was held."""
    engine, config = asyncio.run(trade(tmp_path / "j.db", 100, photograph_at=700))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        damaged = "INSERT INTO snapshot SELECT seq + 20, session, version, ? FROM snapshot"
        database.execute(damaged, (b"damaged",))
    with JournalReader(tmp_path / "j.db") as journal:
        found = recover(journal, config, _NoModels(), "settings")
    assert found.replayed == found.compared == found.last_seq - 700
    assert found.differences == ()
    assert state_of(found.engine) == state_of(engine)


def test_an_event_that_cannot_be_replayed_is_for_the_operator(tmp_path):
    _, config = asyncio.run(trade(tmp_path / "j.db", 5))
    with closing(sqlite3.connect(tmp_path / "j.db")) as database, database:
        database.execute(
            "UPDATE event SET payload = ? WHERE seq = 2", (msgspec.msgpack.encode(["Nonsense"]),)
        )
    with JournalReader(tmp_path / "j.db") as journal, pytest.raises(RecoveryNeeded, match="event"):
        recover(journal, config, _NoModels(), "settings")


def test_an_empty_journal_has_nothing_to_recover(tmp_path):
    async def open_only():
        journal = await JournalWriter.open(tmp_path / "j.db", "process")
        await journal.begin_session(header(), 1)
        await journal.close()

    asyncio.run(open_only())
    settings, _ = warm_market(load(None, {}))
    with JournalReader(tmp_path / "j.db") as journal:
        assert (
            recover(journal, compile_engine(settings, IdSource("test", 1)), _NoModels(), "settings") is None
        )
