"""A drill on the way to a venue that is not ours begins only where this machine's daemons may ask, too."""

import pytest

from bnml.app.limits import readers_budget
from bnml.config import load
from bnml.core.clock import LiveClock
from bnml.core.errors import Retryable
from bnml.drill.away import AwayStage

BASE = "https://venue.invalid"


@pytest.mark.parametrize("kind", ["paper", "testnet"])
async def test_f06_no_drill_begins_while_the_address_is_banned(tmp_path, monkeypatch, kind):
    """Its daemon sees a proxy on this machine, whose ledger knows nothing of the bans of the venue behind it."""

    async def opened(self):
        raise AssertionError("it must not come so far")

    monkeypatch.setattr(AwayStage, f"_open_{kind}", opened)
    settings = load(None, {}, {
        "venue.kind": (kind, ""), f"venue.{kind}.rest_url": (BASE, ""),
        "venue.budget_dir": (str(tmp_path / "limits"), ""), "app.state_dir": (str(tmp_path / "state"), ""),
    })  # fmt: skip
    budget = readers_budget(settings, BASE, LiveClock())
    budget.ban(600)
    budget.ledger.close()
    with pytest.raises(Retryable, match=r"the venue has banned this address for 60\d s more") as caught:
        async with AwayStage(tmp_path, settings):
            pass
    assert caught.value.retry_after_s > 590
