"""A disk that fills while positions are held: stops move and exits leave all the same, entries wait."""

import asyncio

from bnml.app.health import watch_space
from bnml.core.commands import ReplaceOrder, Submit
from bnml.core.events import OperatorCommand
from bnml.core.orders import ListTicket
from bnml.venues.sim.inprocess import ACCOUNT
from tests.e2e.test_recovery import agreed, scene, until_held

ROOM_PAGES = 4_000
"""What the reserve gives back: 16 MiB."""


class Reserve:
    """Of a database in memory: its room is a number of pages."""

    def __init__(self, database):
        self.database = database
        self.is_held = True

    def hold(self):
        return self.is_held

    def release(self):
        (count,) = self.database.execute("PRAGMA page_count").fetchone()
        self.database.execute(f"PRAGMA max_page_count={count + ROOM_PAGES}")
        was_held, self.is_held = self.is_held, False
        return was_held


def fill(disk):
    """From here on the database finds no room for a further page."""
    (count,) = disk.database.execute("PRAGMA page_count").fetchone()
    disk.database.execute(f"PRAGMA max_page_count={count}")


def tickets(disk, after_seq):
    """All single orders asked for since then, by side."""
    found = {"BUY": [], "SELL": []}
    for _, command in disk.reader().commands(after_seq):
        if isinstance(command, Submit | ReplaceOrder):
            ticket = command.order.ticket if isinstance(command, Submit) else command.ticket
            legs = ticket.pending if isinstance(ticket, ListTicket) else ()
            working = ticket.working if isinstance(ticket, ListTicket) else ticket
            for one in (working, *legs):
                if one is not None:
                    found[one.side].append(one.type)
    return found


async def watched(process, seconds):
    """The daemon looks for room each second."""
    for _ in range(seconds):
        watch_space(process.journal, process.guards)
        await asyncio.sleep(1)


def test_f46_on_a_full_disk_stops_and_exits_leave_with_their_rows_and_entries_wait():
    async def play(trial):
        life, process = trial.begin()
        await until_held(process, trial)
        process.journal.reserve = reserve = Reserve(trial.disk.database)
        fill(trial.disk)
        for _ in range(600):
            await watched(process, 1)
            if process.guards.level("space") != "ACTIVE":
                break
        await watched(process, 1)
        full_seq = process.journal.last_seq
        held = list(process.engine.portfolio.positions)
        for symbol in held:  # their owner takes the stops away
            trial.world.exchange.cancel_all(ACCOUNT, symbol)
        await watched(process, 5)
        bare = [symbol for symbol in held if trial.world.cover.still_bare(symbol)]
        stops = tickets(trial.disk, full_seq)
        await watched(process, 55)
        process.inbox.complete(0, (OperatorCommand("flatten", process.pump.now_ns),))
        await watched(process, 120)
        left = dict(process.engine.portfolio.positions)
        after = tickets(trial.disk, full_seq)
        await trial.settle(life, process)
        faults = agreed(trial, process)
        await trial.end(life, process)
        (check,) = trial.disk.database.execute("PRAGMA quick_check").fetchone()
        life, process = trial.begin()
        await process.started
        await trial.end(life, process)
        return reserve.is_held, held, bare, stops, left, after, faults, check

    is_held, held, bare, stops, left, after, faults, check = scene(play)
    assert not is_held
    assert held
    assert bare == []
    assert {"STOP_LOSS"} <= set(stops["SELL"])
    assert left == {}
    assert "MARKET" in after["SELL"]
    assert after["BUY"] == []
    assert faults == []
    assert check == "ok"
