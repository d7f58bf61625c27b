"""A start that finds a difference looks after what is held, with entries off; only another account ends it."""

import sqlite3
from contextlib import AsyncExitStack, closing

import msgspec
import pytest

from bnml.app import reconcile, strangers
from bnml.app.compose import _bring_back, _refuse_another_venue, _traded_before
from bnml.app.folder import Identity, StateFolder
from bnml.app.recovering import kept_aside, set_aside
from bnml.app.warm_kernels import _NoModels, warm_market
from bnml.config import load
from bnml.core.clock import LiveClock
from bnml.core.commands import Alert, Submit
from bnml.core.errors import RecoveryNeeded, Retryable
from bnml.core.events import Balances, OperatorCommand, OrderReport, Timer
from bnml.core.orders import OrderState, Side
from bnml.journal.reader import JournalReader
from bnml.journal.writer import JournalWriter
from bnml.trading.engine import RECONCILE
from bnml.venues.binance.wire import OrderAnswer
from bnml.venues.sim.inprocess import ACCOUNT
from tests.journal.kit import header
from tests.journal.test_recover import trade
from tests.trading.hand_venue import SYMBOL, World

RUNNER = ((1, 5000, 0),)


async def begun(tmp_path, harm):
    """A state folder whose journal was harmed by one statement, and what a start makes of it."""
    settings, _ = warm_market(load(None, {}))
    folder = StateFolder(tmp_path)
    folder.begin_epoch(folder.identity("sim"), 3)
    await trade(folder.journal, 500, config_hash=settings.content_hash())
    with closing(sqlite3.connect(folder.journal)) as database, database:
        database.execute(*harm)
    async with AsyncExitStack() as stack:
        journal = await JournalWriter.open(folder.journal, "process")
        stack.push_async_callback(journal.close)
        last = journal.last_seq
        _refuse_another_venue(settings, folder, journal)
        journal, recovered = await _bring_back(settings, folder, LiveClock(), journal, _NoModels(), stack)
        await journal.begin_session(header(4), 1)
        journal.append_event(Timer(RECONCILE, 1))
    return folder, recovered, last


OTHER_COMMAND = (
    "UPDATE command SET payload = ? WHERE seq = (SELECT max(seq) FROM command)",
    (msgspec.msgpack.encode(Alert("info", "x", "")),),
)
NO_EVENT = ("UPDATE event SET payload = ? WHERE seq = 2", (msgspec.msgpack.encode(["Nonsense"]),))
NO_HEADER = ("UPDATE session SET header = ?", (b'{"venue": "s',))


@pytest.mark.parametrize(
    ("harm", "said"),
    [(OTHER_COMMAND, "other commands"), (NO_EVENT, "cannot be read"), (NO_HEADER, "cannot be read")],
)
async def test_f44_a_journal_that_tells_another_story_makes_room_for_one_made_from_the_venue(
    tmp_path, harm, said, capsys
):
    """Code 5 stays down: what is held would have had nobody to trail its stops, or to put one back."""
    folder, recovered, last = await begun(tmp_path, harm)
    assert recovered is None
    (aside,) = folder.path.glob("journal.db.damaged-*")
    assert folder.rebuild_note() == aside.name  # from which `hold_entries` keeps entries off
    with closing(sqlite3.connect(aside)) as kept, JournalReader(folder.journal) as new:
        assert kept.execute("SELECT max(seq) FROM event").fetchone() == (last,)
        assert new.sessions()[-1].last_seq == 1
    told = capsys.readouterr()
    assert said in told.out + told.err


async def test_a_journal_that_tells_its_story_goes_on(tmp_path):
    folder, recovered, last = await begun(tmp_path, ("SELECT 1", ()))
    assert recovered.last_seq == last
    assert not list(folder.path.glob("journal.db.damaged-*"))
    with JournalReader(folder.journal) as journal:
        assert journal.sessions()[-1].last_seq == last + 1


@pytest.mark.parametrize("content", [None, b"{"], ids=["lost", "damaged"])
async def test_who_we_are_is_not_set_aside_with_the_journal_that_alone_says_it(tmp_path, content):
    """A power cut takes both: under a new name, what protects what is held would have been a stranger's."""
    folder = StateFolder(tmp_path)
    await trade(folder.journal, 20)
    file = tmp_path / "identity.json"
    if content is not None:
        file.write_bytes(content)
    set_aside(folder, "torn", 1)
    assert not folder.journal.exists()
    assert folder.identity("live") == Identity("test", 1)


async def test_symbols_of_a_journal_that_was_set_aside_count_as_traded_before(tmp_path):
    """A name of the list that is gone by now would have refused the start that looks after all the others."""
    folder, _, _ = await begun(tmp_path, OTHER_COMMAND)
    with closing(sqlite3.connect(folder.journal)) as database, database:
        database.execute("DELETE FROM session")
    assert "BTCUSDT" in _traded_before(folder)
    (aside,) = kept_aside(folder)
    aside.write_bytes(b"nothing that can be read")
    assert _traded_before(folder) == frozenset()


class Forgetful:
    """The world's venue as a start reads it, without these orders."""

    def __init__(self, world, lost, *, shown_elsewhere=False):
        self.world, self.lost, self.shown_elsewhere = world, lost, shown_elsewhere
        self.instruments = world.instruments

    async def order_reports(self, symbol, client_order_id):
        return []

    async def shows_none_of(self, symbol, names):
        assert set(names) <= self.lost
        return not self.shown_elsewhere

    async def balances(self):
        return Balances(self.world.now_ns, self.world.venue.exchange.read.account(ACCOUNT).balances)


async def none():
    return []


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(reconcile, "LAG_PAUSES_S", (0.0, 0.0, 0.0))


def protected():
    world = World()
    world.enter(targets=RUNNER)
    world.settle()
    (tranche,) = world.position().tranches
    (stop,) = tranche.legs
    return world, stop


async def start(world, venue, *, is_same_account=True):
    return await reconcile.bring_truth(
        venue, world.engine, world.feed, world.now_ns, none, is_same_account=is_same_account
    )


async def test_f22_a_stop_that_the_venue_has_lost_is_placed_anew_and_entries_wait_for_the_operator(capsys):
    world, stop = protected()
    lots = world.stops()
    world.venue.exchange.cancel_all(ACCOUNT, SYMBOL)
    world.venue.drain()  # nobody is told
    await start(world, Forgetful(world, {stop}))
    world.settle()
    assert world.stops() == lots
    assert stop not in {one.client_order_id for one in world.open_orders()}
    level, detail = world.engine.state.activity.guards["recovery"]
    assert level == "HALTED"
    assert f"{stop} of {SYMBOL}" in detail
    assert "recover --acknowledge" in detail
    told = capsys.readouterr()
    assert "entries_held" in told.out + told.err
    world.feed(OperatorCommand("resume", world.now_ns, ""))
    assert "recovery" not in world.engine.state.activity.guards
    assert world.ledger_differences() == {}


async def test_f22_a_lost_stop_that_is_shown_again_is_taken_over_and_not_there_twice():
    """A venue in trouble may forget an order for minutes."""
    world, stop = protected()
    await start(world, Forgetful(world, {stop}))
    world.settle()  # another one is refused: its coins are locked by the one that is there
    world.feed(OrderReport(SYMBOL, stop, world.now_ns, OrderState.OPEN, Side.SELL, quantity_lots=5000))
    world.settle()
    world.pass_seconds(5)
    assert {one.severity for one in world.alerts if one.name == "order_returned"} == {"critical"}
    assert [lots for _, lots in world.stops()] == [4995]
    assert world.ledger_differences() == {}


async def test_f22_a_start_that_dies_over_a_lost_stop_has_not_forgotten_that_entries_wait():
    world, stop = protected()

    class Dying(Forgetful):
        async def balances(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await start(world, Dying(world, {stop}))
    assert world.engine.book.get(stop).is_final
    assert world.engine.state.activity.guards["recovery"][0] == "HALTED"


async def test_of_another_account_nothing_is_taken_over_and_nothing_is_sent():
    """A key of another account, the address of another exchange, or a test network that was begun anew."""
    world, stop = protected()
    with pytest.raises(RecoveryNeeded, match=f"does not know order {stop}.*nor any other of ours"):
        await start(world, Forgetful(world, {stop}), is_same_account=False)
    assert not world.queue
    assert world.engine.book.get(stop).state is OrderState.OPEN


async def test_a_venue_that_shows_an_order_in_one_list_and_not_in_another_is_asked_again_later():
    world, stop = protected()
    with pytest.raises(Retryable, match="start again"):
        await start(world, Forgetful(world, {stop}, shown_elsewhere=True))
    assert not world.queue


async def test_the_account_is_ours_where_it_shows_an_order_that_the_books_made(tmp_path):
    await trade(tmp_path / "j.db", 500)
    with JournalReader(tmp_path / "j.db") as journal:
        ticket = next(one.order.ticket for _, one in journal.commands() if isinstance(one, Submit))
        ours = getattr(ticket, "working", ticket).client_order_id
        for name, is_ours in ((ours, True), (ours.replace("bntest", "bnelse"), False), ("theirs", False)):
            shown = [OrderAnswer("BTCUSDT", "x"), OrderAnswer("BTCUSDT", name)]
            assert strangers.shows_ours(shown, "test", {}, journal) is is_ours, name
        unknown = OrderAnswer("BTCUSDT", ours.split("-")[0] + "-zzzzz-0" + ours[-1])
        assert not strangers.shows_ours([unknown], "test", {}, journal)
