"""A state folder of the previous release with a position under way: upgraded, traded on, rolled back.

`tests/fixtures/record_release.py` makes it. Where this clone does not hold that release's code, going back is judged by
the shapes of what it reads, which lie in the fixture, too.
"""

import contextlib
import json
import sqlite3
import tarfile

import pytest

from bnml.journal import migrations
from tests.fixtures.record_release import BARS, FIXTURE, ROOT, extract, python, trade, unpacked
from tests.fixtures.shapes import shapes, unreadable

RELEASE = json.loads((FIXTURE / "release.json").read_text())
"""What the release itself made of it, without any upgrade."""
KNOWN = json.loads((FIXTURE / "shapes.json").read_text())


@pytest.fixture
def state(tmp_path):
    with tarfile.open(FIXTURE / "state.tar.xz") as archive:
        extract(archive, tmp_path / "state")
    return tmp_path / "state"


def test_a_position_of_the_previous_release_is_traded_on(state):
    journal = (state / "journal.db").read_bytes()
    look = ["recover", "--dry-run", "--config", str(FIXTURE / "config.yaml"), "--state-dir", str(state)]
    said = python(ROOT, "-m", "bnml", *look)
    assert "the next start restores ledger and orders" in said
    assert f"{RELEASE['positions']} positions, {RELEASE['open_orders']} orders that are not over" in said
    assert (state / "journal.db").read_bytes() == journal
    summary = trade(ROOT, state, BARS)
    assert summary["session"] == 2
    assert {name: summary[name] for name in ("equity_end", "realised", "trades")} == {
        name: RELEASE[name] for name in ("equity_end", "realised", "trades")
    }
    assert (summary["positions"], summary["open_orders"]) == (0, 0)


def test_what_this_program_writes_the_previous_release_reads():
    """Else the format of the journal has to grow: the release before then leaves it alone, and its copy goes on there."""
    if str(migrations.VERSION) == RELEASE["format"]:
        assert unreadable(shapes(), KNOWN) == []


def test_what_the_previous_release_wrote_this_program_reads():
    """Else `journal.migrations` needs a step, or `trading.snapshot` another schema."""
    if str(migrations.VERSION) == RELEASE["format"]:
        assert unreadable(KNOWN, shapes()) == []


def struct(*fields, by_place=True):
    return {"tag": "T", "by_place": by_place, "fields": [list(one) for one in fields]}


@pytest.mark.parametrize(
    ("written", "known", "why"),
    [
        ({"T": struct(("a", "Int", False), ("b", "Str", True))}, {"T": struct(("a", "Int", False))}, ""),
        ({"T": struct(("a", "Int", False))}, {"T": struct(("a", "Int", False), ("b", "Str", True))}, ""),
        (
            {"T": struct(("a", "Int", False))},
            {"T": struct(("a", "Int", False), ("b", "Str", False))},
            "lacks b",
        ),
        (
            {"T": struct(("b", "Str", False), ("a", "Int", False))},
            {"T": struct(("a", "Int", False))},
            "where",
        ),
        ({"T": struct(("a", "Str", False))}, {"T": struct(("a", "Int", False))}, "where"),
        ({"N": struct()}, {}, "was not there"),
        ({"E": {"values": ["A", "B"]}}, {"E": {"values": ["A"]}}, "new value B"),
        ({"E": {"values": ["A"]}}, {"E": {"values": ["A", "B"]}}, ""),
        (
            {"T": struct(by_place=False)},
            {"T": struct(("a", "Int", False), by_place=False)},
            "a is gone, was Int",
        ),
        ({"T": struct(by_place=False)}, {"T": struct(("a", "Int", True), by_place=False)}, ""),
        ({"T": struct(by_place=False)}, {"T": struct()}, "otherwise"),
    ],
)
def test_shapes_tell_what_could_not_be_read(written, known, why):
    found = unreadable(written, known)
    assert (why in found[0]) if why else (found == [])


@pytest.fixture(scope="module")
def previous(tmp_path_factory):
    """The previous release, whose kernels are compiled once."""
    home = tmp_path_factory.mktemp("previous")
    if not unpacked(RELEASE["commit"], home):
        pytest.skip(
            f"this clone does not hold {RELEASE['commit']} (`git fetch --unshallow` brings it); the shapes of what it "
            "reads are compared by the tests above"
        )
    return home


def forget_the_end(state, before):
    """As if the last process had been killed: what it wrote in its orderly end is not there."""
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as journal, journal:
        assert journal.execute("DELETE FROM snapshot WHERE seq > ?", [before]).rowcount


@pytest.mark.parametrize("killed", [False, True])
def test_an_upgrade_can_be_taken_back_with_the_position_open(state, previous, killed):
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as journal:
        (before,) = journal.execute("SELECT max(seq) FROM snapshot").fetchone()
    assert trade(ROOT, state, 2)["positions"] == 1
    if killed:
        forget_the_end(state, before)
    summary = trade(previous, state, BARS - 2)
    assert (summary["equity_end"], summary["positions"], summary["open_orders"]) == (
        RELEASE["equity_end"],
        0,
        0,
    )
