"""The note of a halt that was written without the daemon: whom it halts, and what several notes say together."""

import asyncio

import pytest

from bnml.app.aftermath import HALT_FILE, Aftermath, HaltNote, read_note, write_note
from bnml.trading.engine import Engine
from tests.trading.kit import config


@pytest.mark.parametrize(
    ("notes", "symbols"),
    [
        ([("A",)], ("A",)),
        ([("B",), ("A",)], ("A", "B")),
        ([("A",), ()], ()),
        ([(), ("A",)], ()),
    ],
)
def test_notes_add_up(tmp_path, notes, symbols):
    for one in notes:
        write_note(tmp_path, HaltNote("panic", one))
    assert read_note(tmp_path).symbols == symbols


@pytest.mark.parametrize("content", [b"{", b'{"reason":"\xff"}'])
def test_a_note_over_a_damaged_one_halts_everything(tmp_path, content):
    (tmp_path / HALT_FILE).write_bytes(content)
    write_note(tmp_path, HaltNote("panic", ("A",)))
    assert read_note(tmp_path) == HaltNote("panic")


@pytest.mark.parametrize(("symbols", "allowed"), [((), (False, False)), (("ETHUSDT",), (True, False))])
def test_the_next_start_takes_the_note_and_sells_nothing(tmp_path, symbols, allowed):
    engine, commands, durable = Engine(config(), None), [], []

    async def journaled():
        durable.append((tmp_path / HALT_FILE).exists())

    write_note(tmp_path, HaltNote("panic without the daemon", symbols))
    aftermath = Aftermath(tmp_path, lambda event: commands.extend(engine.process(event, 1)), journaled)
    asyncio.run(aftermath.take(5))
    activity = engine.state.activity
    assert (activity.allows("BTCUSDT"), activity.allows("ETHUSDT")) == allowed
    assert commands == []
    assert durable == [True], "the note goes when the journal has it"
    assert read_note(tmp_path) is None
    restarted = Engine.restore(engine.config, None, engine.snapshot())
    assert not restarted.state.activity.allows("ETHUSDT")


def test_a_note_that_cannot_be_read_halts_everything_and_keeps_no_start_from_guarding(tmp_path):
    """It ended with code 5, which stays down, with positions held."""
    engine = Engine(config(), None)

    async def journaled():
        return None

    (tmp_path / HALT_FILE).write_bytes(b"{")
    aftermath = Aftermath(tmp_path, lambda event: engine.process(event, 1), journaled)
    asyncio.run(aftermath.take(5))
    assert not engine.state.activity.allows("BTCUSDT")
    assert "damaged" in engine.state.activity.halted
    assert not (tmp_path / HALT_FILE).exists()
