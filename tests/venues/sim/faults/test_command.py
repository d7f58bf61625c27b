"""`bnml exchange --faults`: a process that fails on purpose, and one that refuses a script it cannot mean."""

import asyncio

import aiohttp
import pytest

from bnml.app.exchange_faults import print_template
from bnml.app.sim_process import exchange_arguments
from bnml.config import load
from bnml.options import RunOptions
from bnml.venues.sim.faults.template import faults_template
from tests.venues.sim.stepping_client import ExchangeProcess
from tests.venues.sim.test_exchange_command import STEPPED, failing

SCRIPT = """
seed: 3
rules:
  - {name: broken, match: {request: GET /api/v3/time}, do: reset}
  - {name: busy, match: {request: GET /api/v3/ping}, when: {times: 2}, do: {action: answer, like: overloaded}}
"""


async def asked(port, head):
    """What a bare client reads."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        return await reader.read(1000)
    finally:
        writer.close()


async def test_a_script_is_at_work_from_the_first_request_and_told_in_the_log(tmp_path):
    (tmp_path / "faults.yaml").write_text(SCRIPT)
    state = tmp_path / "state"
    with ExchangeProcess(state, *STEPPED, "--faults", str(tmp_path / "faults.yaml")) as exchange:
        endpoint = exchange.endpoint
        async with aiohttp.ClientSession(f"http://127.0.0.1:{endpoint['port']}") as session:
            statuses = []
            for _ in range(3):
                async with session.get("/api/v3/ping") as response:
                    statuses.append(response.status)
            assert statuses == [503, 503, 200]
            with pytest.raises(ConnectionResetError):  # the process has another event loop than the tests
                await asked(endpoint["port"], b"GET /api/v3/time")
            async with session.get("/sim/faults", headers={"X-SIM-TOKEN": endpoint["token"]}) as response:
                view = await response.json()
            assert (view["loaded"], view["seed"], view["rules"][1]["fired"]) == (True, 3, 2)
        exchange.process.terminate()
        assert exchange.process.communicate()[1].decode().count("fault_fired") == 3


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("rules: [{do: dorp}]", "bad.yaml line 1, rules[0].do: there is no action 'dorp'; the nearest valid action is drop"),
        ("rules: [{do: {action: delist, symbol: XUSDT}}]", "no symbol here is 'XUSDT'"),
    ],
)  # fmt: skip
async def test_a_script_that_cannot_be_meant_is_wrong_usage(tmp_path, script, said):
    (tmp_path / "bad.yaml").write_text(script)
    options = ("--faults", str(tmp_path / "bad.yaml"), "--state-dir", str(tmp_path / "state"))
    code, text = await failing(*STEPPED, *options)
    assert code == 2
    assert said in text


async def test_a_script_that_is_not_there_is_wrong_usage(tmp_path):
    code, text = await failing(
        "--faults", str(tmp_path / "none.yaml"), "--state-dir", str(tmp_path / "state")
    )
    assert code == 2
    assert "none.yaml cannot be read" in text


def test_the_daemon_gives_the_script_of_its_settings_to_its_exchange(tmp_path):
    given = {"venue.sim.faults": ("night.yaml", "--faults"), "app.state_dir": (str(tmp_path), "")}
    arguments = exchange_arguments(load(None, {}, given), RunOptions())
    assert arguments[arguments.index("--faults") + 1] == "night.yaml"
    assert "--faults" not in exchange_arguments(load(None, {}, {}), RunOptions())


def test_the_template_is_printed(capsys):
    assert print_template() == 0
    assert capsys.readouterr().out == faults_template()
