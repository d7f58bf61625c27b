"""The universe of a start: a name that is gone since it was traded must not keep the daemon of the others from starting."""

import msgspec
import pytest
from structlog.testing import capture_logs

from bnml.app.compose import _universe
from bnml.app.folder import StateFolder
from bnml.config import load
from bnml.core.errors import Misconfigured
from bnml.journal.writer import JournalWriter
from tests.journal.kit import header
from tests.trading.kit import instrument

ASKED = ("BTCUSDT", "GONEUSDT")


class Venue:
    """Has one symbol of those that are asked for."""

    def __init__(self, *known):
        self.known = {name: instrument(name) for name in known}
        self.instruments = {}

    async def balances(self):
        return None

    async def load_instruments(self, symbols, _quote):
        if not self.known.keys() >= set(symbols):
            raise Misconfigured("the venue does not know one of them")
        return self.known

    async def read_instruments(self, symbols):
        return {name: one for name, one in self.known.items() if name in symbols}


SETTINGS = load(None, {}, {"universe.symbols": (ASKED, "")})


async def folder_of(tmp_path, *sessions):
    """A state folder whose journal has had sessions with these symbols."""
    folder = StateFolder(tmp_path)
    writer = await JournalWriter.open(folder.journal, "process")
    for number, symbols in enumerate(sessions):
        await writer.begin_session(msgspec.structs.replace(header(number + 1), symbols=symbols), 1)
    await writer.close()
    return folder


async def test_f72_a_symbol_that_was_traded_and_is_gone_is_left_out_of_every_later_start(tmp_path):
    """Also of those after one that has left it out already."""
    venue, folder = Venue("BTCUSDT"), await folder_of(tmp_path, ASKED, ("BTCUSDT",))
    with capture_logs() as logs:
        found = await _universe(SETTINGS, venue, 7, folder)
    assert found.symbols == ("BTCUSDT",)
    assert list(venue.instruments) == ["BTCUSDT"]
    assert logs[0]["symbols"] == ["GONEUSDT"]


@pytest.mark.parametrize(
    ("known", "sessions"), [(("BTCUSDT",), []), (("BTCUSDT",), [("BTCUSDT",)]), ((), [ASKED])]
)
async def test_a_name_that_was_never_traded_and_a_venue_without_any_are_refused(tmp_path, known, sessions):
    folder = await folder_of(tmp_path, *sessions)
    with pytest.raises(Misconfigured, match="does not know"):
        await _universe(SETTINGS, Venue(*known), 7, folder)
