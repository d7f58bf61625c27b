"""A start that lasts, as one that trains or waits for a connection does, is not silent for as long."""

import json
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.e2e.live import Live


@pytest.fixture
def receiver():
    """The names of what was posted, and the address to post to."""
    got = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["name"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield got, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    serving.join()
    server.server_close()


def test_what_is_said_while_a_start_lasts_is_posted_then(tmp_path, monkeypatch, receiver):
    """What is held is guarded from the first seconds on, and that it could not be was told only when it traded."""
    got, address = receiver
    monkeypatch.setenv("BNML_ALERTS__LEVEL", "warning")
    live = Live(tmp_path / "state", seed=4)
    live.start()
    try:
        live.wait_trading(0)
        live.daemon.send_signal(signal.SIGKILL)
        live.daemon.wait()
        refused = {"match": {"connect": "api"}, "do": {"action": "answer", "like": "unavailable"}}
        slow = {"match": {"request": "*/api/v3/account"}, "when": {"times": 1}, "do": refused["do"]}
        live.control("POST", "/sim/faults", {"rules": [slow, refused]})
        monkeypatch.setenv("BNML_ALERTS__WEBHOOK_URL", address)
        live.start()
        began = time.monotonic()
        while "read_again" not in got:
            assert time.monotonic() - began < 25, "it gives up after 30"
            time.sleep(0.1)
        live.wait_until(lambda one: one.state == "starting", 10, "a word of the start")
    finally:
        live.end()
