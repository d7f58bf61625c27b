"""A market that falls silent: streams say nothing more, connections stand, and what is timed goes on."""

import time

from bnml.core.events import Timer
from bnml.journal.reader import JournalReader
from tests.e2e.live import Live


def test_timers_go_on_while_no_stream_says_anything(tmp_path):
    live = Live(tmp_path / "state", seed=1)
    live.start()
    try:
        live.wait_trading(1)
        live.control("POST", "/sim/faults", {"rules": [{"match": {"stream": "*"}, "do": {"action": "drop"}}]})
        time.sleep(2)
        before = timers(live)
        time.sleep(4)
        assert len(timers(live)) > len(before)
        assert live.daemon.poll() is None
    finally:
        live.end()


def timers(live):
    with JournalReader(live.state / "journal.db") as journal:
        return [event.ts_ns for _, event in journal.events() if isinstance(event, Timer)]
