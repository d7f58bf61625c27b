"""`bnml panic` on a disk that takes nothing: cancelled and sold all the same, and what was not written is named."""

import contextlib
import errno
import os
import subprocess

import pytest

from bnml.app import aftermath, folder, spool
from bnml.app import panic as module
from bnml.app.aftermath import HALT_FILE, HaltNote, read_note
from bnml.app.folder import LOCK, StateFolder, is_locked
from bnml.app.panic import panic
from bnml.app.rescue import Rescue
from bnml.app.strangers import name_of
from bnml.config import load
from bnml.core.clock import NS_PER_MS, ManualClock
from bnml.core.errors import Misconfigured, Rejected, Retryable
from bnml.core.orders import Side
from bnml.journal.reserve import Reserve
from bnml.options import PanicOptions
from tests.app.test_rescue import Market
from tests.trading.kit import instrument

write_durably = folder.write_durably


class Account(Market):
    """One entry that rests and one holding; remembers what was cancelled."""

    def __init__(self):
        super().__init__()
        self.orders = [
            *Market().orders,
            {**Market().orders[0], "clientOrderId": "bnab123-2-0w", "orderId": 2},
        ]
        self.orders[1] |= {"status": "NEW", "executedQty": "0"}
        self.cancelled = []

    async def signed(self, method, path, params, lane, *, order, window_ms=0):
        if method != "DELETE":
            return await super().signed(method, path, params, lane, order=order, window_ms=window_ms)
        self.cancelled.append(params["origClientOrderId"])
        return None


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A state folder, a venue with one account, and a clock; `refuse` makes the disk take nothing."""

    @contextlib.asynccontextmanager
    async def straight(_settings):
        yield place.account

    async def learn(self, symbols):
        self.instruments = {name: instrument(name) for name in symbols}

    async def free_e8(_self):
        return {"BTC": 10**8}

    async def resting(self):
        return [one for one in await self._history("BTCUSDT") if one.side is Side.BUY and one.status == "NEW"]

    class Place:
        account, clock, is_full = Account(), ManualClock(10**18), lambda _self: True

        def refuse(self, number):
            def write(file, content):
                if self.is_full():
                    raise OSError(number, os.strerror(number))
                write_durably(file, content)

            for one in (aftermath, folder, spool):
                monkeypatch.setattr(one, "write_durably", write)

        def panic(self, *, symbol="", force=False):
            return panic(self.settings, PanicOptions(symbol=symbol, instance="ab12", yes=True, force=force))

    place = Place()
    place.state = tmp_path / "state"
    place.state.mkdir()
    place.settings = load(None, {}, {"app.state_dir": (place.state, "")})
    monkeypatch.setattr(module, "direct", straight)
    monkeypatch.setattr(module, "LiveClock", lambda: place.clock)
    for name, one in (("learn", learn), ("free_e8", free_e8), ("open_orders", resting)):
        monkeypatch.setattr(Rescue, name, one)
    return place


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_f46_panic_cancels_and_sells_on_a_disk_that_takes_nothing_and_names_what_is_not_written(
    place, capsys, number
):
    """The note of the halt ended it with a traceback, before the venue was asked for anything."""
    place.refuse(number)
    assert place.panic() == Retryable.exit_code
    assert place.account.cancelled == ["bnab123-2-0w"]
    assert len(place.account.sales) == 1
    said = capsys.readouterr()
    for file in (HALT_FILE, "identity.json"):
        (line,) = [
            line
            for line in said.err.splitlines() + said.out.splitlines()
            if line.startswith("LEFT") and file in line
        ]
        assert os.strerror(number) in line
        assert "start no daemon" in line
    assert "done" not in said.out
    assert "halt written" not in said.out


def test_f46_panic_writes_its_halt_in_the_room_of_the_reserve(place, capsys):
    reserve = Reserve(place.state / "journal.db", 4096)
    assert reserve.hold()
    place.is_full = lambda: reserve.is_held
    place.refuse(errno.ENOSPC)
    assert place.panic() == 0
    assert read_note(place.state) == HaltNote("panic without the daemon")
    assert folder.StateFolder(place.state).identity("sim").epoch == 4
    assert not reserve.is_held
    assert "halt written" in capsys.readouterr().out


@pytest.mark.parametrize(("symbol", "halted"), [("", ()), ("BTCUSDT", ("BTCUSDT",))])
def test_the_next_start_makes_no_entries_in_what_panic_was_asked_about(place, symbol, halted):
    """And it takes the sales for its own: they count on from the epoch and under the instance that they were made with."""
    identity = folder.StateFolder(place.state).identity("sim")
    assert identity.instance != "ab12"
    assert place.panic(symbol=symbol) == 0
    assert read_note(place.state) == HaltNote("panic without the daemon", halted)
    (name,) = map(name_of, place.account.sales)
    after = folder.StateFolder(place.state).identity("sim")
    assert (after.instance, after.epoch) == (name.instance, name.epoch) == ("ab12", 4)


def test_f46_sales_of_several_panics_whose_epoch_could_not_be_written_have_names_of_their_own(place):
    """Under the name of a sale before it the second would have been taken for done."""
    names = []
    place.refuse(errno.ENOSPC)
    for _ in range(2):
        place.account = Account()
        place.clock.advance(7 * NS_PER_MS)
        assert place.panic() == Retryable.exit_code
        names += place.account.asked
    assert len(set(names)) == 2
    assert {name_of(name).epoch for name in names} == {4}, "above the epoch of what rests"


def test_f46_a_daemon_that_cannot_be_asked_for_want_of_room_is_killed_only_by_force(place, monkeypatch):
    killed = []
    monkeypatch.setattr(module, "is_locked", lambda _: not killed)
    monkeypatch.setattr(module, "_kill", killed.append)
    place.refuse(errno.ENOSPC)
    with pytest.raises(Rejected, match=r"cannot be asked.*No space left.*make room.*--force"):
        place.panic()
    assert (killed, place.account.sales) == ([], {})
    assert place.panic(force=True) == Retryable.exit_code
    assert killed == [place.state]
    assert len(place.account.sales) == 1


def refuse_opening(monkeypatch):
    really = os.open

    def only_to_read(path, flags, *mode, **more):
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return really(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", only_to_read)


def refuse_words(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)


@pytest.mark.parametrize("refuse", [refuse_opening, refuse_words])
def test_f46_who_must_not_write_holds_the_lock_without_and_whoever_must_is_told(
    tmp_path, monkeypatch, refuse
):
    (tmp_path / LOCK).write_text("7\n")
    refuse(monkeypatch)
    with pytest.raises(Misconfigured, match="cannot be written"), StateFolder(tmp_path):
        pass
    assert not is_locked(tmp_path)
    with StateFolder(tmp_path, must_write=False):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_f46_without_a_lock_that_could_be_made_nobody_is_kept_out(tmp_path, monkeypatch):
    refuse_opening(monkeypatch)
    with StateFolder(tmp_path, must_write=False):
        assert not is_locked(tmp_path)


def test_f46_a_lock_that_may_not_be_read_says_nothing_of_a_daemon(tmp_path, monkeypatch):
    """Beside one that lives nobody may sell."""

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(Misconfigured, match="write permission"), StateFolder(tmp_path, must_write=False):
        pass


@pytest.fixture
def killed(monkeypatch):
    """What would have been killed."""
    found = []
    monkeypatch.setattr(module.os, "kill", lambda pid, _signal: found.append(pid))
    return found


def test_a_lock_whose_holder_did_not_sign_it_kills_nobody(tmp_path, killed):
    """The number in it is of a daemon that is gone, or a stranger's by now."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:  # ends with its input
        for number in (stranger.pid, 2**22 - 1):
            (tmp_path / LOCK).write_text(f"{number}\n")
            with pytest.raises(Rejected, match="whose number is not in it"):
                module._kill(tmp_path)
    assert killed == []


def test_a_daemon_that_lets_nobody_look_into_it_is_killed(tmp_path, killed, monkeypatch):
    """Hardened, its open files cannot be read by its own user either."""

    def closed(_folder):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / LOCK).write_text(f"{os.getpid()}\n")
    monkeypatch.setattr(module.Path, "iterdir", closed)
    module._kill(tmp_path)
    assert killed == [os.getpid()]


def test_a_holder_that_signed_is_killed(tmp_path, killed, monkeypatch):
    with StateFolder(tmp_path):
        monkeypatch.setattr(module, "is_locked", lambda _: False)
        module._kill(tmp_path)
    assert killed == [os.getpid()]
