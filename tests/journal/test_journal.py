import asyncio
import contextlib
import sqlite3

import pytest
from msgspec.structs import replace

from bnml.app.rescue import booked_fills
from bnml.core.commands import Alert, CancelOrder, Submit
from bnml.core.errors import Fatal, Misconfigured, RecoveryNeeded
from bnml.core.events import Bar, Scan, Slice, Timer
from bnml.core.orders import ApprovedOrder, OrderTicket, OrderType, Side
from bnml.core.outcomes import Decision, EquityPoint, Trade
from bnml.journal import file_work
from bnml.journal import writer as module
from bnml.journal.reader import JournalReader
from bnml.journal.schema import client_id_of, encode
from bnml.journal.writer import MOST_ROWS_WAITING, JournalWriter
from tests.app.test_status_text import HEALTH
from tests.journal.kit import header

BAR = Bar("BTCUSDT", 0, 60, 1, 2, 1, 2, 10, 3)
SUBMIT = Submit(ApprovedOrder(OrderTicket("BTCUSDT", "bnx-1", Side.SELL, OrderType.MARKET, 5), "exit"))
DECISION = Decision("BTCUSDT", 60, 2, 0, 1.5, 1.0, 7, 80.0, 90.0, 0.1, 0.2, 0.7, "BTCUSDT/v1")
TRADE = Trade("BTCUSDT", 61, Side.BUY, 1, 7, 2, 3, "BTC", 0, 0, "bnx-0")


@pytest.fixture
async def journal(tmp_path):
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    await writer.begin_session(header(), 1)
    task = asyncio.create_task(writer.run())
    yield writer
    task.cancel()
    await asyncio.wait({task})
    await writer.close()


async def test_everything_comes_back_as_it_went_in(journal, tmp_path):
    first = journal.append_event(BAR)
    scan = journal.append_event(Scan(60, 61, ()))
    journal.append_commands(scan, [SUBMIT, CancelOrder("BTCUSDT", "bnx-0", "why")])
    journal.append_outcomes(scan, [DECISION, TRADE, EquityPoint(60, 100, 90, 1)], {"BTCUSDT": b"12345678"})
    journal.append_snapshot("v", b"state")
    await journal.barrier()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert list(reader.events()) == [(first, BAR), (scan, Scan(60, 61, ()))]
        assert [command for _, command in reader.commands()] == [
            SUBMIT,
            CancelOrder("BTCUSDT", "bnx-0", "why"),
        ]
        assert list(reader.decisions()) == [(scan, DECISION)]
        assert list(reader.trades()) == [(scan, TRADE)]
        assert list(reader.equity()) == [(scan, EquityPoint(60, 100, 90, 1))]
        assert list(reader.features()) == [(scan, ("BTCUSDT", b"12345678"))]
        assert reader.snapshot().seq == scan
        assert reader.session().header.symbols == ("BTCUSDT",)


async def test_sessions_are_told_apart_without_a_look_at_their_events(tmp_path):
    """A scan of all events for each session once made each start slower than the last: minutes, after some months."""
    path, counts, steps = tmp_path / "journal.db", [0, 3000, 0, 2, 0], []
    for number, count in enumerate(counts, start=1):
        writer = await JournalWriter.open(path, "process")
        await writer.begin_session(header(number), number)
        for _ in range(count):
            writer.append_event(BAR)
        await writer.close()
    with JournalReader(path) as reader:
        reader._database.set_progress_handler(lambda: steps.append(1), 100)
        found = reader.sessions()
        assert len(steps) < 30  # hundreds of instructions, not of events
        reader._database.set_progress_handler(None, 0)
        assert [(one.first_seq, one.last_seq) for one in found] == [
            (1, 0), (1, 3000), (3001, 3000), (3001, 3002), (3003, 3002),
        ]  # fmt: skip
        assert [len(list(reader.events(session=one.id))) for one in found] == counts
        assert [seq for seq, _ in reader.events(3001, session=4)] == [3002]


async def test_the_newest_sessions_are_read_without_all_those_before_them(tmp_path):
    """Panic counted fills for 18 s before it did anything, and a start decoded the headers of thousands of sessions."""
    path, lives, steps = tmp_path / "journal.db", 300, []
    writer = await JournalWriter.open(path, "process")
    for number in range(1, lives + 1):
        await writer.begin_session(header(number), number)
        for _ in range(10):
            writer.append_event(BAR)
        await writer.barrier()
    await writer.close()
    reads = {
        "newest session": lambda one: [one.session().id] == [lives],
        "sessions to replay": lambda one: [each.id for each in one.sessions(2985)] == [lives - 1, lives],
        "events of a session": lambda one: len(list(one.events(session=lives))) == 10,
        "events of an early session": lambda one: len(list(one.events(session=2))) == 10,
    }
    with JournalReader(path) as reader:
        reader._database.set_progress_handler(lambda: steps.append(1), 10)
        for name, is_right in reads.items():
            steps.clear()
            assert is_right(reader), name
            assert len(steps) < 60, name  # hundreds of instructions, whatever came before or after
        reader._database.set_progress_handler(None, 0)


async def test_what_was_traded_last_is_named_first(journal, tmp_path):
    """A start may ask for the orders of a hundred symbols: those left out are the ones traded longest ago."""
    for symbol in ("BTCUSDT", "AAVEUSDT", "BTCUSDT", "ETHUSDT", "BTCUSDT"):
        seq = journal.append_event(Timer("x", 1))
        trade = Trade(symbol, 1, Side.BUY, 1, 500, 1, 7, "BTC", 0, 0, f"bnab12-{seq}")
        journal.append_outcomes(seq, [trade], {})
    await journal.barrier()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert reader.traded_symbols() == ["BTCUSDT", "ETHUSDT", "AAVEUSDT"]


async def test_the_barrier_returns_only_when_everything_is_on_disk(journal, tmp_path):
    for _ in range(50):
        journal.append_event(BAR)
        await journal.barrier()
        with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as database:
            rows = database.execute("SELECT max(seq) FROM event").fetchone()
        assert rows[0] == journal.last_seq


async def test_rows_that_wait_together_are_committed_together(journal):
    for _ in range(500):
        journal.append_event(BAR)
    before = journal.commits
    await journal.barrier()
    assert journal.commits == before + 1


async def test_several_waiters_share_a_commit(journal):
    async def one():
        journal.append_event(BAR)
        await journal.barrier()

    before = journal.commits
    await asyncio.gather(*(one() for _ in range(40)))
    assert journal.commits - before <= 3


async def test_rows_that_nobody_waits_for_are_committed_soon_all_the_same(journal):
    before = journal.commits
    for _ in range(3):
        journal.append_event(BAR)
        await asyncio.sleep(0)
    assert journal.commits == before
    async with asyncio.timeout(2):
        while not journal.committed:  # noqa: ASYNC110 - nobody waits for them, so nothing tells
            await asyncio.sleep(0.001)
    assert journal.commits == before + 1
    journal.append_event(BAR)
    async with asyncio.timeout(2):
        while not journal.committed:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.001)


async def test_a_barrier_does_not_wait_until_rows_have_gathered(journal, monkeypatch):
    monkeypatch.setattr(module, "GATHER_S", 60)
    for _ in range(3):
        journal.append_event(BAR)
        async with asyncio.timeout(2):
            await journal.barrier()


async def test_a_full_writer_makes_its_producer_wait_until_it_has_caught_up(journal):
    for _ in range(MOST_ROWS_WAITING + 1):
        journal.append_event(BAR)
    await journal.room()
    assert journal.committed
    journal.append_event(BAR)
    await journal.room()
    assert not journal.committed, "nobody had to wait for the next row"


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 1)])
async def test_a_commit_survives_a_power_cut_where_that_is_asked_for_and_readers_hold_up_none(
    tmp_path, durability, synchronous
):
    writer = await JournalWriter.open(tmp_path / "journal.db", durability)
    asked = {"synchronous": synchronous, "journal_mode": "wal"}
    for name, value in asked.items():
        found = await writer._database.run(lambda one, name=name: one.execute(f"PRAGMA {name}").fetchone())
        assert found == (value,), name
    await writer.close()


async def test_numbers_go_on_after_a_restart(tmp_path):
    for expected in (1, 2, 3):
        writer = await JournalWriter.open(tmp_path / "journal.db", "power")
        await writer.begin_session(header(), 1)
        assert writer.append_event(BAR) == expected
        await writer.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [one.first_seq for one in reader.sessions()] == [1, 2, 3]
        assert [seq for seq, _ in reader.events(session=2)] == [2]


async def test_outcomes_belong_to_their_session(tmp_path):
    for _ in range(2):
        writer = await JournalWriter.open(tmp_path / "journal.db", "process")
        await writer.begin_session(header(), 1)
        writer.append_outcomes(writer.append_event(BAR), [DECISION, TRADE], {})
        await writer.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [seq for seq, _ in reader.trades(1)] == [1]
        assert [seq for seq, _ in reader.decisions(2)] == [2]


async def test_a_writer_that_fails_stops_its_owner(tmp_path):
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    await writer.begin_session(header(), 1)
    task = asyncio.create_task(writer.run())
    await writer._database.run(lambda connection: connection.execute("DROP TABLE event").close())
    writer.append_event(BAR)
    with pytest.raises(Fatal, match="cannot be written"):
        await writer.barrier()
    with pytest.raises(Fatal, match="cannot be written"):
        await task
    await writer.close()


async def test_a_cancelled_owner_leaves_no_half_transaction(tmp_path):
    writer = await JournalWriter.open(tmp_path / "journal.db", "process")
    await writer.begin_session(header(), 1)
    for _ in range(20):
        task = asyncio.create_task(writer.run())
        writer.append_event(BAR)
        waiting = asyncio.create_task(writer.barrier())
        while not writer._is_committing:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0)
        task.cancel()
        waiting.cancel()
        await asyncio.wait({task, waiting})
    await writer.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert len(list(reader.events())) == 20


async def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    with pytest.raises(Misconfigured, match="--state-dir"):
        await JournalWriter.open(tmp_path / "missing" / "journal.db", "power")


async def test_a_damaged_journal_is_for_the_operator(tmp_path):
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(RecoveryNeeded, match="damaged"):
        await JournalWriter.open(tmp_path / "journal.db", "power")


@pytest.mark.parametrize("table", ["event", "trade"])
async def test_a_bit_that_fell_over_in_a_row_is_for_the_operator(tmp_path, table):
    """A text that is no UTF-8 any more came out as an error of the program: in a start, in panic, in the dead-man."""
    path = tmp_path / "journal.db"
    writer = await JournalWriter.open(path, "power")
    await writer.begin_session(header(), 1)
    event = Timer("reconcile", 1)
    writer.append_event(event)
    await writer.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        if table == "event":
            database.execute("UPDATE event SET payload = ?", (encode(event).replace(b"con", b"c\xffn"),))
        else:
            database.execute("INSERT INTO trade VALUES (1, 0, 'B', 1, ?)", (b'{"symbol":"\xff"}',))
    with JournalReader(path) as reader, pytest.raises(RecoveryNeeded, match="damaged"):
        list(getattr(reader, f"{table}s")())
    if table == "trade":
        assert booked_fills(path) is None


async def test_a_journal_of_another_format_is_refused(tmp_path):

    writer = await JournalWriter.open(tmp_path / "journal.db", "power")
    await writer.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as database:
        database.execute("UPDATE meta SET value = '99'")
    with pytest.raises(RecoveryNeeded, match="format 99"):
        await JournalWriter.open(tmp_path / "journal.db", "power")


async def test_pruning_keeps_the_newest_photographs_and_what_is_not_too_old(journal, tmp_path):
    for ts_ns in (4, 5):
        journal._put("health", (ts_ns, b"{}"))
    for _ in range(6):
        journal.append_event(Timer("x", 1))
        journal.append_snapshot("v", b"state")
    await journal.barrier()
    await journal.prune(older_than_ns=5)
    with contextlib.closing(sqlite3.connect(tmp_path / "journal.db")) as database:
        assert database.execute("SELECT seq FROM snapshot").fetchall() == [(4,), (5,), (6,)]
        assert database.execute("SELECT ts_ns FROM health").fetchall() == [(5,)]


async def test_pruning_what_gathered_for_long_never_keeps_an_order_waiting_for_all_of_it(journal):
    """After a week's pause one statement took away all that had become old: for six seconds no order could leave."""
    run, pieces = journal._database.run, []

    def counted(work):
        def count(connection):
            before = connection.total_changes
            result = work(connection)
            pieces.append(connection.total_changes - before)
            return result

        return run(count)

    for number in range(1_000):
        journal._put("health", (number, b"{}"))
    for _ in range(10):
        journal.append_event(Timer("x", 1))
        journal.append_snapshot("v", b"state")
    await journal.barrier()
    journal._database.run = counted
    await journal.prune(older_than_ns=1_000)
    journal._database.run = run
    assert sum(pieces) == 1_000 + 10 - file_work.KEPT_SNAPSHOTS
    assert max(pieces) <= file_work.AT_ONCE == 200
    assert sorted(pieces)[-6] == 1  # photographs, which are large, one by one


async def test_the_newest_of_everything_is_what_is_shown_and_a_reader_changes_nothing(tmp_path):
    for number in (1, 2):
        writer = await JournalWriter.open(tmp_path / "journal.db", "process")
        await writer.begin_session(header(), 1)
        writer.append_event(Timer("x", 10 * number))
        writer.append_snapshot("v", b"state")
        writer.append_health(replace(HEALTH, ts_ns=number))
        await writer.close()
    with JournalReader(tmp_path / "journal.db") as reader:
        assert reader.session().id == reader.snapshot().seq == reader.status().ts_ns == 2
        assert reader.last_event_ns() == 20
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._database.execute("DELETE FROM event")


def test_reading_needs_a_journal(tmp_path):
    with pytest.raises(Misconfigured, match="no journal"):
        JournalReader(tmp_path / "journal.db")


def test_a_command_is_filed_under_the_id_that_the_venue_will_know():
    assert client_id_of(SUBMIT) == "bnx-1"
    assert client_id_of(CancelOrder("BTCUSDT", "bnx-0", "")) == "bnx-0"


def photographed(journal, *seqs):
    for seq in seqs:
        journal._put("snapshot", (seq, 1, "v", b"state"))


async def test_prices_that_no_replay_begins_before_are_deleted_after_a_month(journal, tmp_path, monkeypatch):
    """A symbol that is held for a year would have had twenty gigabytes of them."""
    monkeypatch.setattr(file_work, "SLICES_SPAN", 10)
    day_ns = 24 * 3600 * 10**9
    for day in range(60):
        journal.append_event(Slice("BTCUSDT", day * day_ns, 1, 1, 1, 1))
    journal.append_commands(5, [Alert("info", "x", "")])
    journal.append_event(Timer("x", 60 * day_ns))
    photographed(journal, 45, 50)
    await journal.barrier()
    await journal.prune(older_than_ns=0)
    with JournalReader(tmp_path / "journal.db") as reader:
        assert reader.is_whole()  # two photographs may both be damaged
    photographed(journal, 61)
    await journal.barrier()
    await journal.prune(older_than_ns=0, has_prices=False)
    with JournalReader(tmp_path / "journal.db") as reader:
        assert reader.is_whole()  # of a stepped session, whose events are compared
    await journal.prune(older_than_ns=0)
    with JournalReader(tmp_path / "journal.db") as reader:
        kept = [seq for seq, _ in reader.events()]
        assert not reader.is_whole()
    assert kept == [5, 10, 20, 30, *range(31, 62)]  # the last of each span, and what led to a command
    await journal.prune(older_than_ns=0)
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [seq for seq, _ in reader.events()] == kept


async def test_the_price_at_which_anything_was_asked_for_is_kept_for_good(journal, tmp_path, monkeypatch):
    """A sale for its time, or by the operator's word, is held against it: `bnml shortfall` would tell a bar's close."""
    monkeypatch.setattr(file_work, "SLICES_SPAN", 12)
    for number in range(1, 6):
        journal.append_event(Slice("BTCUSDT", number, number, 1, 1, number))
        journal.append_event(Slice("ETHUSDT", number, number, 1, 1, number))
        if number == 3:
            journal.append_commands(journal.append_event(Timer("x", number)), [Alert("info", "x", "")])
    journal.append_event(Slice("BTCUSDT", 6, 6, 1, 1, 6))
    journal.append_event(Timer("x", 10**18))
    photographed(journal, 13, 14, 15)
    await journal.barrier()
    await journal.prune(older_than_ns=0)
    with JournalReader(tmp_path / "journal.db") as reader:
        kept = [(one.symbol, one.ts_ns) for _, one in reader.events() if isinstance(one, Slice)]
    assert kept == [("BTCUSDT", 3), ("ETHUSDT", 3), ("ETHUSDT", 5), ("BTCUSDT", 6)]


async def test_prices_that_a_replay_may_begin_before_stay_however_old_they_are(
    journal, tmp_path, monkeypatch
):
    monkeypatch.setattr(file_work, "SLICES_SPAN", 10)
    for number in range(60):
        journal.append_event(Slice("BTCUSDT", number, 1, 1, 1, 1))
    journal.append_event(Timer("x", 10**18))
    photographed(journal, 25, 50, 61)
    await journal.barrier()
    await journal.prune(older_than_ns=0)
    with JournalReader(tmp_path / "journal.db") as reader:
        assert [seq for seq, _ in reader.events()] == [10, 20, *range(21, 62)]
