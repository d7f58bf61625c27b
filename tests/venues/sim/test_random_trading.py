"""Random trading in each tier: conservation, reports, locks and places after each operation, and the same bytes again."""

import pytest

from bnml.venues.sim.tiers import Tier
from tests.venues.sim.random_trading import outcome


@pytest.mark.parametrize("tier", list(Tier))
def test_random_trading_keeps_every_invariant_and_repeats_itself(tier):
    digest, trading = outcome(7, tier, 400, audit_every=20)
    assert len(trading.exchange.read.trades("ann", "BTCUSDT")) > 20
    assert digest == outcome(7, tier, 400, audit_every=400)[0]


@pytest.mark.long
@pytest.mark.parametrize("tier", list(Tier))
def test_a_hundred_thousand_operations_keep_every_invariant(tier):
    for seed in range(5):
        outcome(seed, tier, 20_000 // 4, audit_every=250)
    outcome(100, tier, 20_000, audit_every=2_000)
